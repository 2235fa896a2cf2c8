/* The forecast of a whole plan, from those of its steps. */
#pragma once

#include "coordinator/core/fleet.h"

/* Fills start_after and end_after of the steps that wait, and job->outlook. `open`: the migrations that are under way. `window`: ms,
 * 0: none was asked for. */
void plan_outlook(const struct fleet *fleet, Drover__V1__Job *job, const Drover__V1__Job *const *open,
                  size_t n_open, int64_t window);
