/* Inside the planner: from where the units are and where they are to be, to a plan in order. */
#pragma once

#include "coordinator/core/planner_state.h"

/* planner_order.c: carries out what is between `now` and `end`, one unit after the other, each step keeping every constraint; by a
 * stopover on a third host where two wait for each other. What can't be done stays where it is. Adds the moves to `plan`. */
void order_moves(struct state *now, const struct state *end, const bool *wanted, struct planner_plan *plan);

/* `wanted` units that have no place in `end` are stuck, with `end` as the reason why. */
void result_make(const struct state *start, const struct state *end, const bool *wanted,
                 struct planner_plan *ret);
