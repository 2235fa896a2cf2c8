/* What a run has really exercised: a fault that is never injected finds nothing. */
#pragma once

#include "agent/core/participant.h"
#include "coordinator/core/transaction.h"

#include <stdbool.h>
#include <stdint.h>

enum seen {
    /* Network. */
    SEEN_LOST,
    SEEN_ANSWER_LOST,
    SEEN_LATE,
    SEEN_REPEATED,
    SEEN_REORDERED,
    SEEN_NOBODY_LISTENS,
    SEEN_CUT,
    SEEN_HEALED,
    /* Crashes. */
    SEEN_COORDINATOR_DIED,
    SEEN_COORDINATOR_DIED_UNWRITTEN, /* it had decided, the journal did not know */
    SEEN_COORDINATOR_DIED_UNSENT,    /* between journal and send */
    SEEN_COORDINATOR_DIED_HALF_SENT, /* between two sends */
    SEEN_AGENT_DIED,
    SEEN_AGENT_DIED_UNWRITTEN,
    SEEN_AGENT_DIED_WRITTEN, /* before or between the deeds */
    SEEN_AGENT_DIED_UNSAID,  /* all is done, the answer has not left */
    SEEN_HOST_DIED,
    SEEN_TAKEN_OVER,      /* a second coordinator drives, of a higher epoch */
    SEEN_DEPOSED_REFUSED, /* an agent refuses a message of a lower epoch */
    /* Disks. */
    SEEN_WRITE_REFUSED,
    SEEN_WRITE_UNSURE, /* it failed after it had come through */
    SEEN_WRITE_UNDONE, /* it was not synced, and is undone by a cut of the power */
    SEEN_RECORD_TORN,
    SEEN_FENCE_TORN,
    SEEN_RESTORED,
    SEEN_AGENT_DISK_FULL,
    SEEN_JOURNAL_REFUSED,
    SEEN_JOURNAL_UNSURE,
    SEEN_JOURNAL_FULL,
    SEEN_BALLAST, /* a write that only the ballast had room for */
    SEEN_TIDIED,
    /* Copied disks. */
    SEEN_COPIED,
    SEEN_COPIED_OFF,
    SEEN_COPIED_HALF,
    SEEN_PUT_ASIDE,
    /* Clocks. */
    SEEN_CLOCK_FORWARD,
    SEEN_CLOCK_BACK,
    SEEN_DAY,
    SEEN_AGENT_STALLED,
    SEEN_COORDINATOR_STALLED,
    /* People. */
    SEEN_CANCELLED,
    SEEN_SAID_SOURCE,
    SEEN_SAID_DESTINATION,
    SEEN_SAID_COLD, /* the same, and not for its memory */
    SEEN_GRANTED,
    SEEN_GRANTED_COLD,
    SEEN_TAKEN_BACK,
    SEEN_TAKEN_BACK_OWNED,
    SEEN_BY_HAND,
    SEEN_SUSPENDED,
    SEEN_PAUSE_NOTED,
    SEEN_PAUSED_ANEW, /* libvirt had let it run, since the transfer had failed or is post-copy's */
    SEEN_IMAGE_RESUMED,
    SEEN_SECOND_ENDED,
    SEEN_LADDER_PAUSED,
    SEEN_AUTOSTARTED,
    /* libvirt's job. */
    SEEN_STOPPED,
    SEEN_FINISH_LOST,
    SEEN_FINISH_LOST_LOCKED, /* libvirt has let the guest run at the destination; a lock stops the second copy */
    SEEN_LEFT_PAUSED,        /* libvirt may have let it run there, and its death leaves the source paused */
    SEEN_LOCKED,             /* a lock that the other copy holds has stopped a resume */
    SEEN_POST_COPY_ASKED,
    SEEN_POST_COPY_REFUSED,
    SEEN_POST_COPY_TOO_LATE, /* the last pass was done before it began */
    SEEN_POST_COPY_FAILED,   /* the job has failed after it was asked for and before it began */
    SEEN_POST_COPY_BEGUN,
    SEEN_POST_COPY_BROKEN,
    SEEN_POST_COPY_TAKEN_UP,
    SEEN_POST_COPY_DONE,
    SEEN_POST_COPY_UNFINISHED, /* all memory is there, Finish's answer is lost */
    SEEN_POST_COPY_SOURCE_DIED,
    SEEN_POST_COPY_DESTINATION_DIED,
    SEEN_POST_COPY_DOUBT, /* SETTLE while the memory is on both hosts */
    SEEN_KINDS
};

enum { COVERAGE_JOB_PHASES = 7 }; /* of world.h */

struct coverage {
    uint64_t seen[SEEN_KINDS];
    uint64_t libvirt_died[2][COVERAGE_JOB_PHASES],
        qemu_died[2][COVERAGE_JOB_PHASES]; /* at source, destination */
    uint64_t transaction[TXN_N_STATES][TXN_N_STATES];
    uint64_t participant[2][PARTICIPANT_STATES][PARTICIPANT_STATES];
};

void coverage_transaction(struct coverage *c, enum txn_state from, enum txn_state to);
void coverage_add(struct coverage *sum, const struct coverage *more);

/* Prints how often each was seen; false if one never was. What can't be is not printed. */
bool coverage_print(const struct coverage *c);
