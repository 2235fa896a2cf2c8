/* Asks the agents what each move of a plan would be, side by side; all on the loop. */
#pragma once

#include "coordinator/move.h"
#include "proto/plan.pb-c.h"

struct plan_forecasts;

/* Fills the forecasts of the job's waiting steps, then its outlook; done(arg) once, later. The job stays the caller's, and must
 * stay until then. What an agent doesn't answer in time stays without a forecast. `known`: nothing is sampled or measured for it, so
 * that it takes no time; else it is a dry run, and a move that the policy would cancel is a FAILED step. */
struct plan_forecasts *plan_forecasts_start(const struct move_config *config,
                                            const Drover__V1__PlanRequest *request, bool known,
                                            Drover__V1__Job *job, void (*done)(void *arg), void *arg);
struct plan_forecasts *plan_forecasts_cancel(struct plan_forecasts *forecasts); /* NULL */

/* What will hold for a step's move: its guest's policy, what the request says, what the destination can do and the links carry. */
void plan_forecasts_policy(const struct move_config *config, const Drover__V1__PlanRequest *request,
                           const Drover__V1__PlanStep *step, Drover__V1__Policy *ret);
