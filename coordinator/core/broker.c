#include "coordinator/core/broker.h"

#include "common/base/memory.h"

#include <stdlib.h>

void broker_share(const struct fleet *fleet, const struct broker_move *moves, size_t n, uint64_t *ret)
{
    struct link_table links = {0};
    struct schedule_move *list = xcalloc(n + 1, sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct schedule_move){.state = moves[i].transfers ? SCHEDULE_TRANSFER : SCHEDULE_STARTING,
                                         .bytes = moves[i].bytes_left,
                                         .bytes_left = moves[i].bytes_left,
                                         .rate_max = moves[i].rate_max,
                                         .after = SCHEDULE_NONE};
        link_table_take(&links, fleet, moves[i].from, moves[i].to, &list[i]);
    }
    const struct schedule schedule = {
        .links = links.list, .n_links = links.n, .moves = list, .n_moves = (uint32_t)n};
    schedule_shares(&schedule, ret);
    for (size_t i = 0; i < n; i++)
        if (ret[i] == SCHEDULE_UNLIMITED)
            ret[i] = 0;
    free(list);
    link_table_deinit(&links);
}
