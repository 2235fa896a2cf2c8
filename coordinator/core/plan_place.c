/* Where a step's guest goes, and what the operator should know of that. */
#include "coordinator/core/plan_make.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/guest_rules.h"
#include "coordinator/core/message.h"
#include "coordinator/core/placement.h"
#include "coordinator/core/plan_emptied.h"
#include "coordinator/core/planner.h"
#include "coordinator/core/text.h"
#include "coordinator/core/under_way.h"

#include <stdlib.h>
#include <string.h>

typedef Drover__V1__PlanStep Step;

void plan_policy(const struct plan_making *in, const Drover__V1__Guest *guest, Drover__V1__Policy *ret)
{
    const Drover__V1__PlanRequest *q = in->request;
    *ret = *in->policy; /* the request was checked when the plan was made */
    policies_hold(in->policies, in->policy, guest, q->policy, q->policy_given, q->n_policy_given, ret, NULL,
                  NULL);
}

static void note(Step *s, char *text)
{
    s->notes = xrealloc(s->notes, s->n_notes + 1, sizeof(*s->notes));
    s->notes[s->n_notes++] = text;
}

static void note_warnings(Step *s, const struct findings *findings)
{
    for (size_t i = 0; i < findings->n; i++) {
        const Drover__V1__Finding *f = findings->list[i];
        if (f->severity == DROVER__V1__SEVERITY__WARN)
            note(s, xasprintf("%s (%s): %s", f->id, f->subject, f->seen));
    }
}

static void forget_findings(Step *s)
{
    for (size_t i = 0; i < s->n_findings; i++)
        drover__v1__finding__free_unpacked(s->findings[i], NULL);
    s->n_findings = 0;
    for (size_t i = 0; i < s->n_notes; i++)
        free(s->notes[i]);
    s->n_notes = 0;
}

static void refuse(Step *s, const struct findings *findings, const char *fallback)
{
    const Drover__V1__Finding *block = findings_block(findings);
    forget_findings(s);
    _cleanup_free_ char *why = block ? xasprintf("%s: %s", block->subject, block->seen) : xstrdup(fallback);
    size_t more = 0;
    for (size_t i = 0; i < findings->n; i++)
        if (findings->list[i]->severity == DROVER__V1__SEVERITY__BLOCK) {
            findings_add(&s->n_findings, &s->findings, &findings->list[i], 1);
            more += findings->list[i] != block;
        }
    if (more)
        text_append(&why, " ", "(and %zu more: `drover check %s`)", more, s->guest);
    set_text(&s->why, why);
    set_text(&s->todo, block ? block->todo : "");
}

/* Of a guest whose destination is given, because of `why`. */
static void check_there(const struct plan_making *making, const struct preflight *in, const char *why,
                        Step *s)
{
    struct findings findings = {0};
    preflight_run(in, &findings);
    accept_apply(&findings, in->accept, in->n_accept);
    if (findings_block(&findings)) {
        refuse(s, &findings, "");
    } else {
        forget_findings(s);
        set_text(&s->to, in->destination->name);
        set_text(&s->why, why);
        plan_note(making, s);
    }
    findings_deinit(&findings);
}

/* Another guest of a group that is to stay together, and where it is or goes; NULL: none that binds this one. One that waits for a
 * host that takes no guests now will be placed anew itself. */
static const char *kin_at(const struct plan_making *in, const Drover__V1__Job *job, const Step *s,
                          const struct guest_group *group, const char **ret_host)
{
    const struct fleet *fleet = in->fleet;
    for (size_t h = 0; h < fleet->n_hosts; h++)
        for (size_t g = 0; g < fleet->hosts[h].n_guests; g++) {
            const Drover__V1__Guest *other = fleet->hosts[h].guests[g].guest;
            const Step *step = NULL;
            if (!names_match(&group->guests, other->name) || streq(other->uuid, s->guest_uuid))
                continue;
            for (size_t i = 0; i < job->n_steps; i++)
                if (streq(job->steps[i]->guest_uuid, other->uuid))
                    step = job->steps[i];
            bool goes = step && step->to[0] && step->state <= DROVER__V1__STEP_STATE__STEP_DONE;
            if (goes && step->state == DROVER__V1__STEP_STATE__STEP_WAITING && !plan_takes(fleet, step->to))
                continue;
            *ret_host = goes ? step->to : fleet->hosts[h].name;
            if (!streq(*ret_host, s->from))
                return other->name;
        }
    return NULL;
}

/* False if a group that is to stay together has its place at a host that this guest can't go to. *ret_host: where it must go; NULL:
 * anywhere. */
