/* Seeds that failed, each kept with what they found. */
#pragma once

#include "world.h"

struct seed {
    uint64_t seed;
    enum mutation broken; /* SOUND: what it found was mended, and can't be put back by a rule */
    const char *found;
};

extern const struct seed seeds[];
extern const size_t seeds_n;
