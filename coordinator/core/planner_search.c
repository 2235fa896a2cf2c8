#include "coordinator/core/planner_search.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t search_best(const struct state *s, uint32_t unit)
{
    uint32_t best = PLANNER_NONE;
    double best_score = INFINITY;
    for (uint32_t h = 0; h < s->planner->n_hosts; h++) {
        if (!s->takes[h] || s->at[unit] == h)
            continue;
        /* The score costs less than the constraints, and few hosts are better than all before them. */
        double score = state_score_if(s, unit, h);
        if (score < best_score && state_obstacle(s, unit, h) == FITS) {
            best_score = score;
            best = h;
        }
    }
    return best;
}

uint32_t search_first(const struct state *s, uint32_t unit)
{
    for (uint32_t h = 0; h < s->planner->n_hosts; h++)
        if (s->takes[h] && s->at[unit] != h && state_obstacle(s, unit, h) == FITS)
            return h;
    return PLANNER_NONE;
}

static int by_size(const void *a, const void *b, void *arg)
{
    const struct unit *units = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (units[x].size != units[y].size)
        return units[x].size > units[y].size ? -1 : 1;
    return x < y ? -1 : x > y;
}

void search_place(struct search *search, uint32_t (*where)(const struct state *, uint32_t))
{
    struct state *s = search->state;
    uint32_t n = search->n_todo, *order = xcalloc(n ? n : 1, sizeof(*order));
    if (n)
        memcpy(order, search->todo, n * sizeof(*order));
    qsort_r(order, n, sizeof(*order), by_size, s->planner->units);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t host = where(s, order[i]);
        if (host == PLANNER_NONE)
            continue;
        state_put(s, order[i], host);
        s->open[order[i]] = false;
    }
    free(order);
}

bool search_swap(struct state *s, uint32_t a, uint32_t b)
{
    uint32_t at_a = s->at[a], at_b = s->at[b], nowhere = state_nowhere(s);
    state_put(s, b, nowhere);
    if (state_obstacle(s, a, at_b) == FITS) {
        state_put(s, a, at_b);
        if (state_obstacle(s, b, at_a) == FITS) {
            state_put(s, b, at_a);
            return true;
        }
        state_put(s, a, at_a);
    }
    state_put(s, b, at_b);
    return false;
}

static bool placed(const struct search *search, uint32_t unit)
{
    return search->state->at[unit] != search->state->planner->units[unit].home;
}

static bool improve_by_moves(struct search *search)
{
    struct state *s = search->state;
    bool any = false;
    for (uint32_t i = 0; i < search->n_todo && search->effort > 0; i++) {
        uint32_t unit = search->todo[i];
        if (!placed(search, unit))
            continue;
        search->effort -= s->planner->n_hosts;
        uint32_t host = search_best(s, unit);
        if (host == PLANNER_NONE || !better(state_score_if(s, unit, host), state_score(s)))
            continue;
        state_put(s, unit, host);
        any = true;
    }
    return any;
}

static bool improve_by_swaps(struct search *search)
{
    struct state *s = search->state;
    bool any = false;
    for (uint32_t i = 0; i < search->n_todo && search->effort > 0; i++) {
        uint32_t a = search->todo[i];
        search->effort -= search->n_todo - i;
        for (uint32_t k = i + 1; k < search->n_todo && placed(search, a); k++) {
            uint32_t b = search->todo[k];
            if (s->at[a] != s->at[b] && placed(search, b) &&
                better(state_score_swapped(s, a, b), state_score(s)))
                any |= search_swap(s, a, b);
        }
    }
    return any;
}

void search_improve(struct search *search)
{
    bool again = true;
    while (again && search->effort > 0) {
        again = improve_by_moves(search);
        again |= improve_by_swaps(search);
    }
}
