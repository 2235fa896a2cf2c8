/* Inside the planner: from where the units are and where they are to be, to a plan in order. */
#pragma once

#include "coordinator/core/planner_state.h"

/* planner_order.c: carries out what is between `now` and `end`, one unit after the other, each step keeping every constraint; by a
 * stopover on a third host where two wait for each other. What can't be done stays where it is. Adds the moves to `plan`. */
void order_moves(struct state *now, const struct state *end, const bool *wanted, struct planner_plan *plan);

/* The moves, how many `wanted` ones stay, and the scores. `ret_now`: what is then. */
void result_make(const struct state *start, const struct state *end, const bool *wanted,
                 struct state *ret_now, struct planner_plan *ret);

/* The rest of a plan: why who is stuck, with `now` as the reason, and which hosts are emptied. */
void result_explain(const struct state *now, const bool *wanted, struct planner_plan *plan);
