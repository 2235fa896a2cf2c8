/* The streams of Watch: the host, each guest, what is measured, `synced`, then what changes.
 *
 * A watcher that does not keep up is not sent each change, but what is true when it can take more: what waits for
 * it is a set of guests, never more than there are. */
#pragma once

#include "agent/agent.h"

struct watches;

struct watches *watches_new(struct agent *agent);
void watches_free(struct watches *watches); /* fails the streams with UNAVAILABLE */

/* Takes over the call. */
void watches_add(struct watches *watches, struct rpc_call *call);

void watches_host_changed(struct watches *watches);

void watches_measured(struct watches *watches);

/* uuid: a guest that has come, changed or gone; NULL: all guests have been read. */
void watches_guest_changed(struct watches *watches, const char *uuid);
