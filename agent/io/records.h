/* What the agent must not forget, in its state directory:
 *     transactions/UUID    one record per transaction (proto/record.proto)
 *     fence                the highest epoch, and the highest generation of each guest
 *     closures             what is kept closed at the storage (proto/closure.proto)
 *     archive/             definitions of guests that went away, as they were
 *     damaged/             files that could not be read, kept for the operator
 *     lock                 held while an agent runs
 *     records-ballast      1 MiB that is given up when the disk is full, so that what is under way can be written to its end
 * A file is written whole under another name, synced, renamed, and its directory synced: after a crash there is the old or
 * the new one. Each starts with a line that says what it is and a hash of the rest, so that a torn or edited one is noticed.
 *
 * Threads: any; writers of one file take turns. A durable write costs about 1 to 10 ms, so not on the loop. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "proto/closure.pb-c.h"
#include "proto/record.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

struct records;

/* Makes what is missing. FAILED_PRECONDITION when another agent holds the directory. A damaged fence is put aside, and
 * *ret_warning (may be NULL; its code is STATUS_OK otherwise) says so: then only the records say what was seen highest. */
int records_open(const char *dir, struct records **ret, struct error *ret_warning, struct error *err);
void records_free(struct records *records);
DEFINE_CLEANUP(struct records *, records_free);

/* The ballast lies there, or does now. Without it nothing new should be begun. */
bool records_has_room(struct records *records);

/* Calls fn for each record (freed with drover__v1__record__free_unpacked; it is the callee's) and damaged for each file
 * that is none: it was moved to damaged/, the error names it and what was wrong. */
int records_read(struct records *records, void (*fn)(void *arg, Drover__V1__Record *record),
                 void (*damaged)(void *arg, const struct error *why), void *arg, struct error *err);

/* Durable when it returns 0. DATA_LOSS: it is there, and nobody knows whether it survives a cut of the power: the agent has to end,
 * and to read what is there. The transaction's and the guest's UUIDs were checked by records_is_uuid. */
int records_put(struct records *records, const Drover__V1__Record *record, struct error *err);
int records_remove(struct records *records, const char *transaction, struct error *err);

/* Keeps a definition for good as archive/NAME-UUID-gGENERATION.xml; the same one twice is the same file. */
int records_archive(struct records *records, const char *name, const char *guest, uint64_t generation,
                    const char *xml, struct error *err);

/* What is kept closed at the storage (DATA_LOSS: as with records_put); freed with drover__v1__closures__free_unpacked. Empty if there is nothing yet. */
int records_get_closures(struct records *records, Drover__V1__Closures **ret, struct error *err);
int records_put_closures(struct records *records, const Drover__V1__Closures *closures, struct error *err);

uint64_t records_epoch(struct records *records);
uint64_t records_generation(struct records *records, const char *guest);

/* Raises what was seen highest, durable when it returns 0; a lower or equal one changes nothing and writes nothing.
 * DATA_LOSS: as with records_put; whatever is raised after that, the answer is the same. */
int records_raise(struct records *records, uint64_t epoch, const char *guest, uint64_t generation,
                  struct error *err);

bool records_is_uuid(const char *text);
