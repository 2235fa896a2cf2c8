/* What a link carries, measured over the address that migration data takes: the source sends for a fraction of a second to a
 * port that the destination opens for it (Peer.Throughput). Refused while a migration is on at either end, and one at a time from
 * this host: who asks for the same destination meanwhile gets the same figure. Loop's. */
#pragma once

#include "agent/transactions.h"

/* fn is called once: bytes per second, or 0 and why. */
void throughput_measure(struct transactions *all, const Drover__V1__Endpoint *destination,
                        void (*fn)(void *arg, int64_t bandwidth, const struct error *why), void *arg);
