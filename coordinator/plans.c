#include "coordinator/plans.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/core/plan_size.h"
#include "coordinator/io/store_fleet.h"
#include "coordinator/plans_internal.h"

#include <string.h>

enum { FLEET_MS = 100 }; /* changes of the fleet come in bursts */

static struct plan_run *find(const struct plans *p, uint64_t id)
{
    for (struct plan_run *r = p->runs; r; r = r->next)
        if (r->job->id == id)
            return r;
    return NULL;
}

static void append(struct plans *p, struct plan_run *run)
{
    struct plan_run **r = &p->runs;
    while (*r)
        r = &(*r)->next;
    *r = run;
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

struct reading {
    struct plans *plans;
    struct error *err;
};

static int take_up(void *arg, const Drover__V1__Job *stored, const void *request, size_t size)
{
    struct reading *reading = arg;
    if (streq(stored->kind, "migrate"))
        return 0;
    Drover__V1__PlanRequest *q = drover__v1__plan_request__unpack(NULL, size, request);
    if (!q)
        return error_set(
            reading->err, STATUS_DATA_LOSS,
            "job %llu (%s) is open and its journal can't be read: put a backup of the store in its place",
            (unsigned long long)stored->id, stored->kind);
    append(reading->plans, plan_run_new(reading->plans, (Drover__V1__Job *)message_copy(&stored->base), q));
    return 0;
}

static void take_maintenance(void *arg, const char *name)
{
    struct plans *p = arg;
    struct fleet_host *host = fleet_host(p->config.fleet, name);
    if (host)
        host->maintenance = true;
}

static void begin(struct plan_run *run)
{
    for (size_t i = 0; i < run->job->n_steps; i++) {
        const Drover__V1__PlanStep *s = run->job->steps[i];
        if (s->state == DROVER__V1__STEP_STATE__STEP_RUNNING &&
            s->care != DROVER__V1__STEP_CARE__CARE_LOOKING) {
            run->busy = true; /* all is adopted before the first event is worked off */
            plan_step_adopt(run, i);
            run->busy = false;
        }
    }
    plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_START}, NULL);
}

int plans_new(const struct move_config *config, struct plans **ret, struct error *err)
{
    struct error own = {0};
    _cleanup_(plans_freep) struct plans *p = new0(struct plans);
    p->config = *config;
    struct reading reading = {p, err ? err : &own};
    int r = store_each_maintenance(config->store, take_maintenance, p, reading.err);
    if (r == 0)
        r = store_each_open(config->store, take_up, &reading, reading.err);
    if (r)
        return r;
    for (struct plan_run *run = p->runs, *next; run; run = next) {
        next = run->next;
        log_info("job %llu, %s %s: taken up again", (unsigned long long)run->job->id, run->job->kind,
                 run->job->source);
        begin(run);
    }
    *ret = steal(&p);
    return 0;
}

