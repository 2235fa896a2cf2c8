#include "coordinator/core/plan_goal.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_emptied.h"
#include "coordinator/core/plan_remarks.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

typedef Drover__V1__PlanStep Step;

static int largest_first(const void *a, const void *b)
{
    const Step *x = *(Step *const *)a, *y = *(Step *const *)b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->active != y->active)
        return x->active ? -1 : 1;
    if (x->memory != y->memory)
        return x->memory > y->memory ? -1 : 1;
    return strcmp(x->guest, y->guest);
}

static void place_all(const struct plan_making *in, Drover__V1__Job *job)
{
    if (job->n_steps)
        qsort(job->steps, job->n_steps, sizeof(*job->steps), largest_first);
    for (size_t i = 0; i < job->n_steps; i++) {
        Step *s = job->steps[i];
        if (s->state != DROVER__V1__STEP_STATE__STEP_WAITING)
            continue;
        plan_place(in, job, s);
        if (!s->to[0])
            s->state = DROVER__V1__STEP_STATE__STEP_FAILED;
    }
}

/* The host that a plan is about, known well enough to plan. */
static int known_host(const struct plan_making *in, const char *name, const struct fleet_host **ret,
                      struct error *err)
{
    struct fleet_host *host;
    int r = fleet_find_host(in->fleet, name, &host, err);
    if (r < 0)
        return r;
    if (!host->up || !host->synced)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s: %s; what runs there is not known, so nothing is planned", name,
                         host->why ? host->why : "its agent has not told all its guests yet");
    if (host->report && !host->report->hypervisor)
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s is no hypervisor: it has no guests", name);
    *ret = host;
    return 0;
}

static bool site_exists(const struct fleet *fleet, const char *site)
{
    for (size_t i = 0; i < fleet->n_hosts; i++)
        if (streq(fleet->hosts[i].site, site))
            return true;
    return false;
}

static int check_target(const struct plan_making *in, struct error *err)
{
    const Drover__V1__PlanRequest *q = in->request;
    struct fleet_host *to;
    if (q->to[0] && q->to_site[0])
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "both a host (%s) and a site (%s) were given; expected one of them", q->to,
                         q->to_site);
    if (q->to[0] && streq(q->to, q->host))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s can't take its own guests; name another host",
                         q->to);
    if (q->to_site[0] && !site_exists(in->fleet, q->to_site))
        return error_set(err, STATUS_NOT_FOUND, "no host is at site '%s'; `drover hosts` lists the sites",
                         q->to_site);
    return q->to[0] ? fleet_find_host(in->fleet, q->to, &to, err) : 0;
}

static bool *only(const struct plan_making *in, const struct fleet_host *host)
{
    bool *list = xcalloc(in->fleet->n_hosts + 1, sizeof(*list));
    list[host - in->fleet->hosts] = true;
    return list;
}

/* The hosts that the request allows as destinations; NULL: all. */
static bool *targets(const struct plan_making *in)
{
    const Drover__V1__PlanRequest *q = in->request;
    if (!q->to[0] && !q->to_site[0])
        return NULL;
    bool *list = xcalloc(in->fleet->n_hosts + 1, sizeof(*list));
    for (size_t i = 0; i < in->fleet->n_hosts; i++) {
        const struct fleet_host *h = &in->fleet->hosts[i];
        list[i] = q->to[0] ? streq(h->name, q->to) : streq(h->site, q->to_site);
    }
    return list;
}

static int make_evacuate(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    const Drover__V1__PlanRequest *q = in->request;
    const struct fleet_host *host;
    int r = known_host(in, q->host, &host, err);
    if (r == 0)
        r = check_target(in, err);
    if (r < 0)
        return r;
    set_text(&job->source, host->name);
    set_text(&job->destination, q->to[0] ? q->to : q->to_site);
    struct plan_goal goal = {.goal = PLANNER_EVACUATE, .from = only(in, host), .to = targets(in)};
    goal.across_sites = goal.to != NULL;
    plan_goal_run(in, &goal, job, NULL);
    plan_goal_deinit(&goal);
    return 0;
}

/* It may have guests that are not known now. */
static bool is_unknown(const struct fleet_host *h)
{
    return (!h->up || !h->synced) && !(h->report && !h->report->hypervisor);
}

