#include "coordinator/core/plan_outlook.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/link_table.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan.h"

#include <stdlib.h>

enum {
    START_MS = 700, /* checks, prepare, QEMU at the destination: measured 0.5 to 1.2 s */
    END_MS = 400,   /* switch-over, settle, release */
};

typedef Drover__V1__PlanStep Step;

struct played {
    struct link_table links;
    struct schedule_move *moves;
    uint32_t *move_of_step; /* by step */
    uint32_t n;
    size_t unknown; /* steps whose bytes or rate nobody knows */
};

static struct schedule_move move_of(struct played *p, const struct fleet *fleet, const Step *s)
{
    const Drover__V1__Forecast *f = s->forecast;
    bool known = f && f->way[0] && f->bandwidth;
    struct schedule_move move = {.state = SCHEDULE_WAITING,
                                 .start_ms = START_MS,
                                 .end_ms = END_MS,
                                 .after = SCHEDULE_NONE,
                                 .waits = s->waits};
    link_table_take(&p->links, fleet, s->from, s->to, &move);
    if (!s->active) {
        move.n_links = 0;
        move.start_ms = START_MS / 2;
        return move;
    }
    p->unknown += !known;
    move.bytes = known ? f->bytes : s->memory;
    move.rate_max = known ? f->bandwidth : 0;
    if (s->after && s->after <= p->n)
        move.after = p->move_of_step[s->after - 1];
    return move;
}

static void say(Drover__V1__Job *job, const struct played *p, const struct schedule_forecast *all,
                int64_t window)
{
    Drover__V1__PlanOutlook *o = new0(Drover__V1__PlanOutlook);
    drover__v1__plan_outlook__init(o);
    o->bytes = all->bytes;
    o->window = window;
    o->finish = p->unknown ? -1 : all->finish_ms;
    o->bound = all->bound_ms;
    o->fits = window && !p->unknown && all->finish_ms <= window && !all->never;
    _cleanup_free_ char *why = NULL;
    if (p->unknown)
        why = xasprintf("of %zu guest%s no sample of the dirty rate or of the link is there yet", p->unknown,
                        p->unknown == 1 ? "" : "s");
    set_text(&o->why, why);
    drover__v1__plan_outlook__free_unpacked(job->outlook, NULL);
    job->outlook = o;
}

void plan_outlook(const struct fleet *fleet, Drover__V1__Job *job, int64_t window)
{
    struct played p = {.moves = xcalloc(job->n_steps + 1, sizeof(*p.moves)),
                       .move_of_step = xcalloc(job->n_steps + 1, sizeof(*p.move_of_step))};
    for (size_t i = 0; i < job->n_steps; i++) {
        p.move_of_step[i] = SCHEDULE_NONE;
        if (job->steps[i]->state != DROVER__V1__STEP_STATE__STEP_WAITING || !job->steps[i]->to[0])
            continue;
        p.move_of_step[i] = p.n;
        p.moves[p.n] = move_of(&p, fleet, job->steps[i]);
        p.n++;
    }
    const struct schedule schedule = {.links = p.links.list,
                                      .n_links = p.links.n,
                                      .moves = p.moves,
                                      .n_moves = p.n,
                                      .per_link = PLAN_PARALLEL};
    struct schedule_slot *slots = xcalloc(p.n + 1, sizeof(*slots));
    struct schedule_forecast all = {0};
    if (p.n)
        schedule_forecast(&schedule, slots, &all);
    for (size_t i = 0; i < job->n_steps; i++)
        if (p.move_of_step[i] != SCHEDULE_NONE) {
            job->steps[i]->start_after = slots[p.move_of_step[i]].start_ms;
            job->steps[i]->end_after = slots[p.move_of_step[i]].end_ms;
        }
    say(job, &p, &all, window);
    free(slots);
    free(p.moves);
    free(p.move_of_step);
    link_table_deinit(&p.links);
}