void plans_free(struct plans *p)
{
    if (!p)
        return;
    while (p->runs) {
        struct plan_run *run = p->runs;
        p->runs = run->next;
        plan_run_free(run);
    }
    while (p->watches) {
        struct plans_watch *w = p->watches;
        p->watches = w->next;
        free(w);
    }
    loop_timer_cancel(p->fleet_timer);
    free(p);
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

struct away_list {
    struct plan_away *list;
    size_t n;
};

static void add_away(void *arg, const char *guest_uuid, const char *name)
{
    struct away_list *away = arg;
    away->list = xrealloc(away->list, away->n + 1, sizeof(*away->list));
    away->list[away->n++] = (struct plan_away){xstrdup(guest_uuid), xstrdup(name)};
}

static void away_deinit(struct away_list *away)
{
    for (size_t i = 0; i < away->n; i++) {
        free(away->list[i].guest_uuid);
        free(away->list[i].guest);
    }
    free(away->list);
}

struct moved_list {
    char **uuids; /* sorted */
    size_t n;
};

static void add_moved(void *arg, const char *guest_uuid)
{
    struct moved_list *moved = arg;
    moved->uuids = xrealloc(moved->uuids, moved->n + 1, sizeof(*moved->uuids));
    moved->uuids[moved->n++] = xstrdup(guest_uuid);
}

static void moved_deinit(struct moved_list *moved)
{
    for (size_t i = 0; i < moved->n; i++)
        free(moved->uuids[i]);
    free(moved->uuids);
}

static int by_uuid(const void *key, const void *element)
{
    return strcmp(key, *(char *const *)element);
}

static bool moved_lately(void *arg, const char *guest_uuid)
{
    const struct moved_list *moved = arg;
    return moved->n && bsearch(guest_uuid, moved->uuids, moved->n, sizeof(*moved->uuids), by_uuid);
}

int plans_away(const struct plans *p, const struct fleet_host *host, size_t *ret, struct error *err)
{
    _cleanup_(away_deinit) struct away_list away = {0};
    int r = store_each_away(p->config.store, host->name, add_away, &away, err);
    if (r < 0)
        return r;
    *ret = 0;
    for (size_t i = 0; i < away.n; i++)
        *ret += !fleet_guest_on(host, away.list[i].guest_uuid);
    return 0;
}

/* The open plan beside which such an order is not begun; NULL: none. */
static const struct plan_run *in_the_way(const struct plans *p, const Drover__V1__PlanRequest *request)
{
    for (const struct plan_run *r = p->runs; r; r = r->next)
        if (streq(r->request->host, request->host) && streq(r->request->from_site, request->from_site))
            return r;
    return NULL;
}

/* The same guests wait in a plan for the same host: what that promises them at other hosts is not taken by others. */
static void besides_order(const struct plans *p, const Drover__V1__PlanRequest *request,
                          struct plan_besides *ret)
{
    plan_besides_take(p, request->host[0] ? in_the_way(p, request) : NULL, UNDER_WAY_OPEN, ret);
}

static int check_policy(const struct plans *p, const Drover__V1__PlanRequest *q, struct error *err)
{
    Drover__V1__Policy policy;
    return policies_hold(NULL, p->config.policy, NULL, q->policy, q->policy_given, q->n_policy_given, &policy,
                         NULL, err);
}

static void place(void *arg, const Drover__V1__PlanRequest *request, Drover__V1__Job *job,
                  Drover__V1__PlanStep *step)
{
    const struct plans *p = arg;
    _cleanup_(plan_besides_deinit) struct plan_besides besides;
    besides_order(p, request, &besides);
    const struct plan_making making = {.fleet = p->config.fleet,
                                       .request = request,
                                       .policy = p->config.policy,
                                       .policies = p->config.policies,
                                       .open = besides.open.list,
                                       .n_open = besides.open.n,
                                       .emptied = besides.emptied};
    plan_place(&making, job, step);
}

struct plan_checks *plans_check(const struct plans *p, const Drover__V1__PlanRequest *request,
                                Drover__V1__Job *job, void (*done)(void *arg), void *arg)
{
    bool chosen = !request->to[0] && !streq(request->kind, "return");
    const struct plan_checks_user user = {
        .place = chosen ? place : NULL, .arg = (void *)p, .done = done, .done_arg = arg};
    return plan_checks_start(&p->config, request, job, &user);
}

struct plan_forecasts *plans_forecast(const struct plans *p, const Drover__V1__PlanRequest *request,
                                      Drover__V1__Job *job, void (*done)(void *arg), void *arg)
{
    return plan_forecasts_start(&p->config, request, false, job, done, arg);
}

/* Of a dry run: an order would be refused (no_other). */
static void remark_other(const struct plans *p, const Drover__V1__PlanRequest *request, Drover__V1__Job *job)
{
    const struct plan_run *r = request->dry_run ? in_the_way(p, request) : NULL;
    if (!r)
        return;
    job->remarks = xrealloc(job->remarks, job->n_remarks + 1, sizeof(*job->remarks));
    job->remarks[job->n_remarks++] = xasprintf(
        "job %llu (%s%s%s) is under way: until it has ended, this would be refused",
        (unsigned long long)r->job->id, r->job->kind, r->request->host[0] ? " " : "", r->request->host);
}

int plans_make(const struct plans *p, const Drover__V1__PlanRequest *request, Drover__V1__Job **ret,
               struct error *err)
{
    const struct move_config *c = &p->config;
    _cleanup_(away_deinit) struct away_list away = {0};
    int r = check_policy(p, request, err);
    if (r == 0 && streq(request->kind, "return"))
        r = store_each_away(c->store, request->host, add_away, &away, err);
    _cleanup_(moved_deinit) struct moved_list moved = {0};
    if (r == 0 && streq(request->kind, "balance"))
        r = store_each_moved(c->store, clock_realtime_ms() - PLAN_RECENT_MS, add_moved, &moved, err);
    if (r < 0)
        return r;
    _cleanup_(plan_besides_deinit) struct plan_besides besides;
    besides_order(p, request, &besides);
    /* A return needs its host to take guests; that it leaves maintenance is part of it. */
    struct fleet_host *host = fleet_host(c->fleet, request->host);
    bool maintenance = host && host->maintenance;
    const struct plan_making making = {.fleet = c->fleet,
                                       .request = request,
                                       .policy = p->config.policy,
                                       .policies = p->config.policies,
                                       .open = besides.open.list,
                                       .n_open = besides.open.n,
                                       .emptied = besides.emptied,
                                       .away = away.list,
                                       .n_away = away.n,
                                       .leaves = maintenance,
                                       .recent = moved_lately,
                                       .arg = &moved};
    Drover__V1__Job *job = new0(Drover__V1__Job);
    drover__v1__job__init(job);
    if (host && streq(request->kind, "return"))
        host->maintenance = false;
    r = plan_make(&making, job, err);
    if (host)
        host->maintenance = maintenance;
    remark_other(p, request, job);
    if (r == 0)
        r = plan_fit(job, err);
    if (r < 0) {
        drover__v1__job__free_unpacked(job, NULL);
        return r;
    }
    *ret = job;
    return 0;
}

static int no_other(const struct plans *p, const Drover__V1__PlanRequest *request, struct error *err)
{
    const struct plan_run *r = in_the_way(p, request);
    return !r ? 0
              : error_set(err, STATUS_FAILED_PRECONDITION,
                          "job %llu (%s %s) is under way: wait for it (`drover watch %llu`), or `drover "
                          "cancel %llu`",
                          (unsigned long long)r->job->id, r->job->kind, r->request->host,
                          (unsigned long long)r->job->id, (unsigned long long)r->job->id);
}

/* However they came back: by hand, or while no coordinator looked. */
static int forget_who_is_home(struct plans *p, const struct fleet_host *host, struct error *err)
{
    _cleanup_(away_deinit) struct away_list away = {0};
    int r = store_each_away(p->config.store, host->name, add_away, &away, err);
    for (size_t i = 0; i < away.n && r == 0; i++)
        if (fleet_guest_on(host, away.list[i].guest_uuid))
            r = store_set_away(p->config.store, host->name, away.list[i].guest_uuid, "", false, err);
    return r;
}

/* All hosts have told, and none has them: they were undefined, or went elsewhere without Drover. */
static int forget_who_is_gone(struct plans *p, const struct fleet_host *host, const Drover__V1__Job *job,
                              struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < job->n_steps && r == 0; i++)
        if (job->steps[i]->state == DROVER__V1__STEP_STATE__STEP_SKIPPED)
            r = store_set_away(p->config.store, host->name, job->steps[i]->guest_uuid, "", false, err);
    return r;
}

