/* The streams of Watch: the host, each guest, what is measured, `synced`, then what changes.
 *
 * A watcher that does not keep up is not sent each change, but what is true when it can take more: what waits for
 * it is a set of guests, never more than there are. */
#pragma once

#include "agent/agent.h"

struct watches;

struct watches *watches_new(struct agent *agent);
void watches_free(struct watches *watches); /* before the transactions; fails the streams with UNAVAILABLE */

/* Takes over the call. `epoch` of a coordinator (0: of one who only looks) is admitted first, durably, as with its orders: that of an
 * older one fails with ABORTED, and the streams of older ones end with it. Where it can't be written the stream begins all the same. */
void watches_add(struct watches *watches, struct rpc_call *call, uint64_t epoch);

void watches_host_changed(struct watches *watches);

void watches_measured(struct watches *watches);

/* uuid: a guest that has come, changed or gone; NULL: all guests have been read. */
void watches_guest_changed(struct watches *watches, const char *uuid);
