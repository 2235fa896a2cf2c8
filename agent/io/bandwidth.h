/* The two ends of a measurement of a link: one sends in bursts (core/bursts.h), the other throws away what comes. */
#pragma once

#include "agent/io/limit.h"
#include "common/base/error.h"

enum { BANDWIDTH_NONCE = 36 }; /* bytes that come first, so that nobody else's stream is swallowed */

/* Worker: takes about a second. `fd`: connected and non-blocking, still the caller's; what is queued on it is dropped when it is closed.
 * Bytes per second. UNAVAILABLE when the connection breaks, CANCELLED when the limit says so. */
int bandwidth_send(const struct limit *limit, int fd, const char *nonce, int64_t *ret, struct error *err);

/* Worker: takes one connection of the listener and reads it to its end, or until the limit; closes both. */
void bandwidth_swallow(const struct limit *limit, int listener, const char *nonce);