/* NULL: all have told theirs. */
static const struct fleet_host *unknown_host(const struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n_hosts; i++)
        if (is_unknown(&fleet->hosts[i]))
            return &fleet->hosts[i];
    return NULL;
}

/* A guest that no host is known to have: it is gone only if all hosts have told. */
static void add_lost(const struct plan_making *in, Drover__V1__Job *job, const struct plan_away *away)
{
    const Drover__V1__Guest gone = {.name = away->guest, .uuid = away->guest_uuid};
    const struct fleet_host *unknown = unknown_host(in->fleet);
    Step *s = plan_add(job, &gone, "");
    s->state = unknown ? DROVER__V1__STEP_STATE__STEP_FAILED : DROVER__V1__STEP_STATE__STEP_SKIPPED;
    _cleanup_free_ char *why =
        unknown ? xasprintf("no connected host has it, and %s can't be asked", unknown->name)
                : xstrdup("no host has it any more");
    _cleanup_free_ char *todo =
        unknown ? xasprintf("when %s is back: drover return %s", unknown->name, in->request->host) : NULL;
    set_text(&s->why, why);
    set_text(&s->todo, todo);
}

static int make_return(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    const struct fleet_host *host;
    int r = known_host(in, in->request->host, &host, err);
    if (r < 0)
        return r;
    if (!in->n_away && in->leaves)
        plan_remark(job, xasprintf("no guest of %s is away: it only leaves maintenance", host->name));
    else if (!in->n_away)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "no evacuation of %s is known whose guests are still away; move guests by `drover "
                         "migrate VM --to %s`",
                         host->name, host->name);
    set_text(&job->source, "");
    set_text(&job->destination, host->name);
    for (size_t i = 0; i < in->n_away; i++) {
        const struct fleet_guest *guest;
        struct error why = {0};
        if (fleet_guest_on(host, in->away[i].guest_uuid))
            continue;
        if (fleet_find_guest(in->fleet, in->away[i].guest_uuid, &guest, &why) == 0) {
            plan_add(job, guest->guest, guest->host->name);
            continue;
        }
        add_lost(in, job, &in->away[i]);
    }
    place_all(in, job);
    return 0;
}

static bool wanted(const struct plan_making *in, const Drover__V1__Guest *guest, const struct fleet_host *at,
                   uint32_t *ret_group)
{
    const Drover__V1__PlanRequest *q = in->request;
    if (!streq(at->site, q->from_site))
        return false;
    for (size_t i = 0; i < q->n_vms; i++)
        if (fnmatch(q->vms[i], guest->name, 0) == 0) {
            *ret_group = (uint32_t)i;
            return true;
        }
    return q->n_vms == 0;
}

/* `site` NULL: wherever it is. */
static bool fits_one(const struct fleet *fleet, const char *pattern, const char *site)
{
    for (size_t h = 0; h < fleet->n_hosts; h++)
        for (size_t g = 0; g < fleet->hosts[h].n_guests; g++)
            if ((!site || streq(fleet->hosts[h].site, site)) &&
                fnmatch(pattern, fleet->hosts[h].guests[g].guest->name, 0) == 0)
                return true;
    return false;
}

/* One that fits nobody is a slip, and its group would be left out without a word. */
static int check_patterns(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    const Drover__V1__PlanRequest *q = in->request;
    for (size_t i = 0; i < q->n_vms; i++) {
        if (fits_one(in->fleet, q->vms[i], q->from_site))
            continue;
        if (fits_one(in->fleet, q->vms[i], NULL)) {
            plan_remark_elsewhere(in->fleet, q->vms[i], q->from_site, job);
            continue;
        }
        const struct fleet_host *unknown = unknown_host(in->fleet);
        return error_set(err, STATUS_NOT_FOUND,
                         "no guest fits '%s', so nothing is planned; `drover vms` lists them%s%s", q->vms[i],
                         unknown ? ", but for those of hosts that can't be asked, such as " : "",
                         unknown ? unknown->name : "");
    }
    return 0;
}

/* The order was given before, and has been carried out. */
static bool all_are_there(const struct plan_making *in)
{
    const Drover__V1__PlanRequest *q = in->request;
    for (size_t i = 0; i < q->n_vms; i++)
        if (!fits_one(in->fleet, q->vms[i], q->to_site))
            return false;
    return q->n_vms;
}

