/* Random fleets for the planner and the schedule: a function of the seed. Small, tight and full of rules, so that every
 * constraint decides something. */
#pragma once

#include "coordinator/core/planner.h"

enum { HOSTS = 9, GUESTS = 28, GROUPS = 5, IN_GROUPS = 2, OWN_RATIOS = 3 };

struct random_fleet {
    struct planner_host hosts[HOSTS];
    struct planner_guest guests[GUESTS];
    struct planner_group groups[GROUPS];
    uint32_t groups_of[GUESTS][IN_GROUPS];
    char host_names[HOSTS][16], guest_names[GUESTS][16];
    uint8_t forbidden[GUESTS][HOSTS]; /* what why_not says */
    struct planner_fleet fleet;
    uint32_t
        ratios;    /* OWN_RATIOS: each guest has its own limit of vCPUs or none; else all the same, or none */
    bool measured; /* what hosts and guests use; else every load is 0 */
    bool exact;    /* guests use all that they may use */
    bool full;     /* hosts so full that guests can only change places, by way of a third host */
    bool from[HOSTS], to[HOSTS], chosen[GUESTS];
    struct planner_request request;
};

uint32_t random_below(uint64_t *rng, uint32_t n);
void random_fleet(struct random_fleet *fleet, uint64_t seed);

/* An exact fleet when the plan is done: what moved is where it went, and has moved lately. */
void random_carry_out(const struct random_fleet *fleet, const struct planner_plan *plan,
                      struct random_fleet *ret);

/* The same fleet, listed in another order. */
void random_shuffle(const struct random_fleet *fleet, struct random_fleet *ret, uint64_t seed);
