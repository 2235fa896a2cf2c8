/* What the store keeps of the fleet itself: hosts in maintenance, what evacuations took from where, and what moved when. */
#pragma once

#include "coordinator/io/store.h"

#include <stdbool.h>

int store_set_maintenance(struct store *store, const char *host, bool on, struct error *err);
int store_each_maintenance(struct store *store, void (*fn)(void *arg, const char *host), void *arg,
                           struct error *err);

/* The guest was taken from the host (`gone`), or is back. Done twice it is the same. Hosts that it was taken from since were none
 * of its own: it is not away from them any more. */
int store_set_away(struct store *store, const char *host, const char *guest_uuid, const char *name, bool gone,
                   struct error *err);
/* It is back; *ret_was_away: it was known to be away from there. */
int store_came_home(struct store *store, const char *host, const char *guest_uuid, bool *ret_was_away,
                    struct error *err);
/* Each guest that a job moved at `since` (ms since 1970) or later. */
int store_each_moved(struct store *store, int64_t since_ms, void (*fn)(void *arg, const char *guest_uuid),
                     void *arg, struct error *err);

int store_each_away(struct store *store, const char *host,
                    void (*fn)(void *arg, const char *guest_uuid, const char *name), void *arg,
                    struct error *err);
