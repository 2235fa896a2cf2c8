/* A simulated fleet: one guest, two hosts, a coordinator that moves it. The state machines are the programs' own
 * (coordinator/core/transaction, agent/core/participant); network, disks, libvirt, QEMU and the clock are made up here, and
 * every choice comes from a seeded generator: a seed is a schedule.
 *
 * A program's work is cut into micro-steps, one event each: a look at libvirt, a durable write, a message, a deed. A fault may
 * strike between any two. */
#pragma once

#include "agent/core/participant.h"
#include "coordinator/core/transaction.h"
#include "coverage.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { HOSTS = 2, TXNS = 3, OPS = 24, CALLS = 64, EVENTS = 256, FAULTS = 6, QUEUE = 16, DOUBT_MS = 60000 };

/* Rules that can be broken on purpose, to see that the simulation notices. */
enum mutation {
    SOUND,
    SEND_FIRST,       /* the coordinator sends, then journals */
    IGNORE_EPOCH,     /* agents obey a coordinator that another has replaced */
    END_EARLY,        /* the source's QEMU is ended as soon as it has switched over */
    NO_GENERATION,    /* agents take messages of any generation */
    ABORT_ON_TIMEOUT, /* a source that does not answer SETTLE is taken for KEPT */
    AUTORESUME,       /* libvirt starts the guest at the destination by itself */
    LEASE_DESTROYS,   /* a complete image at the destination dies with its lease */
    KEEP_UNASKED,     /* the source answers KEPT without ending libvirt's job */
    RESUME_OLD,       /* a source resumes a guest for a transaction that a later one has replaced */
    ACTIVATE_EARLY,   /* the coordinator activates when libvirt's call succeeded, without settling */
    FORGET_TRANSFER,  /* a message does not say that MIGRATE may have been sent: a lost record never was */
    RESUME_UNOWED,    /* what was KEPT is resumed whenever it is paused */
    OLD_IMAGE,        /* an operator's word runs the image that waits, however old */
    LET_RUN,          /* what an operator paused in mid-transfer is let run where it arrives */
    GO_ON_UNSURE,     /* an agent whose write has failed after it came through goes on */
    SAY_UNWRITTEN,    /* an agent whose write has failed answers all the same */
    TIDY_BY_WALL,     /* what has ended is forgotten by the wall clock alone */
    TIDY_OWED,        /* agents forget what they still have to do */
    ASK_UNWRITTEN,    /* post-copy is asked for before the record says so */
    STOP_POST_COPY,   /* a job is stopped though post-copy was asked for */
    RESUME_LEFT, /* a source that libvirt has left paused is resumed, though libvirt may run the guest there */
    LEAVE_BROKEN,    /* a broken post-copy is not taken up again */
    LEAVE_AUTOSTART, /* the guest's autostart is left on while it moves */
    LOSE_COPIED,     /* a guest that came with its disks, and is off, is taken for lost */
    UNDO_OWNED,      /* images that came with the guest stay in the manifest when it is taken over */
    LOSE_FINISH,     /* libvirt's own hole: see hypervisor.c, "The hole" */
    MUTATIONS
};
extern const char *const mutation_names[MUTATIONS];

enum event_kind {
    EV_COORDINATOR_STEP,
    EV_COORDINATOR_TIMER,
    EV_COORDINATOR_START,
    EV_ORDER,
    EV_CANCEL,
    EV_ANSWER,  /* to the coordinator: call, answer */
    EV_FAILED,  /* the call is given up */
    EV_DELIVER, /* a message to an agent */
    EV_AGENT_STEP,
    EV_AGENT_START,
    EV_LOOK,        /* an agent looks at a transaction by itself */
    EV_PEER,        /* the mesh's ACTIVATE, sent again */
    EV_PEER_ANSWER, /* and its answer */
    EV_ASK,         /* the source's ladder asks for post-copy */
    EV_TELL,        /* and tells who listens how the transfer is */
    EV_HEARD,       /* which the coordinator hears */
    EV_TAKE_UP,     /* a broken post-copy is tried again */
    EV_JOB,         /* libvirt's migration job goes on */
    EV_LIBVIRT_START,
    EV_LIBVIRT_TELLS, /* an event of libvirt's reaches the agent */
    EV_OPERATOR,      /* looks at what is in doubt */
    EV_SUSPEND,       /* an operator pauses the guest in mid-transfer */
    EV_RESUME,        /* an operator resumes an image that waits */
    EV_GRANT,         /* an operator may give the guest to the destination */
    EV_HOST_LOST,     /* a host is cut off and loses its power */
    EV_HEAL,          /* the network is whole again */
    EV_CALM,          /* no faults from now on */
};

