/* Where to, when the operator names no host: of the hosts that no rule blocks, the one with the most memory left after the
 * move; of equal ones, the first by name. */
#pragma once

#include "coordinator/core/preflight.h"

struct placement {
    const struct fleet_host *host; /* NULL: none can take the guest */
    char *why;                     /* owned; the choice, or the refusal, host by host */
    struct findings refusals; /* when there is none: what blocks, by host; once if it blocks at all of them */
};

/* `in` without a destination; `promised` as many as the fleet has hosts, in its order (NULL: nothing is). */
void placement_choose(const struct preflight *in, const uint64_t *promised, struct placement *ret);
void placement_deinit(struct placement *placement);
