/* How much of its memory a guest has ever touched, by what the kernel tells of its QEMU. Pages that were swapped out were touched;
 * huge pages are in none of the kernel's sums of resident memory, and are counted apart. */
#pragma once

#include <stdint.h>

/* Worker. Bytes; 0: it can't be told, and then all of it counts as touched. By the mapping of `memory` bytes where this program may
 * read smaps, else by the whole process. `run`: where libvirt keeps QEMU's process ids; roots are arguments, so that tests can make
 * them. */
int64_t touched_memory(const char *run, const char *procfs, const char *guest, int64_t memory);

/* Of the mapping of that size (of several, the most) in a text like /proc/PID/smaps; 0: there is none, or it was never touched. */
int64_t touched_mapping(const char *smaps, int64_t size);

/* Of a whole QEMU by a text like /proc/PID/status, without what QEMU itself takes; 0: a figure is missing. */
int64_t touched_process(const char *status);
