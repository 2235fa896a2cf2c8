#include "agent/core/correction.h"
#include "agent/core/ladder.h"

enum {
    LIVE_PAUSE = 500, /* ms: more is a pause, and mostly sending */
    STEP_MAX = 1000,
    TIME_MAX = 5000,
    PAUSE_LEAST = -100,
    PAUSE_MAX = 1000,
};

static int64_t within(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

void correction_learn(struct correction *c, const struct correction_case *forecast,
                      const struct correction_case *fact)
{
    bool live = fact->pause <= LIVE_PAUSE;
    if (live != (forecast->pause <= LIVE_PAUSE))
        return;
    int64_t time = (fact->time - fact->pause) - (forecast->time - forecast->pause);
    c->time = within(c->time + within(time / 2, -STEP_MAX, STEP_MAX), -TIME_MAX, TIME_MAX);
    if (live)
        c->pause = within(c->pause + (fact->pause - forecast->pause) / 2, PAUSE_LEAST, PAUSE_MAX);
}

int64_t correction_expected(const struct correction *c)
{
    return LADDER_SWITCH_OVER + c->pause;
}

int64_t correction_safe(const struct correction *c)
{
    return LADDER_SWITCH_OVER + (c->pause > 0 ? c->pause : 0);
}
