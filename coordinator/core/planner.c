#include "coordinator/core/planner.h"

#include "common/base/memory.h"
#include "coordinator/core/planner_result.h"
#include "coordinator/core/planner_search.h"

#include <stdlib.h>

static bool is_wanted(const struct state *s, uint32_t guest)
{
    const struct planner *p = s->planner;
    const struct planner_request *r = s->request;
    uint32_t outside = p->guests[guest], home = guest_of(p, guest)->host;
    bool named = !r->guests || r->guests[outside];
    switch (r->goal) {
    case PLANNER_EVACUATE: return r->from && r->from[home] && named;
    case PLANNER_MOVE: return r->guests && named && !(r->to && r->to[home]);
    case PLANNER_BALANCE:
    case PLANNER_CONSOLIDATE: break;
    }
    return false;
}

/* What moves as one is wanted when one of its guests is. */
static void select_units(struct state *s, bool *wanted, uint32_t *todo, uint32_t *ret_n)
{
    const struct planner *p = s->planner;
    uint32_t n = 0;
    for (uint32_t u = 0; u < p->n_units; u++) {
        for (uint32_t i = 0; i < p->units[u].n_guests && !wanted[u]; i++)
            wanted[u] = is_wanted(s, p->units[u].guests[i]);
        if (!wanted[u] || p->units[u].staying != PLANNER_NONE)
            continue;
        s->open[u] = true;
        todo[n++] = u;
    }
    *ret_n = n;
}

/* Places looked at beyond the first placement: some tenths of a second. */
enum { EFFORT = 10000000 };

static void seek(struct search *search, uint32_t (*where)(const struct state *, uint32_t), bool plain)
{
    switch (search->state->request->goal) {
    case PLANNER_EVACUATE:
    case PLANNER_MOVE:
        search_place(search, where);
        if (plain)
            break;
        search_make_room(search);
        search_improve(search);
        break;
    case PLANNER_BALANCE:
        if (!plain)
            search_balance(search);
        break;
    case PLANNER_CONSOLIDATE:
        if (!plain)
            search_consolidate(search);
        break;
    }
}

/* The plan that comes from placing the first ones so. `plain`: without any search after that. */
static void attempt(struct planner *p, const struct planner_request *request,
                    uint32_t (*where)(const struct state *, uint32_t), bool plain, struct planner_plan *ret)
{
    uint32_t n, *todo = xcalloc(p->n_units ? p->n_units : 1, sizeof(*todo));
    bool *wanted = xcalloc(p->n_units ? p->n_units : 1, sizeof(*wanted));
    struct state start, end;
    state_init(&start, p, request);
    state_copy(&end, &start);
    select_units(&end, wanted, todo, &n);
    struct search search = {.state = &end, .wanted = wanted, .todo = todo, .n_todo = n, .effort = EFFORT};
    seek(&search, where, plain);
    result_make(&start, &end, wanted, ret);
    state_deinit(&start);
    state_deinit(&end);
    free(todo);
    free(wanted);
}

static bool is_better(const struct planner_plan *a, const struct planner_plan *b)
{
    if (a->n_stuck != b->n_stuck)
        return a->n_stuck < b->n_stuck;
    return a->n_moves == b->n_moves && better(a->score_after, b->score_after);
}

/* Where room is short, the first fit sometimes packs better than the best one. */
void planner_run(struct planner *p, const struct planner_request *request, struct planner_plan *ret)
{
    struct planner_plan best, plain, again;
    attempt(p, request, search_best, false, &best);
    attempt(p, request, search_first, true, &plain);
    if (is_better(&plain, &best)) {
        attempt(p, request, search_first, false, &again);
        bool improved = !is_better(&plain, &again);
        planner_plan_deinit(&best);
        best = improved ? again : plain;
        planner_plan_deinit(improved ? &plain : &again);
    } else {
        planner_plan_deinit(&plain);
    }
    *ret = best;
}

void planner_first_fit(struct planner *p, const struct planner_request *request, struct planner_plan *ret)
{
    attempt(p, request, search_first, true, ret);
}
