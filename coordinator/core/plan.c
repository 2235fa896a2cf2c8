#include "coordinator/core/plan_internal.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_size.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef Drover__V1__PlanStep Step;

/* ---- actions ----------------------------------------------------------------------------------------------------- */

struct plan_action *plan_do(struct plan_actions *out, enum plan_action_kind kind, size_t step)
{
    out->list = xrealloc(out->list, out->n + 1, sizeof(*out->list));
    out->list[out->n] = (struct plan_action){.kind = kind, .step = step};
    return &out->list[out->n++];
}

void plan_tell(struct plan_actions *out, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    plan_do(out, PLAN_ACTION_TELL, 0)->text = text;
}

void plan_actions_deinit(struct plan_actions *actions)
{
    for (size_t i = 0; i < actions->n; i++)
        free(actions->list[i].text);
    free(actions->list);
    *actions = (struct plan_actions){0};
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

size_t plan_count(const Drover__V1__Job *job, Drover__V1__StepState state)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n_steps; i++)
        n += job->steps[i]->state == state;
    return n;
}

Step *plan_add(Drover__V1__Job *job, const Drover__V1__Guest *guest, const char *from)
{
    Step *s = new0(Step);
    drover__v1__plan_step__init(s);
    s->guest = xstrdup(guest->name);
    s->guest_uuid = xstrdup(guest->uuid);
    s->from = xstrdup(from);
    s->active = fleet_guest_active(guest);
    s->memory = guest->memory_max;
    s->mode = s->active ? job->mode : DROVER__V1__MODE__MODE_DEFINITION;
    job->steps = xrealloc(job->steps, job->n_steps + 1, sizeof(*job->steps));
    job->steps[job->n_steps++] = s;
    return s;
}

void plan_end_step(Step *s, Drover__V1__StepState state, const char *why, const char *todo)
{
    s->state = state;
    set_text(&s->why, why);
    set_text(&s->todo, todo);
    s->in_doubt = false;
    if (s->progress)
        drover__v1__progress__free_unpacked(s->progress, NULL);
    s->progress = NULL;
}

void plan_hold(Step *s, int64_t now, const char *why)
{
    s->state = WAITING;
    s->not_before = (uint64_t)now + PLAN_BUSY_MS;
    set_text(&s->why, why);
}

Drover__V1__StepState plan_unplaced(const Drover__V1__Job *job)
{
    return streq(job->kind, "balance") ? SKIPPED : FAILED;
}

void plan_avoid(Step *s, const char *host)
{
    s->avoid = xrealloc(s->avoid, s->n_avoid + 1, sizeof(*s->avoid));
    s->avoid[s->n_avoid++] = xstrdup(host);
}

/* Another destination, if so many were not tried already. */
bool plan_place_anew(Step *s, size_t i, enum plan_anew why, struct plan_actions *out)
{
    if (why != PLAN_NO_STORAGE && s->tries >= PLAN_TRIES)
        return false;
    s->tries += why != PLAN_NO_STORAGE;
    if (why != PLAN_DESTINATION_GONE && s->to[0])
        plan_avoid(s, s->to);
    set_text(&s->to, "");
    s->state = WAITING;
    s->lacking = 0;
    plan_do(out, PLAN_ACTION_PLACE, i);
    return true;
}

/* ---- what comes to a host while it is emptied -------------------------------------------------------------------- */

/* Its last one. */
static Step *step_of(const struct plan *p, const char *uuid)
{
    for (size_t i = p->job->n_steps; i-- > 0;)
        if (strcasecmp(p->job->steps[i]->guest_uuid, uuid) == 0)
            return p->job->steps[i];
    return NULL;
}

/* A step that was skipped because its guest had gone, and nothing else, does not hold a guest that is there again. */
static bool had_gone(const Step *s)
{
    return s->state == SKIPPED && !s->todo[0];
}

