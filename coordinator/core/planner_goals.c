/* Balance and consolidate: no guest has to move, so each move must pay. */
#include "common/base/memory.h"
#include "coordinator/core/planner_search.h"

#include <math.h>
#include <stdlib.h>

/* ---- balance ---------------------------------------------------------------------------------------------------- */

enum {
    EXTREMES = 8, /* hosts at each end that are looked at */
    /* Hosts in turn that are no better a place for a guest than what was found; the heavier ones after them hardly are. */
    MISSES = 128,
};

static double weight(const struct state *s, uint32_t host)
{
    double weights[METRICS];
    state_weights(s, weights);
    double sum = 0;
    for (int m = 0; m < METRICS; m++)
        sum += weights[m] * s->hosts[host].x[m];
    return sum;
}

struct weighed {
    double weight;
    uint32_t host;
};

static int heaviest_first(const void *a, const void *b)
{
    const struct weighed *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->host < y->host ? -1 : x->host > y->host;
}

static uint32_t weigh(const struct state *s, struct weighed *ret)
{
    uint32_t n = 0;
    for (uint32_t h = 0; h < s->planner->n_hosts; h++)
        if (s->hosts[h].counted)
            ret[n++] = (struct weighed){weight(s, h), h};
    qsort(ret, n, sizeof(*ret), heaviest_first);
    return n;
}

static bool may_leave(const struct state *s, uint32_t unit)
{
    const struct unit *u = &s->planner->units[unit];
    const bool *from = s->request->from;
    bool rests = u->recent && s->request->goal == PLANNER_BALANCE;
    return u->staying == PLANNER_NONE && !rests && !s->done[unit] &&
           (!from || from[s->planner->hosts[u->home]]);
}

struct change {
    double score;
    uint32_t unit, host, other; /* `other`: of a swap, else PLANNER_NONE */
};

/* What a change must gain: so much for each guest that would not move otherwise. */
static double price(const struct state *s, uint32_t unit, uint32_t host)
{
    const struct unit *u = &s->planner->units[unit];
    double gain = s->request->min_gain > 0 ? s->request->min_gain : 0.05;
    uint32_t n = s->n_counted ? s->n_counted : 1;
    if (s->at[unit] != u->home)
        return 0;
    return host == u->home ? 0 : gain * u->n_guests / n;
}

static void best_move(const struct search *search, const struct weighed *hosts, uint32_t n,
                      struct change *best)
{
    struct state *s = search->state;
    double now = state_score(s);
    for (uint32_t i = 0; i < n && i < EXTREMES; i++)
        for (uint32_t u = s->first[hosts[i].host]; u != PLANNER_NONE; u = s->next[u]) {
            if (!may_leave(s, u))
                continue;
            uint32_t misses = 0;
            for (uint32_t k = n; k > i + 1 && misses < MISSES; k--) {
                uint32_t to = hosts[k - 1].host;
                double score = state_score_if(s, u, to) + price(s, u, to);
                if (!better(score, best->score) || !better(score, now))
                    misses++;
                else if (state_obstacle(s, u, to) == FITS)
                    *best = (struct change){score, u, to, PLANNER_NONE};
            }
        }
}

static uint32_t list_of(const struct state *s, uint32_t host, uint32_t **ret)
{
    uint32_t n = 0, *list = NULL;
    for (uint32_t u = s->first[host]; u != PLANNER_NONE; u = s->next[u]) {
        if (!may_leave(s, u))
            continue;
        list = xrealloc(list, n + 1, sizeof(*list));
        list[n++] = u;
    }
    *ret = list;
    return n;
}

/* The first goes to `by` (the other's place, or a third host), the other to the first's place, the first to the other's. */
static bool swaps_by(struct state *s, uint32_t first, uint32_t other, uint32_t by)
{
    uint32_t from = s->at[first], to = s->at[other];
    if (state_obstacle(s, first, by) != FITS)
        return false;
    state_put(s, first, by);
    bool ok = state_obstacle(s, other, from) == FITS;
    if (ok) {
        state_put(s, other, from);
        ok = state_obstacle(s, first, to) == FITS;
        state_put(s, other, to);
    }
    state_put(s, first, from);
    return ok;
}

/* They fit each other's place, and there is a way: one after the other, or by a third host that has room meanwhile. */
static bool could_swap(struct state *s, uint32_t a, uint32_t b)
{
    uint32_t at_a = s->at[a], at_b = s->at[b];
    if (!search_swap(s, a, b))
        return false;
    state_put(s, a, at_a);
    state_put(s, b, at_b);
    if (swaps_by(s, a, b, at_b) || swaps_by(s, b, a, at_a))
        return true;
    for (uint32_t h = 0; h < s->planner->n_hosts; h++)
        if (s->takes[h] && h != at_a && h != at_b && (swaps_by(s, a, b, h) || swaps_by(s, b, a, h)))
            return true;
    return false;
}

