/* The agent's half of the migrations: joins core/participant with the records, libvirt and the wire. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

struct transactions;

/* Reads the records of config->state_dir and goes on with what is open. Called once all of the agent but `server` is there;
 * libvirt may be down. Fails if the state directory can't be used: an agent without a memory must not vote. */
int transactions_new(struct agent *agent, struct transactions **ret, struct error *err);

/* After the server is freed. Work in progress keeps what it needs until it is done. */
void transactions_free(struct transactions *transactions);
DEFINE_CLEANUP(struct transactions *, transactions_free);

/* Sets the handlers ListTransactions, Prepare, Migrate, Settle, Abort, Activate, Release and ColdStart; a handler finds
 * the agent by service_agent. */
void transactions_serve(Drover__V1__Agent_Service *service);

/* The mesh's service, for rpc_server_add; lives as long as `transactions`. */
ProtobufCService *transactions_peer_service(struct transactions *transactions);

/* The state directory. */
struct records;
struct records *transactions_records(struct transactions *transactions);

/* What a write to it has returned. Ends the program where nobody knows whether it survives a cut of the power (DATA_LOSS): what is
 * there is read when it is started again. */
int transactions_durable(int e, const struct error *err);

/* Refuses an older coordinator (ABORTED). Any thread. */
int transactions_check_epoch(const struct transactions *transactions, uint64_t epoch, struct error *err);

/* The same, and raises the epoch, durably. Not on the loop. */
int transactions_admit_epoch(struct transactions *transactions, uint64_t epoch, struct error *err);

/* Memory that open transactions hold at this host, in bytes, and huge pages. Any thread. */
uint64_t transactions_reserved_bytes(const struct transactions *transactions);
uint64_t transactions_reserved_hugepages(const struct transactions *transactions);

/* A guest moves, or is about to, from or to this host. Loop's thread. */
bool transactions_moving(const struct transactions *transactions);

/* The transaction that is open on a guest, or NULL. Loop's thread. */
const char *transactions_of_guest(const struct transactions *transactions, const char *uuid);
