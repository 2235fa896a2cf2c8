/* Who gets how much of the links: pure. The sum over a link is never more than what moves may use of it (link_table.h), but for the
 * least that any move has (SCHEDULE_FLOOR, or an even part of a smaller link) where others keep all of it. */
#pragma once

#include "coordinator/core/link_table.h"

struct broker_move {
    const char *from, *to;
    bool transfers;      /* else it prepares: it gets what it may begin with */
    uint64_t bytes_left; /* UINT64_MAX: not known */
    uint64_t rate_max;   /* by its policy; 0: no limit */
    bool paused;         /* its guest stands still until all is sent */
    bool
        once; /* what it begins with it keeps: its even part, at most half of a link. Others share the rest */
    uint64_t
        keeps; /* of `once`: bytes per second that it has begun with; 0: it begins now, or has no limit */
};

struct broker_part {
    uint64_t rate; /* bytes per second; 0: no limit */
    bool waits;    /* for its turn: others have the links, and it only a little of them */
};

/* What the move begins with it keeps as long as it `copies` disks: qemu-img can't be told another rate (agent/send_disks.c), nor can
 * libvirt before a running guest's memory flows. */
bool broker_keeps(const Drover__V1__Job *job, bool copies);

/* For each its part. */
void broker_share(const struct fleet *fleet, const struct broker_move *moves, size_t n,
                  struct broker_part *ret);

struct broker_told {         /* what a transfer goes by */
    struct broker_part part; /* its agent has said that it does */
    struct broker_part asked;
    bool is_asked; /* the agent has not answered yet: it may go by either */
    bool unsure;   /* it was told, or may have been, by calls that failed: nobody knows what it uses */
};

/* ret[i]: that transfer is to be told its part now. Who is to use less is told at once, however little less it is; who may use more,
 * only when no other on its links can use more than its own part still. One that has not answered is not asked again before. */
void broker_news(const struct fleet *fleet, const struct broker_move *moves, const struct broker_part *parts,
                 const struct broker_told *told, size_t n, bool *ret);
