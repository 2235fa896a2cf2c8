/* What the driver's files share. One `migration` per open job; everything runs on the loop.
 *
 * Events wait in a queue while one is being worked off, or while the journal can't be written: an action that follows a
 * JOURNAL is not begun before the row is durable. A transaction that waits for the disk moves nothing; the agents go on by
 * themselves to the next point at which they need a word. */
#pragma once

#include "common/rpc/rpc.h"
#include "coordinator/core/message.h"
#include "coordinator/core/transaction.h"
#include "coordinator/driver.h"
#include "proto/journal.pb-c.h"

#define COPY_ENDED "copy-ended" /* the finding: ABORT has ended a copy that ran */

struct event {
    struct event *next;
    struct txn_event event;
    char *text;
};

struct migration {
    struct migration *next;
    struct driver *driver;
    Drover__V1__Job *job; /* what the operator sees */
    Drover__V1__Journal
        *journal;   /* what goes on disk beside it; its `state` and the like are filled when it is written */
    struct txn txn; /* its strings are the job's */
    struct loop_timer *timer;

    struct event *first, **last;
    struct txn_actions actions;
    size_t next_action;
    bool busy;
    struct loop_timer *disk_retry;
    struct error disk_error; /* why it waits for the disk */

    struct call *calls;  /* not answered yet */
    struct check *check; /* the last look at both hosts */

    int64_t started;        /* monotonic; -1 after a restart */
    int64_t transfer_ended; /* monotonic; 0: not yet, or before a restart */
    bool activated_by_mesh;
    bool said_unknown; /* that a host has not told what images its guests use */
};

struct driver_watch {
    struct driver *driver;
    struct driver_watch *next;
    uint64_t job;
    void (*fn)(void *arg, const Drover__V1__Job *job);
    void *arg;
};

struct driver {
    struct driver_config config;
    int64_t started_ms;
    struct migration *migrations; /* oldest first */
    struct driver_watch *watches;
    bool telling; /* watches are freed afterwards */
    struct driver_hooks hooks;
};

/* ---- driver_migration.c: events, actions, the journal's turn ---- */

struct migration *migration_new(struct driver *driver, Drover__V1__Job *job, Drover__V1__Journal *journal);
void migration_free(struct migration *m);

/* Takes a copy of the event. The migration may be gone afterwards. */
void migration_feed(struct migration *m, const struct txn_event *event);

/* As migration_feed with START, but an order that can't be journalled fails, and the caller frees it. */
int migration_start(struct migration *m, struct error *err);

/* The job has ended: `m` is journalled as such, told and freed; tries again later if the disk refuses. */
void migration_end(struct migration *m);

void migration_log(struct migration *m, const char *text);
void migration_hear(struct migration *m, const Drover__V1__Story *story); /* what it missed */
void migration_tell(struct migration *m);                                 /* the job has changed */

/* ---- driver_send.c ---- */

void migration_send(struct migration *m, enum txn_message message, enum txn_party party);
void migration_drop_calls(struct migration *m);

/* ---- driver_check.c ---- */

/* Asks both libvirts where the guest is, fills runs_on, state, text, todo, and calls migration_end. */
void migration_check(struct migration *m);
void migration_drop_check(struct migration *m);

/* ---- driver_text.c ---- */

char *finding_sentence(const Drover__V1__Finding *finding);

/* "3.1 s", "61 ms"; "312 MiB". */
void say_ms(int64_t ms, char text[32]);
void say_bytes(uint64_t bytes, char text[32]);
