/* What a host must have free for a guest: one count for who checks, who places and who prepares, so that none of them refuses what
 * another has found to fit. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* QEMU's own memory beside the guest's: its heap, page tables, video memory, the copies that a transfer keeps. There is no exact bound. */
uint64_t need_overhead(uint64_t memory_max);

/* Of ordinary memory. Huge pages were taken out of the host's free memory when they were reserved. */
uint64_t need_memory(uint64_t memory_max, bool hugepages);