static bool keeps_together(const struct plan_making *in, const Drover__V1__Job *job, Step *s,
                           const char **ret_host)
{
    const struct guest_rules *rules = in->fleet->rules;
    for (size_t i = 0; rules && i < rules->n_groups; i++) {
        const struct guest_group *group = &rules->groups[i];
        if (group->apart || !names_match(&group->guests, s->guest))
            continue;
        const char *host = NULL, *other = kin_at(in, job, s, group, &host);
        if (!other)
            continue;
        *ret_host = host;
        for (size_t k = 0; k < s->n_avoid; k++)
            if (streq(s->avoid[k], host)) {
                _cleanup_free_ char *todo = xasprintf(
                    "%s, which it is to be with (group %s), is on %s or goes there: free the way, or "
                    "choose another host for both: drover migrate %s --to HOST",
                    other, group->name, host, s->guest);
                set_text(&s->todo, todo);
                return false;
            }
    }
    return true;
}

static void choose(const struct plan_making *making, const struct preflight *in, const struct promised *sums,
                   Step *s)
{
    struct placement placement = {0};
    placement_choose(in, sums, NULL, 0, &placement);
    if (placement.host) {
        forget_findings(s);
        set_text(&s->to, placement.host->name);
        set_text(&s->why, placement.why);
        plan_note(making, s);
    } else if (!s->n_avoid) { /* else `why` still says how the last one refused */
        refuse(s, &placement.refusals, placement.why ? placement.why : "no host can take it");
    }
    placement_deinit(&placement);
}

/* Thousandths of a CPU there, with those that are on the way. */
static uint64_t cpu_load_with(const struct preflight *move, const struct fleet_host *host)
{
    uint64_t load = (uint64_t)host->usage.cpu + move->guest->usage.cpu;
    for (size_t i = 0; i < move->n_open; i++) {
        const Drover__V1__Job *open = move->open[i];
        const struct fleet_host *from =
            streq(open->destination, host->name) ? fleet_host(move->fleet, open->source) : NULL;
        const struct fleet_guest *comes = from ? fleet_guest_on(from, open->guest_uuid) : NULL;
        if (comes && comes != move->guest && !fleet_guest_on(host, open->guest_uuid))
            load += comes->usage.cpu;
    }
    return load;
}

/* As the planner takes hosts for a consolidation (planner_state.c, planner_goals.c): one without guests stays so, and each keeps its
 * headroom. A load that is not measured there is not known to leave any. */
static bool is_filled_up_by(const struct plan_making *in, const struct preflight *move,
                            const struct promised *promised, const struct fleet_host *host)
{
    int32_t percent = in->request->headroom;
    double headroom = percent == 0 ? PLANNER_HEADROOM : percent / 100.0;
    const Drover__V1__HostReport *r = host->report;
    const struct fleet_guest *g = move->guest;
    if (!host->n_guests)
        return false;
    if (headroom < 0 || !r || !fleet_guest_active(g->guest))
        return true;
    if ((double)preflight_room(host, promised, g->guest) < headroom * (double)r->memory_total)
        return false;
    uint32_t cpus = r->cpu ? r->cpu->online : 0;
    bool counts = cpus && g->usage.known && g->usage.cpu;
    return !counts ||
           (host->usage.known && (double)cpu_load_with(move, host) <= (1 - headroom) * 1000 * cpus);
}

static bool is_closed(const struct plan_making *in, const Drover__V1__Job *job, const struct preflight *move,
                      const struct promised *sums, size_t host)
{
    const struct fleet_host *h = &in->fleet->hosts[host];
    return (in->emptied && in->emptied[host]) || plan_empties(job, h->name) ||
           (streq(in->request->kind, "consolidate") && !is_filled_up_by(in, move, &sums[host], h));
}

/* Those that refused it, those that this plan or another one empties, and those that a consolidation does not fill. The texts are
 * borrowed. */
static char **hosts_to_avoid(const struct plan_making *in, const Drover__V1__Job *job, const Step *s,
                             const struct preflight *move, const struct promised *sums, size_t *ret_n)
{
    const struct fleet *fleet = in->fleet;
    char **list = xcalloc(s->n_avoid + fleet->n_hosts + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < s->n_avoid; i++)
        list[n++] = s->avoid[i];
    for (size_t i = 0; i < fleet->n_hosts; i++)
        if (is_closed(in, job, move, sums, i))
            list[n++] = fleet->hosts[i].name;
    *ret_n = n;
    return list;
}

