/* The ladder: what the source agent does about a running migration, on every job sample and every bitmap sync. Pure: the
 * time is in the sample, and what to do comes out.
 *
 *     LIVE --> RAISED --> PAUSED          every rung also ends by itself (QEMU switches over),
 *       \         \-----> POST_COPY       and all but POST_COPY may end in CANCELLED
 *        \--> THROTTLED (QEMU's auto-converge: switched on at the start or never, so no rung that can be climbed to)
 *
 * At each sync, what the guest dirtied since the last one is added to the samples, the model is fitted again, and the
 * cheapest way on is taken: wait, raise the downtime limit, pause inside the running job, post-copy. Cost is the time left
 * plus the harm: a second of pause counts like LADDER_PAUSE_WORTH of waiting, a second without vCPUs (throttled) or in
 * post-copy like one. So it waits while the remainder shrinks enough to be worth it. QEMU's figures are a saw tooth:
 * what remains is judged only right after syncs, and by its minimum.
 *
 * Limits. `max_pause` bounds every pause, QEMU's own switch-over too; a pause is begun only when it is expected to take 10 %
 * less. By `deadline` the migration has ended, moved or cancelled; only post-copy, which can't be cancelled without losing
 * the guest, may overrun, and it is begun only when it is expected not to. */
#pragma once

#include "common/model/model.h"

enum { LADDER_PAUSE_WORTH = 5 };

/* ms; the limit that a job begins with, and the highest without a max_pause: QEMU's own default. */
enum { LADDER_FIRST_DOWNTIME = 100, LADDER_LIVE_DOWNTIME = 300 };

/* ms: stopping, the device state, the two agents' writes and the word over the mesh: measured 90 to 140. */
enum { LADDER_SWITCH_OVER = 150 };

enum ladder_mode { LADDER_AUTO, LADDER_LIVE, LADDER_POST_COPY, LADDER_OFFLINE };

struct ladder_policy {
    enum ladder_mode mode;
    int64_t
        max_pause; /* ms; 0: no limit was given: live switches over within 300 ms, a pause may take any time.
                        * LADDER_OFFLINE is paused all the time by the operator's word, so it isn't bound by it */
    int64_t deadline; /* ms from the start of the job; 0: none */
    bool auto_converge, post_copy, offline;
};

enum ladder_rung {
    LADDER_RUNG_LIVE,
    LADDER_RUNG_RAISED,
    LADDER_RUNG_THROTTLED,
    LADDER_RUNG_PAUSED,
    LADDER_RUNG_POST_COPY,
    LADDER_RUNG_CANCELLED,
    LADDER_RUNGS,
};

/* From libvirt's job statistics. */
struct ladder_sample {
    int64_t elapsed;    /* ms since the job began */
    unsigned iteration; /* bitmap syncs: memory_iteration, 1 during the first pass */
    int64_t remaining;  /* memory_remaining, bytes */
    int64_t sent;       /* bytes over the wire so far: memory_processed */
    int64_t bandwidth;  /* memory_bps, bytes per second; 0: not known */
    unsigned throttle;  /* percent: auto_converge_throttle */
    bool post_copy;     /* the guest runs at the destination */
    bool paused;        /* the guest runs nowhere: paused by this ladder, or by QEMU to switch over */
    int64_t paused_for; /* ms */
    bool others;        /* an operator paused it: no limit holds for that, but the deadline's */
    bool waits;         /* others have the link, and this one only a little of it, until its turn comes */
};

enum ladder_action {
    LADDER_NOTHING,
    LADDER_SET_DOWNTIME,    /* virDomainMigrateSetMaxDowntime(actions->downtime) */
    LADDER_PAUSE,           /* virDomainSuspend; the job goes on, and finishes */
    LADDER_START_POST_COPY, /* virDomainMigrateStartPostCopy */
    LADDER_CANCEL,          /* virDomainAbortJob; and resume, if it was paused */
};

