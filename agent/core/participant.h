/* The agent's half of a migration in two phases, for the source and for the destination: a pure state machine
 * (design.md, "The handover"). What is durable and what libvirt says come in, what to write and what to do go out.
 *
 * Source
 *           PREPARE, yes           MIGRATE               off by "migrated"         RELEASE
 *     NONE --------------> PREPARED -------> MIGRATING ---------------------> FENCED -------> RELEASED
 *      | PREPARE, no          | |                | QEMU alive, no job          ^  | COLD START
 *      | SETTLE               | |                | SETTLE                      |  v
 *      +--------> KEPT <------+-|----------------+                             | COLD
 *                     SETTLE,   +---------------- MIGRATE of a guest that is ---+
 *                     ABORT                       shut off: only its definition moves
 *
 * From each of them but COLD, without a QEMU, to FENCED: an operator has given the guest to the destination (granted).
 *
 * Destination
 *           PREPARE, yes           ACTIVATE: image there        it runs           RELEASE
 *     NONE --------------> PREPARED ------------------> OWNER -----------> ACTIVATED -----> RELEASED
 *      |                      |    ACTIVATE-COLD          | (that: image ended, guest started from its disks)
 *      | PREPARE, no          | ABORT                     |
 *      | ABORT                | ACTIVATE: image gone      | image died before it ran
 *      +-----> TOMBSTONE <----+---------------------------+ (disks that came with it: ACTIVATED, off)
 *
 * From OWNER and ACTIVATED, without a QEMU, to TOMBSTONE: an operator has taken the guest back to the source (taken).
 *
 * NONE after MIGRATE was sent (`transferred`): the record is lost, libvirt is the truth. A guest that runs at the source without a
 * job is KEPT, one that is off by "migrated" FENCED, an image at a destination that the coordinator ACTIVATEs is its guest's; what
 * libvirt does not say either is an operator's to say.
 *
 * Post-copy. libvirt runs the guest at the destination as soon as it has switched over, and the rest of its memory follows:
 * from the moment that it may have been asked for, a job is never stopped and neither QEMU ended or resumed. Either the job
 * completes (GONE), or it fails before the switch-over and the source runs on (KEPT); until then SETTLE stays in doubt. So it does
 * where libvirt has left the guest paused, without a job: it may run at the destination, also if post-copy was only allowed.
 *
 * An operator's pause in mid-transfer (virsh suspend) makes the transfer shorter and changes nothing else: the guest ends paused
 * where it ends, also where libvirt itself lets it run: at the source when the transfer has failed, at the destination where post-copy
 * was allowed.
 *
 * An operator's word that the guest is the destination's (SETTLE-GONE, SETTLE-GRANTED) does not say whether it has run on at the source
 * since the image that waits at the destination was complete; then that is older than the disks, and would spoil them. So the image is
 * ended, and the guest starts from its disks (ACTIVATE-COLD), unless the word is for its memory, too. What libvirt itself has let run
 * there (after post-copy was allowed) is no image that waits: it is the guest.
 *
 * Autostart. A host that starts again must not start what it may have given away: it is taken off before anything of the guest leaves
 * (MIGRATE), and given back with KEPT and COLD, as often as it takes.
 *
 * Invariant: a source that is KEPT and a destination that is OWNER never exist for one generation, nor a source that may
 * start its guest (anything before FENCED) beside one. Each rests on one durable word of the source: KEPT takes away the
 * right to migrate, FENCED the right to run. */
#pragma once

#include <stdbool.h>

enum participant_role { PARTICIPANT_SOURCE, PARTICIPANT_DESTINATION };

enum participant_state {
    PARTICIPANT_NONE, /* no record of this transaction */
    PARTICIPANT_PREPARED,
    PARTICIPANT_MIGRATING,
    PARTICIPANT_KEPT,
    PARTICIPANT_FENCED,
    PARTICIPANT_COLD, /* the source's again: the image was lost, the guest starts from its disks */
    PARTICIPANT_OWNER,
    PARTICIPANT_ACTIVATED,
    PARTICIPANT_TOMBSTONE,
    PARTICIPANT_RELEASED,
    PARTICIPANT_STATES,
};

/* What libvirt says of the guest at this host. */
enum participant_guest {
    PARTICIPANT_UNASKED, /* libvirt can't be asked: nothing is known */
    PARTICIPANT_ABSENT,
    PARTICIPANT_OFF,          /* or crashed: there is no QEMU */
    PARTICIPANT_OFF_MIGRATED, /* and libvirt says that it is off because it migrated */
    PARTICIPANT_INCOMING,     /* a QEMU that is still being filled */
    PARTICIPANT_PAUSED,
    PARTICIPANT_RUNNING,
};

struct participant_facts {
    enum participant_guest guest;
    bool job;             /* libvirt has a job on it, or the call that runs the migration is not back */
    bool post_copy;       /* the job has switched over to post-copy: either end alone is useless */
    bool call_succeeded;  /* libvirt's migrate call has returned success, or its "migrated" event came */
    bool committed;       /* libvirt has durably decided to end the paused QEMU (io/commit_point.h) */
    bool operators_pause; /* paused, by somebody else */
    bool ran_to_the_end;  /* source: it ran here, and was not stopped to switch over, until it ended */
    bool ran_here;        /* destination: it has run here since its image was complete */
    bool by_hand;         /* destination: somebody, and not libvirt itself, has resumed its image */
};

