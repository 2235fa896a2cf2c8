/* How a link is measured without being taken from others: in short bursts with rests between them, shorter ones where the link is
 * fast. Each begins with what is not counted: slow start, and what a rate limit has saved up in the rest. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    BURSTS = 3,
    BURST_FIRST_WARM_UP_US = 120 * 1000,
    BURST_WARM_UP_US = 60 * 1000,
    BURST_MEASURE_US = 70 * 1000,
    BURST_REST_US = 300 * 1000,
    BURST_MEASURE_BYTES = 32 << 20, /* tell enough */
};

enum bursts_phase { BURSTS_WARM_UP, BURSTS_MEASURE, BURSTS_REST, BURSTS_OVER };

struct bursts {
    enum bursts_phase phase;
    unsigned n;             /* that have ended */
    int64_t since_us, from; /* of the phase: when it began, how much had arrived then */
    int64_t bytes, us;      /* counted in all */
};

void bursts_begin(struct bursts *b, int64_t now_us);

/* `arrived`: bytes that the other end has taken in all. What is to be done now: send (WARM_UP, MEASURE), or nothing. */
enum bursts_phase bursts_step(struct bursts *b, int64_t now_us, int64_t arrived);

/* Until the phase ends at the latest; never negative. */
int64_t bursts_left_us(const struct bursts *b, int64_t now_us);

/* Bytes per second; 0: nothing was counted. */
int64_t bursts_rate(const struct bursts *b);
