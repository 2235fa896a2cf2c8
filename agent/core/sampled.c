#include "agent/core/sampled.h"

bool sampled_learn(struct sampled *known, const struct sampled *got, bool given_up, int64_t now_ms)
{
    if (got->n == SAMPLED_WINDOWS) {
        *known = *got;
        known->at_ms = known->tried_ms = now_ms;
        return true;
    }
    if (!given_up)
        known->tried_ms = now_ms;
    return false;
}
