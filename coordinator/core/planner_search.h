/* Inside the planner: finding places for the units that must move. */
#pragma once

#include "coordinator/core/planner_state.h"

/* The best place for the unit by the score; PLANNER_NONE if it fits nowhere. */
uint32_t search_best(const struct state *state, uint32_t unit);

/* The first by name. */
uint32_t search_first(const struct state *state, uint32_t unit);

/* Puts what fits, the largest first, and clears `open` of it. */
void search_place(struct state *state, const uint32_t *units, uint32_t n,
                  uint32_t (*where)(const struct state *state, uint32_t unit));
