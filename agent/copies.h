/* A transaction's copied disks (proto/types.proto, DiskCopy), at either end. Workers, in the guest's turn.
 *
 * The destination makes the empty images at PREPARE, and each is in the manifest before it is made: first a draft under a name with the
 * transaction's id in it, then its inode is recorded, then it gets its name. So whatever interrupts it, an undoing removes exactly what
 * was made. From OWNER on the images are the guest's, and nothing removes them. The source keeps the old image, renamed at RELEASE. */
#pragma once

#include "agent/transaction.h"

/* Source: completes what the coordinator knew of the disks. Adds findings. */
void copies_check_source(virConnectPtr conn, Drover__V1__Relocation *relocation,
                         const Drover__V1__Guest *guest, struct findings *f);

/* Destination: nothing is there yet, and there is room; chooses which images are backed by one that is here already. */
void copies_check_destination(struct transaction *txn, virConnectPtr conn, struct findings *f);

/* Destination: into the manifest, for the next write of the record; then makes them, writing what it made. */
void copies_promise(struct transaction *txn);
int copies_make(struct transaction *txn, virConnectPtr conn, struct error *err);

/* Destination, of a guest that is shut off: its disk is about to be written (`ret_empty`: for the first time), is whole; durably. */
int copies_begin(struct transaction *txn, const Drover__V1__DiskCopy *copy, bool *ret_empty,
                 struct error *err);
int copies_end(struct transaction *txn, const Drover__V1__DiskCopy *copy, struct error *err);
bool copies_is_whole(struct transaction *txn, const Drover__V1__DiskCopy *copy);
bool copies_incomplete(
    const struct transaction *txn); /* not all are whole; false if there are none (any more) */

/* Destination: removes what was made and no domain uses, here or, as the coordinator knows, elsewhere. `text` says what could not be. */
int copies_undo(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err);

/* Source, at RELEASE: renames the old images that no other domain of the fleet uses, and lists them in the record as they are called now. */
void copies_put_aside(struct transaction *txn, virConnectPtr conn);

uint64_t copies_bytes(const struct transaction *txn);
bool copies_any(const struct transaction *txn);

/* NULL if that disk is not copied. */
Drover__V1__DiskCopy *copies_of(const struct transaction *txn, const char *target);
