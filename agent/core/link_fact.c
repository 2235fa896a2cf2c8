#include "agent/core/link_fact.h"

enum { LIMIT_KEPT = 90 /* percent: a stream that is held by its limit carries at least that of it */ };

void link_fact_limit(struct link_fact *fact, uint64_t limit)
{
    if (limit && (!fact->least || limit < fact->least))
        fact->least = limit;
}

int64_t link_fact_figure(const struct link_fact *fact, int64_t carried)
{
    bool held = fact->least && (uint64_t)carried >= fact->least / 100 * LIMIT_KEPT;
    return held || fact->unknown || fact->shared ? 0 : carried;
}
