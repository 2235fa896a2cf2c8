/* What the files of the agent share. Made and freed by main.c; the pointers stay the same while the program
 * runs.
 *
 * Threads. State belongs to the loop. What blocks (libvirt, files, sysfs) runs on a worker as a function of
 * its arguments, and its `done` changes the state on the loop. */
#pragma once

#include "agent/config.h"
#include "common/base/loop.h"
#include "common/rpc/rpc.h"

struct libvirt;      /* agent/io/libvirt.h: the connection and its events */
struct guests;       /* agent/io/guests.h: the table of guests */
struct host_report;  /* agent/io/host_report.h: what the host is and has */
struct transactions; /* agent/transactions.h: the agent's half of the migrations */

struct agent {
    struct loop *loop;
    struct workers *workers;
    const struct agent_config *config;
    struct rpc_tls *tls; /* NULL without TLS; for calls to other agents, too */
    struct rpc_server *server;
    struct libvirt *libvirt; /* this and the next one: NULL unless the host is a hypervisor */
    struct guests *guests;
    struct host_report *report;
    struct transactions *transactions;
    char instance[37];  /* random, new at each start */
    int64_t started_ms; /* realtime */
};

/* main.c and service.c use this much of agent/transactions.h, all on the loop:
 *
 *     Reads the records of config->state_dir and goes on with what is open. Called once all of the above but
 * `server` is there; libvirt may be down. int transactions_new(struct agent *agent, struct transactions
 * **ret, struct error *err); void transactions_free(struct transactions *transactions);
 *
 *     Sets the handlers ListTransactions, Prepare, Migrate, Settle, Abort, Activate, Release and ColdStart; a
 * handler finds the agent by service_agent (agent/service.h). void
 * transactions_serve(Drover__V1__Agent_Service *service);
 *
 *     The mesh's service, for rpc_server_add; lives as long as `transactions`.
 *         ProtobufCService *transactions_peer_service(struct transactions *transactions);
 *
 *     Memory that open transactions hold at this host, in bytes; and the transaction that is open on a guest,
 * or NULL. uint64_t transactions_reserved_bytes(const struct transactions *transactions); const char
 * *transactions_of_guest(const struct transactions *transactions, const char *uuid);
 *
 * In turn a transaction that opens or ends calls guests_refresh and host_report_changed. */
