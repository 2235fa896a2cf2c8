/* The coordinator's half of a two-phase migration: a pure state machine (design.md, "The handover").
 *
 *            order                        all yes          (MIGRATE again when the stream is lost)
 *    (new) -------> PREPARING ---------------------------> TRANSFER
 *                      | no, timeout, cancel                  | its end, refusal, cancel, silence
 *                      v                                      v
 *                  SETTLING <---------------------------------+
 *                   |     |   asked until answered; never guessed
 *             KEPT  |     |  GONE
 *                   v     v
 *            ABORTING     ACTIVATING ---- LOST ---> COLD_START
 *                   |     | RUNNING                    |
 *                   v     v                            v
 *             ABORTED     RELEASING ------> DONE <-----+
 *
 * Post-copy: the source, once it has switched over, answers SETTLE only when the guest's last page has left it. Here it is
 * no state of its own: a cancel is refused, and the operator is told what is waited for.
 *
 * Invariant: no message is sent for a state that is not durable. txn_step only says what to do; the driver journals first.
 *
 * An operator may give the guest to the destination while the source can't be asked (GRANT): from SETTLING straight to ACTIVATING.
 * The source is told, and asked (SETTLE), before it is released or starts anything: it has the last word on whether its copy is gone.
 * No agent can see whether the guest has run on at the source since the destination's image was complete (a lost Finish): then that is
 * older than the disks. So the destination ends it and starts the guest from its disks, unless the operator's word is for its memory, too.
 *
 * Or take it back to the source that has given it up, while the destination can't be asked (TAKE_BACK): from ACTIVATING to COLD_START, as
 * if the image were lost. The destination is told (ABORT), and never ends a copy that runs there. Not where it may have been told to start
 * the guest from its disks: that it does by itself whenever it comes back.
 *
 * After a restart PREPARING and TRANSFER become SETTLING; every other state sends its messages again (they are idempotent
 * at the agents). An answer that does not belong to the state is ignored: it is late, or a repetition.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum txn_state {
    TXN_NEW,
    TXN_PREPARING,
    TXN_TRANSFER,
    TXN_SETTLING,
    TXN_ABORTING,
    TXN_ACTIVATING,
    TXN_RELEASING,
    TXN_COLD_START,
    TXN_DONE,
    TXN_ABORTED,
    TXN_N_STATES
};

/* A storage node has no vote of its own here: what it exports, and to whom, is proven by the probes of the check right before the order. */
enum txn_party { TXN_SOURCE, TXN_DESTINATION, TXN_N_PARTIES };
#define TXN_BIT(party) (1u << (party))

enum txn_message {
    TXN_PREPARE,
    TXN_MIGRATE,
    TXN_SETTLE,
    TXN_ABORT,
    TXN_ACTIVATE,
    TXN_RELEASE,
    TXN_COLD,
    TXN_N_MESSAGES
};

enum {
    TXN_PREPARE_MS = 60000, /* for all votes together */
    TXN_QUIET_MS = 5000,    /* a transfer of which nothing is heard is shown as such... */
    TXN_SILENCE_MS = 20000, /* a transfer of which nothing is heard is settled */
    TXN_RETRY_MIN_MS = 200, /* asking again: doubles up to the maximum */
    TXN_RETRY_MAX_MS = 5000,
    TXN_DOUBT_AFTER_MS = 10000, /* in one state without an answer: shown as in doubt */
};

enum txn_event_kind {
    TXN_EVENT_START,   /* a new order */
    TXN_EVENT_RESTART, /* read from the journal */
    TXN_EVENT_ANSWER,  /* `message` to `party` was answered with `answer` */
    TXN_EVENT_NO_ANSWER, /* `message` to `party` failed or timed out, `text` says why; it may have arrived all the same */
    TXN_EVENT_PROGRESS, /* the transfer was heard of; `post_copy`: the guest runs at the destination already */
    TXN_EVENT_TIMER,
    TXN_EVENT_CANCEL, /* `text`: who */
    TXN_EVENT_GRANT, /* in doubt about the source: an operator (`text`) gives the guest to the destination without its answer.
                        * Once it is RELEASING: the source never comes back, it is waited for no longer. */
    TXN_EVENT_TAKE_BACK, /* in doubt about the destination, which the source has given the guest: an operator (`text`) knows that it is off.
                          * Its image is lost. While only it has to clear away: it never comes back, it is waited for no longer. */
    TXN_EVENT_RESOLVE, /* while it settles: an operator's (`text`) word, KEPT or GONE in `answer`, goes with the next SETTLE */
};