struct message {
    enum txn_message what;
    enum participant_role role;
    int txn;
    uint64_t generation, epoch;
    int call;                /* the coordinator's; -1: the mesh's */
    unsigned life;           /* of who asked */
    unsigned connection;     /* to the receiver: what was on its way in an earlier one does not arrive */
    unsigned number;         /* of those that this receiver was sent */
    enum txn_answer resolve; /* the operator's word; TXN_OK: none */
    bool transferred, granted, taken_back;
    bool from_disks; /* an operator's word that is not for the memory */
    bool paused;     /* by an operator, in mid-transfer */
    bool mesh;       /* a peer's, not a coordinator's */
};

struct event {
    int64_t at;
    uint64_t order;
    enum event_kind kind;
    int host;
    unsigned life; /* of the program that it is meant for; another one ignores it */
    int a, b;
    struct message message;
};

/* ---- a host ---- */

enum qemu { Q_OFF, Q_INCOMING, Q_PAUSED, Q_RUN };

struct domain {
    enum qemu qemu;
    bool defined, migrated; /* `migrated`: libvirt remembers why it is off */
    bool stale;     /* a complete image, but the guest has run on elsewhere since: its disks are newer */
    bool post_copy; /* by libvirt's word */
    bool half;      /* of the memory: the rest is at the other host */
    bool suspended; /* virsh suspend: an operator's, or the ladder's, which looks the same */
    bool by_hand;   /* it runs because an operator has resumed it where it waited */
    bool locks;     /* its QEMU has the disks' lock, if there is one */
    bool autostart;
};

struct record { /* durable */
    bool exists;
    enum participant_role role;
    enum participant_state state;
    uint64_t generation, epoch;
    int vote;               /* 0: none, 1: yes, -1: no */
    bool image, definition; /* the manifest */
    bool memory;            /* reserved */
    bool owed;              /* a resume */
    bool may_post_copy;     /* the job was begun so that libvirt itself runs the guest at the destination */
    bool post_copy;         /* may have been asked for */
    bool from_disks, image_ended;
    bool our_pause, others_pause;
    bool relocated; /* its disks are copied */
    /* Of a destination: images in the manifest, once in it; all of a disk is there; they are the guest's for good. */
    bool copies, copied, whole, owned;
    bool autostart, autostart_off; /* its definition's; taken off, and to be given back */
    int64_t changed;               /* by the host's clock */
};

struct stable { /* an agent's state directory */
    uint64_t epoch, generation;
    struct record records[TXNS];
};

struct operation {
    bool is_look, is_ask; /* ask: the ladder's, for post-copy... */
    bool is_pause;        /* ...or a pause */
    struct message message;
};

struct agent {
    bool alive;
    unsigned life, connection;
    struct stable disk, yesterday;
    unsigned sent, delivered; /* messages, numbered */
    int64_t full_until;       /* its disk */
    bool unsure[TXNS];        /* the last change of a record may be undone by a cut of the power */
    struct record older[TXNS];
    /* Lost in a crash. */
    uint64_t epoch, generation;
    struct record records[TXNS];
    int64_t heard[TXNS];
    bool calling[TXNS], succeeded[TXNS], committed[TXNS], telling[TXNS], told[TXNS], ended[TXNS],
        others_pause[TXNS];
    bool watching[TXNS]; /* libvirt's job */
    int64_t again[TXNS]; /* when it looks again */
    int listener[TXNS];  /* the MIGRATE call that waits, or -1 */
    unsigned listener_life[TXNS];
    struct operation ops[OPS];
    unsigned n_ops;
    int phase;     /* of ops[0]; 0: to look */
    int64_t since; /* it waits for libvirt to end a job; 0: it does not */
    struct participant_step step;
    unsigned todo; /* actions left */
    bool failed;
    uint64_t old_generation; /* of the record, before a cold start */
};

struct image { /* images.c */
    bool there;
    uint64_t content, aside; /* of the one that was put aside last */
};

