#include "coordinator/core/planner_state.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sets the arrays, the widest first so that each is aligned; returns how many bytes they take. With a block of NULL, it only counts. */
static size_t lay_out(struct state *s, const struct planner *p)
{
    const size_t hosts = (size_t)p->n_hosts + 1, units = (size_t)p->n_units + 1;
    size_t at = 0;
#define LAY(member, n)                                                                                       \
    do {                                                                                                     \
        s->member = s->block ? (void *)((char *)s->block + at) : NULL;                                       \
        at += (n) * sizeof(*s->member);                                                                      \
    } while (0)
    LAY(hosts, hosts);
    LAY(spare, hosts);
    LAY(busiest, hosts);
    LAY(first, hosts);
    LAY(at, units);
    LAY(next, units);
    LAY(before, units);
    LAY(room_for, units);
    LAY(open, units);
    LAY(done, units);
    LAY(takes, hosts);
    LAY(emptied, hosts);
#undef LAY
    return at;
}

static uint64_t taken(const struct unit *u, uint32_t host, int kind)
{
    return host == u->home ? u->now[kind] : u->need[kind];
}

static uint64_t used(const struct unit *u, uint32_t host)
{
    return host == u->home ? u->used_at_home : u->used;
}

static unsigned unliked_at(const struct state *s, const struct unit *u, uint32_t host)
{
    if (host == state_nowhere(s))
        return 0;
    return (unsigned)__builtin_popcountll(u->prefer & ~host_of(s->planner, host)->labels) * u->n_guests;
}

static void measure(const struct planner_host *h, const struct load *l, double x[METRICS])
{
    x[0] = h->memory_total ? (double)l->used / (double)h->memory_total : 0;
    x[1] = h->cpus ? (double)l->vcpus / h->cpus : 0;
    x[2] = h->cpus ? (double)l->cpu_load / 1000 / h->cpus : 0;
    x[3] = l->guests;
    x[4] = h->memory_total ? (double)l->most / (double)h->memory_total : 0;
}

static void add(struct load *l, const struct unit *u, uint32_t host)
{
    for (int k = 0; k < PLANNER_HUGE_SIZES; k++)
        l->free[k] -= (int64_t)taken(u, host, k);
    l->used += (int64_t)used(u, host);
    l->most += u->most;
    l->vcpus += u->vcpus;
    l->cpu_load += u->cpu_load;
    l->guests += u->n_guests;
}

static void take(struct load *l, const struct unit *u, uint32_t host)
{
    for (int k = 0; k < PLANNER_HUGE_SIZES; k++)
        l->free[k] += (int64_t)taken(u, host, k);
    l->used -= (int64_t)used(u, host);
    l->most -= u->most;
    l->vcpus -= u->vcpus;
    l->cpu_load -= u->cpu_load;
    l->guests -= u->n_guests;
}

static void link_unit(struct state *s, uint32_t unit, uint32_t host)
{
    s->at[unit] = host;
    s->before[unit] = PLANNER_NONE;
    s->next[unit] = s->first[host];
    if (s->first[host] != PLANNER_NONE)
        s->before[s->first[host]] = unit;
    s->first[host] = unit;
}

static void unlink_unit(struct state *s, uint32_t unit)
{
    if (s->before[unit] == PLANNER_NONE)
        s->first[s->at[unit]] = s->next[unit];
    else
        s->next[s->before[unit]] = s->next[unit];
    if (s->next[unit] != PLANNER_NONE)
        s->before[s->next[unit]] = s->before[unit];
}

static bool asked_to_empty(const struct state *s, uint32_t host)
{
    const struct planner_request *r = s->request;
    return r->goal == PLANNER_EVACUATE && r->from && r->from[s->planner->hosts[host]];
}

