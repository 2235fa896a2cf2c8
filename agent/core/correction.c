#include "agent/core/correction.h"
#include "agent/core/ladder.h"

enum {
    LIVE_PAUSE = 500, /* ms: more is a pause, and mostly sending */
    STEP_MAX = 1000,
    TIME_MAX = 5000,
    PAUSE_LEAST = -100,
    PAUSE_MAX = 1000,
    SHORT = 2000,  /* ms: what a transfer takes beyond that, the link's figure decides... */
    RATE_OFF = 15, /* ...which may be so many percent off */
};

/* What waits for an answer from the other end: libvirt's Begin, Prepare, Perform and the connections before them; while the guest
 * stands still, QEMU's last word with libvirt's Finish, and the word to run. The last data is on its way meanwhile. */
enum { START_ROUNDS = 10, PAUSE_ROUNDS = 2 };

static int64_t within(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Of an error what can't be the rate's: that grows with the transfer, and is not to be added to a short one. */
static int64_t beyond_rate(int64_t modelled, int64_t error)
{
    int64_t rate = modelled > SHORT ? (modelled - SHORT) * RATE_OFF / 100 : 0;
    return error - within(error, -rate, rate);
}

void correction_learn(struct correction *c, const struct correction_case *forecast,
                      const struct correction_case *fact)
{
    bool live = fact->pause <= LIVE_PAUSE;
    if (live != (forecast->pause <= LIVE_PAUSE))
        return;
    int64_t expected = forecast->time - forecast->pause;
    int64_t time = beyond_rate(expected - correction_time(c), fact->time - fact->pause - expected);
    c->time = within(c->time + within(time / 2, -STEP_MAX, STEP_MAX), -TIME_MAX, TIME_MAX);
    if (live)
        c->pause = within(c->pause + (fact->pause - forecast->pause) / 2, PAUSE_LEAST, PAUSE_MAX);
}

int64_t correction_round_trips(const struct correction *c)
{
    return 2 * PAUSE_ROUNDS * c->delay;
}

int64_t correction_time(const struct correction *c)
{
    return c->time + 2 * START_ROUNDS * c->delay;
}

int64_t correction_expected(const struct correction *c)
{
    return LADDER_SWITCH_OVER + correction_round_trips(c) + c->pause;
}

int64_t correction_safe(const struct correction *c)
{
    return LADDER_SWITCH_OVER + correction_round_trips(c) + (c->pause > 0 ? c->pause : 0);
}