/* Else a site would be called moved whose guests nobody has counted. */
static int check_known(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    const char *site = in->request->from_site;
    for (size_t i = 0; i < in->fleet->n_hosts; i++) {
        const struct fleet_host *h = &in->fleet->hosts[i];
        if (!streq(h->site, site) || !is_unknown(h))
            continue;
        if (!h->maintenance)
            return error_set(
                err, STATUS_FAILED_PRECONDITION,
                "%s, which is at site %s: %s; what runs there is not known, so nothing is planned: "
                "see that drover-agent answers there (drover doctor %s), or leave that host out: "
                "drover maintenance on %s",
                h->name, site, h->why ? h->why : "its agent has not told all its guests yet", h->name,
                h->name);
        plan_remark(job,
                    xasprintf("%s is in maintenance and can't be asked: guests that it may have are left out",
                              h->name));
    }
    return 0;
}

static int make_move(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    const Drover__V1__PlanRequest *q = in->request;
    if (!q->from_site[0] || !q->to_site[0] || streq(q->from_site, q->to_site))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "from site '%s' to site '%s'; expected two different sites", q->from_site,
                         q->to_site);
    if (!site_exists(in->fleet, q->from_site))
        return error_set(err, STATUS_NOT_FOUND, "no host is at site '%s'; `drover hosts` lists the sites",
                         q->from_site);
    int r = check_target(in, err);
    if (r == 0)
        r = check_known(in, job, err);
    if (r == 0)
        r = check_patterns(in, job, err);
    if (r < 0)
        return r;
    set_text(&job->source, q->from_site);
    set_text(&job->destination, q->to_site);
    struct plan_goal goal = {.goal = PLANNER_MOVE, .to = targets(in), .wanted = wanted, .across_sites = true};
    plan_goal_run(in, &goal, job, NULL);
    plan_goal_deinit(&goal);
    plan_stop_groups(job);
    if (!job->n_steps && !all_are_there(in))
        return error_set(err, STATUS_NOT_FOUND, "site %s has no guest%s; `drover vms` lists them",
                         q->from_site, q->n_vms ? " of such a name" : "");
    return 0;
}

static int make_better(const struct plan_making *in, enum planner_goal what, Drover__V1__Job *job,
                       struct error *err)
{
    struct plan_goal goal = {.goal = what, .headroom = in->request->headroom / 100.0};
    _cleanup_free_ char *emptied = NULL;
    if (in->request->headroom >= 100)
        return error_set(err, STATUS_INVALID_ARGUMENT, "headroom %d %%; expected less than 100",
                         in->request->headroom);
    if (in->request->from_site[0] && !site_exists(in->fleet, in->request->from_site))
        return error_set(err, STATUS_NOT_FOUND, "no host is at site '%s'; `drover hosts` lists the sites",
                         in->request->from_site);
    if (in->request->from_site[0]) {
        goal.from = xcalloc(in->fleet->n_hosts + 1, sizeof(bool));
        for (size_t i = 0; i < in->fleet->n_hosts; i++)
            goal.from[i] = streq(in->fleet->hosts[i].site, in->request->from_site);
        set_text(&job->source, in->request->from_site);
    }
    plan_goal_run(in, &goal, job, &emptied);
    plan_goal_deinit(&goal);
    if (what == PLANNER_CONSOLIDATE)
        set_text(&job->emptied, emptied);
    plan_emptied_check(job, NULL);
    return 0;
}

static int make_balance(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    return make_better(in, PLANNER_BALANCE, job, err);
}

static int make_consolidate(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    return make_better(in, PLANNER_CONSOLIDATE, job, err);
}

int plan_make(const struct plan_making *in, Drover__V1__Job *job, struct error *err)
{
    static const struct {
        const char *kind;
        int (*make)(const struct plan_making *in, Drover__V1__Job *job, struct error *err);
    } kinds[] = {{"evacuate", make_evacuate},
                 {"return", make_return},
                 {"move", make_move},
                 {"balance", make_balance},
                 {"consolidate", make_consolidate}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!streq(in->request->kind, kinds[i].kind))
            continue;
        set_text(&job->kind, kinds[i].kind);
        job->mode = in->request->mode;
        return kinds[i].make(in, job, err);
    }
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "unknown kind of plan '%s'; is the shell newer than the coordinator (%s)?",
                     in->request->kind, DROVER_VERSION);
}
