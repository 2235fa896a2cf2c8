#include "play.h"

#include "coordinator/core/schedule.h"

#include <math.h>

#include <stdlib.h>
#include <string.h>

#define MIB (1ULL << 20)

enum { MOVES = 2 * GUESTS, LINKS = 2 * HOSTS + 1 };

struct player {
    struct world world;
    const struct planner_plan *plan;
    struct schedule_link links[LINKS];
    struct schedule_move moves[MOVES];
    uint32_t apart[MOVES][IN_GROUPS];
    int64_t room[HOSTS];
    struct schedule schedule;
    uint64_t rng;
    double left[MOVES]; /* bytes, or ms */
    bool hasty;         /* moves don't wait as the plan says: only the room that there is holds them back */
    bool fails;         /* some move before its switch-over */
    uint64_t dropped;   /* those that did */
};

static void make_links(struct player *p)
{
    const struct random_fleet *f = p->world.fleet;
    for (uint32_t i = 0; i < LINKS; i++)
        p->links[i] = (struct schedule_link){
            .name = "link",
            .capacity = random_below(&p->rng, 8) ? (1 + random_below(&p->rng, 100)) * MIB : 0,
        };
    for (uint32_t i = 0; i < f->fleet.n_hosts; i++)
        p->room[i] = (int64_t)f->hosts[i].memory_free;
}

static void make_moves(struct player *p)
{
    const struct random_fleet *f = p->world.fleet;
    uint32_t turn = 0;
    for (uint32_t i = 0; i < p->plan->n_moves; i++) {
        const struct planner_move *m = &p->plan->moves[i];
        const struct planner_guest *g = &f->guests[m->guest];
        turn += !random_below(&p->rng, 8);
        struct schedule_move *out = &p->moves[i];
        *out = (struct schedule_move){
            .links = {m->from, HOSTS + m->to, 2 * HOSTS},
            .n_links = 2 + random_below(&p->rng, 2),
            .from = m->from,
            .to = m->to,
            .memory = g->memory,
            .frees = m->from == g->host && m->after == PLANNER_NONE ? g->memory_now : g->memory,
            .bytes = g->memory / 64 + random_below(&p->rng, 1000),
            .dirty_rate = random_below(&p->rng, 4) ? 0 : random_below(&p->rng, 40) * MIB,
            .rate_max = random_below(&p->rng, 4) ? 0 : 20 * MIB,
            .start_ms = random_below(&p->rng, 1000),
            .end_ms = random_below(&p->rng, 500),
            .after = m->after,
            .waits = m->waits && !p->hasty,
            .turn = turn,
            .pair = random_below(&p->rng, 2) ? 1 + m->from * HOSTS + m->to : 0,
            .apart = p->apart[i],
        };
        for (uint32_t k = 0; k < g->n_groups; k++)
            if (f->groups[g->groups[k]].apart)
                p->apart[i][out->n_apart++] = g->groups[k];
    }
    p->schedule = (struct schedule){
        .links = p->links,
        .n_links = LINKS,
        .moves = p->moves,
        .n_moves = p->plan->n_moves,
        .room = p->room,
        .n_room = f->fleet.n_hosts,
        .per_link = random_below(&p->rng, 3),
        .per_host = random_below(&p->rng, 5),
        .near_ms = random_below(&p->rng, 4000),
    };
}

static bool flows(const struct schedule_move *m)
{
    return m->state == SCHEDULE_STARTING || m->state == SCHEDULE_TRANSFER;
}

static bool runs(const struct schedule_move *m)
{
    return flows(m) || m->state == SCHEDULE_ENDING;
}

static bool is_over(const struct schedule_move *m)
{
    return m->state == SCHEDULE_DONE || m->state == SCHEDULE_DROPPED;
}

