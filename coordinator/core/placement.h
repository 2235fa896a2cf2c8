/* Where to, when the operator names no host: of the hosts that no rule blocks, the one with the most memory left after the
 * move; of equal ones, the first by name. */
#pragma once

#include "coordinator/core/preflight.h"

struct placement {
    const struct fleet_host *host; /* NULL: none can take the guest */
    char *why;                     /* owned; the choice, or the refusal, host by host */
    struct findings
        refusals; /* when there is none: what blocks, by host; once if it blocks at all of them. Of many hosts the first few, and how many more */
};

enum { PLACEMENT_REFUSALS = 16 }; /* told in full, host by host */

/* A host whose agents were asked, and what spoke against it. Both borrowed. */
struct placement_tried {
    const struct fleet_host *host;
    const struct findings *findings;
};

enum { PLACEMENT_TRIES = 3 }; /* each takes up to PROBES_MS */

/* `in` without a destination; `promised` as many as the fleet has hosts, in its order (NULL: nothing is). Hosts that were tried are
 * not chosen again; after PLACEMENT_TRIES, without those that only lack the guest's storage, or when `in` says that it is enough, none
 * is, and the refusal tells what was found at those. */
void placement_choose(const struct preflight *in, const struct promised *promised,
                      const struct placement_tried *tried, size_t n_tried, struct placement *ret);
void placement_deinit(struct placement *placement);
