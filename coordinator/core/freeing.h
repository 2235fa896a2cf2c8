/* A move that no job knows: its coordinator's store was lost or restored, or it was another coordinator's. What of it may be cleared away
 * on an operator's word (drover free), one deed at a time, from what both hosts say now. Pure.
 *
 * Each deed is one that the lost coordinator would have done in that place, and the agents judge it as they would have judged that one's;
 * its epoch is ours, so that no other coordinator drives the move meanwhile. Where the two words leave anything open nothing is done. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* The guest, as the fleet's snapshot has it of a host. */
enum freeing_seen {
    FREEING_UNKNOWN, /* its agent can't be asked, or has not told all its guests yet */
    FREEING_ABSENT,
    FREEING_OFF, /* defined, and there is no QEMU */
    FREEING_PAUSED,
    FREEING_RUNNING,
};

/* Of disks that are copied: at the source the old ones, at the destination those that were made. */
enum freeing_images {
    FREEING_IMAGES_UNTOLD, /* its agent doesn't say: it is older */
    FREEING_IMAGES_NONE,
    FREEING_IMAGES_SOME,
};

struct freeing_side {
    const char *host; /* NULL: it is not known which */
    bool asked;       /* its agent has said what is open there */
    const char
        *state; /* of the move there, as the agent calls it ("FENCED"); NULL: it has nothing open of it */
    enum freeing_seen seen;
    enum freeing_images images; /* of the move, where a state is open */
};

struct freeing {
    const char *guest; /* name */
    struct freeing_side source, destination;
    const char *third; /* a host that is neither, and runs the guest; NULL: none is known */
    const char
        *maybe;    /* one that can't be asked, and had a QEMU of it when it last told; NULL: none is known */
    bool kept;     /* the source has answered KEPT since the operator's word */
    bool released; /* the source was released since then */
};

enum freeing_deed {
    FREEING_NOTHING, /* neither has anything open of it any more */
    FREEING_SETTLE, /* ask the source whose the guest is; it stops a transfer that is on, if that can be stopped */
    FREEING_ABORT, /* of the destination */
    FREEING_RELEASE_SOURCE,
    FREEING_RELEASE_DESTINATION,
};

/* What to do next. FAILED_PRECONDITION: nothing may be done; the text has what each host says, and what the operator can do. */
int freeing_next(const struct freeing *freeing, enum freeing_deed *ret, struct error *err);
