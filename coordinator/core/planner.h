/* Where guests go: emptying hosts, moving guests elsewhere, balancing, consolidating. Pure, on plain arrays; the order and the
 * bandwidth are schedule.h's. coordinator/core/planner_fleet.h makes the arrays from a fleet's snapshot.
 *
 * A plan depends on what the hosts and guests are, not on the order in which they are listed. Carried out one move after the
 * other in its order, every step keeps every constraint; schedule.h runs as many of them at a time as that allows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLANNER_NONE UINT32_MAX /* no such index */
enum { PLANNER_LABELS = 64 };

enum planner_huge { PLANNER_HUGE_NONE, PLANNER_HUGE_2M, PLANNER_HUGE_1G, PLANNER_HUGE_SIZES };

struct planner_host {
    const char *name; /* each once */
    const char *site; /* "" and NULL are one site */
    uint64_t memory_total;
    uint64_t memory_free; /* as it is now, without what is reserved: may be given to guests that come */
    uint64_t
        huge_free[PLANNER_HUGE_SIZES]; /* bytes of free pages of that size; [PLANNER_HUGE_NONE] is not used */
    uint32_t cpus;
    uint32_t vcpus;    /* of running guests that are not in `guests`, and of moves that are on the way */
    uint32_t cpu_load; /* thousandths of a CPU, used by anything but `guests` */
    uint64_t labels;   /* bit i: planner_fleet.labels[i] */
    bool takes;        /* a hypervisor that is up and told: guests may come */
    bool maintenance;  /* none come */
    const char *
        why_takes_not; /* when it doesn't; NULL: "it is not up"; "": nobody expects it to, so it isn't told of */
};

struct planner_guest {
    const char *name, *uuid; /* the UUID each once */
    uint32_t host;
    uint64_t memory;        /* needed at a destination; 0: shut off, only its definition moves */
    uint64_t memory_now;    /* what is free at the source once it has left; at most `memory` */
    enum planner_huge huge; /* of which size its huge pages are */
    uint64_t pages;         /* bytes of them, beside `memory` */
    uint64_t used;  /* bytes of memory that it really uses, wherever it is; 0: as the free memory tells */
    uint32_t vcpus; /* 0 if it is shut off */
    uint32_t
        vcpu_percent; /* vCPUs per hundred CPUs that a host may have with it, where it moves to; 0: no limit */
    uint32_t cpu_load; /* thousandths of a CPU */
    const char *stays; /* why it can't move at all: "pinned by guests[2]", "it has snapshots"; NULL: it may */
    uint64_t require, prefer; /* labels that its host must have, should have */
    const uint32_t *groups;   /* indices into planner_fleet.groups */
    uint32_t n_groups;
    bool recent; /* moved a short while ago: balance leaves it alone */
};

struct planner_group {
    const char *name;
    bool apart; /* no two members on one host; else: all on the same one */
};

struct planner_fleet {
    const struct planner_host *hosts;
    const struct planner_guest *guests;
    const struct planner_group *groups;
    uint32_t n_hosts, n_guests, n_groups;
    const char *const *labels; /* up to PLANNER_LABELS names, for texts */
    uint32_t n_labels;
    /* What else stands in the way of this guest on that host (bridge, storage, CPU, ...); NULL: nothing. Must be a function of
     * its arguments. The text holds until the next call, and is the same for hosts that fail alike: "no bridge br5". May be
     * NULL. It is asked late, and only where the planner's own constraints allow the move. */
    const char *(*why_not)(void *arg, uint32_t guest, uint32_t host);
    void *arg;
};

enum planner_goal {
    PLANNER_EVACUATE,    /* empty the hosts of `from` */
    PLANNER_MOVE,        /* the guests of `guests` to hosts of `to` */
    PLANNER_BALANCE,     /* spread memory and CPU load over the hosts */
    PLANNER_CONSOLIDATE, /* as few hosts as `headroom` allows */
};

