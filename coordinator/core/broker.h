/* Who gets how much of the links: pure. The sum over a link is never more than what moves may use of it (link_table.h). */
#pragma once

#include "coordinator/core/link_table.h"

struct broker_move {
    const char *from, *to;
    bool transfers;      /* else it prepares: it gets what it may begin with */
    uint64_t bytes_left; /* 0: not known */
    uint64_t rate_max;   /* by its policy; 0: no limit */
};

/* Bytes per second for each; 0: no limit. */
void broker_share(const struct fleet *fleet, const struct broker_move *moves, size_t n, uint64_t *ret);