struct ladder_actions {
    enum ladder_action action;
    int64_t downtime; /* ms */
    int64_t
        needs_pause; /* ms, with LADDER_CANCEL: the shortest pause that would have done; 0: not the reason */
    enum ladder_rung rung; /* after the action */
    char why[256];         /* a sentence with its numbers; empty with LADDER_NOTHING */
};

/* How to start the job: capabilities can't be switched on later. With post_copy the guest is libvirt's to start at the
 * destination, so in LADDER_AUTO it is chosen only where live is not sure to converge. */
struct ladder_start {
    bool auto_converge, post_copy;
    bool
        paused; /* without VIR_MIGRATE_LIVE: as asked, or since a first pass would not make the pause shorter */
    bool refused;     /* not at all: no switch-over is as short as max_pause; why says it */
    int64_t downtime; /* ms, the first limit; set before the job is begun or right after */
    char why[256];
};

struct ladder {
    struct ladder_policy policy;
    struct ladder_sample last;
    struct model_window windows[MODEL_MAX_WINDOWS]; /* the forecast's first, then the measured ones */
    struct model_curve curve;
    double bandwidth;         /* bytes per second, smoothed; 0: not known */
    double carried, carrying; /* bytes that the link carried, and the ms that it was at work for them */
    int64_t downtime, max_downtime, overhead; /* ms */
    int64_t memory, zero;                     /* bytes; of it never touched, as far as is known */
    int64_t tail;                             /* ms expected after the first pass; 0: not known */
    int64_t ends_at; /* elapsed, by what was decided at the last sync; -1: nothing ends it */
    int64_t began_at,
        began_sent;      /* elapsed, and bytes sent, when the link was first seen at work; -1: not yet */
    int64_t synced_at;   /* elapsed at the last sync; -1: not seen, the agent came later */
    int64_t first_pass;  /* ms */
    int64_t least;       /* the least that remained after a sync, bytes */
    int64_t mark;        /* what remained when it had last shrunk by a tenth, bytes; 0: no sync yet */
    int64_t improved_at; /* elapsed then */
    int64_t asked_at;    /* elapsed when `asked` was asked for */
    enum ladder_action
        asked; /* a pause, post-copy or cancel; LADDER_NOTHING: none, or it was seen to be done */
    enum ladder_rung rung;
    unsigned n_windows;
    unsigned syncs;   /* seen, from the end of the first pass */
    unsigned stalled; /* syncs since `mark` */
    bool auto_converge;
    bool post_copy; /* the job was begun so that it can be asked for */
    bool hopeful;   /* at the last sync, waiting was expected to end it */
    bool seen;      /* there is a last sample */
};

/* `guest`: what the forecast was made from; its windows may be none and its bandwidth 0. Its overhead is kept as the time that
 * a switch-over takes besides the sending (device state, handover). */
void ladder_init(struct ladder *l, const struct ladder_policy *policy, const struct model_input *guest,
                 struct ladder_start *ret_start);

/* After ladder_init, for a job that an earlier run of the agent began: how it was begun holds, not how it would be now, and the
 * samples show the rung. `post_copy_asked`: it may have asked for it, and from then on there is no other way. */
void ladder_adopt(struct ladder *l, const struct ladder_start *begun, bool post_copy_asked);

/* It was given up before its first sample; what comes then only asks again. */
void ladder_give_up(struct ladder *l);

/* libvirt has refused post-copy, and won't do otherwise later: the other rungs are left. */
void ladder_refused_post_copy(struct ladder *l);

/* Gives at most one action. A pause, post-copy or cancel that can't be seen in the samples after 2 s is given again; a job
 * that has ended has no more samples. */
void ladder_step(struct ladder *l, const struct ladder_sample *sample, struct ladder_actions *actions);

/* ms until the end: by the forecast in the first pass, then by what was decided at the last sync; -1: not known (or nothing is
 * expected to end it). */
int64_t ladder_time_left(const struct ladder *l);

/* "live", "raised", "throttled", "paused", "post-copy", "cancelled" */
const char *ladder_rung_name(enum ladder_rung rung);
