/* Moves that are open at agents and that no job knows: their coordinator's store was lost or restored, or they are another coordinator's.
 * Each host is asked when its session begins; what is found is a line of the log, with the command that settles it. So is storage
 * that is kept closed for a job that has not given its guest away. On the loop. */
#pragma once

#include "coordinator/driver.h"

struct strays;

/* All are borrowed. */
struct strays *strays_new(struct loop *loop, const struct fleet *fleet, const struct driver *driver,
                          const struct agents *agents);
void strays_free(struct strays *strays);

/* A host, or what it told, has changed. */
void strays_host_changed(struct strays *strays, const struct fleet_host *host);
