/* TCP ports: a listener in the migration range at the destination, a connection to it from the source. */
#pragma once

#include "agent/io/limit.h"
#include "common/base/error.h"
#include "proto/probe.pb-c.h"

#define PORT_GREETING "drover-probe %s\n" /* what the listener says, with the nonce */
enum { PORT_GREETING_MAX = 64 };

/* Listens on the last free port of the range, 1 <= min <= max <= 65535, at `address` (a name or an address of this host). Returns the
 * listening, non-blocking socket with outcome, port and counts in the result; -1 with the outcome when there is none. `proc`: procfs. */
int port_open(const char *proc, const char *address, uint32_t min, uint32_t max,
              Drover__V1__ProbeResult *result);

/* The same port, of which nobody else is told until it is given back: for a program that is about to listen on it. 0: there is none. Any
 * thread. */
uint32_t port_reserve(const char *proc, const char *address, uint32_t min, uint32_t max,
                      Drover__V1__ProbeResult *result);
void port_give_back(uint32_t port);

/* Connects, from the address `from` (may be empty). With a nonce the greeting must hold it. */
void port_connect(const struct limit *limit, const char *from, const char *address, uint32_t port,
                  const char *nonce, Drover__V1__ProbeResult *result);

/* The same without an opinion on what answers: a connected, non-blocking socket, or -1 with outcome, reason and `seen`. */
int port_dial(const struct limit *limit, const char *from, const char *address, uint32_t port,
              Drover__V1__ProbeResult *result);
