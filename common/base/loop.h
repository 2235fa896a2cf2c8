/* One event loop per program (sd-event). State changes only on the loop's thread: other threads (libvirt's events, nng's
 * callbacks, workers) post a function to it. What blocks goes to a worker; its `done` comes back on the loop. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;

int loop_new(struct loop **ret, struct error *err);

/* Runs what was posted before, so that nothing that a post owns is lost. Loop's thread only. */
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop *, loop_free);

/* Runs until loop_stop; returns the code given to it. May be called again. */
int loop_run(struct loop *loop);

/* Any thread. */
void loop_stop(struct loop *loop, int code);

/* Any thread: runs fn(arg) on the loop, in the order of posting, exactly once. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* True on the thread that runs the loop (or, before the first loop_run, the one that made it). */
bool loop_is_current(const struct loop *loop);

/* Milliseconds of CLOCK_MONOTONIC (never jumps) and of CLOCK_REALTIME since 1970 (for showing). */
int64_t clock_monotonic_ms(void);
int64_t clock_realtime_ms(void);

/* From the one to the other; the moment that is got back is not later than now, should the clock have been set back. */
uint64_t clock_realtime_of(int64_t monotonic_ms);
int64_t clock_monotonic_of(uint64_t realtime_ms);

/* Runs fn(arg) once, in delay_ms or later. Loop's thread only. The timer is freed when it has fired or is cancelled;
 * loop_timer_cancel(NULL) does nothing and returns NULL, so `t = loop_timer_cancel(t)` is the idiom. */
struct loop_timer *loop_timer_start(struct loop *loop, int64_t delay_ms, void (*fn)(void *arg), void *arg);
struct loop_timer *loop_timer_cancel(struct loop_timer *timer);

/* Calls fn(arg, signo) on the loop when the signal comes. Call before other threads start (it blocks the signal). */
int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg, struct error *err);

/* Calls fn(arg, fd) on the loop whenever fd is readable (until the loop is freed, or forget). */
struct loop_fd;
struct loop_fd *loop_watch_fd(struct loop *loop, int fd, void (*fn)(void *arg, int fd), void *arg);
struct loop_fd *loop_unwatch_fd(struct loop_fd *watch);

/* A pool of threads for what blocks: fn(arg) runs on a worker, then done(arg) on the loop (done may be NULL).
 * A pool grows up to `max` threads on demand; more work waits in order. */
struct workers;
struct workers *workers_new(struct loop *loop, unsigned max);
void workers_submit(struct workers *w, void (*fn)(void *arg), void (*done)(void *arg), void *arg);

/* Waits for work in progress and runs what is queued; posts of `done` reach the loop before loop_free returns. */
void workers_free(struct workers *w);

/* The same, for work that may never end (a file system that hangs): false if some is still in progress after that time. Then that
 * work's `done` is never run, nothing of it is freed, and what it uses must stay until the process ends. */
bool workers_free_within(struct workers *w, int64_t ms);
DEFINE_CLEANUP(struct workers *, workers_free);
