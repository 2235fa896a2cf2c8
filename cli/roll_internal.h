/* What roll.c (all hosts) and roll_host.c (one of them) share. Everything runs on the loop. */
#pragma once

#include "cli/client.h"
#include "cli/exec.h"
#include "cli/roll.h"
#include "cli/rolling.h"
#include "common/base/loop.h"

struct roll;

/* One host. At most one call or timer of it is open, beside the watch of its job; what comes after it has stopped is dropped. */
struct roll_task {
    struct roll *roll;
    struct rolling_host *h;
    struct loop_timer *timer;
    void (*later)(struct roll_task *t);
    unsigned failures; /* calls that failed in a row */
    Drover__V1__Job *job;
    size_t log_told;
    bool paused_told;
    struct exec *exec;
    int64_t deadline; /* to be back; monotonic */
    char *missing;    /* said last */
    char *seen;
};

struct roll {
    struct cli *cli;
    const struct roll_order *order;
    struct rolling rolling;
    struct roll_task *tasks;
    struct loop *loop;
    struct client *client;
    struct loop_timer *tick;
    bool down, closing;
    int64_t down_since, back_since; /* of the coordinator; 0: it was never lost */
    int exit;                       /* why it leaves before the end; 0: it doesn't */
};

/* A line for the operator: `host` may be NULL; `event` is for --json. */
void roll_tell(const struct roll *roll, const char *host, const char *event, uint64_t job, const char *fmt,
               ...) __attribute__((format(printf, 5, 6)));

/* ms until the coordinator, if it has just come back, can be thought to have heard from all hosts again: what it plans before
 * that leaves out the others. */
int64_t roll_settling(const struct roll *roll);

/* Begins what may begin now, or ends. After each change. */
void roll_turn(struct roll *roll);

/* ---- roll_ask.c ---- */

enum { ROLL_ANSWER_MS = 60000 };

/* A call whose answer (or `why` there is none) comes once, on the loop, unless the host has stopped meanwhile. */
typedef void roll_answered(struct roll_task *t, const void *reply, const struct error *why);
void roll_ask(struct roll_task *t, const char *method, const ProtobufCMessage *request, int64_t ms, bool once,
              roll_answered *fn);

/* Calls fn in `ms`, unless nothing is to begin then. */
void roll_later(struct roll_task *t, int64_t ms, void (*fn)(struct roll_task *t));

/* A call has failed: `again` a little later if that may pass; else the host stops. */
void roll_failed(struct roll_task *t, const struct error *why, void (*again)(struct roll_task *t));
bool roll_is_over(const struct roll_task *t);
void roll_host_stop(struct roll_task *t, int exit, const char *why, const char *todo);

/* ---- roll_plan.c ---- */

void roll_host_empty(struct roll_task *t);
void roll_host_fill(struct roll_task *t);

/* The plan of the host's phase: one that is under way already, of an earlier run or of a call whose answer was lost, is
 * followed. */
void roll_plan(struct roll_task *t);
void roll_host_done(struct roll_task *t);

/* ---- roll_host.c ---- */

/* libvirt has said that it is empty; is it in maintenance, and still empty, at this moment? Then the command is run. */
void roll_host_emptied(struct roll_task *t);

/* The time to be back is over? */
void roll_host_check(struct roll_task *t, int64_t now);
void roll_host_deinit(struct roll_task *t);
