/* What the ladder learns from samples: the link's bandwidth, and at each bitmap sync how much the guest dirtied. */
#pragma once

#include "agent/core/ladder.h"

/* Takes the sample in; true when it is the first after a sync. */
bool ladder_learn(struct ladder *l, const struct ladder_sample *s);
