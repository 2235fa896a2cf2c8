/* What the ladder learns from samples: the link's bandwidth, and at each bitmap sync how much the guest dirtied. */
#pragma once

#include "agent/core/ladder.h"

/* Takes the sample in; true when it is the first after a sync. */
bool ladder_learn(struct ladder *l, const struct ladder_sample *s);

/* What the link carried: bytes per second over all the time in which it was at work, so that neither a slow start nor a stall at the end
 * stands for it; 0: that was too short to tell. */
int64_t ladder_carried(const struct ladder *l);