/* `before`: its last step, which is of no use any more; NULL: it had none. */
static void take_in(struct plan *p, const Drover__V1__Guest *guest, const Step *before,
                    struct plan_actions *out)
{
    uint32_t tries = before ? before->tries + 1 : 0;
    plan_add(p->job, guest, p->job->source)->tries = tries;
    plan_tell(out, "%s has appeared on %s: it moves, too", guest->name, p->job->source);
    plan_do(out, PLAN_ACTION_JOURNAL, 0);
    plan_do(out, PLAN_ACTION_PLACE, p->job->n_steps - 1);
}

static void take_in_new(struct plan *p, const struct fleet *fleet, struct plan_actions *out)
{
    const struct fleet_host *host = p->empties ? fleet_host(fleet, p->job->source) : NULL;
    if (!host || !host->up || !host->synced || p->job->cancelled || p->phase != PLAN_RUNNING)
        return;
    for (size_t g = 0; g < host->n_guests; g++) {
        const Drover__V1__Guest *guest = host->guests[g].guest;
        const Step *s = step_of(p, guest->uuid);
        if (!guest->transaction[0] && (!s || (had_gone(s) && s->tries < PLAN_TRIES)))
            take_in(p, guest, s, out);
    }
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void finish(struct plan *p, const struct fleet *fleet, const struct plan_left *left,
                   const char *why_not_known, struct plan_actions *out)
{
    p->phase = PLAN_ENDED;
    plan_conclude(p, fleet, left, why_not_known);
    plan_do(out, PLAN_ACTION_FINISH, 0);
}

/* Its guest may be nowhere to be seen on the host yet. */
static uint64_t brings_a_guest(const struct plan *p, const struct plan_event *e)
{
    for (size_t i = 0; p->empties && i < e->n_open; i++)
        if (streq(e->open[i]->destination, p->job->source))
            return e->open[i]->id ? e->open[i]->id : e->open[i]->plan;
    return 0;
}

static void on_verified(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    if (p->phase != PLAN_VERIFYING)
        return;
    if (e->text) {
        if (++p->verify_tries >= PLAN_VERIFY_TRIES) {
            finish(p, e->fleet, NULL, e->text, out);
        } else {
            if (p->verify_tries == 1)
                plan_tell(out, "%s can't be asked what is left on it: %s", p->job->source, e->text);
            p->verify_at = e->now_ms + PLAN_VERIFY_MS;
        }
        return;
    }
    bool more = brings_a_guest(p, e) != 0;
    for (size_t g = 0; g < e->n_guests; g++) {
        const Step *s = step_of(p, e->guests[g]->uuid);
        if (s && ((s->state != DONE && !had_gone(s)) || s->tries >= PLAN_TRIES))
            continue;
        take_in(p, e->guests[g], s, out);
        more = true;
    }
    if (more)
        p->phase = PLAN_RUNNING;
    else
        finish(p, e->fleet, &(struct plan_left){e->guests, e->n_guests}, NULL, out);
}

/* Whatever brought a step back to waiting: of a cancelled plan none starts. */
static void skip_waiting(struct plan *p, struct plan_actions *out)
{
    for (size_t i = 0; i < p->job->n_steps; i++)
        if (p->job->steps[i]->state == WAITING) {
            plan_end_step(p->job->steps[i], SKIPPED, "the plan was cancelled before it began",
                          "run the same command again");
            plan_do(out, PLAN_ACTION_JOURNAL, i);
        }
}

static void advance(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    p->incoming = 0;
    if (p->job->cancelled && p->phase == PLAN_VERIFYING)
        finish(p, e->fleet, NULL, NULL, out);
    if (p->phase != PLAN_RUNNING)
        return;
    if (p->job->cancelled)
        skip_waiting(p, out);
    if (!p->job->paused && !p->job->cancelled)
        plan_start_what_may(p, e, out);
    if (plan_count(p->job, RUNNING) || plan_count(p->job, WAITING))
        return;
    p->incoming = p->job->cancelled ? 0 : brings_a_guest(p, e);
    if (p->incoming)
        return;
    if (p->empties && !p->job->cancelled) {
        p->phase = PLAN_VERIFYING;
        p->verify_tries = 0;
        p->verify_at = 0;
        plan_do(out, PLAN_ACTION_VERIFY, 0);
    } else {
        finish(p, e->fleet, NULL, NULL, out);
    }
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* Only where its host is known: else it would not be found there. */
static void place_what_has_no_place(struct plan *p, const struct fleet *fleet, struct plan_actions *out)
{
    for (size_t i = 0; i < p->job->n_steps; i++) {
        const Step *s = p->job->steps[i];
        if (s->state == WAITING && !s->to[0] && plan_answers(fleet, s->from))
            plan_do(out, PLAN_ACTION_PLACE, i);
    }
}

/* What was under way is asked after by the driver (ENDED, STARTED or FORGOTTEN); what was looked at is looked at again. */
static void on_start(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    place_what_has_no_place(p, e->fleet, out);
    for (size_t i = 0; i < p->job->n_steps; i++) {
        Step *s = p->job->steps[i];
        if (s->state == RUNNING && s->care == DROVER__V1__STEP_CARE__CARE_LOOKING)
            plan_do(out, PLAN_ACTION_LOOK, i);
    }
}

static void on_fleet(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    if (p->phase == PLAN_VERIFYING) {
        /* However often the fleet changes meanwhile. */
        bool due = e->now_ms >= p->verify_at || p->verify_at > e->now_ms + PLAN_VERIFY_MS;
        if (p->verify_at && due) {
            p->verify_at = 0;
            plan_do(out, PLAN_ACTION_VERIFY, 0);
        }
        return;
    }
    for (size_t i = 0; i < p->job->n_steps; i++)
        if (p->job->steps[i]->state == WAITING && !p->job->steps[i]->after)
            plan_guest_is_there(p, i, e->fleet, out);
    place_what_has_no_place(p, e->fleet, out);
    take_in_new(p, e->fleet, out);
}

static void on_placed(const struct plan *p, Step *s, const struct plan_event *e, struct plan_actions *out)
{
    if (s->state != WAITING)
        return;
    if (s->to[0]) {
        if (s->tries || s->n_avoid)
            plan_tell(out, "%s goes to %s: %s", s->guest, s->to, s->why);
    } else {
        _cleanup_free_ char *before = s->n_avoid ? xstrdup(s->why) : NULL;
        _cleanup_free_ char *todo = before ? xstrdup(s->todo) : NULL;
        plan_end_step(s, plan_unplaced(p->job), before ? before : e->text, before ? todo : e->todo);
        plan_tell(out, s->state == SKIPPED ? "%s stays: %s" : "%s can't move: %s", s->guest, s->why);
    }
    plan_do(out, PLAN_ACTION_JOURNAL, e->step);
}

static void on_refused(struct plan *p, Step *s, const struct plan_event *e, struct plan_actions *out)
{
    if (s->state != RUNNING || s->job)
        return;
    if (p->job->cancelled) {
        plan_end_step(s, SKIPPED, "the plan was cancelled before it began", "run the same command again");
    } else if (e->busy || plan_may_come_back(e->fleet, s->to) || !plan_answers(e->fleet, s->from)) {
        /* Elsewhere it would be the same. */
        if (++s->busy < PLAN_BUSY_TRIES)
            plan_hold(s, e->now_ms, e->text);
        else
            plan_end_step(s, FAILED, e->text, e->todo);
    } else {
        plan_tell(out, "%s can't move to %s: %s", s->guest, s->to, e->text);
        set_text(&s->why, e->text);
        set_text(&s->todo, e->todo);
        bool no_try = e->elsewhere && plan_may_avoid(p->job);
        if (!plan_place_anew(s, e->step, no_try ? PLAN_NO_STORAGE : PLAN_REFUSED, out))
            plan_end_step(s, FAILED, e->text, e->todo);
    }
    plan_do(out, PLAN_ACTION_JOURNAL, e->step);
}

static void on_moved(struct plan *p, Step *s, size_t i, const char *text, struct plan_actions *out)
{
    plan_do(out, PLAN_ACTION_TAKEN, i);
    plan_tell(out, "%s", text);
    if (s->active && !plan_pair_is_proven(p, s)) {
        s->care = DROVER__V1__STEP_CARE__CARE_LOOKING;
        plan_do(out, PLAN_ACTION_JOURNAL, i);
        plan_do(out, PLAN_ACTION_LOOK, i);
        return;
    }
    plan_end_step(s, DONE, text, NULL);
    plan_do(out, PLAN_ACTION_JOURNAL, i);
}

/* What to do about a move that failed, where its own job has no word. */
static char *todo_of(const Step *s, const struct plan_event *e)
{
    if (e->todo && e->todo[0])
        return xstrdup(e->todo);
    return xasprintf("see why: drover job %llu --explain; then move it alone, with what "
                     "it needs: drover migrate %s --to %s",
                     (unsigned long long)s->job, s->guest, s->to);
}

static void fail_moved(Step *s, const struct plan_event *e)
{
    _cleanup_free_ char *todo = todo_of(s, e);
    plan_end_step(s, FAILED, e->text, todo);
}

/* The agents' own checks said no, or the destination takes no guests any more: nothing has happened to the guest. */
static bool place_elsewhere(Step *s, const struct plan_event *e, struct plan_actions *out)
{
    _cleanup_free_ char *todo = todo_of(s, e);
    set_text(&s->why, e->text);
    set_text(&s->todo, todo);
    if (!plan_may_come_back(e->fleet, s->to))
        return plan_place_anew(s, e->step, PLAN_REFUSED, out);
    if (s->tries >= PLAN_TRIES)
        return false;
    s->tries++;
    s->state = WAITING;
    return true;
}

static void on_ended(struct plan *p, Step *s, const struct plan_event *e, struct plan_actions *out)
{
    if (s->state != RUNNING || s->care == DROVER__V1__STEP_CARE__CARE_LOOKING)
        return;
    if (e->outcome == DROVER__V1__JOB_STATE__JOB_DONE) {
        on_moved(p, s, e->step, e->text, out);
        return;
    }
    plan_tell(out, "%s", e->text);
    bool cancelled = e->outcome == DROVER__V1__JOB_STATE__JOB_CANCELLED;
    if (!cancelled && e->restarted && !p->job->cancelled && s->tries < PLAN_TRIES) {
        s->tries++;
        s->state = WAITING;
    } else if (cancelled)
        plan_end_step(s, SKIPPED, e->text,
                      p->job->cancelled ? "run the same command again"
                                        : "its move alone was cancelled: move it, or leave it");
    else if (p->job->cancelled || (plan_takes(e->fleet, s->to) && !e->refused) || !place_elsewhere(s, e, out))
        fail_moved(s, e);
    plan_do(out, PLAN_ACTION_JOURNAL, e->step);
}

static void on_looked(struct plan *p, Step *s, const struct plan_event *e, struct plan_actions *out)
{
    if (s->state != RUNNING || s->care != DROVER__V1__STEP_CARE__CARE_LOOKING)
        return;
    plan_end_step(s, DONE, e->text, NULL);
    s->care = e->well ? DROVER__V1__STEP_CARE__CARE_WELL : DROVER__V1__STEP_CARE__CARE_ILL;
    if (!e->well) {
        p->job->paused = true;
        set_text(
            &s->todo,
            "look at the guest; then `drover resume` lets the others follow, `drover cancel` ends the plan");
        plan_tell(out, "paused: %s, the first guest from %s to %s, is not well there: %s", s->guest, s->from,
                  s->to, e->text);
    }
    plan_do(out, PLAN_ACTION_JOURNAL, e->step);
}

static void on_operator(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    Drover__V1__Job *job = p->job;
    const char *by = e->text ? e->text : "an operator";
    if (e->kind == PLAN_EVENT_CANCEL) {
        if (!job->cancelled)
            plan_tell(out, "cancelled by %s", by);
        job->cancelled = true;
    } else if (job->paused != (e->kind == PLAN_EVENT_PAUSE)) {
        job->paused = !job->paused;
        plan_tell(out, "%s by %s", job->paused ? "paused" : "resumed", by);
    }
    for (size_t i = 0; i < job->n_steps; i++) {
        Step *s = job->steps[i];
        if (e->kind == PLAN_EVENT_CANCEL && e->now && s->state == RUNNING)
            plan_do(out, PLAN_ACTION_CANCEL, i);
        /* Who resumes after a guest was not well has seen to it. */
        if (e->kind == PLAN_EVENT_RESUME && s->care == DROVER__V1__STEP_CARE__CARE_ILL)
            s->care = DROVER__V1__STEP_CARE__CARE_WELL;
    }
    plan_do(out, PLAN_ACTION_JOURNAL, 0);
}

/* What changes by time alone. */
static void wake_for_what_is_due(const struct plan *p, int64_t now, struct plan_actions *out)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; p->phase == PLAN_RUNNING && i < p->job->n_steps; i++) {
        const Step *s = p->job->steps[i];
        const int64_t due[] = {s->lacking ? (int64_t)s->lacking + PLAN_GRACE_MS : 0,
                               s->unasked ? (int64_t)s->unasked + PLAN_DOUBT_MS : 0, (int64_t)s->not_before};
        for (size_t k = 0; s->state == WAITING && k < sizeof(due) / sizeof(due[0]); k++)
            if (due[k] > now && due[k] < next)
                next = due[k];
    }
    /* Its end may be told after the change of the fleet that it was. */
    if (p->phase == PLAN_RUNNING && p->incoming && now + PLAN_VERIFY_MS < next)
        next = now + PLAN_VERIFY_MS;
    if (p->phase == PLAN_VERIFYING && p->verify_at > now)
        next = p->verify_at;
    if (next != INT64_MAX)
        plan_do(out, PLAN_ACTION_WAIT, 0)->ms = next - now;
}

