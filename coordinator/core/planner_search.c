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

void search_place(struct state *s, const uint32_t *units, uint32_t n,
                  uint32_t (*where)(const struct state *, uint32_t))
{
    uint32_t *order = xcalloc(n ? n : 1, sizeof(*order));
    memcpy(order, units, n * sizeof(*order));
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
