/* What a link carries, measured over the address that migration data takes: the source sends in a few short bursts to a port that the
 * destination opens for it (Peer.Throughput). Refused while a migration is on at either end, and given up when one begins; one at a
 * time from this host, and into one: who asks for the same destination meanwhile gets the same figure. Loop's. */
#pragma once

#include "agent/transactions.h"

/* fn is called once: bytes per second, or 0 and why. */
void throughput_measure(struct transactions *all, const Drover__V1__Endpoint *destination,
                        void (*fn)(void *arg, int64_t bandwidth, const struct error *why), void *arg);

/* A migration is on at this host, or the agent ends: what is being measured from or to here ends at once, without a figure. */
void throughput_give_up(struct transactions *all);
