/* How long a pause would be at this moment, and which max_pause would have done. */
#pragma once

#include "agent/core/ladder.h"

enum {
    LADDER_PAUSE_TAKES = 40, /* ms, in which the guest dirties on; that is sent once more in the pause */
    LADDER_SLACK = 7,        /* percent by which QEMU's own measure of the link may be below the ladder's */
};

bool ladder_may_pause(const struct ladder *l);

/* Bytes. */
double ladder_to_send(const struct ladder *l, const struct ladder_sample *s);

/* ms */
double ladder_pause_of(const struct ladder *l, double remaining, int64_t since, unsigned throttle);
int64_t ladder_needed_pause(const struct ladder *l);
int64_t ladder_round_up(double ms);