static void init_host(struct state *s, uint32_t i)
{
    const struct planner *p = s->planner;
    const struct planner_host *h = host_of(p, i);
    const struct planner_request *r = s->request;
    double headroom = r->headroom == 0 ? PLANNER_HEADROOM : r->headroom;
    struct load *l = &s->hosts[i];
    l->free[PLANNER_HUGE_NONE] = (int64_t)h->memory_free;
    l->free[PLANNER_HUGE_2M] = (int64_t)h->huge_free[PLANNER_HUGE_2M];
    l->free[PLANNER_HUGE_1G] = (int64_t)h->huge_free[PLANNER_HUGE_1G];
    l->used = (int64_t)h->memory_total - l->free[0] - l->free[1] - l->free[2];
    l->vcpus = h->vcpus;
    l->cpu_load = h->cpu_load;
    s->emptied[i] = asked_to_empty(s, i);
    bool named = !r->to || r->to[p->hosts[i]];
    s->takes[i] = h->takes && !h->maintenance && !s->emptied[i] && named;
    l->counted = h->takes && !h->maintenance && !s->emptied[i];
    if (r->goal == PLANNER_CONSOLIDATE && headroom > 0) {
        s->spare[i] = (int64_t)(headroom * (double)h->memory_total);
        s->busiest[i] = (1 - headroom) * 1000 * h->cpus;
    }
}

static bool weighs_nothing(const struct planner_weights *w)
{
    return w->memory == 0 && w->memory_max == 0 && w->vcpus == 0 && w->cpu_load == 0 && w->guests == 0;
}

void state_init(struct state *s, struct planner *p, const struct planner_request *request)
{
    static const struct planner_weights usual = {.memory = 1, .vcpus = 0.5, .cpu_load = 1, .guests = 0.01};
    const struct planner_weights *w = &request->weights;
    *s = (struct state){
        .planner = p,
        .request = request,
        .weights = weighs_nothing(w) ? usual : *w,
    };
    s->size = lay_out(s, p);
    s->block = xcalloc(1, s->size);
    lay_out(s, p);
    memset(s->first, 0xff, ((size_t)p->n_hosts + 1) * sizeof(*s->first));
    memset(s->room_for, 0xff, p->n_units * sizeof(*s->room_for));
    for (uint32_t i = 0; i < p->n_hosts; i++)
        init_host(s, i);
    /* What the guests take now is out of memory_free already. */
    for (uint32_t u = 0; u < p->n_units; u++) {
        const struct unit *unit = &p->units[u];
        struct load *l = &s->hosts[unit->home];
        link_unit(s, u, unit->home);
        l->most += unit->most;
        l->vcpus += unit->vcpus;
        l->cpu_load += unit->cpu_load;
        l->guests += unit->n_guests;
        s->unliked += unliked_at(s, unit, unit->home);
    }
    for (uint32_t i = 0; i < p->n_hosts; i++) {
        struct load *l = &s->hosts[i];
        measure(host_of(p, i), l, l->x);
        for (int m = 0; m < METRICS && l->counted; m++) {
            s->sum[m] += l->x[m];
            s->squares[m] += l->x[m] * l->x[m];
        }
        s->n_counted += l->counted;
    }
}

void state_copy(struct state *s, const struct state *from)
{
    *s = *from;
    s->block = xcalloc(1, s->size);
    memcpy(s->block, from->block, s->size);
    lay_out(s, s->planner);
}

void state_deinit(struct state *s)
{
    free(s->block);
    *s = (struct state){0};
}

/* A preferred label that is missed weighs as much as a host that is a tenth of its memory off the mean, in a fleet of ten. */
#define UNLIKED 0.01

void state_weights(const struct state *s, double ret[METRICS])
{
    const struct planner_weights *w = &s->weights;
    const double weights[METRICS] = {w->memory, w->vcpus, w->cpu_load, w->guests, w->memory_max};
    memcpy(ret, weights, sizeof(weights));
}

static double score_of(const struct state *s, const double sum[METRICS], const double squares[METRICS],
                       double unliked)
{
    double weights[METRICS];
    state_weights(s, weights);
    double n = s->n_counted ? s->n_counted : 1, score = UNLIKED * unliked;
    for (int m = 0; m < METRICS; m++) {
        double mean = sum[m] / n, variance = squares[m] / n - mean * mean;
        if (weights[m] != 0 && variance > 0)
            score += weights[m] * sqrt(variance);
    }
    return score;
}

