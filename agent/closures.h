/* Fencing at the storage, at its node: a target is closed to all but a guest's new host, durably, until it is opened by order.
 *
 * What is closed is in the state directory before it is done, with how it was; a server that was restarted with its own
 * configuration is closed again within CLOSURES_LOOK_MS. One thread of its own does all of it, one after the other. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

enum { CLOSURES_LOOK_MS = 5000 };

struct closures;

struct closures *closures_new(struct agent *agent);
void closures_free(struct closures *closures); /* waits for what is being done */

/* Loop. Each answers its call. */
void closures_close(struct closures *closures, const Drover__V1__CloseStorageRequest *request,
                    Drover__V1__CloseStorageReply_Closure reply, struct rpc_call *call);
void closures_open(struct closures *closures, const Drover__V1__OpenStorageRequest *request,
                   Drover__V1__OpenStorageReply_Closure reply, struct rpc_call *call);
void closures_list(struct closures *closures, Drover__V1__Closures_Closure reply, struct rpc_call *call);
