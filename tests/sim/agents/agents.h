/* Thousands of agents in one process: each has its own port and service, and tells of a made-up host; their guests move from one to
 * another by the same calls as real ones. Everything on one loop. */
#pragma once

#include "common/base/loop.h"
#include "common/rpc/rpc.h"
#include "proto/agent.pb-c.h"

#include <stdbool.h>

struct watcher;
struct transfer;

struct made_agent {
    Drover__V1__Agent_Service service; /* first: handlers get its address */
    unsigned number;
    struct rpc_server *server;
    struct watcher *watchers;
};

struct made_guest {
    unsigned home, number;     /* what it is called and has */
    unsigned at;               /* the agent where it is now */
    struct transfer *transfer; /* on its way, or sent and not settled; NULL: neither */
    unsigned to;               /* where its last transfer went */
    bool sent;                 /* the transfer ended well */
};

struct made_world {
    struct loop *loop;
    struct made_agent *agents;
    struct made_guest *guests; /* those of one home together */
    unsigned n_agents, per_agent;
    struct loop_timer *beat;
    unsigned transfer_ms; /* that the memory of a running guest takes */
};

extern struct made_world world;

/* NULL if there is no such guest. */
struct made_guest *made_find(const char *uuid);
unsigned made_count(const struct made_agent *agent); /* guests that are there */
unsigned made_number(const char *host);              /* of "kvm0012" */
const char *made_url(const struct made_agent *agent);

/* The guest is at that agent from now on; who watches the one or the other is told. */
void made_moved(struct made_guest *guest, unsigned to);

/* Says to all who watch that the loop turns, and again in 15 s. */
void made_beat(void *unused);

/* watch.c: Watch, GetHost, GetGuest, Survey; proofs.c: Inspect, Probe, Look, MakeForecast, HookNotes; moves.c: the others. */
void made_serve_watch(Drover__V1__Agent_Service *service);
void made_serve_proofs(Drover__V1__Agent_Service *service);
void made_serve_moves(Drover__V1__Agent_Service *service);
