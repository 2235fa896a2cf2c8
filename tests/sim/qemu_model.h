/* A page-level model of a migration by QEMU 7.2's rules, in steps of 10 ms:
 * - pages of the last bitmap are sent in order; when none is left, or every 100 ms when less remains than the bandwidth of
 *   the last 100 ms x the downtime limit, the bitmap is synced; if less still remains, the guest stops and the rest is sent;
 * - auto-converge: at syncs a second or more apart, when more than half as much was dirtied as was sent, for the second
 *   time: 20 %, then 10 more, at most 99;
 * - a guest that is paused from outside dirties nothing; post-copy sends each page that remains once, the guest running.
 * "Pages" are a 1/8192 of the memory, so that ten thousand guests take a minute. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { QEMU_PAGES = 8192, QEMU_STEP = 10, QEMU_SLICE = 100, QEMU_PHASES = 2 };

struct qemu_phase {
    int64_t from;     /* ms */
    uint32_t hot;     /* pages of the working set, from page 0 */
    double hot_rate;  /* writes per second */
    double cold_rate; /* writes per second, all over memory */
    bool sweep;       /* the working set is written in order */
    double bandwidth; /* bytes per second */
};

struct qemu_setup {
    uint64_t seed;
    double page;   /* bytes */
    uint32_t zero; /* pages at the end of memory that are zero until they are written */
    struct qemu_phase phases[QEMU_PHASES];
    double noise;   /* of the bandwidth, 0 to 1 */
    int64_t device; /* ms to stop, send the device state and resume */
    bool auto_converge;
    int64_t downtime; /* ms, the limit at the start */
};

enum qemu_state { QEMU_ACTIVE, QEMU_COMPLETING, QEMU_POST_COPY, QEMU_DONE, QEMU_CANCELLED };

struct qemu {
    struct qemu_setup setup;
    uint64_t random;
    enum qemu_state state;
    bool paused;            /* from outside */
    int64_t now, paused_at; /* ms */
    uint64_t pending[QEMU_PAGES / 64], log[QEMU_PAGES / 64];
    uint32_t n_pending, n_log_hot;
    uint32_t cursor, sweep_at;
    double writes_due_hot, writes_due_cold, send_due;
    uint64_t nonzero[QEMU_PAGES / 64];
    double sent, slice_sent, slice_bandwidth;
    unsigned iteration, throttle, high;
    int64_t period_at;
    double period_sent;
    uint32_t period_dirtied;
    int64_t device_left, downtime;
    /* what it came to */
    int64_t pause;                 /* ms that the guest did not run */
    double throttled, post_copied; /* ms */
    int64_t post_copy_at;          /* ms */
    double post_copy_left;         /* bytes that hold data, then */
};

void qemu_init(struct qemu *q, const struct qemu_setup *setup);

/* One step. Returns true when a bitmap sync happened in it. */
bool qemu_step(struct qemu *q);

void qemu_pause(struct qemu *q);
void qemu_post_copy(struct qemu *q);
void qemu_cancel(struct qemu *q);
bool qemu_stopped(const struct qemu *q);     /* the guest runs nowhere right now */
double qemu_remaining(const struct qemu *q); /* bytes */
bool qemu_over(const struct qemu *q);
