/* What a transfer says of its link: only of one that had the link for itself, and was not held below what the link carries. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct link_fact {
    uint64_t least; /* bytes per second, of the limits that it was told; 0: none */
    bool unknown;   /* limits that were told before this program began */
    bool shared;    /* another transfer left this host meanwhile */
};

/* `limit`: bytes per second; 0: none. */
void link_fact_limit(struct link_fact *fact, uint64_t limit);

/* `carried`: bytes per second, 0: not known. The link's figure, or 0. */
int64_t link_fact_figure(const struct link_fact *fact, int64_t carried);
