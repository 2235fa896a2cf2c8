/* Inside the schedule: what the running moves hold, link by link and host by host. */
#pragma once

#include "coordinator/core/schedule.h"

struct link_view {
    uint32_t active, dirty; /* moves in STARTING or TRANSFER, and those of them that want to be alone */
    uint64_t bytes;         /* yet to be sent over it, by all moves */
    bool reserved;          /* for a dirty move that waits until it is alone */
};

struct schedule_view {
    const struct schedule *schedule;
    struct link_view *links;
    uint32_t *hosts;   /* running moves, by host */
    uint32_t *leaving; /* by host, the first move from there that is not done */
    uint32_t *apart;   /* running moves, by group */
    bool *dirty;       /* by move */
    int64_t *room;     /* by host; NULL: not counted */
};

enum schedule_why {
    WAITS_NOT,
    WAITS_HELD,
    WAITS_AFTER,
    WAITS_LEAVING,
    WAITS_ROOM,
    WAITS_APART,
    WAITS_HOST,
    WAITS_ALONE,
    WAITS_LINK,
};

void schedule_view_init(struct schedule_view *view, const struct schedule *schedule);
void schedule_view_deinit(struct schedule_view *view);

/* `ret_about`: the move, host, group or link that it waits for. */
enum schedule_why schedule_view_why(const struct schedule_view *view, uint32_t move, uint32_t *ret_about);
void schedule_view_start(struct schedule_view *view, uint32_t move);
uint32_t schedule_view_next(struct schedule_view *view, uint32_t *ret);

uint64_t schedule_rate(const struct schedule *schedule, const struct schedule_move *move);
int64_t schedule_ms(uint64_t bytes, uint64_t rate);
