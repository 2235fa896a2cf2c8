/* How a guest's place at the destination differs from that at the source: what is mapped, and which disks are copied. Pure; made from
 * what the agents proved, completed by their votes at PREPARE (proto/types.proto, Relocation). */
#pragma once

#include "coordinator/core/preflight.h"

/* NULL if nothing differs. Freed with drover__v1__relocation__free_unpacked. */
Drover__V1__Relocation *relocation_make(const struct preflight *in);

/* The lines of the definition that differ, for the operator: an owned array of owned messages. */
size_t relocation_changes(const struct preflight *in, const Drover__V1__Relocation *relocation,
                          Drover__V1__Change ***ret);

/* What is copied, in bytes. */
uint64_t relocation_bytes(const Drover__V1__Relocation *relocation);

/* Of disk i of the guest: with --copy-storage, when the hosts don't share it. */
bool relocation_copies(const struct preflight *in, size_t disk);

/* Bytes that disk i takes at the source now, with what it is backed by unless the destination has that, and that the guest sees; 0: not
 * known. */
uint64_t relocation_allocated(const struct preflight *in, size_t disk);
uint64_t relocation_size(const struct preflight *in, size_t disk);