/* How much the spread (standard deviation over the hosts) of each counts. All 0: the defaults. */
struct planner_weights {
    double memory;     /* share of memory in use */
    double memory_max; /* share that guests may come to use */
    double vcpus;      /* vCPUs per CPU */
    double cpu_load;   /* share of CPU time in use */
    double guests;     /* number of guests */
};

#define PLANNER_HEADROOM 0.1 /* where none is asked for */

struct planner_request {
    enum planner_goal goal;
    const bool
        *from; /* by host. EVACUATE: to empty. BALANCE, CONSOLIDATE: guests of these only (NULL: of all) */
    const bool *to;     /* by host: the only destinations; NULL: all that take guests */
    const bool *guests; /* by guest. MOVE: which. EVACUATE: only these (NULL: all) */
    bool across_sites;  /* a guest may leave its site */
    bool others_stay;   /* EVACUATE, MOVE: no other guest is moved to make room */
    struct planner_weights weights;
    double min_gain;    /* BALANCE: of the score, times the number of hosts, by each move; 0: 0.05 */
    uint32_t max_moves; /* BALANCE, CONSOLIDATE; 0: no limit */
    double
        headroom; /* CONSOLIDATE: share of memory and of CPU time that each host keeps free; 0: PLANNER_HEADROOM; negative: none */
};

enum planner_reason {
    PLANNER_EMPTIES,    /* its host is to be emptied */
    PLANNER_ASKED,      /* it was asked to move */
    PLANNER_MAKES_ROOM, /* for another guest */
    PLANNER_STOPOVER,   /* on the way to its place, which is not free yet */
    PLANNER_SPREADS,    /* a better balance */
    PLANNER_JOINS,      /* fewer hosts; or its affinity group moves */
};

struct planner_move {
    uint32_t guest, from, to; /* a guest may have a second move, after a stopover */
    enum planner_reason reason;
    uint32_t for_guest; /* MAKES_ROOM: for whom; else PLANNER_NONE */
    uint32_t
        after; /* index of the move that must be done first: the guest's own to its stopover; PLANNER_NONE: none */
    bool
        waits; /* it needs what earlier moves of the plan leave free at `to`: all of them that leave `to` must be done */
    double score; /* of the fleet after this move; lower is better */
};

struct planner_refusal { /* the same reason at many hosts, once */
    char *why;
    uint32_t *hosts; /* ascending by name; none: the reason is the guest's own (`stays`) */
    uint32_t n_hosts;
};

struct planner_stuck {
    uint32_t guest;
    struct planner_refusal *refusals; /* most hosts first */
    uint32_t n_refusals;
    char *
        why; /* all in one line: "memory: 12 MiB short of ... (kvm2, kvm3 and 7 others); no bridge br5 (kvm4)" */
};

struct planner_plan {
    struct planner_move *moves;
    uint32_t n_moves;
    struct planner_stuck *stuck; /* those that should move and can't */
    uint32_t n_stuck;
    uint32_t *
        emptied; /* hosts that have guests now and none after it; in CONSOLIDATE those that can be powered off */
    uint32_t n_emptied;
    double score_before, score_after;
};

/* Reads the fleet once for several plans; the arrays stay the caller's and must outlive it. Indices that don't exist are the
 * caller's error and abort. */
struct planner *planner_new(const struct planner_fleet *fleet);
void planner_free(struct planner *planner);

/* Always gives a plan, which may be empty. Of EVACUATE and MOVE it is never worse than planner_first_fit's: of two plans the one
 * with fewer stuck guests is the better, then the one with fewer moves, then the one with the better score. */
void planner_run(struct planner *planner, const struct planner_request *request, struct planner_plan *ret);
void planner_plan_deinit(struct planner_plan *plan);

/* Each guest, the largest first, to the first host by name that takes it; no search. What planner_run is measured by. */
void planner_first_fit(struct planner *planner, const struct planner_request *request,
                       struct planner_plan *ret);

/* "kvm7 is to be emptied"; "makes room for db3". Owned by the caller. */
char *planner_move_why(const struct planner_fleet *fleet, const struct planner_move *move);
