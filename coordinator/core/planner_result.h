/* Inside the planner: from where the units are and where they are to be, to a plan in order. */
#pragma once

#include "coordinator/core/planner_state.h"

/* planner_order.c: adds moves to `plan`, and carries them out in `now`, which begins as the fleet is. */
struct order *order_new(struct state *now, const bool *wanted, struct planner_plan *plan);
void order_free(struct order *order);

/* What is between `now` and `end`, one unit after the other, each step keeping every constraint; by a stopover on a third host where
 * two wait for each other. What can't be done stays where it is: then false. */
bool order_moves(struct order *order, const struct state *end);

/* The rest of a plan: how many `wanted` ones stay, and the score; then why who is stuck, with `now` as the reason, and which hosts are emptied. */
void result_score(const struct state *now, const bool *wanted, struct planner_plan *plan);
void result_explain(const struct state *now, const bool *wanted, struct planner_plan *plan);