void plan_place(const struct plan_making *in, Drover__V1__Job *job, Step *s)
{
    const Drover__V1__PlanRequest *q = in->request;
    const struct fleet_host *from = fleet_host(in->fleet, s->from);
    const struct fleet_guest *guest = from ? fleet_guest_on(from, s->guest_uuid) : NULL;
    set_text(&s->to, "");
    if (!guest) {
        set_text(&s->why, "it is not where it was");
        return;
    }
    if (streq(q->kind, "balance")) {
        if (!s->n_avoid) { /* else `why` still says how its destination refused */
            set_text(&s->why, "its destination takes no guests now, and elsewhere it may gain nothing");
            set_text(&s->todo, "drover balance, again");
        }
        return;
    }
    const Drover__V1__Job *own = job;
    _cleanup_(under_way_deinit) struct under_way all;
    under_way_init(&all, in->open, in->n_open, &own, 1, UNDER_WAY_OPEN);
    _cleanup_free_ struct promised *sums = under_way_promised(in->fleet, all.list, all.n, s->guest_uuid);
    /* What works on the guest passes: its step waits for that. */
    _cleanup_free_ char **accept = xcalloc(q->n_accept + 1, sizeof(*accept));
    for (size_t i = 0; i < q->n_accept; i++)
        accept[i] = q->accept[i];
    accept[q->n_accept] = (char *)"guest-busy";
    Drover__V1__Policy policy;
    plan_policy(in, guest->guest, &policy);
    struct preflight move = {
        .fleet = in->fleet,
        .source = from,
        .guest = guest,
        .mode = s->mode,
        .policy = &policy,
        .open = all.list,
        .n_open = all.n,
        .copy_storage = q->copy_storage,
        .accept = accept,
        .n_accept = q->n_accept + 1,
        .site = q->to_site[0] ? q->to_site : from->site,
    };
    const char *together = NULL, *to = streq(q->kind, "return") ? q->host : q->to;
    if (!to[0] && !keeps_together(in, job, s, &together))
        return; /* `why` still says how that host refused */
    if (!to[0] && !together) {
        _cleanup_free_ char **avoid = hosts_to_avoid(in, job, s, &move, sums, &move.n_avoid);
        move.avoid = avoid;
        choose(in, &move, sums, s);
        return;
    }
    to = to[0] ? to : together;
    move.destination = fleet_host(in->fleet, to);
    if (!move.destination) {
        set_text(&s->why, "its destination is not in the coordinator's configuration (`hosts:`)");
        return;
    }
    size_t there = (size_t)(move.destination - in->fleet->hosts);
    if (together && streq(q->kind, "consolidate") && is_closed(in, job, &move, sums, there)) {
        _cleanup_free_ char *why = xasprintf(
            "%s, where the others of its group are, would have less than the headroom, or is to be empty",
            to);
        if (!s->n_avoid) /* else `why` still says how the last one refused */
            set_text(&s->why, why);
        return;
    }
    move.promised = sums[there];
    for (size_t i = 0; i < s->n_avoid; i++)
        if (streq(s->avoid[i], to))
            return; /* `why` still says how it refused */
    check_there(in, &move, together ? "with the others of its group" : "asked for", s);
}

/* A guest that is shut off and whose image others stand on. */
static void note_template(const struct plan_making *in, const Drover__V1__Guest *guest, Step *s)
{
    _cleanup_free_ char *users = NULL;
    if (s->active)
        return;
    for (size_t h = 0; h < in->fleet->n_hosts; h++)
        for (size_t g = 0; g < in->fleet->hosts[h].n_guests; g++) {
            const Drover__V1__Guest *other = in->fleet->hosts[h].guests[g].guest;
            for (size_t d = 0; d < other->n_disks; d++)
                for (size_t b = 0; b < other->disks[d]->n_backing; b++)
                    for (size_t own = 0; own < guest->n_disks; own++)
                        if (guest->disks[own]->source[0] &&
                            streq(guest->disks[own]->source, other->disks[d]->backing[b]))
                            text_append(&users, ", ", "%s", other->name);
        }
    if (users)
        note(s, xasprintf("a template: its image is the base of %s", users));
}

void plan_note(const struct plan_making *in, Step *s)
{
    const struct fleet_host *from = fleet_host(in->fleet, s->from);
    const struct fleet_guest *guest = from ? fleet_guest_on(from, s->guest_uuid) : NULL;
    struct findings findings = {0};
    Drover__V1__Policy policy;
    const struct preflight move = {.fleet = in->fleet,
                                   .source = from,
                                   .destination = fleet_host(in->fleet, s->to),
                                   .guest = guest,
                                   .mode = s->mode,
                                   .policy = &policy,
                                   .copy_storage = in->request->copy_storage};
    if (!guest || !move.destination)
        return;
    plan_policy(in, guest->guest, &policy);
    preflight_run(&move, &findings);
    note_warnings(s, &findings);
    findings_deinit(&findings);
    note_template(in, guest->guest, s);
}
