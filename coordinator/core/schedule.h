/* When each move runs, and at what bandwidth. Pure: the caller tells the states, this says what to start and who gets how much.
 *
 * Of a dirty guest's transfer at rate B, D/B is sent again; a fraction of B makes that worse. So on each link few moves run at a
 * time: one at full rate, and when that is near its end another that starts (QEMU comes up, nothing flows yet). A guest whose memory
 * changes fast has its links to itself. The longest wait first; links that have nothing in common work in parallel. Of each pair
 * of hosts one move goes alone, and only when it is done do others follow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULE_LINKS 4          /* of one move: out, in, site, one more */
#define SCHEDULE_NONE UINT32_MAX  /* no such index */
#define SCHEDULE_FLOOR (1U << 20) /* bytes/s: no transfer gets less, if its links hold that much for each */

struct schedule_link {
    const char *name;  /* "kvm1 out", "kvm2 in", "tokyo-osaka" */
    uint64_t capacity; /* bytes/s that moves may use; 0: not known, no limit */
};

/* A waiting move takes its room at the destination when it starts; its source has it back when it is done. */
enum schedule_state {
    SCHEDULE_WAITING,
    SCHEDULE_HELD,     /* not to be started now, whatever the reason: its host is not known well enough */
    SCHEDULE_STARTING, /* prepare, QEMU at the destination starts: no data flows */
    SCHEDULE_TRANSFER,
    SCHEDULE_ENDING, /* switched over: no data flows any more */
    SCHEDULE_DONE,
    SCHEDULE_DROPPED, /* failed or given up: the guest is where it was */
};

struct schedule_move {
    enum schedule_state state;
    uint32_t links[SCHEDULE_LINKS];
    uint32_t n_links;
    uint32_t from, to;   /* indices into schedule.room */
    uint64_t memory;     /* taken at `to` when it starts */
    uint64_t frees;      /* given back at `from` when it is done */
    uint64_t bytes;      /* to be sent, if it has its links to itself */
    uint64_t bytes_left; /* of these, when it is in TRANSFER */
    bool paused;         /* in TRANSFER: its guest stands still until all is sent */
    uint64_t dirty_rate; /* bytes/s that the guest changes; 0: none, or not known */
    uint64_t rate_max;   /* bytes/s that one transfer can use, or may (policy); 0: no limit */
    int64_t start_ms;    /* how long STARTING takes */
    int64_t end_ms;      /* how long ENDING takes */
    uint32_t after;      /* to be started only when that move is DONE; SCHEDULE_NONE */
    bool waits;          /* to be started only when every earlier move in the list that leaves `to` is DONE */
    uint32_t turn;       /* to be started only when all moves with a lower one are DONE or DROPPED */
    uint32_t
        pair; /* moves of one run one at a time until one of them is DONE; 0: there is nothing to prove */
    const uint32_t *apart; /* anti-affinity groups: two moves of one group never run at the same time */
    uint32_t n_apart;
};

struct schedule {
    const struct schedule_link *links;
    uint32_t n_links;
    const struct schedule_move *moves; /* in the plan's order */
    uint32_t n_moves;
    const int64_t *room; /* by host: bytes free before any of `moves` took or gave some; NULL: not counted */
    uint32_t n_room;
    uint32_t per_link; /* moves in STARTING or TRANSFER on a link at a time; 0: 2 */
    int64_t near_ms;   /* how long before the end of one transfer the next may start on its links; 0: 4000 */
    uint32_t per_host; /* moves that are not waiting, done or dropped, from or to a host; 0: 4 */
};

/* Which to start now, best first: `ret` has room for n_moves indices. Returns how many; 0 while others run is normal, 0 while
 * none runs and some wait means that these can't go (schedule_blocked says why): plan anew. */
uint32_t schedule_next(const struct schedule *schedule, uint32_t *ret);

/* The bandwidth of each move in STARTING or TRANSFER, in bytes/s, by move (0 for the others, and SCHEDULE_UNLIMITED where no
 * link or policy limits it). The sum over a link is never more than its capacity. STARTING moves get what they may begin with. */
#define SCHEDULE_UNLIMITED UINT64_MAX
void schedule_shares(const struct schedule *schedule, uint64_t *ret);

/* Why a waiting move isn't started now, for the operator; NULL if it could be. Owned by the caller. */
char *schedule_blocked(const struct schedule *schedule, uint32_t move);

struct schedule_slot {
    int64_t start_ms, end_ms; /* from now; -1: it never gets to run */
    uint64_t
        rate; /* bytes/s on average while it transfers; 0: no limit is known, so the time is only start_ms + end_ms */
};

struct schedule_forecast {
    int64_t finish_ms; /* the last end */
    int64_t
        bound_ms; /* no schedule is faster: the most loaded link's bytes / capacity, or the longest single move */
    uint64_t bytes;
    uint32_t never; /* moves that never get to run */
};

/* What is to come, from the states as they are: `slots` has one for each move (DONE and DROPPED: 0, 0). */
void schedule_forecast(const struct schedule *schedule, struct schedule_slot *slots,
                       struct schedule_forecast *ret);
