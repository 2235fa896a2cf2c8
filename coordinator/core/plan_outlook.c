#include "coordinator/core/plan_outlook.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_emptied.h"
#include "coordinator/core/plan_internal.h"
#include "coordinator/core/plan_schedule.h"

#include <stdlib.h>

typedef Drover__V1__PlanStep Step;

struct outlook {
    uint64_t bytes;
    int64_t finish;
    bool never;     /* a step that never gets to run */
    size_t unknown; /* steps whose bytes or rate nobody knows; a guest that is shut off sends its disks */
};

static void say(Drover__V1__Job *job, const struct outlook *p, int64_t bound, int64_t window)
{
    Drover__V1__PlanOutlook *o = new0(Drover__V1__PlanOutlook);
    drover__v1__plan_outlook__init(o);
    o->bytes = p->bytes;
    o->window = window;
    o->finish = p->unknown ? -1 : p->finish;
    o->bound = bound;
    o->fits = window && !p->unknown && p->finish <= window && !p->never;
    _cleanup_free_ char *why = NULL;
    if (p->unknown)
        why = xasprintf("of %zu guest%s no sample of the dirty rate or of the link is there yet", p->unknown,
                        p->unknown == 1 ? "" : "s");
    set_text(&o->why, why);
    drover__v1__plan_outlook__free_unpacked(job->outlook, NULL);
    job->outlook = o;
}

static void count(struct outlook *all, Step *s, const struct schedule_move *move,
                  const struct schedule_slot *slot)
{
    if (s->state != WAITING || !s->to[0])
        return;
    s->start_after = slot->start_ms;
    s->end_after = slot->end_ms;
    all->bytes += move->bytes;
    all->never |= slot->end_ms < 0;
    bool rate_known = slot->rate || slot->end_ms < 0;
    all->unknown += s->active ? !plan_step_known(s) : move->bytes && !rate_known;
    if (slot->end_ms > all->finish)
        all->finish = slot->end_ms;
}

/* Nobody can be asked from where a guest is not yet. It is as busy there, and the links between other hosts are much alike. */
static void forecast_after_stopovers(Drover__V1__Job *job)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        Step *s = job->steps[i];
        const Step *first = plan_first_of(job, s);
        if (s->active && !s->forecast && first && first->forecast)
            s->forecast = (Drover__V1__Forecast *)message_copy(&first->forecast->base);
    }
}

void plan_outlook(const struct fleet *fleet, Drover__V1__Job *job, const Drover__V1__Job *const *open,
                  size_t n_open, int64_t window)
{
    forecast_after_stopovers(job);
    struct plan_schedule view;
    struct outlook all = {0};
    struct schedule_forecast forecast;
    plan_schedule_init(&view, fleet, job, open, n_open);
    const struct schedule schedule = plan_schedule_view(&view);
    struct schedule_slot *slots = xcalloc(view.n + 1, sizeof(*slots));
    schedule_forecast(&schedule, slots, &forecast);
    for (size_t i = 0; i < job->n_steps; i++)
        count(&all, job->steps[i], &view.moves[i], &slots[i]);
    say(job, &all, forecast.bound_ms, window);
    free(slots);
    plan_schedule_deinit(&view);
}

/* ---- what would be cancelled ------------------------------------------------------------------------------------- */

static void refuse(Step *s)
{
    const Drover__V1__Forecast *f = s->forecast;
    _cleanup_free_ char *why =
        xasprintf("its policy would cancel the move, by the forecast %lld ms with a pause of %lld ms: %s",
                  (long long)f->time, (long long)f->pause, f->why);
    const char *more = "allow more (--max-pause, --deadline, --allow, or its policy)";
    _cleanup_free_ char *todo =
        s->mode == DROVER__V1__MODE__MODE_OFFLINE
            ? xstrdup(more)
            : xasprintf("%s, or pause it for its whole transfer: drover migrate %s --to %s --mode offline",
                        more, s->guest, s->to);
    plan_end_step(s, FAILED, why, todo);
}

/* Whose room at `to` the step at `index` would take, and that stays there; NULL: nobody. */
static const Step *room_kept_by(const Drover__V1__Job *job, size_t index)
{
    const Step *s = job->steps[index];
    for (size_t i = 0; s->waits && i < index; i++) {
        const Step *earlier = job->steps[i];
        if (streq(earlier->from, s->to) && (earlier->state == FAILED || earlier->state == SKIPPED))
            return earlier;
    }
    return NULL;
}

static void refuse_room(Step *s, const Step *kept_by)
{
    _cleanup_free_ char *why = xasprintf(
        "it is to have the room that %s leaves on %s, and that one would stay", kept_by->guest, s->to);
    _cleanup_free_ char *todo =
        xasprintf("see to %s; a real run looks for another place when it comes to that", kept_by->guest);
    plan_end_step(s, FAILED, why, todo);
}

void plan_outlook_refuse(Drover__V1__Job *job)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        Step *s = job->steps[i];
        const Step *first = plan_first_of(job, s), *kept_by = room_kept_by(job, i);
        if (s->state != WAITING)
            continue;
        if (first && (first->state == FAILED || first->state == SKIPPED))
            plan_end_step(s, SKIPPED, "the move before it can't be done", "see to that one");
        else if (kept_by)
            refuse_room(s, kept_by);
        else if (s->forecast && s->forecast->way[0] && !s->forecast->allowed)
            refuse(s);
    }
    plan_emptied_check(job, NULL);
    plan_stop_groups(job);
}
