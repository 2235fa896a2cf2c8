/* From where the units are and where they are to be, to moves in an order that works. */
#include "common/base/memory.h"
#include "coordinator/core/planner_result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct order {
    struct state *now;
    const struct state *end;
    const bool *wanted;
    struct planner_plan *plan;
    uint32_t *pending, n_pending;
    uint32_t *stopover; /* by unit, the index of its first guest's move there; PLANNER_NONE */
    bool *left;         /* by host: something has left it */
    struct load *full;  /* by host: with what came, and without what left */
};

static enum planner_reason reason_of(const struct order *o, uint32_t unit)
{
    bool own = o->wanted[unit] && o->end->room_for[unit] == PLANNER_NONE;
    switch (o->now->request->goal) {
    case PLANNER_EVACUATE: return own ? PLANNER_EMPTIES : PLANNER_MAKES_ROOM;
    case PLANNER_MOVE: return own ? PLANNER_ASKED : PLANNER_MAKES_ROOM;
    case PLANNER_BALANCE: return PLANNER_SPREADS;
    case PLANNER_CONSOLIDATE: break;
    }
    return PLANNER_JOINS;
}

/* Whether it needs what left the host. */
static bool must_wait(const struct order *o, const struct unit *u, uint32_t to)
{
    const struct state *s = o->now;
    const struct load *l = &o->full[to];
    if (!o->left[to])
        return false;
    if (u->apart || (u->need[0] && l->free[0] - (int64_t)u->need[0] < s->spare[to]))
        return true;
    for (int k = 1; k < PLANNER_HUGE_SIZES; k++)
        if (u->need[k] && l->free[k] < (int64_t)u->need[k])
            return true;
    if (too_many_vcpus(host_of(s->planner, to), l, u))
        return true;
    return s->busiest[to] > 0 && u->cpu_load && (double)(l->cpu_load + u->cpu_load) > s->busiest[to];
}

static void arrive(struct load *l, const struct unit *u)
{
    for (int k = 0; k < PLANNER_HUGE_SIZES; k++)
        l->free[k] -= (int64_t)u->need[k];
    l->vcpus += u->vcpus;
    l->vcpu_percent = stricter(l->vcpu_percent, u->vcpu_percent);
    l->cpu_load += u->cpu_load;
}

static void emit(struct order *o, uint32_t unit, uint32_t to, enum planner_reason reason)
{
    struct planner_plan *plan = o->plan;
    const struct planner *p = o->now->planner;
    const struct unit *u = &p->units[unit];
    uint32_t from = o->now->at[unit], other = o->end->room_for[unit];
    bool waits = must_wait(o, u, to);
    state_put(o->now, unit, to);
    arrive(&o->full[to], u);
    o->left[from] = true;
    o->now->done[unit] = true;
    plan->moves = xrealloc(plan->moves, plan->n_moves + u->n_guests, sizeof(*plan->moves));
    for (uint32_t i = 0; i < u->n_guests; i++)
        plan->moves[plan->n_moves++] = (struct planner_move){
            .guest = p->guests[u->guests[i]],
            .from = p->hosts[from],
            .to = p->hosts[to],
            .reason = reason,
            .for_guest = reason == PLANNER_MAKES_ROOM && other != PLANNER_NONE
                             ? p->guests[p->units[other].guests[0]]
                             : PLANNER_NONE,
            .after = o->stopover[unit] == PLANNER_NONE ? PLANNER_NONE : o->stopover[unit] + i,
            .waits = waits,
            .score = state_score(o->now),
        };
}

static bool go_on(struct order *o)
{
    uint32_t left = 0;
    bool any = false;
    for (uint32_t i = 0; i < o->n_pending; i++) {
        uint32_t unit = o->pending[i], to = o->end->at[unit];
        if (state_obstacle(o->now, unit, to) != FITS) {
            o->pending[left++] = unit;
            continue;
        }
        emit(o, unit, to, reason_of(o, unit));
        o->now->open[unit] = false;
        any = true;
    }
    o->n_pending = left;
    return any;
}

static bool helps_another(const struct order *o, uint32_t unit)
{
    for (uint32_t i = 0; i < o->n_pending; i++)
        if (o->pending[i] != unit && state_obstacle(o->now, o->pending[i], o->end->at[o->pending[i]]) == FITS)
            return true;
    return false;
}

/* The best third host for it meanwhile. */
static uint32_t place_meanwhile(const struct order *o, uint32_t unit)
{
    const struct state *s = o->now;
    uint32_t best = PLANNER_NONE;
    double best_score = INFINITY;
    for (uint32_t h = 0; h < s->planner->n_hosts; h++) {
        if (!s->takes[h] || h == s->at[unit] || h == s->planner->units[unit].home)
            continue;
        double score = state_score_if(s, unit, h);
        if (score < best_score && state_obstacle(s, unit, h) == FITS) {
            best_score = score;
            best = h;
        }
    }
    return best;
}

/* A stopover of the smallest unit that lets another one go on. Each makes one at most, so that this ends. */
static bool go_aside(struct order *o)
{
    struct state *s = o->now;
    uint32_t best = PLANNER_NONE, best_host = PLANNER_NONE;
    for (uint32_t i = 0; i < o->n_pending; i++) {
        uint32_t unit = o->pending[i], from = s->at[unit];
        if (o->stopover[unit] != PLANNER_NONE ||
            (best != PLANNER_NONE && s->planner->units[unit].size >= s->planner->units[best].size))
            continue;
        uint32_t host = place_meanwhile(o, unit);
        if (host == PLANNER_NONE)
            continue;
        state_put(s, unit, host);
        if (helps_another(o, unit)) {
            best = unit;
            best_host = host;
        }
        state_put(s, unit, from);
    }
    if (best == PLANNER_NONE)
        return false;
    uint32_t index = o->plan->n_moves;
    emit(o, best, best_host, PLANNER_STOPOVER);
    o->stopover[best] = index;
    return true;
}

struct order *order_new(struct state *now, const bool *wanted, struct planner_plan *plan)
{
    const struct planner *p = now->planner;
    struct order *o = new0(struct order);
    *o = (struct order){
        .now = now,
        .wanted = wanted,
        .plan = plan,
        .pending = xcalloc(p->n_units ? p->n_units : 1, sizeof(*o->pending)),
        .stopover = xcalloc(p->n_units ? p->n_units : 1, sizeof(*o->stopover)),
        .left = xcalloc(p->n_hosts ? p->n_hosts : 1, sizeof(*o->left)),
        .full = xcalloc(p->n_hosts ? p->n_hosts : 1, sizeof(*o->full)),
    };
    memset(o->stopover, 0xff, p->n_units * sizeof(*o->stopover));
    if (p->n_hosts)
        memcpy(o->full, now->hosts, p->n_hosts * sizeof(*o->full));
    return o;
}

void order_free(struct order *o)
{
    free(o->pending);
    free(o->stopover);
    free(o->left);
    free(o->full);
    free(o);
}

bool order_moves(struct order *o, const struct state *end)
{
    struct state *now = o->now;
    o->end = end;
    o->n_pending = 0;
    for (uint32_t u = 0; u < now->planner->n_units; u++) {
        if (end->at[u] == now->at[u])
            continue;
        o->pending[o->n_pending++] = u;
        now->open[u] = true;
    }
    while (o->n_pending && (go_on(o) || go_aside(o)))
        ;
    for (uint32_t i = 0; i < o->n_pending; i++)
        now->open[o->pending[i]] = false;
    return o->n_pending == 0;
}
