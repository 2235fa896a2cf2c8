/* Inside the planner: an assignment of guests to hosts, what it leaves free, and how even it is. A change and the score of a
 * change that is only thought of cost the same few additions however many hosts there are. */
#pragma once

#include "coordinator/core/planner.h"

enum { METRICS = 5 };

/* Guests that move as one: those on one host that share an affinity group. Most have one guest. */
struct unit {
    uint32_t *guests; /* the planner's indices */
    uint32_t n_guests;
    uint32_t home; /* where it is now */
    uint64_t need[PLANNER_HUGE_SIZES], now[PLANNER_HUGE_SIZES];
    uint64_t used, used_at_home; /* of all sizes, as counted in the score */
    uint64_t most;               /* what it may use, of all sizes */
    uint32_t vcpus, cpu_load;
    uint32_t vcpu_percent; /* the strictest of its guests'; 0: no limit */
    uint64_t require, prefer;
    uint32_t
        kin; /* units of one affinity group (or of several that overlap) on different hosts; PLANNER_NONE */
    uint32_t staying;   /* its first guest that can't move, PLANNER_NONE if all can */
    double size;        /* by its largest share of a middling host */
    bool recent, apart; /* some guest is in an anti-affinity group */
};

/* Hosts are in the order of their names, guests in that of their UUIDs, units in that of their first guest. */
struct planner {
    const struct planner_fleet *fleet;
    uint32_t n_hosts, n_guests, n_units;
    uint32_t *hosts, *guests;         /* to the fleet's indices */
    uint32_t *host_rank, *guest_rank; /* and back */
    uint32_t *site;                   /* by host: equal numbers are equal sites */
    uint32_t *unit_of;                /* by guest */
    struct unit *units;
    uint32_t *members,
        *first_member; /* of each of the fleet's groups g: members[first_member[g] .. first_member[g + 1]) */
    uint32_t *kin, *first_kin, n_kin; /* units of each kin, in the same way */
    uint8_t **
        fits; /* by unit, then by host, what why_not said: 0 not asked, 1 yes, 2 no; a row is made when it is needed */
};

struct load {
    int64_t free[PLANNER_HUGE_SIZES];
    int64_t used; /* counted in the score, which goes by what is really used */
    uint64_t most;
    uint32_t vcpus, guests;
    uint32_t vcpu_percent; /* the strictest of the units that came; 0: no limit */
    uint64_t cpu_load;
    double x[METRICS];
    bool counted; /* in the score */
};

struct state {
    struct planner *planner;
    const struct planner_request *request;
    struct planner_weights weights;
    void *block; /* what the arrays are in */
    size_t size;
    struct load *hosts;
    uint32_t *at;                    /* by unit; state_nowhere() while it is taken out */
    uint32_t *first, *next, *before; /* lists of the units on each host; PLANNER_NONE ends them */
    uint32_t *room_for;              /* by unit: for which other unit it was moved; PLANNER_NONE */
    bool *open;                      /* by unit: is to move and has no place yet, so it binds no kin */
    bool *done;                      /* by unit: the plan has moved it, so balance leaves it where it is */
    bool *takes;                     /* by host, in this request */
    bool *emptied;                   /* by host */
    int64_t *spare;                  /* by host: memory to be left free */
    double *busiest;                 /* by host: cpu_load not to be passed; 0: no limit */
    double sum[METRICS], squares[METRICS];
    uint32_t n_counted;
    double unliked; /* preferred labels that are missed, over all guests */
};

static inline const struct planner_host *host_of(const struct planner *p, uint32_t host)
{
    return &p->fleet->hosts[p->hosts[host]];
}

static inline const struct planner_guest *guest_of(const struct planner *p, uint32_t guest)
{
    return &p->fleet->guests[p->guests[guest]];
}

void state_init(struct state *state, struct planner *planner, const struct planner_request *request);
void state_copy(struct state *state, const struct state *from);
void state_deinit(struct state *state);

/* In the order of struct load's `x`. */
void state_weights(const struct state *state, double ret[METRICS]);

/* Lower is better. */
double state_score(const struct state *state);

/* What the score would be with the unit there instead. */
double state_score_if(const struct state *state, uint32_t unit, uint32_t host);

/* What it would be if two units on different hosts changed places. */
double state_score_swapped(const struct state *state, uint32_t a, uint32_t b);

void state_put(struct state *state, uint32_t unit, uint32_t host);

/* Of two limits, 0 being none. */
static inline uint32_t stricter(uint32_t a, uint32_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* As the rule vcpu-limit counts one move. What came before keeps its own limit, too: the moves may run in another order. */
static inline bool too_many_vcpus(const struct planner_host *h, const struct load *l, const struct unit *u)
{
    uint64_t percent = stricter(u->vcpu_percent, l->vcpu_percent);
    return percent && u->vcpus && h->cpus && UINT64_C(100) * (l->vcpus + u->vcpus) > percent * h->cpus;
}

/* A place without limits that counts for nothing, to take a unit out for a moment. */
static inline uint32_t state_nowhere(const struct state *state)
{
    return state->planner->n_hosts;
}

enum obstacle {
    FITS,
    HOST_TAKES_NONE,
    HOST_MAINTENANCE,
    HOST_EMPTIED,
    HOST_NOT_ASKED,
    OTHER_SITE,
    NO_LABEL,
    NO_CPU, /* the first that a change elsewhere may clear */
    NO_MEMORY,
    NO_HUGE,
    NO_LOAD,
    NOT_APART,
    NOT_TOGETHER,
    WHY_NOT,
};

/* Something was moved to a host where none of its affinity group is: another that was to come there found no way. */
bool state_left_kin(const struct state *state);

/* May the unit go to that host, as things are. The unit's own place is no obstacle. */
enum obstacle state_obstacle(const struct state *state, uint32_t unit, uint32_t host);

/* Whether why_not has a word against it, whatever the state: remembered. */
bool planner_fits(struct planner *planner, uint32_t unit, uint32_t host);

/* For the operator: why the guest can't go to that host, as things are. Owned by the caller. */
char *state_obstacle_text(const struct state *state, uint32_t unit, uint32_t host, enum obstacle obstacle);
