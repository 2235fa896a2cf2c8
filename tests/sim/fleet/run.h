/* Many schedules, in several processes. */
#pragma once

#include "world.h"

struct tally {
    uint64_t schedules, steps, migrations, done, aborted, cold, in_doubt, violations;
    struct coverage coverage;
};

/* Plays `schedules` of them from `seed` on, sound, and prints each that violates an invariant, with its trace. With `progress` it
 * says on standard error every few seconds how far it is. False if a process could not be started or has died. */
bool run_many(uint64_t seed, uint64_t schedules, unsigned jobs, bool progress, struct tally *ret);

/* True when a violation is found, which it prints. */
bool run_until_found(enum mutation mutation, uint64_t seed, uint64_t schedules);

/* What the list of seeds says (seeds.c): each is played broken, and finds it, and sound. */
bool run_replay(void);
