/* Who stopped a guest whose memory is on its way: QEMU, to switch over, or an operator (virsh suspend)? Pure. libvirt 9.0 tells both
 * as the same event and the same reason (measured). What comes after them differs: QEMU stops the guest, looks once more for what was
 * dirtied (a pass) and sends the rest; after an operator's pause it goes on sending, and the end of it takes two passes more.
 *
 *     NONE ------> OPEN --- pass ---> SWITCH_OVER --- pass ---> OTHER     it runs again: NONE
 *        stopped     \------- more and more is sent ----------> /
 *
 * Where a stalled link lets nothing through and then fails, it stays OPEN: libvirt has let the guest run again, and that stands. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum stop_state { STOP_NONE, STOP_OPEN, STOP_SWITCH_OVER, STOP_OTHER };

struct stop {
    enum stop_state state;
    bool passes;  /* QEMU tells of its passes; else nothing is concluded */
    int64_t sent; /* bytes of memory, as last seen in the stop; -1: not seen */
    int grown;    /* samples in which it had become more */
};

void stop_begins(struct stop *stop);
void stop_ends(struct stop *stop);
void stop_pass(struct stop *stop); /* QEMU's event, in its order with the others */

/* Bytes of memory. `total` 0: it is not their turn yet (disks come first), so QEMU does not switch over. A sample that was taken before
 * the stop does no harm. */
void stop_sample(struct stop *stop, bool paused, int64_t total, int64_t sent);
