/* Which samples of libvirt's job the ladder (ladder.h) gets, and what holds while it gets none. Pure.
 *
 * A job has a part before the memory's: the destination's libvirt prepares, disks are copied. There the ladder has nothing to judge; the
 * policy's deadline begins with the memory where disks were copied, else with the job. Until then the job is given up when for as long as
 * the deadline nothing at all has moved.
 *
 * When all is sent and the guest stands still, the other end has to take it in, which no rate tells of: the ladder hears of it again when
 * that is late by the deadline, or by max_pause and a grace, since what is left lies in a socket whose peer may be gone. */
#pragma once

#include "agent/core/ladder.h"

enum { LADDER_GATE_GRACE = 2000, LADDER_GATE_REPEAT = 2000 }; /* ms */

struct ladder_gate {
    int64_t before; /* ms of the job before the deadline's time begins */
    bool begun;     /* the memory's part */
    int64_t moved_at;
    uint64_t moved;   /* what has been done of the job then */
    int64_t asked_at; /* elapsed when it was last given up; 0: never */
};

struct ladder_gate_sample {
    int64_t elapsed;
    uint64_t memory, memory_left; /* bytes; of all, 0: it isn't its turn yet */
    uint64_t done;                /* bytes of disks and memory */
    bool disks;                   /* are copied, or were */
    bool paused, others;          /* an operator's pause */
    int64_t paused_for;           /* ms */
    bool committed;               /* libvirt has handed the guest over */
};

enum ladder_gate_verdict {
    LADDER_GATE_WAIT,  /* nothing to judge */
    LADDER_GATE_BEGIN, /* the ladder's first sample: the memory's part has begun */
    LADDER_GATE_PASS,  /* the ladder's */
    LADDER_GATE_STUCK, /* to be cancelled: nothing moves; repeated while it has no effect */
};

enum ladder_gate_verdict ladder_gate(struct ladder_gate *gate, const struct ladder_policy *policy,
                                     const struct ladder_gate_sample *sample);
