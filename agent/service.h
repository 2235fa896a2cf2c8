/* The Agent service: GetHost, Watch, GetGuest here, Inspect and Probe in agent/probe.c and inspect.c; the handlers of transactions are set by agent/transactions.c. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

struct service;

/* All but `server` must be there in `agent`. */
struct service *service_new(struct agent *agent);

/* Right after the server is freed: ends the streams. */
void service_free(struct service *service);
DEFINE_CLEANUP(struct service *, service_free);

/* For rpc_server_add. */
ProtobufCService *service_base(struct service *service);

/* The agent, for a handler: `service` is what protobuf-c hands to it. */
struct agent *service_agent(Drover__V1__Agent_Service *service);

/* Tell those who watch. uuid: of a guest that has come, changed or gone; NULL: all guests have been read. */
void service_host_changed(struct service *service);
void service_guest_changed(struct service *service, const char *uuid);
void service_measured(struct service *service);
