/* A plan is one message, in whatever tells of it: it must fit one, also when it has grown. */
#pragma once

#include "coordinator/core/fleet.h"

/* Of many steps that can't be done, the later ones keep the first of their findings only. Errors: FAILED_PRECONDITION, if the plan is too
 * large all the same. */
int plan_fit(Drover__V1__Job *job, struct error *err);

/* False: the hosts that refused its guests are as many as can be told. From then on a host that only lacks a guest's storage is one of its
 * tries, as any other. */
bool plan_may_avoid(const Drover__V1__Job *job);