static void best_swap_of(struct state *s, uint32_t heavy, uint32_t light, double now, struct change *best)
{
    uint32_t *from, *to, n_from = list_of(s, heavy, &from), n_to = list_of(s, light, &to);
    for (uint32_t i = 0; i < n_from; i++)
        for (uint32_t k = 0; k < n_to; k++) {
            uint32_t a = from[i], b = to[k];
            double score = state_score_swapped(s, a, b) + price(s, a, light) + price(s, b, heavy);
            if (better(score, best->score) && better(score, now) && could_swap(s, a, b))
                *best = (struct change){score, a, PLANNER_NONE, b};
        }
    free(from);
    free(to);
}

static void best_swap(const struct search *search, const struct weighed *hosts, uint32_t n,
                      struct change *best)
{
    double now = state_score(search->state);
    for (uint32_t i = 0; i < n && i < EXTREMES; i++)
        for (uint32_t k = n; k > i + 1 && k + EXTREMES > n; k--)
            best_swap_of(search->state, hosts[i].host, hosts[k - 1].host, now, best);
}

static uint32_t count_moved(const struct state *s)
{
    uint32_t n = 0;
    for (uint32_t u = 0; u < s->planner->n_units; u++)
        if (s->at[u] != s->planner->units[u].home)
            n += s->planner->units[u].n_guests;
    return n;
}

static uint32_t size_of(const struct state *s, uint32_t unit)
{
    return unit == PLANNER_NONE ? 0 : s->planner->units[unit].n_guests;
}

void search_balance(struct search *search)
{
    struct state *s = search->state;
    uint32_t most = s->request->max_moves;
    struct weighed *hosts = xcalloc(s->planner->n_hosts ? s->planner->n_hosts : 1, sizeof(*hosts));
    bool changed = true;
    while (changed && search->effort > 0) {
        struct change best = {.score = INFINITY, .unit = PLANNER_NONE, .other = PLANNER_NONE};
        uint32_t n = weigh(s, hosts);
        search->effort -= (int64_t)EXTREMES * n;
        best_move(search, hosts, n, &best);
        if (best.unit == PLANNER_NONE)
            best_swap(search, hosts, n, &best);
        changed = best.unit != PLANNER_NONE;
        if (changed && most && count_moved(s) + size_of(s, best.unit) + size_of(s, best.other) > most)
            break;
        if (changed && best.other != PLANNER_NONE)
            changed = search_swap(s, best.unit, best.other);
        else if (changed)
            state_put(s, best.unit, best.host);
    }
    free(hosts);
}

/* ---- consolidate ------------------------------------------------------------------------------------------------ */

/* The fullest host that still takes it; one that is empty stays so. */
static uint32_t tightest(const struct state *s, uint32_t unit, uint32_t except)
{
    uint32_t best = PLANNER_NONE;
    double fullest = -INFINITY;
    for (uint32_t h = 0; h < s->planner->n_hosts; h++) {
        if (h == except || !s->takes[h] || !s->hosts[h].guests || weight(s, h) <= fullest)
            continue;
        if (state_obstacle(s, unit, h) == FITS) {
            fullest = weight(s, h);
            best = h;
        }
    }
    return best;
}

static int by_size(const void *a, const void *b, void *arg)
{
    const struct unit *units = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (units[x].size != units[y].size)
        return units[x].size > units[y].size ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool empty(struct search *search, uint32_t host)
{
    struct state *s = search->state;
    uint32_t n = 0, *list = NULL, done = 0;
    bool ok = true;
    for (uint32_t u = s->first[host]; u != PLANNER_NONE && ok; u = s->next[u]) {
        list = xrealloc(list, n + 1, sizeof(*list));
        list[n++] = u;
        ok = may_leave(s, u);
    }
    if (ok && n)
        qsort_r(list, n, sizeof(*list), by_size, s->planner->units);
    for (; done < n && ok; done++) {
        search->effort -= s->planner->n_hosts;
        uint32_t to = tightest(s, list[done], host);
        ok = to != PLANNER_NONE;
        if (!ok)
            break;
        state_put(s, list[done], to);
    }
    ok = ok && (!s->request->max_moves || count_moved(s) <= s->request->max_moves);
    while (!ok && done > 0)
        state_put(s, list[--done], host);
    free(list);
    return ok;
}

void search_consolidate(struct search *search)
{
    struct state *s = search->state;
    struct weighed *hosts = xcalloc(s->planner->n_hosts ? s->planner->n_hosts : 1, sizeof(*hosts));
    uint32_t n = weigh(s, hosts);
    /* The lightest first: as many hosts as can be with the fewest moves. */
    for (uint32_t i = n; i > 0 && search->effort > 0; i--) {
        uint32_t host = hosts[i - 1].host;
        if (!s->hosts[host].guests || !empty(search, host))
            continue;
        s->emptied[host] = true;
        s->takes[host] = false;
    }
    free(hosts);
}
