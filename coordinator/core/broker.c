#include "coordinator/core/broker.h"

#include "common/base/memory.h"

#include <stdlib.h>

enum { WAITS_BELOW = 2 }; /* half of what it could have */

static bool waits(const struct schedule *s, const struct schedule_move *m, uint64_t rate)
{
    uint64_t alone = m->rate_max ? m->rate_max : SCHEDULE_UNLIMITED;
    for (uint32_t i = 0; i < m->n_links; i++) {
        uint64_t capacity = s->links[m->links[i]].capacity;
        alone = capacity && capacity < alone ? capacity : alone;
    }
    return rate < alone / WAITS_BELOW;
}

void broker_share(const struct fleet *fleet, const struct broker_move *moves, size_t n,
                  struct broker_part *ret)
{
    struct link_table links = {0};
    struct schedule_move *list = xcalloc(n + 1, sizeof(*list));
    uint64_t *rates = xcalloc(n + 1, sizeof(*rates));
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct schedule_move){.state = moves[i].transfers ? SCHEDULE_TRANSFER : SCHEDULE_STARTING,
                                         .bytes = moves[i].bytes_left,
                                         .bytes_left = moves[i].bytes_left,
                                         .rate_max = moves[i].rate_max,
                                         .paused = moves[i].paused,
                                         .after = SCHEDULE_NONE};
        link_table_take(&links, fleet, moves[i].from, moves[i].to, &list[i]);
    }
    const struct schedule schedule = {
        .links = links.list, .n_links = links.n, .moves = list, .n_moves = (uint32_t)n};
    schedule_shares(&schedule, rates);
    for (size_t i = 0; i < n; i++)
        ret[i] = (struct broker_part){.rate = rates[i] == SCHEDULE_UNLIMITED ? 0 : rates[i],
                                      .waits = waits(&schedule, &list[i], rates[i])};
    free(rates);
    free(list);
    link_table_deinit(&links);
}
