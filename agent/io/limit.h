/* How long work on a worker may take, and how it is told that nobody waits for it any more. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct limit {
    int64_t deadline_ms; /* of CLOCK_MONOTONIC */
    int cancel_fd;       /* becomes readable when cancelled; -1: can't be */
};

int64_t limit_left_ms(const struct limit *limit); /* never negative */
bool limit_over(const struct limit *limit);       /* passed or cancelled */

/* Waits until fd (-1: none) has one of poll's events, for wait_ms at most (-1: until the limit). True when it has. */
bool limit_poll(const struct limit *limit, int fd, short events, int64_t wait_ms);
