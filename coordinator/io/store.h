/* The journal and the history: an interface, SQLite behind it (WAL, synchronous=FULL: what was stored is on disk when the
 * call returns). Blocking, about 0.3 ms a commit; called on the loop. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "proto/coordinator.pb-c.h"

#include <stdint.h>

struct store;

/* Opens or makes the file (mode 0600), migrates its schema, refuses one of a newer version, takes the next epoch, and keeps
 * the file locked: a second coordinator on it fails with FAILED_PRECONDITION. Beside it lies PATH-ballast, 1 MiB that are given
 * up when the disk is full, so that running transactions can still be journalled. */
int store_open(const char *path, struct store **ret, struct error *err);
void store_free(struct store *store);
DEFINE_CLEANUP(struct store *, store_free);

/* Grows at each store_open, and is at least the ms since 1970, as is each generation of a guest: the agents would refuse numbers below
 * those that a lost store, or one that is newer than the backup in its place, gave. */
uint64_t store_epoch(const struct store *store);

/* 0 while there is room for new work. RESOURCE_EXHAUSTED: the disk is full and the ballast is gone; running transactions
 * still try. Asking lays the ballast again once there is room. */
int store_ready(struct store *store, struct error *err);

/* The guest's next generation, durable before it returns: never given twice. */
int store_next_generation(struct store *store, const char *guest_uuid, uint64_t *ret, struct error *err);

/* A job's durable row: what the operator sees, and the transaction's state as the driver packs it.
 * `job->id` 0: a new row, its id is set. An ended job's transaction is dropped (it has the guest's secrets). */
int store_put_job(struct store *store, Drover__V1__Job *job, const void *txn, size_t txn_size,
                  struct error *err);

/* Calls fn for each open job (not DONE, FAILED, CANCELLED), oldest first: what a restarted coordinator goes on with. */
int store_each_open(struct store *store,
                    int (*fn)(void *arg, const Drover__V1__Job *job, const void *txn, size_t txn_size),
                    void *arg, struct error *err);

/* Newest first, without their logs; `limit` 0 means 100; `guest` is a name or a UUID, or NULL. The reply is freed with drover__v1__list_jobs_reply__free_unpacked(reply, NULL). */
int store_list_ended(struct store *store, uint32_t limit, const char *guest, Drover__V1__ListJobsReply **ret,
                     struct error *err);

/* Open or ended; NOT_FOUND. Freed with drover__v1__job__free_unpacked(job, NULL). */
int store_get_job(struct store *store, uint64_t id, Drover__V1__Job **ret, struct error *err);

/* Forgets jobs that ended `keep_ms` before `now_ms` (since 1970), the oldest first, up to the first that is younger, and `max` at most;
 * never one of the `newest`, so that a clock that was ahead for a day does not cost the whole history. One that ended in the future, by
 * such a clock, counts as old: it would hold up all after it. Returns how many. */
int store_prune(struct store *store, int64_t now_ms, int64_t keep_ms, unsigned newest, unsigned max,
                struct error *err);
