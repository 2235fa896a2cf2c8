/* How much memory a guest dirties, by QEMU's page sampling (512 pages per GiB: a hit stands for 2 MiB), which works with KVM
 * and TCG and costs next to nothing. Never by dirty-bitmap: on a TCG guest that kills QEMU 7.2. */
#pragma once

#include "agent/io/libvirt.h"
#include "common/model/model.h"

#include <stdatomic.h>

/* Worker: takes `seconds` and a little more. Bytes that were dirtied at least once within that time. FAILED_PRECONDITION when the
 * guest does not run or has a job (never during a migration); CANCELLED when *stop becomes true. */
int dirty_rate_sample(virConnectPtr conn, const char *uuid, int seconds, const atomic_bool *stop,
                      struct model_window *ret, struct error *err);

/* Worker: bytes of the guest's memory, of `memory` in all, that it has ever touched; 0: not known. See io/touched.h. */
int64_t dirty_rate_touched(virConnectPtr conn, const char *uuid, int64_t memory);
