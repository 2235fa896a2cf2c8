/* How a migration would end: the model's forecast and the policy, in one answer. Pure. */
#pragma once

#include "agent/core/ladder.h"

/* Post-copy and a pause come after the first pass; a pause from the start (MODEL_OFFLINE) only where it was asked for, or is no
 * longer than that by samples of the last minute. */
struct outlook {
    enum model_mode way;
    bool allowed;      /* by the policy; else the ladder would give up, and `outcome` is what it would take */
    double confidence; /* 0: no samples or no bandwidth, and `outcome` says nothing */
    struct model_outcome outcome;
    char why[256];
};

/* What the ladder comes to when it begins with `guest` (whose downtime is ignored: the policy says it). */
void outlook_make(const struct ladder_policy *policy, const struct model_input *guest, struct outlook *ret);
