/* Inside the schedule: what the running moves hold, link by link and host by host. */
#pragma once

#include "coordinator/core/schedule.h"

struct link_view {
    uint32_t active, dirty; /* moves in STARTING or TRANSFER, and those of them that want to be alone */
    uint64_t taken;         /* bytes/s that those of them can use which are not near their end */
    uint64_t bytes;         /* of all moves over it that have not been sent whole */
    bool reserved;          /* for a dirty move that waits until it is alone */
};

struct schedule_view {
    const struct schedule *schedule;
    struct link_view *links;
    uint32_t *hosts;   /* running moves, by host */
    uint32_t *leaving; /* by host, the first move from there that is not done */
    uint32_t *apart;   /* running moves, by group */
    uint32_t *open;    /* moves that are not done or dropped, by turn */
    uint32_t turn;     /* the lowest that has any; the number of turns when none has */
    uint32_t n_turns;
    struct pair_view {
        uint32_t running;
        bool proven;
    } * pairs;
    bool *dirty, *far; /* by move; far: counted so */
    int64_t *room;     /* by host; NULL: not counted */
};

enum schedule_why {
    WAITS_NOT,
    WAITS_HELD,
    WAITS_TURN,
    WAITS_AFTER,
    WAITS_LEAVING,
    WAITS_ROOM,
    WAITS_APART,
    WAITS_PAIR,
    WAITS_HOST,
    WAITS_ALONE,
    WAITS_LINK,
};

void schedule_view_init(struct schedule_view *view, const struct schedule *schedule);
void schedule_view_deinit(struct schedule_view *view);

/* `ret_about`: the move, host, group or link that it waits for. */
enum schedule_why schedule_view_why(const struct schedule_view *view, uint32_t move, uint32_t *ret_about);

/* Of those in `waiting`, which to start now. They count as started then. */
uint32_t schedule_view_next(struct schedule_view *view, const uint32_t *waiting, uint32_t n, uint32_t *ret);

/* What a move may have left to send when it is near its end; UINT64_MAX: it always is. */
uint64_t schedule_near(const struct schedule *schedule, const struct schedule_move *move);

/* A move has come near its end. */
void schedule_view_near(struct schedule_view *view, uint32_t move);

/* A move's data has been sent; it is done. The caller has changed its state. */
void schedule_view_sent(struct schedule_view *view, uint32_t move);
void schedule_view_done(struct schedule_view *view, uint32_t move);

/* schedule_shares of the moves in `list`, which are those in STARTING or TRANSFER; others' shares stay as they are. */
void schedule_shares_of(const struct schedule *schedule, const uint32_t *list, uint32_t n, uint64_t *ret);

uint64_t schedule_rate(const struct schedule *schedule, const struct schedule_move *move);
int64_t schedule_ms(uint64_t bytes, uint64_t rate);
