/* The hosts that a plan leaves without a guest: job->emptied, with commas between them. */
#pragma once

#include "coordinator/core/fleet.h"

bool plan_empties(const Drover__V1__Job *job, const char *host);

/* Drops those that a guest stays on, or goes to after all. With `fleet` the plan has ended: then all must have left, and nobody
 * else be there. */
void plan_emptied_check(Drover__V1__Job *job, const struct fleet *fleet);
