/* Steps by the planner: where many guests go together, with room made by others where it has to be. */
#pragma once

#include "coordinator/core/plan_make.h"
#include "coordinator/core/planner_fleet.h"

/* Which of the fleet's hosts: by index. Freed by the caller; of evacuate `from` is one host. */
struct plan_goal {
    enum planner_goal goal;
    bool *from, *to; /* by host, NULL: all; owned */
    bool (*wanted)(const struct plan_making *in, const Drover__V1__Guest *guest, const struct fleet_host *at,
                   uint32_t *ret_group); /* of MOVE */
    bool across_sites;
    double headroom; /* of CONSOLIDATE, as the planner's */
};

/* Adds a step for each move that the planner finds, and a FAILED one for each guest that should move and can't. `emptied` (may be
 * NULL) gets the names of hosts that have no guest afterwards, with commas between them; freed by the caller. */
void plan_goal_run(const struct plan_making *in, const struct plan_goal *goal, Drover__V1__Job *job,
                   char **ret_emptied);
void plan_goal_deinit(struct plan_goal *goal);