int plans_start(struct plans *p, const Drover__V1__PlanRequest *request, Drover__V1__Job *job, const char *by,
                struct error *err)
{
    int r = no_other(p, request, err);
    if (r == 0)
        r = store_ready(p->config.store, err);
    struct fleet_host *host = fleet_host(p->config.fleet, request->host);
    bool evacuate = streq(request->kind, "evacuate"), changed = false;
    if (r == 0 && host && (evacuate || streq(request->kind, "return")))
        r = plans_set_maintenance(p, host, evacuate, &changed, err);
    if (r == 0 && host)
        r = forget_who_is_home(p, host, err);
    if (r == 0 && host && streq(request->kind, "return"))
        r = forget_who_is_gone(p, host, job, err);
    if (r < 0)
        return r;
    job->created = job->started = (uint64_t)clock_realtime_ms();
    job->state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    set_text(&job->operator_, by);
    struct plan_run *run = plan_run_new(p, job, (Drover__V1__PlanRequest *)message_copy(&request->base));
    if (changed) {
        _cleanup_free_ char *line = xasprintf("%s is %s maintenance", host->name, evacuate ? "in" : "out of");
        plan_run_log(run, line);
    }
    r = plan_run_journal(run, err);
    if (r < 0) {
        run->job = NULL;
        plan_run_free(run);
        return r;
    }
    append(p, run);
    plan_run_begin(run);
    return 0;
}

static int not_found(uint64_t id, struct error *err)
{
    return error_set(err, STATUS_NOT_FOUND,
                     "there is no open plan %llu: see `drover jobs` and `drover history`",
                     (unsigned long long)id);
}

