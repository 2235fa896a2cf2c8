#include "agent/core/bursts.h"

static int64_t length_us(const struct bursts *b)
{
    switch (b->phase) {
    case BURSTS_WARM_UP: return b->n ? BURST_WARM_UP_US : BURST_FIRST_WARM_UP_US;
    case BURSTS_MEASURE: return BURST_MEASURE_US;
    case BURSTS_REST: return BURST_REST_US;
    default: return 0;
    }
}

static void enter(struct bursts *b, enum bursts_phase phase, int64_t now_us, int64_t arrived)
{
    b->phase = phase;
    b->since_us = now_us;
    b->from = arrived;
}

void bursts_begin(struct bursts *b, int64_t now_us)
{
    *b = (struct bursts){.phase = BURSTS_WARM_UP, .since_us = now_us};
}

enum bursts_phase bursts_step(struct bursts *b, int64_t now_us, int64_t arrived)
{
    bool full = b->phase == BURSTS_MEASURE && arrived - b->from >= BURST_MEASURE_BYTES;
    if (b->phase == BURSTS_OVER || (!full && now_us - b->since_us < length_us(b)))
        return b->phase;
    switch (b->phase) {
    case BURSTS_WARM_UP: enter(b, BURSTS_MEASURE, now_us, arrived); break;
    case BURSTS_MEASURE:
        b->bytes += arrived - b->from;
        b->us += now_us - b->since_us;
        b->n++;
        enter(b, b->n < BURSTS ? BURSTS_REST : BURSTS_OVER, now_us, arrived);
        break;
    default: enter(b, BURSTS_WARM_UP, now_us, arrived); break;
    }
    return b->phase;
}

int64_t bursts_left_us(const struct bursts *b, int64_t now_us)
{
    int64_t left = b->since_us + length_us(b) - now_us;
    return left > 0 ? left : 0;
}

int64_t bursts_rate(const struct bursts *b)
{
    return b->us > 0 && b->bytes > 0 ? (int64_t)((double)b->bytes * 1e6 / (double)b->us) : 0;
}