static const char *rates_fault(const struct player *p, const uint64_t *shares)
{
    for (uint32_t l = 0; l < LINKS; l++) {
        uint64_t sum = 0;
        uint32_t n = 0;
        for (uint32_t i = 0; i < p->schedule.n_moves; i++)
            for (uint32_t k = 0; k < p->moves[i].n_links; k++)
                if (p->moves[i].links[k] == l && flows(&p->moves[i])) {
                    sum += p->links[l].capacity ? shares[i] : 0;
                    n++;
                }
        if (p->links[l].capacity && sum > p->links[l].capacity)
            return "the shares of a link are more than it carries";
        if (n > (p->schedule.per_link ? p->schedule.per_link : 2))
            return "too many moves on a link";
    }
    for (uint32_t i = 0; i < p->schedule.n_moves; i++) {
        if (flows(&p->moves[i]) ? !shares[i] : shares[i] != 0)
            return "a transfer without bandwidth, or bandwidth without a transfer";
        if (p->moves[i].rate_max && flows(&p->moves[i]) && shares[i] > p->moves[i].rate_max)
            return "more than the move's own limit";
    }
    return NULL;
}

/* Two between the same hosts, and none of them has been done before. */
static const char *pairs_fault(const struct player *p)
{
    for (uint32_t i = 0; i < p->schedule.n_moves; i++) {
        uint32_t running = 0, done = 0;
        for (uint32_t k = 0; k < p->schedule.n_moves && p->moves[i].pair; k++) {
            running += p->moves[k].pair == p->moves[i].pair && runs(&p->moves[k]);
            done += p->moves[k].pair == p->moves[i].pair && p->moves[k].state == SCHEDULE_DONE;
        }
        if (running > 1 && !done)
            return "a pair of hosts was not proven by one move alone";
    }
    return NULL;
}

static const char *moves_fault(const struct player *p)
{
    for (uint32_t i = 0; i < p->schedule.n_moves; i++) {
        if (!runs(&p->moves[i]))
            continue;
        for (uint32_t k = 0; k < i; k++)
            for (uint32_t a = 0; a < p->moves[i].n_apart && runs(&p->moves[k]); a++)
                for (uint32_t b = 0; b < p->moves[k].n_apart; b++)
                    if (p->moves[i].apart[a] == p->moves[k].apart[b])
                        return "two of an anti-affinity group on the move";
        for (uint32_t k = 0; k < p->schedule.n_moves; k++)
            if (p->moves[k].turn < p->moves[i].turn && !is_over(&p->moves[k]))
                return "a move before its turn";
    }
    return pairs_fault(p);
}

static const char *hosts_fault(const struct player *p)
{
    for (uint32_t h = 0; h < p->world.fleet->fleet.n_hosts; h++) {
        const char *fault = world_fault(&p->world, h);
        if (fault)
            return fault;
    }
    return NULL;
}

static void enter(struct player *p, uint32_t i, enum schedule_state state)
{
    struct schedule_move *m = &p->moves[i];
    uint32_t guest = p->plan->moves[i].guest;
    m->state = state;
    if (state == SCHEDULE_STARTING) {
        p->left[i] = (double)m->start_ms;
        p->world.coming[guest] = m->to;
    } else if (state == SCHEDULE_TRANSFER) {
        m->bytes_left = m->bytes;
        p->left[i] = (double)m->bytes;
    } else if (state == SCHEDULE_ENDING) {
        p->left[i] = (double)m->end_ms;
    } else {
        p->world.coming[guest] = PLANNER_NONE;
    }
    if (state == SCHEDULE_DONE) {
        p->world.at[guest] = m->to;
        p->world.away[guest] = true;
    }
    p->dropped += state == SCHEDULE_DROPPED;
}

static double time_left(const struct player *p, uint32_t i, const uint64_t *shares)
{
    if (p->moves[i].state != SCHEDULE_TRANSFER)
        return p->left[i];
    return shares[i] == SCHEDULE_UNLIMITED ? 0 : p->left[i] * 1000 / (double)shares[i];
}

