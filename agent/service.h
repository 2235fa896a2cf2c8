/* The Agent service: GetHost, Watch, GetGuest here; the handlers of transactions are set by
 * agent/transactions.c. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

struct service;

struct service *service_new(struct agent *agent);

/* Ends the watches. After the server is freed. */
void service_free(struct service *service);
DEFINE_CLEANUP(struct service *, service_free);

/* For rpc_server_add. */
ProtobufCService *service_base(struct service *service);

/* The agent, for a handler: `service` is what protobuf-c hands to it. */
struct agent *service_agent(Drover__V1__Agent_Service *service);
