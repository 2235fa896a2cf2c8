/* What a plan goes by, for the operator: what was measured and what was not, how even it is now and then, who is left alone. */
#pragma once

#include "coordinator/core/planner_fleet.h"

/* Adds to job->remarks; of BALANCE and CONSOLIDATE. */
void plan_remarks(const struct planner_view *view, enum planner_goal goal, const struct planner_plan *plan,
                  Drover__V1__Job *job);
