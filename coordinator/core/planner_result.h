/* Inside the planner: from where the units are and where they are to be, to a plan in order. */
#pragma once

#include "coordinator/core/planner_state.h"

/* `wanted` units that have no place in `end` are stuck, with `end` as the reason why. */
void result_make(const struct state *start, const struct state *end, const bool *wanted,
                 struct planner_plan *ret);