/* That it is in doubt, and that it is no more, is in its log, too: not everyone looks at it all the time. */
static void tell_now(const struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    bool before = p->job->state == DROVER__V1__JOB_STATE__JOB_IN_DOUBT;
    plan_now(p, e->fleet, e->now_ms);
    bool doubt = p->job->state == DROVER__V1__JOB_STATE__JOB_IN_DOUBT;
    if (doubt && !before)
        plan_tell(out, "in doubt: %s", p->job->text);
    else if (before && !doubt)
        plan_tell(out, "not in doubt any more");
}

void plan_step(struct plan *p, const struct plan_event *e, struct plan_actions *out)
{
    if (p->phase == PLAN_ENDED)
        return;
    bool of_step = e->kind >= PLAN_EVENT_PLACED && e->kind <= PLAN_EVENT_LOOKED;
    if (of_step && e->step >= p->job->n_steps)
        return;
    Step *s = of_step ? p->job->steps[e->step] : NULL;
    switch (e->kind) {
    case PLAN_EVENT_START: on_start(p, e, out); break;
    case PLAN_EVENT_FLEET: on_fleet(p, e, out); break;
    case PLAN_EVENT_PLACED: on_placed(p, s, e, out); break;
    case PLAN_EVENT_STARTED:
        s->job = e->job;
        s->busy = 0;
        plan_tell(out, "%s moves from %s to %s: job %llu", s->guest, s->from, s->to,
                  (unsigned long long)e->job);
        plan_do(out, PLAN_ACTION_JOURNAL, e->step);
        break;
    case PLAN_EVENT_REFUSED: on_refused(p, s, e, out); break;
    case PLAN_EVENT_FORGOTTEN:
        if (s->state == RUNNING)
            s->state = WAITING;
        break;
    case PLAN_EVENT_ENDED: on_ended(p, s, e, out); break;
    case PLAN_EVENT_LOOKED: on_looked(p, s, e, out); break;
    case PLAN_EVENT_VERIFIED: on_verified(p, e, out); break;
    default: on_operator(p, e, out);
    }
    advance(p, e, out);
    if (p->phase != PLAN_ENDED)
        tell_now(p, e, out);
    wake_for_what_is_due(p, e->now_ms, out);
}