int plans_pause(struct plans *p, uint64_t id, bool resume, const char *by, char **ret_text, struct error *err)
{
    struct plan_run *run = find(p, id);
    if (!run)
        return not_found(id, err);
    if (run->job->cancelled)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "job %llu is cancelled, and only waits for its running moves",
                         (unsigned long long)id);
    size_t running = plan_count(run->job, DROVER__V1__STEP_STATE__STEP_RUNNING);
    size_t waiting = plan_count(run->job, DROVER__V1__STEP_STATE__STEP_WAITING);
    *ret_text = resume ? xasprintf("%zu waiting move%s may start", waiting, waiting == 1 ? "" : "s")
                       : xasprintf("nothing new starts; %zu running move%s to %s end", running,
                                   running == 1 ? "" : "s", running == 1 ? "its" : "their");
    plan_run_feed(
        run, &(struct plan_event){.kind = resume ? PLAN_EVENT_RESUME : PLAN_EVENT_PAUSE, .text = by}, NULL);
    return 0;
}

int plans_cancel(struct plans *p, uint64_t id, bool now, const char *by, char **ret_text, struct error *err)
{
    struct plan_run *run = find(p, id);
    if (!run)
        return not_found(id, err);
    size_t running = plan_count(run->job, DROVER__V1__STEP_STATE__STEP_RUNNING);
    *ret_text = xasprintf("nothing new starts; %zu running move%s %s", running, running == 1 ? "" : "s",
                          now            ? "cancelled where that is still possible"
                          : running == 1 ? "goes on to its end"
                                         : "go on to their end");
    if (now) {
        free(run->canceller);
        run->canceller = xstrdup(by);
    }
    plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_CANCEL, .now = now, .text = by}, NULL);
    return 0;
}

/* ---- who asks ---------------------------------------------------------------------------------------------------- */

const Drover__V1__Job *plans_job(const struct plans *p, uint64_t id)
{
    const struct plan_run *run = p ? find(p, id) : NULL;
    return run ? run->job : NULL;
}

size_t plans_jobs(const struct plans *p, const Drover__V1__Job **ret, size_t max)
{
    size_t n = 0;
    for (const struct plan_run *r = p ? p->runs : NULL; r; r = r->next) {
        if (n < max)
            ret[n] = r->job;
        n++;
    }
    return n;
}

struct plans_watch *plans_watch(struct plans *p, uint64_t job,
                                void (*fn)(void *arg, const Drover__V1__Job *job), void *arg)
{
    if (!p || !find(p, job))
        return NULL;
    struct plans_watch *w = new0(struct plans_watch);
    *w = (struct plans_watch){.plans = p, .next = p->watches, .job = job, .fn = fn, .arg = arg};
    p->watches = w;
    return w;
}

struct plans_watch *plans_unwatch(struct plans_watch *w)
{
    if (!w)
        return NULL;
    w->fn = NULL;
    struct plans *p = w->plans;
    if (p->telling)
        return NULL;
    for (struct plans_watch **x = &p->watches; *x; x = &(*x)->next)
        if (*x == w) {
            *x = w->next;
            free(w);
            break;
        }
    return NULL;
}

/* ---- the fleet --------------------------------------------------------------------------------------------------- */

static void on_fleet(void *arg)
{
    struct plans *p = arg;
    p->fleet_timer = NULL;
    for (struct plan_run *run = p->runs, *next; run; run = next) {
        next = run->next;
        plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_FLEET}, NULL);
    }
}

void plans_fleet_changed(struct plans *p)
{
    if (p && p->runs && !p->fleet_timer)
        p->fleet_timer = loop_timer_start(p->config.loop, FLEET_MS, on_fleet, p);
}

/* What comes to a host while it is emptied would be sent away again, or be in the way at the end. */
static int is_not_emptied(const struct plans *p, const struct fleet_host *host, struct error *err)
{
    for (const struct plan_run *r = p->runs; r; r = r->next)
        if (r->plan.empties && !r->job->cancelled && streq(r->job->source, host->name))
            return error_set(err, STATUS_FAILED_PRECONDITION,
                             "job %llu empties %s, which is in maintenance for that: `drover cancel %llu` "
                             "first, or wait for its end (`drover watch %llu`)",
                             (unsigned long long)r->job->id, host->name, (unsigned long long)r->job->id,
                             (unsigned long long)r->job->id);
    return 0;
}

int plans_set_maintenance(struct plans *p, struct fleet_host *host, bool on, bool *ret_changed,
                          struct error *err)
{
    int r = on ? 0 : is_not_emptied(p, host, err);
    if (r == 0)
        r = store_set_maintenance(p->config.store, host->name, on, err);
    if (r < 0)
        return r;
    *ret_changed = host->maintenance != on;
    host->maintenance = on;
    plans_fleet_changed(p);
    return 0;
}
