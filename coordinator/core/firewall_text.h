/* The command that opens ports on a host, as its own firewall wants it. */
#pragma once

#include "coordinator/core/evidence.h"

/* `service`: of firewalld, NULL: none names these ports. A rule goes before all others of each chain that may refuse: after a `reject`
 * it would be for nothing, and what one chain accepts the next may refuse. Owned by the caller. */
char *firewall_open(const struct evidence *evidence, const struct fleet_host *host, const char *service,
                    unsigned min, unsigned max);
