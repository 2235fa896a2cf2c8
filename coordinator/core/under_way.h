/* The moves that are under way or to come: migrations, and the steps of plans that are not migrations yet, as if they were. Pure. */
#pragma once

#include "coordinator/core/preflight.h"

struct under_way {
    const Drover__V1__Job **list; /* the given migrations, then the steps of plans */
    size_t n;
    Drover__V1__Job *steps; /* owned; their texts are the steps' */
};

enum under_way_what { UNDER_WAY_RUNNING, UNDER_WAY_OPEN /* also what waits, and has a destination */ };

/* Of the plans' steps only those without a migration: the others' are among `open`. Good while nothing of all that changes. */
void under_way_init(struct under_way *u, const Drover__V1__Job *const *open, size_t n_open,
                    const Drover__V1__Job *const *plans, size_t n_plans, enum under_way_what what);
void under_way_deinit(struct under_way *u);

/* What moves bring to each host and its report does not count yet, in the fleet's order, without those of that guest (NULL: of all).
 * Freed by the caller. */
struct promised *under_way_promised(const struct fleet *fleet, const Drover__V1__Job *const *open, size_t n,
                                    const char *but_guest);