double state_score(const struct state *s)
{
    return score_of(s, s->sum, s->squares, s->unliked);
}

static void replace(double sum[METRICS], double squares[METRICS], const double old[METRICS],
                    const double new[METRICS])
{
    for (int m = 0; m < METRICS; m++) {
        sum[m] += new[m] - old[m];
        squares[m] += new[m] * new[m] - old[m] * old[m];
    }
}

double state_score_if(const struct state *s, uint32_t unit, uint32_t host)
{
    const struct planner *p = s->planner;
    const struct unit *u = &p->units[unit];
    uint32_t from = s->at[unit];
    double sum[METRICS], squares[METRICS], x[METRICS];
    memcpy(sum, s->sum, sizeof(sum));
    memcpy(squares, s->squares, sizeof(squares));
    if (from == host)
        return state_score(s);
    if (s->hosts[from].counted) {
        struct load l = s->hosts[from];
        take(&l, u, from);
        measure(host_of(p, from), &l, x);
        replace(sum, squares, l.x, x);
    }
    if (s->hosts[host].counted) {
        struct load l = s->hosts[host];
        add(&l, u, host);
        measure(host_of(p, host), &l, x);
        replace(sum, squares, l.x, x);
    }
    double unliked = s->unliked;
    if (u->prefer)
        unliked += (double)unliked_at(s, u, host) - unliked_at(s, u, from);
    return score_of(s, sum, squares, unliked);
}

double state_score_swapped(const struct state *s, uint32_t a, uint32_t b)
{
    const struct planner *p = s->planner;
    const struct unit *units[2] = {&p->units[a], &p->units[b]};
    uint32_t at[2] = {s->at[a], s->at[b]};
    double sum[METRICS], squares[METRICS], x[METRICS], unliked = s->unliked;
    memcpy(sum, s->sum, sizeof(sum));
    memcpy(squares, s->squares, sizeof(squares));
    for (int i = 0; i < 2; i++) {
        struct load l = s->hosts[at[i]];
        take(&l, units[i], at[i]);
        add(&l, units[1 - i], at[i]);
        measure(host_of(p, at[i]), &l, x);
        if (l.counted)
            replace(sum, squares, l.x, x);
        unliked += (double)unliked_at(s, units[1 - i], at[i]) - unliked_at(s, units[i], at[i]);
    }
    return score_of(s, sum, squares, unliked);
}

static void remeasure(struct state *s, uint32_t host)
{
    if (host == state_nowhere(s))
        return;
    struct load *l = &s->hosts[host];
    double x[METRICS];
    measure(host_of(s->planner, host), l, x);
    if (l->counted)
        replace(s->sum, s->squares, l->x, x);
    memcpy(l->x, x, sizeof(x));
}

static uint32_t strictest_that_came(const struct state *s, uint32_t host)
{
    uint32_t percent = 0;
    for (uint32_t u = s->first[host]; u != PLANNER_NONE; u = s->next[u])
        if (s->planner->units[u].home != host)
            percent = stricter(percent, s->planner->units[u].vcpu_percent);
    return percent;
}

void state_put(struct state *s, uint32_t unit, uint32_t host)
{
    const struct unit *u = &s->planner->units[unit];
    uint32_t from = s->at[unit];
    if (from == host)
        return;
    take(&s->hosts[from], u, from);
    add(&s->hosts[host], u, host);
    remeasure(s, from);
    remeasure(s, host);
    s->unliked += (double)unliked_at(s, u, host) - unliked_at(s, u, from);
    unlink_unit(s, unit);
    link_unit(s, unit, host);
    struct load *left = &s->hosts[from], *to = &s->hosts[host];
    if (u->home != from && u->vcpu_percent && u->vcpu_percent == left->vcpu_percent)
        left->vcpu_percent = strictest_that_came(s, from);
    if (u->home != host)
        to->vcpu_percent = stricter(to->vcpu_percent, u->vcpu_percent);
}
