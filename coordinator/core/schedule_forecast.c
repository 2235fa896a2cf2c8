#include "coordinator/core/schedule_view.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The schedule played with a clock of its own. */
struct play {
    struct schedule schedule; /* with `moves` */
    struct schedule_move *moves;
    double *left;     /* bytes, or ms of the phase */
    double *began_ms; /* the transfer */
    uint64_t *shares;
    uint32_t *waiting, *active, *flowing, *next; /* no order */
    uint32_t n_waiting, n_active;
    struct schedule_view view;
    double now_ms;
};

static bool running(const struct schedule_move *m)
{
    return m->state == SCHEDULE_STARTING || m->state == SCHEDULE_TRANSFER || m->state == SCHEDULE_ENDING;
}

static double time_left(const struct play *p, uint32_t i)
{
    if (p->moves[i].state != SCHEDULE_TRANSFER)
        return p->left[i];
    if (p->shares[i] == SCHEDULE_UNLIMITED)
        return 0;
    return p->shares[i] ? p->left[i] * 1000 / (double)p->shares[i] : INFINITY;
}

/* Until it is near its end, which may let another one start. */
static double time_to_near(const struct play *p, uint32_t i)
{
    double left = p->left[i] - (double)schedule_near(&p->schedule, &p->moves[i]);
    if (p->moves[i].state != SCHEDULE_TRANSFER || !p->view.far[i] || !p->shares[i])
        return INFINITY;
    return left > 0 ? left * 1000 / (double)p->shares[i] : 0;
}

static void enter(struct play *p, uint32_t i, enum schedule_state state, struct schedule_slot *slot)
{
    struct schedule_move *m = &p->moves[i];
    m->state = state;
    if (state == SCHEDULE_STARTING)
        p->left[i] = (double)m->start_ms;
    if (state == SCHEDULE_TRANSFER) {
        m->bytes_left = m->bytes;
        p->left[i] = (double)m->bytes;
        p->began_ms[i] = p->now_ms;
    }
    if (state == SCHEDULE_ENDING) {
        double took = p->now_ms - p->began_ms[i];
        slot->rate = took > 0 ? (uint64_t)((double)m->bytes * 1000 / took) : 0;
        p->left[i] = (double)m->end_ms;
    }
    if (state == SCHEDULE_DONE)
        slot->end_ms = (int64_t)ceil(p->now_ms);
}

/* To the next moment at which something changes. False when nothing runs. */
static bool step(struct play *p, struct schedule_slot *slots)
{
    double soonest = INFINITY;
    uint32_t n = 0, left = 0;
    for (uint32_t k = 0; k < p->n_active; k++)
        if (p->moves[p->active[k]].state != SCHEDULE_ENDING)
            p->flowing[n++] = p->active[k];
    schedule_shares_of(&p->schedule, p->flowing, n, p->shares);
    for (uint32_t k = 0; k < p->n_active; k++)
        soonest = fmin(soonest, fmin(time_left(p, p->active[k]), time_to_near(p, p->active[k])));
    if (isinf(soonest))
        return false;
    p->now_ms += soonest;
    for (uint32_t k = 0; k < p->n_active; k++) {
        uint32_t i = p->active[k];
        struct schedule_move *m = &p->moves[i];
        if (time_to_near(p, i) <= soonest)
            schedule_view_near(&p->view, i);
        if (time_left(p, i) <= soonest) {
            enter(p, i, m->state + 1, &slots[i]);
            if (m->state == SCHEDULE_ENDING)
                schedule_view_sent(&p->view, i);
            if (m->state == SCHEDULE_DONE)
                schedule_view_done(&p->view, i);
        } else if (m->state == SCHEDULE_TRANSFER) {
            p->left[i] -= soonest * (double)p->shares[i] / 1000;
            m->bytes_left = (uint64_t)p->left[i];
        } else {
            p->left[i] -= soonest;
        }
        if (m->state != SCHEDULE_DONE)
            p->active[left++] = i;
    }
    p->n_active = left;
    return true;
}

static void begin(struct play *p, struct schedule_slot *slots)
{
    uint32_t started = schedule_view_next(&p->view, p->waiting, p->n_waiting, p->next), left = 0;
    for (uint32_t i = 0; i < started; i++) {
        slots[p->next[i]].start_ms = (int64_t)ceil(p->now_ms);
        enter(p, p->next[i], SCHEDULE_STARTING, &slots[p->next[i]]);
        p->active[p->n_active++] = p->next[i];
    }
    for (uint32_t k = 0; started && k < p->n_waiting; k++)
        if (p->moves[p->waiting[k]].state == SCHEDULE_WAITING)
            p->waiting[left++] = p->waiting[k];
    p->n_waiting = started ? left : p->n_waiting;
}