/* Until the next one may be started beside it: counted anew. */
static double time_to_near(const struct player *p, uint32_t i, const uint64_t *shares)
{
    const struct schedule_move *m = &p->moves[i];
    uint64_t rate = m->rate_max, near_ms = p->schedule.near_ms ? (uint64_t)p->schedule.near_ms : 4000;
    for (uint32_t k = 0; k < m->n_links; k++) {
        uint64_t capacity = p->links[m->links[k]].capacity;
        rate = capacity && (!rate || capacity < rate) ? capacity : rate;
    }
    double left = (double)(m->bytes_left - rate * near_ms / 1000);
    return m->state != SCHEDULE_TRANSFER || m->bytes_left <= rate * near_ms / 1000
               ? INFINITY
               : left * 1000 / (double)shares[i];
}

static enum schedule_state after(struct player *p, uint32_t i)
{
    bool drops = p->fails && flows(&p->moves[i]) && !random_below(&p->rng, 8);
    return drops ? SCHEDULE_DROPPED : p->moves[i].state + 1;
}

/* False when nothing runs. */
static bool advance(struct player *p, const uint64_t *shares, double *now)
{
    double soonest = INFINITY;
    for (uint32_t i = 0; i < p->schedule.n_moves; i++)
        if (runs(&p->moves[i]))
            soonest = fmin(soonest, fmin(time_left(p, i, shares), time_to_near(p, i, shares)));
    if (isinf(soonest))
        return false;
    *now += soonest;
    for (uint32_t i = 0; i < p->schedule.n_moves; i++) {
        if (!runs(&p->moves[i]))
            continue;
        if (time_left(p, i, shares) <= soonest) {
            enter(p, i, after(p, i));
        } else if (p->moves[i].state == SCHEDULE_TRANSFER) {
            p->left[i] -= soonest * (double)shares[i] / 1000;
            p->moves[i].bytes_left = (uint64_t)p->left[i];
        } else {
            p->left[i] -= soonest;
        }
    }
    return true;
}

static const char *play_on(struct player *p)
{
    struct schedule_slot slots[MOVES];
    struct schedule_forecast forecast;
    uint64_t shares[MOVES];
    uint32_t next[MOVES];
    const char *fault = NULL;
    double now = 0;
    schedule_forecast(&p->schedule, slots, &forecast);
    if (!p->hasty && forecast.finish_ms < forecast.bound_ms - 1 && !forecast.never)
        return "a forecast below the lower bound";
    do {
        uint32_t n = schedule_next(&p->schedule, next);
        for (uint32_t i = 0; i < n; i++) {
            if (p->moves[next[i]].state != SCHEDULE_WAITING)
                return "starts what does not wait";
            enter(p, next[i], SCHEDULE_STARTING);
        }
        schedule_shares(&p->schedule, shares);
        fault = rates_fault(p, shares);
        if (!fault)
            fault = moves_fault(p);
        if (!fault)
            fault = hosts_fault(p);
    } while (!fault && advance(p, shares, &now));
    for (uint32_t i = 0; !fault && i < p->schedule.n_moves; i++) {
        if (p->hasty || p->dropped)
            break;
        if (p->moves[i].state != SCHEDULE_DONE)
            fault = "a move never got to run, though nothing failed";
        else if (slots[i].end_ms < 0)
            fault = "the forecast says never, and it was done";
    }
    if (!fault && !p->hasty && !p->dropped &&
        (now > (double)forecast.finish_ms + 2 || now < (double)forecast.finish_ms - 2))
        fault = "the end is not when the forecast said";
    return fault;
}

const char *play(const struct random_fleet *fleet, const struct planner_plan *plan, uint64_t seed,
                 uint64_t *dropped)
{
    struct player p = {.plan = plan, .rng = seed ^ 0x91a7};
    world_init(&p.world, fleet);
    p.hasty = seed % 3 == 0 && !fleet->fleet.n_groups;
    for (uint32_t i = 0; i < fleet->fleet.n_guests; i++)
        p.hasty &= !fleet->guests[i].huge && !fleet->guests[i].vcpu_percent;
    p.fails = seed % 4 == 1;
    make_links(&p);
    make_moves(&p);
    const char *fault = play_on(&p);
    *dropped += p.dropped;
    return fault;
}
