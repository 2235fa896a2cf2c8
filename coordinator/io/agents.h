/* Sessions with all agents: one connection each, remade with backoff; their event streams keep the fleet's snapshot. */
#pragma once

#include "common/rpc/rpc.h"
#include "coordinator/core/fleet.h"

struct agents;

struct agents_config {
    struct loop *loop;
    struct rpc_tls *tls; /* borrowed; NULL without TLS */
    struct fleet *fleet; /* hosts already added; borrowed */
    uint64_t epoch;      /* this coordinator's: a host that has heard of a newer one refuses the session */
    int64_t silent_ms;   /* after which an agent hangs that is connected and says nothing; 0: 60 s */
    /* After each change of a host or its guests. May be NULL. */
    void (*changed)(void *arg, struct fleet_host *host);
    void *arg;
};

int agents_new(const struct agents_config *config, struct agents **ret, struct error *err);
void agents_free(struct agents *agents);
DEFINE_CLEANUP(struct agents *, agents_free);

/* NULL for a host that the inventory does not have. */
struct rpc_client *agents_client(const struct agents *agents, const char *host);
