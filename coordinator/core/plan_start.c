/* Which of a plan's steps may start now, and what becomes of those that never will. */
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_internal.h"
#include "coordinator/core/plan_schedule.h"

#include <stdlib.h>
#include <strings.h>

typedef Drover__V1__PlanStep Step;

bool plan_answers(const struct fleet *fleet, const char *name)
{
    const struct fleet_host *h = fleet_host(fleet, name);
    return h && h->up && h->synced;
}

bool plan_takes(const struct fleet *fleet, const char *name)
{
    return plan_answers(fleet, name) && !fleet_host(fleet, name)->maintenance;
}

bool plan_may_come_back(const struct fleet *fleet, const char *name)
{
    const struct fleet_host *h = fleet_host(fleet, name);
    return h && !h->maintenance && !plan_answers(fleet, name);
}

bool plan_stop_groups(Drover__V1__Job *job)
{
    const Step *stays = NULL;
    bool news = false;
    for (size_t i = 0; i < job->n_steps; i++) {
        const Step *s = job->steps[i];
        if ((s->state == FAILED || (s->state == SKIPPED && s->todo[0])) &&
            (!stays || s->group < stays->group))
            stays = s;
    }
    for (size_t i = 0; stays && i < job->n_steps; i++) {
        Step *s = job->steps[i];
        if (s->state != WAITING || s->group <= stays->group)
            continue;
        _cleanup_free_ char *why = xasprintf("%s, of a group before it, has not moved", stays->guest);
        _cleanup_free_ char *todo =
            xasprintf("see to %s, then run the same command again; or leave its group out", stays->guest);
        plan_end_step(s, SKIPPED, why, todo);
        news = true;
    }
    return news;
}

static const struct fleet_host *where_else(const struct fleet *fleet, const Step *s)
{
    for (size_t h = 0; h < fleet->n_hosts; h++)
        if (!streq(fleet->hosts[h].name, s->from) && fleet_guest_on(&fleet->hosts[h], s->guest_uuid))
            return &fleet->hosts[h];
    return NULL;
}

/* True if the guest is where the step wants it; a guest that isn't there any more has no step to take. */
bool plan_guest_is_there(struct plan *p, size_t i, const struct fleet *fleet, struct plan_actions *out)
{
    Step *s = p->job->steps[i];
    const struct fleet_host *from = fleet_host(fleet, s->from);
    if (!from || !from->up || !from->synced)
        return false;
    const struct fleet_guest *guest = fleet_guest_on(from, s->guest_uuid);
    if (!guest) {
        const struct fleet_host *other = where_else(fleet, s);
        _cleanup_free_ char *why =
            other ? xasprintf("it is on %s now", other->name)
                  : xasprintf("it is not on %s any more, nor on another host that is connected", s->from);
        bool there = other && streq(other->name, s->to);
        if (there) /* whoever moved it: `return` is to bring it back */
            plan_do(out, PLAN_ACTION_TAKEN, i);
        plan_end_step(s, there ? DONE : SKIPPED, why, NULL);
        plan_tell(out, "%s: %s", s->guest, why);
        plan_do(out, PLAN_ACTION_JOURNAL, i);
        return false;
    }
    bool active = fleet_guest_active(guest->guest);
    if (active != s->active) {
        s->active = active;
        s->mode = active ? p->job->mode : DROVER__V1__MODE__MODE_DEFINITION;
        plan_tell(out, "%s %s since it was planned: %s", s->guest, active ? "was started" : "was shut off",
                  active ? "it moves with its memory" : "its definition moves");
    }
    return true;
}

static bool same_pair(const Step *a, const Step *b)
{
    return streq(a->from, b->from) && streq(a->to, b->to);
}

/* The first guest of each pair of hosts must be seen well before the rest follow. */
bool plan_pair_is_proven(const struct plan *p, const Step *s)
{
    for (size_t i = 0; i < p->job->n_steps; i++)
        if (same_pair(p->job->steps[i], s) && p->job->steps[i]->care == DROVER__V1__STEP_CARE__CARE_WELL)
            return true;
    return false;
}

const Step *plan_first_of(const Drover__V1__Job *job, const Step *s)
{
    return s->after && s->after <= job->n_steps ? job->steps[s->after - 1] : NULL;
}