enum participant_event {
    PARTICIPANT_PREPARE_YES, /* nothing that was found blocks */
    PARTICIPANT_PREPARE_NO,
    PARTICIPANT_MIGRATE,
    PARTICIPANT_SETTLE,
    PARTICIPANT_SETTLE_KEPT, /* with an operator's word, where SETTLE alone could not tell */
    PARTICIPANT_SETTLE_GONE,
    PARTICIPANT_SETTLE_GRANTED, /* an operator gave the guest to the destination while this host could not be asked */
    PARTICIPANT_ABORT,
    PARTICIPANT_ABORT_TAKEN, /* an operator took the guest back to the source while this host could not be asked */
    PARTICIPANT_ACTIVATE,
    PARTICIPANT_ACTIVATE_COLD, /* by an operator's word, which does not say how old the image is: from the disks */
    PARTICIPANT_RELEASE,
    PARTICIPANT_COLD_START,
    PARTICIPANT_LOOK, /* nobody asked: the job ended, the guest stopped, libvirt came up, the agent started */
    PARTICIPANT_EVENTS,
};

/* In the order of doing. */
enum participant_action {
    PARTICIPANT_START_JOB = 1 << 0,
    PARTICIPANT_STOP_JOB = 1 << 1, /* then wait until there is none, look, and step again */
    PARTICIPANT_RESUME_SOURCE =
        1 << 2, /* retried until it runs: the other image may hold the disks' locks for a while */
    PARTICIPANT_TELL_PEER = 1 << 3, /* the mesh's ACTIVATE */
    PARTICIPANT_DEFINE = 1 << 4,
    PARTICIPANT_RESUME = 1 << 5,
    PARTICIPANT_UNDO = 1 << 6, /* by the manifest */
    PARTICIPANT_END =
        1
        << 7, /* the paused QEMU that libvirt left behind at a source that is FENCED, or an image that may be old */
    PARTICIPANT_RETIRE = 1 << 8, /* archive the definition, undefine */
    PARTICIPANT_START = 1 << 9,  /* from its disks */
    /* As an operator had it: libvirt lets it run, at the source when a transfer has failed, at the destination where post-copy was
     * allowed. */
    PARTICIPANT_PAUSE = 1 << 10,
    PARTICIPANT_AUTOSTART_OFF = 1 << 11, /* noted before; what rests on it is `then`'s, and the loop's */
    PARTICIPANT_AUTOSTART_ON = 1 << 12,  /* retried until it is, like RESUME_SOURCE */
};

enum participant_answer {
    PARTICIPANT_NO_ANSWER, /* nobody asked, or step again after the actions */
    PARTICIPANT_DONE,      /* of PREPARE, MIGRATE, ABORT, RELEASE, COLD START; a repeated one gets it again */
    PARTICIPANT_IS_KEPT,
    PARTICIPANT_IS_GONE,
    PARTICIPANT_RUNS,
    PARTICIPANT_IS_LOST,
    PARTICIPANT_IN_DOUBT, /* not settled; ask again */
    PARTICIPANT_REFUSED,  /* this state can't; asking again won't help */
};

/* `first` is durable before any action is begun and before the answer leaves; `then` is written once all actions have
 * succeeded. An action that fails turns the answer into PARTICIPANT_IN_DOUBT, and the same event may come again; but for
 * RESUME_SOURCE, AUTOSTART_ON and a source's PAUSE: KEPT is what makes the destination let go of the disks, so it is said all the same. */
struct participant_step {
    enum participant_state first, then;
    unsigned actions; /* bits of enum participant_action */
    enum participant_answer answer;
    const char *why; /* in doubt or refused: what was seen; static */
    bool by_word;    /* FENCED: by an operator's, who alone knows */
};

struct participant {
    enum participant_role role;
    enum participant_state state;
    bool definition_only; /* the guest is shut off */
    bool paused_by_us;    /* the ladder paused it: in the manifest */
    bool post_copy; /* the ladder asked for post-copy, which QEMU begins some time later: in the manifest */
    bool may_post_copy; /* it may ask: libvirt by itself lets the guest run at the destination */
    bool superseded;    /* a later one of the guest was prepared here: pausing and starting are its affair */
    bool from_disks;    /* of OWNER: it is started from its disks... */
    bool image_ended;   /* ...and the image that was here is ended; both in the manifest */
    bool copies;        /* disks came with the guest, complete only if its image is */
    bool incomplete;    /* of a guest that is shut off: not all of its disks have come */
    bool copied;        /* of OWNER: disks have come with it, and may hold by now what is nowhere else */
    bool transferred;   /* of NONE: there was a record, and it is lost */
    bool
        others_pause; /* an operator paused it in mid-transfer, in the manifest: it ends paused, wherever that is */
    bool
        owes_resume; /* of KEPT, in the manifest: without it a pause is another transaction's or somebody's */
    bool autostart;  /* of a source: its definition is one that is started with the host */
    bool owes_autostart; /* that was taken off: in the manifest */
};

struct participant_step participant_step(const struct participant *p, enum participant_event event,
                                         const struct participant_facts *facts);

/* The table of allowed moves; the driver checks each write against it. */
bool participant_may_move(enum participant_role role, enum participant_state from, enum participant_state to);

/* False for a state of the other role: such a record was damaged. */
bool participant_can_be(enum participant_role role, enum participant_state state);

/* It still holds the guest (a lock), memory, or a promise. */
bool participant_is_open(enum participant_role role, enum participant_state state);

/* "SETTLE" */
const char *participant_event_name(enum participant_event event);

/* "FENCED"; and back, PARTICIPANT_STATES for a word that is none. */
const char *participant_state_name(enum participant_state state);
enum participant_state participant_state_of(const char *name);
