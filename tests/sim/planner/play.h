/* A plan carried out by the schedule, with a clock of its own: starts, transfers, ends, now and then a failure. */
#pragma once

#include "check.h"

/* What went wrong; NULL if nothing did. `dropped` is counted up. */
const char *play(const struct random_fleet *fleet, const struct planner_plan *plan, uint64_t seed,
                 uint64_t *dropped);
