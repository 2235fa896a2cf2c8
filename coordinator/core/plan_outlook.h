/* The forecast of a whole plan, from those of its steps. */
#pragma once

#include "coordinator/core/fleet.h"

/* Of a dry run: a move that by its forecast the policy would cancel is none, as `drover check` says of one guest. A real run tries it:
 * the guest may be calmer by then, and what is cancelled leaves it where it is. */
void plan_outlook_refuse(Drover__V1__Job *job);

/* Fills start_after and end_after of the steps that wait, the forecasts of those that follow a stopover, and job->outlook. `open`: the
 * migrations that are under way. `window`: ms, 0: none was asked for. */
void plan_outlook(const struct fleet *fleet, Drover__V1__Job *job, const Drover__V1__Job *const *open,
                  size_t n_open, int64_t window);