struct host {
    struct image image;
    int64_t clock, slept; /* its clock beside the world's; how much longer than in the world it was up */
    struct domain domain;
    bool libvirt_up;
    bool boots; /* with its libvirt: it starts what it is to start */
    unsigned libvirt_life;
    struct agent agent;
};

/* ---- libvirt's migration job ---- */

enum job_phase {
    JOB_NONE,
    JOB_BEGIN,
    JOB_COPY,
    JOB_POST_COPY,
    JOB_SWITCHED,  /* the source's QEMU is paused, and all memory is at the destination */
    JOB_RUNS,      /* libvirt has let the guest run there; Finish's answer is on its way */
    JOB_COMMITTED, /* the source's libvirt has decided to end its QEMU */
};

struct job {
    enum job_phase phase;
    unsigned life;
    int source, txn;
    bool stop;       /* asked to */
    bool by_libvirt; /* begun so that post-copy may be asked for: libvirt itself runs the guest there */
    bool post_copy;  /* was asked for */
    bool broken;     /* the stream, in post-copy */
};

/* ---- the coordinator ---- */

struct call {
    bool open;
    unsigned life;
    unsigned owner; /* the coordinator's life */
    int txn;
    enum txn_message message;
    enum txn_party party;
};

struct coordinator {
    bool alive;
    unsigned life, timer;
    uint64_t epoch; /* durable, like the next three */
    uint64_t generation;
    struct txn journal[TXNS];
    bool journalled[TXNS];
    int64_t full_until; /* its disk */
    unsigned ballast;   /* writes for which there is room all the same */
    /* Lost in a crash. */
    struct txn txn;
    bool open; /* there is one */
    int current;
    struct txn_actions actions;
    size_t next;
    bool busy, finished;
    struct txn_event queue[QUEUE];
    unsigned n_queue;
};

enum { PARTIES = HOSTS + 1, COORDINATOR = HOSTS };

struct world {
    uint64_t rng, seed;
    enum mutation mutation;
    struct coverage *coverage;
    int64_t now;
    uint64_t order;
    unsigned steps;

    struct event events[EVENTS];
    unsigned n_events;

    /* How bad it is. */
    bool calm;
    unsigned loss, repeat, slow; /* per mille */
    bool cut;                    /* between the two hosts and to the coordinator */
    unsigned cut_off;            /* bits: host 0, host 1, the mesh */
    struct {
        unsigned step;        /* of the schedule; or, with a phase of libvirt's job, within it */
        enum job_phase phase; /* JOB_NONE: at any time */
        int kind;
        bool over;
    } faults[FAULTS];
    unsigned n_faults;
    bool lost[HOSTS]; /* it has lost its power while it was cut off, and still is */
    bool persistent, definition_only, autostart;
    bool voted_autostart[TXNS]; /* in the definition that the source has sent */
    bool copies;                /* its disks go with it */
    bool said;                  /* an operator has said where the guest is, and with it which disks count */
    uint64_t content;           /* of these, the newest */
    bool locked;                /* a lock on the disk keeps a second copy from running */
    bool post_copy;             /* the policy allows it */
    int64_t stalled[PARTIES];   /* until when it stands still */

    struct host hosts[HOSTS];
    struct job job;
    struct coordinator coordinator;
    struct coordinator deposed; /* alive: one that another has replaced, and that does not know */
    unsigned lives;             /* of coordinators */
    struct call calls[CALLS];
    int source_of[TXNS]; /* which host */
    int orders;
    unsigned jobs_started[TXNS];

    unsigned done, aborted, cold; /* transactions, by how they ended */
    bool in_doubt;                /* the last one has not ended, and says why */
    bool image_died;              /* by a fault: there may be no running copy */
    unsigned disarmed;            /* bits of hosts: an operator sees that it does not start the guest */
    bool operator_looks;          /* then nothing stays in doubt */
    bool spoilt;                  /* a record is lost that had been durable */
    bool blind;                   /* a coordinator's copy of the journal does not say that MIGRATE was sent */
    bool suspended;               /* an operator has paused the guest in mid-transfer... */
    bool noted;                   /* ...and the source's record says so */
    bool resumed;                 /* an operator has resumed an image that waited: that is the last word */
    bool violated;
    char violation[200];
    FILE *trace; /* or NULL */
};

/* ---- world.c ---- */

/* Plays one schedule, and counts what it has exercised; false if an invariant was violated. */
bool world_play(struct world *w, uint64_t seed, enum mutation mutation, FILE *trace,
                struct coverage *coverage);