static void adopt(struct play *p, uint32_t i, struct schedule_slot *slot)
{
    const struct schedule_move *m = &p->moves[i];
    *slot = (struct schedule_slot){.start_ms = -1, .end_ms = -1};
    if (m->state == SCHEDULE_STARTING)
        p->left[i] = (double)m->start_ms;
    if (m->state == SCHEDULE_TRANSFER)
        p->left[i] = (double)m->bytes_left;
    if (m->state == SCHEDULE_ENDING)
        p->left[i] = (double)m->end_ms;
    if (running(m))
        slot->start_ms = 0;
    if (m->state == SCHEDULE_DONE || m->state == SCHEDULE_DROPPED)
        *slot = (struct schedule_slot){0};
    /* What holds it now is not known to last. */
    if (m->state == SCHEDULE_HELD)
        p->moves[i].state = SCHEDULE_WAITING;
}

static void bound(const struct schedule *s, struct schedule_forecast *ret)
{
    double *bytes = xcalloc(s->n_links ? s->n_links : 1, sizeof(*bytes));
    for (uint32_t i = 0; i < s->n_moves; i++) {
        const struct schedule_move *m = &s->moves[i];
        bool waiting = m->state == SCHEDULE_WAITING || m->state == SCHEDULE_HELD;
        uint64_t left = m->state == SCHEDULE_TRANSFER ? m->bytes_left : m->bytes;
        if (!waiting && !running(m))
            continue;
        left = m->state == SCHEDULE_ENDING ? 0 : left;
        int64_t alone = schedule_ms(left, schedule_rate(s, m));
        alone += m->end_ms + (waiting || m->state == SCHEDULE_STARTING ? m->start_ms : 0);
        ret->bound_ms = alone > ret->bound_ms ? alone : ret->bound_ms;
        ret->bytes += left;
        for (uint32_t k = 0; k < m->n_links; k++)
            bytes[m->links[k]] += (double)left;
    }
    for (uint32_t i = 0; i < s->n_links; i++) {
        int64_t time = schedule_ms((uint64_t)bytes[i], s->links[i].capacity);
        ret->bound_ms = time > ret->bound_ms ? time : ret->bound_ms;
    }
    free(bytes);
}

void schedule_forecast(const struct schedule *s, struct schedule_slot *slots, struct schedule_forecast *ret)
{
    size_t n = s->n_moves ? s->n_moves : 1;
    struct schedule_forecast out = {0};
    struct play p = {
        .schedule = *s,
        .moves = xcalloc(n, sizeof(*p.moves)),
        .left = xcalloc(n, sizeof(*p.left)),
        .began_ms = xcalloc(n, sizeof(*p.began_ms)),
        .shares = xcalloc(n, sizeof(*p.shares)),
        .next = xcalloc(n, sizeof(*p.next)),
        .waiting = xcalloc(n, sizeof(*p.waiting)),
        .active = xcalloc(n, sizeof(*p.active)),
        .flowing = xcalloc(n, sizeof(*p.flowing)),
    };
    if (s->n_moves)
        memcpy(p.moves, s->moves, s->n_moves * sizeof(*p.moves));
    p.schedule.moves = p.moves;
    bound(s, &out);
    for (uint32_t i = 0; i < s->n_moves; i++) {
        adopt(&p, i, &slots[i]);
        if (running(&p.moves[i]))
            p.active[p.n_active++] = i;
        else if (p.moves[i].state == SCHEDULE_WAITING)
            p.waiting[p.n_waiting++] = i;
    }
    schedule_view_init(&p.view, &p.schedule);
    do
        begin(&p, slots);
    while (step(&p, slots));
    schedule_view_deinit(&p.view);
    for (uint32_t i = 0; i < s->n_moves; i++)
        out.never += slots[i].end_ms < 0;
    out.finish_ms = (int64_t)ceil(p.now_ms);
    free(p.moves);
    free(p.left);
    free(p.began_ms);
    free(p.shares);
    free(p.next);
    free(p.waiting);
    free(p.active);
    free(p.flowing);
    *ret = out;
}
