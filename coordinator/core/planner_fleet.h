/* The planner's arrays, made from a snapshot of the fleet and the operator's rules: preflight's rules (without probes) say what
 * else stands in a move's way. */
#pragma once

#include "coordinator/core/guest_rules.h"
#include "coordinator/core/planner.h"
#include "coordinator/core/preflight.h"

struct planner_view_of {
    const struct fleet *fleet;
    const Drover__V1__Policy *policy;
    Drover__V1__Mode mode;              /* of guests that run */
    const struct guest_rules *rules;    /* NULL: the fleet's */
    const struct promised *promised;    /* by open jobs, to each host; NULL: nothing */
    const Drover__V1__Job *const *open; /* these */
    size_t n_open;
    char *const *accept; /* ids of findings that don't block, as the operator says */
    size_t n_accept;
    bool copy_storage;  /* disks that the hosts don't share are copied */
    const bool *closed; /* hosts that get no guests (maintenance); NULL: none */
    /* Why the guest is to be left alone ("job 7 works on it"; held until the view is freed), NULL if it isn't. May be NULL. */
    const char *(*busy)(void *arg, const char *uuid);
    bool (*recent)(void *arg, const char *uuid); /* it was moved a short while ago. May be NULL */
    /* What holds for the guest's move instead of `policy`. May be NULL. */
    void (*policy_of)(void *arg, const Drover__V1__Guest *guest, Drover__V1__Policy *ret);
    void *arg;
};

struct planner_view {
    struct planner_fleet fleet; /* hosts in the order of the snapshot */
    const struct fleet_guest *
        *guests; /* by the planner's index: each UUID once, as it is where it has a process */
    /* CPU load was measured on some host. What was not is taken to be like the rest: a guest's by its vCPUs, a host's own by its CPUs. */
    bool measured;
};

/* Of a host that could have guests, and of which its agent has not measured the load (yet). */
bool planner_view_unmeasured(const struct planner_view *view, uint32_t host);

/* Good until the snapshot changes. */
struct planner_view *planner_view_new(const struct planner_view_of *of);
void planner_view_free(struct planner_view *view);

/* PLANNER_NONE if there is none. */
uint32_t planner_view_host(const struct planner_view *view, const char *name);
uint32_t planner_view_guest(const struct planner_view *view, const char *uuid);
