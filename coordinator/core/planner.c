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

struct attempt {
    struct planner_plan plan;
    struct state now; /* after it */
    bool *wanted;
};

/* The plan that comes from placing the first ones so. `plain`: without any search after that. */
static void attempt_make(struct planner *p, const struct planner_request *request,
                         uint32_t (*where)(const struct state *, uint32_t), bool plain, struct attempt *ret)
{
    uint32_t n, before, *todo = xcalloc(p->n_units ? p->n_units : 1, sizeof(*todo));
    struct attempt a = {.wanted = xcalloc(p->n_units ? p->n_units : 1, sizeof(*a.wanted))};
    struct state end;
    state_init(&a.now, p, request);
    a.plan.score_before = state_score(&a.now);
    struct order *order = order_new(&a.now, a.wanted, &a.plan);
    struct search search = {.state = &end, .wanted = a.wanted, .todo = todo, .effort = EFFORT};
    bool all;
    do {
        before = a.plan.n_moves;
        state_copy(&end, &a.now);
        select_units(&end, a.wanted, todo, &n);
        search.n_todo = n;
        seek(&search, where, plain);
        all = order_moves(order, &end);
        state_deinit(&end);
        /* What a balance could not carry out it would try to do otherwise the next time: so it does at once. */
    } while (request->goal == PLANNER_BALANCE && !all && a.plan.n_moves > before);
    order_free(order);
    result_score(&a.now, a.wanted, &a.plan);
    free(todo);
    *ret = a;
}

static void attempt_deinit(struct attempt *a)
{
    planner_plan_deinit(&a->plan);
    state_deinit(&a->now);
    free(a->wanted);
}

/* Keeps the plan, with its texts, and frees the rest. */
static void attempt_finish(struct attempt *a, struct planner_plan *ret)
{
    result_explain(&a->now, a->wanted, &a->plan);
    *ret = a->plan;
    state_deinit(&a->now);
    free(a->wanted);
}

/* Of plans for the same request (planner.h): a move that saves nobody costs a pause and the link. */
static bool is_better(const struct planner_plan *a, const struct planner_plan *b)
{
    if (a->n_stuck != b->n_stuck)
        return a->n_stuck < b->n_stuck;
    if (a->n_moves != b->n_moves)
        return a->n_moves < b->n_moves;
    return better(a->score_after, b->score_after);
}

static void keep_better(struct attempt *best, struct attempt *other)
{
    bool other_is = is_better(&other->plan, &best->plan);
    attempt_deinit(other_is ? best : other);
    if (other_is)
        *best = *other;
}

/* Where room is short, the first fit sometimes packs better than the best one. */
void planner_run(struct planner *p, const struct planner_request *request, struct planner_plan *ret)
{
    struct attempt best, plain, searched;
    attempt_make(p, request, search_best, false, &best);
    if (request->goal == PLANNER_EVACUATE || request->goal == PLANNER_MOVE) {
        attempt_make(p, request, search_first, true, &plain);
        bool packs_better = is_better(&plain.plan, &best.plan);
        keep_better(&best, &plain);
        if (packs_better) {
            attempt_make(p, request, search_first, false, &searched);
            keep_better(&best, &searched);
        }
    }
    /* Of two that were to change places, or to come together, one may have found no way. */
    if (request->goal == PLANNER_BALANCE && best.plan.n_moves &&
        (!better(best.plan.score_after, best.plan.score_before) || state_left_kin(&best.now))) {
        attempt_deinit(&best);
        attempt_make(p, request, search_best, true, &best);
    }
    attempt_finish(&best, ret);
}

void planner_first_fit(struct planner *p, const struct planner_request *request, struct planner_plan *ret)
{
    struct attempt a;
    attempt_make(p, request, search_first, true, &a);
    attempt_finish(&a, ret);
}