enum txn_answer {
    TXN_OK,      /* MIGRATE (libvirt's word is success), ABORT, RELEASE, COLD */
    TXN_FAILED,  /* MIGRATE: libvirt's word is failure, or the agent refuses */
    TXN_YES,     /* PREPARE */
    TXN_NO,      /* PREPARE */
    TXN_UNKNOWN, /* SETTLE, ACTIVATE: ask again */
    TXN_KEPT,    /* SETTLE */
    TXN_GONE,    /* SETTLE */
    TXN_RUNNING, /* ACTIVATE */
    TXN_LOST,    /* ACTIVATE */
};

struct txn_event {
    enum txn_event_kind kind;
    enum txn_message message;
    enum txn_party party;
    enum txn_answer answer;
    bool post_copy, broken; /* PROGRESS; broken: and its stream is */
    bool paused;            /* the answer to SETTLE: by an operator, in mid-transfer */
    bool
        from_disks; /* GRANT, RESOLVE: the word is not for the memory; answers: it was not, it was started so */
    int64_t now;    /* ms of a clock that never goes back, within one life of the process */
    const char *text; /* may be NULL */
};

enum txn_action_kind {
    TXN_ACTION_JOURNAL, /* make the transaction durable as it is now, before anything that follows */
    TXN_ACTION_SEND,    /* `message` to `party`; exactly one ANSWER or NO_ANSWER must come back */
    TXN_ACTION_ARM,     /* TIMER in `ms`; replaces the one before; 0: none */
    TXN_ACTION_TELL,    /* `text`: a line for the job's log */
    TXN_ACTION_FINISH,  /* DONE or ABORTED is durable, nothing more will be sent */
};

struct txn_action {
    enum txn_action_kind kind;
    enum txn_message message;
    enum txn_party party;
    int64_t ms;
    char text[320];
};

#define TXN_MAX_ACTIONS 8

struct txn_actions {
    size_t n;
    struct txn_action list[TXN_MAX_ACTIONS];
};

struct txn {
    /* Who is meant; the strings are borrowed. `generation` is the guest's, `cold_generation` the next one, taken at the
     * start so that a cold start never waits for one. */
    const char *guest;
    const char *host[TXN_N_PARTIES];
    uint64_t generation, cold_generation;
    bool definition_only; /* the guest is shut off: its definition moves */

    /* What has to be durable. */
    enum txn_state state;
    bool cancelled;
    bool transferred; /* MIGRATE may have been sent */
    bool cold_started;
    bool granted;    /* to the destination, without the source's word */
    bool taken_back; /* to the source, without the destination's */
    bool said_cold;  /* an operator's word that is not for the memory may have been sent */
    bool post_copy;  /* neither end may be ended before the source is settled, and no cancel has an effect */
    bool paused;     /* an operator paused the guest in mid-transfer: it ends so */
    bool from_disks; /* by an operator's word: the destination ends its image, and starts the guest anew */
    char why[320];   /* the first thing that went wrong; empty if nothing did */

    /* What a restart may forget. */
    unsigned asked;    /* whom PREPARE may have reached */
    unsigned answered; /* in this state */
    unsigned flying;   /* asked in this state and not answered yet */
    unsigned attempt;
    int64_t entered, heard;
    int64_t broken; /* since when the stream of a post-copy is; 0: it is not */
    bool in_doubt;
    bool left;               /* granted: the source has said since that the guest is gone there */
    bool resolve_cold;       /* that word: not for the memory */
    enum txn_answer resolve; /* KEPT or GONE: an operator's word, which SETTLE carries; else TXN_OK */
    char last[320];          /* the last thing heard from whom this state waits for, for txn_waiting */
};

/* Fills *actions (its old content is dropped) with what to do, in order. */
void txn_step(struct txn *txn, const struct txn_event *event, struct txn_actions *actions);

bool txn_ended(const struct txn *txn);

/* The guest is where it stays, and only *ret has still to clear away what it holds: whatever that answers changes nothing for the guest,
 * which may be migrated between other hosts meanwhile. Not while an operator's word is in it: a copy may be left there. */
bool txn_is_settled(const struct txn *txn, enum txn_party *ret);
bool txn_may_move(enum txn_state from, enum txn_state to);

/* An operator may take it back from a destination that is off. */
bool txn_may_take_back(const struct txn *txn);

/* "preparing"; the other way round false if there is none of that name. */
const char *txn_state_name(enum txn_state state);
bool txn_state_parse(const char *name, enum txn_state *ret);
const char *txn_message_name(enum txn_message message);

/* The generation that the message carries: COLD_START the guest's next one, all others the transaction's. */
uint64_t txn_generation(const struct txn *txn, enum txn_message message);

/* False if cancelling has no effect in this state. *text gets what it means. */
bool txn_cancel_text(const struct txn *txn, char *text, size_t size);

/* What is waited for, in a sentence, and what the operator can do about it ("" if nothing has to be done). In doubt: what is
 * known, what is not, and what would settle it. */
void txn_waiting(const struct txn *txn, char *text, size_t text_size, char *todo, size_t todo_size);