uint64_t world_random(struct world *w, uint64_t below);
bool world_chance(struct world *w, unsigned per_mille);
struct event *world_after(struct world *w, int64_t ms, enum event_kind kind);
void world_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void world_violate(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void world_saw(struct world *w, enum seen what)
{
    w->coverage->seen[what]++;
}
static inline int64_t clock_up(const struct world *w, int host)
{
    return w->now + w->hosts[host].slept;
}
/* A host's clock, ms. */
static inline int64_t clock_real(const struct world *w, int host)
{
    return w->now + w->hosts[host].clock;
}
bool world_guest_runs_on(const struct world *w, int *ret_host);

/* ---- faults.c ---- */

enum { HOUR_MS = 3600 * 1000, KEEP_MS = 24 * HOUR_MS };

void faults_plan(struct world *w);
/* Those whose turn has come with this step. */
void faults_strike(struct world *w);
/* A source has KEPT, and a complete image is at the destination: now and then it says so to nobody. */
void faults_aim_at_kept(struct world *w, int host);
/* A source has given the guest up: now and then the destination, which may or may not have taken it over, is lost. */
void faults_aim_at_fenced(struct world *w, int host);
void faults_lose_host(struct world *w, int host);
/* No more from now on. */
void faults_end(struct world *w);
/* True if the party that it is meant for stands still: it gets it later. */
bool faults_postpone(struct world *w, const struct event *e);

/* ---- disk.c ---- */

bool disk_write_fence(struct world *w, int host);
bool disk_write_record(struct world *w, int host, int txn);
void disk_remove_record(struct world *w, int host, int txn);
void disk_power_cut(struct world *w, int host);
void disk_keep_backup(struct world *w);
void disk_restore(struct world *w, int host);
void disk_read(struct world *w, int host);
void disk_tidy(struct world *w, int host);

/* ---- network.c ---- */

enum { FROM_DISKS = 1 << 8, PAUSED = 1 << 9 };

/* A message that may be lost, late, or come twice. */
void network_send(struct world *w, int host, const struct message *m, bool mesh);
void network_answer(struct world *w, int from, int call, unsigned life,
                    int answer); /* with FROM_DISKS and PAUSED, or not */
int network_call(struct world *w, const struct coordinator *c, enum txn_message what, enum txn_party party);
/* How the transfer is, to whose MIGRATE call waits. */
void network_tell(struct world *w, int from, int call, unsigned life, bool post_copy, bool broken);

/* ---- the parties ---- */

void coordinator_event(struct world *w, const struct event *e);
void coordinator_crash(struct world *w, struct coordinator *c);
/* A second one is started on a copy of its journal while it goes on. */
void coordinator_replace(struct world *w);
void coordinator_feed(struct world *w, struct coordinator *c, const struct txn_event *e);

void operator_event(struct world *w, const struct event *e);

void agent_event(struct world *w, const struct event *e);
void agent_crash(struct world *w, int host);
void agent_look(struct world *w, int host, int txn, int64_t ms);
void agent_look_all(struct world *w, int host);

void libvirt_event(struct world *w, const struct event *e);
void libvirt_migrate(struct world *w, int source, int txn);
void libvirt_stop_job(struct world *w, int host);
void libvirt_crash(struct world *w, int host);
void libvirt_qemu_dies(struct world *w, int host);
void libvirt_take_up(struct world *w);
/* Asked for post-copy: 1: libvirt has taken it; 0: it refuses, for good; -1: nobody knows. */
int libvirt_ask_post_copy(struct world *w, int host);
/* An operator's `virsh destroy`. */
void libvirt_destroy(struct world *w, int host);
/* virsh suspend of the source in mid-transfer: the job goes on. False if libvirt can't be asked. */
bool libvirt_suspend(struct world *w, int host);
void libvirt_tells_pause(struct world *w, int host);
/* virsh resume of an image that waits. */
void libvirt_resume(struct world *w, int host);
void libvirt_run_by_hand(struct world *w, int host);
struct participant_facts libvirt_look(const struct world *w, int host, int txn, enum participant_role role);
/* What a lock on its disk keeps from running fails. */
bool libvirt_deed(struct world *w, int host, int txn, enum participant_action action);

/* ---- invariants.c ---- */

void invariants_check(struct world *w);
void invariants_check_end(struct world *w);
