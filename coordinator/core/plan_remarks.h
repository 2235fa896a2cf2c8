/* What a plan goes by, for the operator: what was measured and what was not, how even it is now and then, who is left alone. */
#pragma once

#include "coordinator/core/planner_fleet.h"

/* Adds to job->remarks; of BALANCE and CONSOLIDATE. */
void plan_remarks(const struct planner_view *view, enum planner_goal goal, const struct planner_plan *plan,
                  Drover__V1__Job *job);

/* One line; takes the text over. */
void plan_remark(Drover__V1__Job *job, char *text);

/* No guest at the site fits the pattern, and these do. */
void plan_remark_elsewhere(const struct fleet *fleet, const char *pattern, const char *site,
                           Drover__V1__Job *job);
