#include "agent/core/harm.h"

void harm_sample(struct harm *h, int64_t elapsed, uint32_t throttle)
{
    if (h->elapsed && elapsed > h->elapsed)
        h->throttled += (double)(elapsed - h->elapsed) * throttle / 100;
    if (throttle > h->throttle)
        h->throttle = throttle;
    h->elapsed = elapsed;
}

int64_t harm_pause(const struct harm *h, int64_t from, int64_t now)
{
    return h->stood + (from && now > from ? now - from : 0);
}

void harm_resumed(struct harm *h, int64_t from, int64_t to)
{
    h->stood = harm_pause(h, from, to);
}
