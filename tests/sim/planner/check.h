/* Looks at a plan with other eyes than the planner's: each move is carried out on plain arrays, and every constraint is counted
 * anew from all guests. */
#pragma once

#include "random.h"

/* Where the guests are while a plan is carried out. */
struct world {
    const struct random_fleet *fleet;
    uint32_t at[GUESTS];
    uint32_t coming[GUESTS]; /* where it is on the way to; PLANNER_NONE */
    bool away[GUESTS];       /* has moved at least once */
};

void world_init(struct world *world, const struct random_fleet *fleet);

/* What is broken on that host now, with what is there and what comes; NULL if nothing is. Memory, huge pages and vCPUs only where
 * something has come: a host that was too full before is not the plan's doing. */
const char *world_fault(const struct world *world, uint32_t host);

/* What is wrong with the plan; NULL if nothing is. */
const char *check_plan(const struct random_fleet *fleet, const struct planner_plan *plan);
