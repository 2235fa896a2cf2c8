/* Where guests go: emptying hosts, moving guests elsewhere, balancing, consolidating. Pure, on plain arrays; the order and the
 * bandwidth are schedule.h's. coordinator/core/planner_fleet.h makes the arrays from a fleet's snapshot.
 *
 * A plan depends on what the hosts and guests are, not on the order in which they are listed. Carried out one move after the
 * other in its order, every step keeps every constraint; schedule.h runs as many of them at a time as that allows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_NONE UINT32_MAX /* no such index */

enum plan_huge { PLAN_HUGE_NONE, PLAN_HUGE_2M, PLAN_HUGE_1G, PLAN_HUGE_SIZES };

struct plan_host {
    const char *name; /* each once */
    const char *site; /* "" and NULL are one site */
    uint64_t memory_total;
    uint64_t memory_free; /* as it is now, without what is reserved: may be given to guests that come */
    uint64_t huge_free[PLAN_HUGE_SIZES]; /* bytes of free pages of that size; [PLAN_HUGE_NONE] is not used */
    uint32_t cpus;
    uint32_t vcpus;    /* of running guests that are not in `guests`, and of moves that are on the way */
    uint32_t cpu_load; /* thousandths of a CPU, used by anything but `guests` */
    uint64_t labels;   /* bit i: plan_fleet.labels[i] */
    bool takes;        /* a hypervisor that is up and told: guests may come */
    bool maintenance;  /* none come */
    const char *why_takes_not; /* when it doesn't; NULL: "it is not up" */
};

struct plan_guest {
    const char *name, *uuid; /* the UUID each once */
    uint32_t host;
    uint64_t memory;     /* needed at a destination; 0: shut off, only its definition moves */
    uint64_t memory_now; /* what is free at the source once it has left; at most `memory` */
    enum plan_huge huge; /* where that memory is taken from */
    uint32_t vcpus;      /* 0 if it is shut off */
    uint32_t cpu_load;   /* thousandths of a CPU */
    const char *stays; /* why it can't move at all: "pinned by guests[2]", "it has snapshots"; NULL: it may */
    uint64_t require, prefer; /* labels that its host must have, should have */
    const uint32_t *groups;   /* indices into plan_fleet.groups */
    uint32_t n_groups;
    bool recent; /* moved a short while ago: balance leaves it alone */
};

struct plan_group {
    const char *name;
    bool apart; /* no two members on one host; else: all on the same one */
};

struct plan_fleet {
    const struct plan_host *hosts;
    const struct plan_guest *guests;
    const struct plan_group *groups;
    uint32_t n_hosts, n_guests, n_groups;
    const char *const *labels; /* up to 64 names, for texts */
    uint32_t n_labels;
    double vcpu_ratio; /* vCPUs per CPU at most; 0: no limit */
    /* What else stands in the way of this guest on that host (bridge, storage, CPU, ...); NULL: nothing. Must be a function of
     * its arguments. The text holds until the next call, and is the same for hosts that fail alike: "no bridge br5". May be
     * NULL. It is asked late, and only where the planner's own constraints allow the move. */
    const char *(*why_not)(void *arg, uint32_t guest, uint32_t host);
    void *arg;
};

enum plan_goal {
    PLAN_EVACUATE,    /* empty the hosts of `from` */
    PLAN_MOVE,        /* the guests of `guests` to hosts of `to` */
    PLAN_BALANCE,     /* spread memory and CPU load over the hosts */
    PLAN_CONSOLIDATE, /* as few hosts as `headroom` allows */
};

/* How much the spread (standard deviation over the hosts) of each counts. All 0: the defaults. */
struct plan_weights {
    double memory;   /* share of memory in use */
    double vcpus;    /* vCPUs per CPU */
    double cpu_load; /* share of CPU time in use */
    double guests;   /* number of guests */
};

struct plan_request {
    enum plan_goal goal;
    const bool
        *from; /* by host. EVACUATE: to empty. BALANCE, CONSOLIDATE: guests of these only (NULL: of all) */
    const bool *to;     /* by host: the only destinations; NULL: all that take guests */
    const bool *guests; /* by guest. MOVE: which. EVACUATE: only these (NULL: all) */
    bool across_sites;  /* a guest may leave its site */
    bool others_stay;   /* EVACUATE, MOVE: no other guest is moved to make room */
    struct plan_weights weights;
    double min_gain;    /* BALANCE: of the score, by each move; 0: 0.005 */
    uint32_t max_moves; /* BALANCE, CONSOLIDATE; 0: no limit */
    double
        headroom; /* CONSOLIDATE: share of memory and of CPU time that each host keeps free; 0: 0.1; negative: none */
};

enum plan_reason {
    PLAN_EMPTIES,    /* its host is to be emptied */
    PLAN_ASKED,      /* it was asked to move */
    PLAN_MAKES_ROOM, /* for another guest */
    PLAN_STOPOVER,   /* on the way to its place, which is not free yet */
    PLAN_SPREADS,    /* a better balance */
    PLAN_JOINS,      /* fewer hosts; or its affinity group moves */
};

struct plan_move {
    uint32_t guest, from, to; /* a guest may have a second move, after a stopover */
    enum plan_reason reason;
    uint32_t for_guest; /* MAKES_ROOM: for whom; else PLAN_NONE */
    uint32_t
        after; /* index of the move that must be done first: the guest's own to its stopover; PLAN_NONE: none */
    bool
        waits; /* it needs what earlier moves of the plan leave free at `to`: all of them that leave `to` must be done */
    double score; /* of the fleet after this move; lower is better */
};

struct plan_refusal { /* the same reason at many hosts, once */
    char *why;
    uint32_t *hosts; /* ascending by name; none: the reason is the guest's own (`stays`) */
    uint32_t n_hosts;
};

struct plan_stuck {
    uint32_t guest;
    struct plan_refusal *refusals; /* most hosts first */
    uint32_t n_refusals;
    char *
        why; /* all in one line: "memory: 12 MiB short of ... (kvm2, kvm3 and 7 others); no bridge br5 (kvm4)" */
};

struct plan {
    struct plan_move *moves;
    uint32_t n_moves;
    struct plan_stuck *stuck; /* those that should move and can't */
    uint32_t n_stuck;
    uint32_t *
        emptied; /* hosts that have guests now and none after it; in CONSOLIDATE those that can be powered off */
    uint32_t n_emptied;
    double score_before, score_after;
};

/* Reads the fleet once for several plans; the arrays stay the caller's and must outlive it. Indices that don't exist are the
 * caller's error and abort. */
struct planner *planner_new(const struct plan_fleet *fleet);
void planner_free(struct planner *planner);

/* Always gives a plan, which may be empty. */
void planner_run(struct planner *planner, const struct plan_request *request, struct plan *ret);
void plan_deinit(struct plan *plan);

/* Only best-fit-decreasing in the plainest form: each guest to the first host by name that takes it. What planner_run is measured by. */
void planner_first_fit(struct planner *planner, const struct plan_request *request, struct plan *ret);

/* "kvm7 is to be emptied"; "makes room for db3". Owned by the caller. */
char *plan_move_why(const struct plan_fleet *fleet, const struct plan_move *move);