/* A source that can't be asked is waited for, however long that takes: its guests may run there. */
static void look_at_source(Step *s, const struct plan_event *e)
{
    if (plan_answers(e->fleet, s->from))
        s->unasked = 0;
    else if (!s->unasked || s->unasked > (uint64_t)e->now_ms)
        s->unasked = (uint64_t)e->now_ms;
}

/* A destination that is not connected for a moment (its agent is restarted, a network blinks) is waited for. */
static void look_at_destination(Step *s, size_t i, const struct plan_event *e, struct plan_actions *out)
{
    int64_t now = e->now_ms, since = (int64_t)s->lacking;
    if (!plan_may_come_back(e->fleet, s->to)) {
        s->lacking = 0;
    } else if (!since || since > now) {
        s->lacking = (uint64_t)now;
    } else if (now - since >= PLAN_GRACE_MS) {
        plan_tell(out, "%s can't be asked for %d s: another host is looked for, for %s", s->to,
                  PLAN_GRACE_MS / 1000, s->guest);
        if (!plan_place_anew(s, i, PLAN_DESTINATION_GONE, out))
            plan_end_step(s, FAILED, "no destination stayed up", "run the same command again");
        plan_do(out, PLAN_ACTION_JOURNAL, i);
    }
}

/* A migration of another plan, or of an operator, moves the guest: what is left to do is known when that has ended. */
static bool others_move_it(Step *s, const struct plan_event *e)
{
    for (size_t i = 0; i < e->n_open; i++) {
        const Drover__V1__Job *job = e->open[i];
        if (!job->id || strcasecmp(job->guest_uuid, s->guest_uuid) != 0)
            continue;
        _cleanup_free_ char *why = xasprintf("job %llu works on it", (unsigned long long)job->id);
        plan_hold(s, e->now_ms, why);
        return true;
    }
    return false;
}

/* What can't start whatever the schedule says leaves the list of those that wait. */
static void look_at_waiting(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    if (plan_stop_groups(p->job))
        plan_do(out, PLAN_ACTION_JOURNAL, 0);
    for (size_t i = 0; i < p->job->n_steps; i++) {
        Step *s = p->job->steps[i];
        const Step *first = plan_first_of(p->job, s);
        if (s->state == WAITING && (!first || first->state == DONE))
            look_at_source(s, e);
        if (s->state != WAITING || !s->to[0])
            continue;
        /* A clock that was set back must not hold it for long. */
        if (s->not_before <= (uint64_t)e->now_ms || s->not_before > (uint64_t)e->now_ms + PLAN_BUSY_MS)
            s->not_before = 0;
        if (first && (first->state == FAILED || first->state == SKIPPED))
            plan_end_step(s, SKIPPED, "the move before it was not done", "run the same command again");
        else if ((!first || first->state == DONE) && plan_guest_is_there(p, i, e->fleet, out) &&
                 !others_move_it(s, e))
            look_at_destination(s, i, e, out);
    }
}

/* False if it needs another destination first. */
static bool start(struct plan *p, size_t i, const struct fleet *fleet, struct plan_actions *out)
{
    Step *s = p->job->steps[i];
    if (!plan_takes(fleet, s->to)) {
        plan_tell(out, "%s does not take guests now: another host is looked for, for %s", s->to, s->guest);
        if (!plan_place_anew(s, i, PLAN_DESTINATION_GONE, out))
            plan_end_step(s, FAILED, "no destination stayed up", "run the same command again");
        return false;
    }
    s->state = RUNNING;
    s->last_job = s->job ? s->job : s->last_job;
    s->job = 0;
    plan_do(out, PLAN_ACTION_JOURNAL, i);
    plan_do(out, PLAN_ACTION_START, i);
    return true;
}

/* As the schedule says (core/schedule.h). Where one can't start after all, its place is another's. */
void plan_start_what_may(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    look_at_waiting(p, e, out);
    for (bool all = false; !all && plan_count(p->job, WAITING);) {
        struct plan_schedule view;
        plan_schedule_init(&view, e->fleet, p->job, e->open, e->n_open);
        const struct schedule schedule = plan_schedule_view(&view);
        uint32_t *next = xcalloc(view.n + 1, sizeof(*next)), n = schedule_next(&schedule, next);
        all = true;
        for (uint32_t i = 0; i < n; i++)
            all &= start(p, next[i], e->fleet, out);
        free(next);
        plan_schedule_deinit(&view);
    }
}
