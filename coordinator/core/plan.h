/* A plan: many moves as one job. A pure state machine: events come in, actions go out, the job's steps are its state.
 *
 *                      precondition broken: placed anew, or skipped
 *                     .-----------.
 *                     v           |        job done, first of its pair of hosts
 *   (made) -------> WAITING ---> RUNNING ----------------------> looked at ---> DONE
 *                     ^             | refused: another host       | ill: DONE, and the plan pauses
 *                     '-------------+--------> FAILED
 *
 * The plan: RUNNING -> (nothing waits or runs, and nothing is on its way to a host that is to be empty) -> VERIFYING (libvirt is asked what is left) -> ENDED. Paused: nothing new
 * starts. Cancelled: what waits is skipped, what runs ends (or is cancelled, too).
 *
 * What starts when is the schedule's to say (core/schedule.h), which sees the plan's steps and the moves that run besides.
 *
 * Invariants: a step starts only after it is durable as RUNNING; only while its precondition holds (the guest is at `from`,
 * running or shut off as the step says, and `to` takes guests); at most one step per guest is open. A step that fails
 * leaves the others alone. */
#pragma once

#include "coordinator/core/fleet.h"

enum {
    PLAN_TRIES = 3, /* hosts that are tried for a guest; those that only lack its storage don't count */
    PLAN_GRACE_MS =
        60000, /* a destination that can't be asked is waited for so long before another is looked for */
    PLAN_DOUBT_MS =
        10000, /* a plan that has nothing to do but to wait for a source that can't be asked is in doubt then */
    PLAN_BUSY_MS = 3000,   /* a guest that something else works on is tried again after that */
    PLAN_BUSY_TRIES = 100, /* of one step */
    PLAN_VERIFY_MS = 2000, /* a host that can't be asked what is left is asked again after that */
    PLAN_VERIFY_TRIES = 30,
    PLAN_FINDINGS = 16, /* that a step keeps of those that refused it */
};

enum plan_phase { PLAN_RUNNING, PLAN_VERIFYING, PLAN_ENDED };

struct plan {
    Drover__V1__Job
        *job; /* borrowed; the steps, paused, cancelled, state, text, todo are the plan's to change */
    enum plan_phase phase;
    bool empties;          /* job->source is a host that is to be empty at the end */
    uint64_t incoming;     /* a migration that brings a guest there, and is waited for; 0: none */
    int64_t verify_at;     /* ms since 1970: not asked again before; 0: it is being asked */
    unsigned verify_tries; /* so many times it could not be asked */
};

enum plan_event_kind {
    PLAN_EVENT_START,   /* a new plan, or one that was read from the journal */
    PLAN_EVENT_FLEET,   /* the fleet has changed, a running move has got on, or time has passed */
    PLAN_EVENT_PLACED,  /* `step` got another `to` (or none: `text` and `todo` say why) */
    PLAN_EVENT_STARTED, /* `step`'s migration is `job` */
    PLAN_EVENT_REFUSED, /* `step` did not start: `text`, `todo`; `busy`: something else works on the guest */
    PLAN_EVENT_ENDED,   /* `step`'s migration ended with `outcome`: `text`, `todo` */
    PLAN_EVENT_FORGOTTEN, /* after a restart: `step` was to be started, and never was */
    PLAN_EVENT_LOOKED,    /* `step`'s guest does well at its destination, or `text` says why not */
    PLAN_EVENT_VERIFIED,  /* libvirt on job->source has `guests`; or could not be asked: `text` */
    PLAN_EVENT_PAUSE,
    PLAN_EVENT_RESUME,
    PLAN_EVENT_CANCEL, /* `now`: running moves are cancelled */
};

struct plan_event {
    enum plan_event_kind kind;
    const struct fleet *fleet;          /* always */
    int64_t now_ms;                     /* ms since 1970; always */
    const Drover__V1__Job *const *open; /* the migrations that are under way, in the plan and outside it */
    size_t n_open;
    size_t step;
    uint64_t job;
    Drover__V1__JobState outcome;
    bool well, busy, now;
    bool elsewhere; /* of REFUSED: it is that host that lacks the guest's storage, and another may have it */
    bool refused;   /* of ENDED: its checks said no before anything was transferred */
    bool
        restarted; /* of ENDED: the coordinator was restarted meanwhile, which breaks a move off that only prepares */
    const char *text, *todo; /* may be NULL; by: of an operator's events, `text` says who */
    Drover__V1__Guest *const *guests;
    size_t n_guests;
};

enum plan_action_kind {
    PLAN_ACTION_JOURNAL, /* make the job durable as it is now, before anything that follows */
    PLAN_ACTION_START,   /* `step`: STARTED or REFUSED must come back */
    PLAN_ACTION_PLACE,   /* `step`: choose another destination; PLACED must come back */
    PLAN_ACTION_CANCEL,  /* `step`'s migration */
    PLAN_ACTION_TAKEN,   /* `step` has moved its guest: remember that it was taken from `from` */
    PLAN_ACTION_LOOK,    /* `step`: LOOKED must come back */
    PLAN_ACTION_VERIFY,  /* VERIFIED must come back */
    PLAN_ACTION_WAIT,    /* FLEET in `ms` */
    PLAN_ACTION_TELL,    /* `text`: a line for the job's log */
    PLAN_ACTION_FINISH,  /* the job has ended, and says how */
};

struct plan_action {
    enum plan_action_kind kind;
    size_t step;
    int64_t ms;
    char *text; /* owned */
};

struct plan_actions {
    struct plan_action *list;
    size_t n;
};

/* Appends to *actions what to do, in order. */
void plan_step(struct plan *plan, const struct plan_event *event, struct plan_actions *actions);
void plan_actions_deinit(struct plan_actions *actions);

/* Adds a step for the guest, in the job's mode, without a destination. */
Drover__V1__PlanStep *plan_add(Drover__V1__Job *job, const Drover__V1__Guest *guest, const char *from);

/* What becomes of a step that has no destination any more: a balance, which only moves where that gains, leaves its guest alone. */
Drover__V1__StepState plan_unplaced(const Drover__V1__Job *job);

/* That host is not chosen for the step again. */
void plan_avoid(Drover__V1__PlanStep *step, const char *host);

/* Groups move in the order given: where a guest of one has not moved, the later ones stay. True if that is news. */
bool plan_stop_groups(Drover__V1__Job *job);

/* How many steps are in that state. */
size_t plan_count(const Drover__V1__Job *job, Drover__V1__StepState state);

/* It is connected, and has told all its guests. */
bool plan_answers(const struct fleet *fleet, const char *host);

/* It is configured and in no maintenance, and can only not be asked now. */
bool plan_may_come_back(const struct fleet *fleet, const char *host);

/* A host that may get guests: connected, told, no maintenance. */
bool plan_takes(const struct fleet *fleet, const char *host);

/* ---- plan_text.c ---- */

struct plan_left { /* guests that are still on the host that was to be empty; borrowed */
    Drover__V1__Guest *const *guests;
    size_t n;
};

/* Fills state, text and todo of a job whose steps have all ended. `left`: NULL if that is not known. */
void plan_conclude(const struct plan *plan, const struct fleet *fleet, const struct plan_left *left,
                   const char *why_not_known);

/* Of a guest that was looked at where it arrived; NULL: it is well. Freed by the caller. */
char *plan_what_is_wrong(const Drover__V1__LookReply *look);

/* What is going on, for job->text: "moves web1 to kvm2, web2 to kvm3; 4 wait". */
void plan_now(const struct plan *plan, const struct fleet *fleet, int64_t now_ms);
