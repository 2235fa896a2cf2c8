/* Who listens to a transfer: calls of the coordinator's, each told all that happens until the end. The loop's. */
#pragma once

#include "common/rpc/rpc.h"
#include "proto/agent.pb-c.h"

struct listeners {
    struct listener *first;
};

/* The call becomes a listener. One that is cancelled only stops listening: the transfer goes on. */
void listeners_add(struct listeners *l, struct rpc_call *call);

/* Who can't keep up misses one; the next says it all. */
void listeners_tell(const struct listeners *l, const Drover__V1__TransferEvent *event);

/* Tells that the transfer has ended, and ends the calls. why: NULL for none. */
void listeners_end(struct listeners *l, bool succeeded, const char *why);

/* The same for a call that comes too late to listen. */
void listener_answer(struct rpc_call *call, bool succeeded, const char *why);
