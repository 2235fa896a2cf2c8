/* The pre-copy model: from what is known of a guest and a link to a forecast of its migration. Pure.
 *
 * Unique dirtying. A guest dirties U(t) bytes at least once within t seconds. We take a hot part (the "writable working
 * set" of Clark et al., "Live Migration of Virtual Machines", NSDI 2005, section 4) and the rest of memory:
 *     U(t) = W (1 - exp(-h t / W)) + M_c (1 - exp(-c t / M_c))
 * with W and M_c in bytes, h and c in bytes per second. A guest that sweeps through W in order gives min(W, h t) for
 * the first term. A measured "dirty rate" is U(t)/t and falls with t, so one window says little: windows of several
 * lengths are fitted, and how much the fits that agree with them differ is the forecast's doubt.
 *
 * Convergence. QEMU (migration/migration.c, migration_iteration_run, read in 7.2) sends pages of the last bitmap and looks
 * about every 100 ms: when less remains than bandwidth x downtime limit, it syncs the bitmap, and switches over if still
 * less remains. So live converges when and only when U(T_d) <= B T_d, and the downtime of a converging guest is close
 * to T_d plus the device state, not Clark's M (rate/B)^n / B: QEMU doesn't wait for a pass to end.
 *
 * Auto-converge. QEMU takes vCPU time away: 20 % first, then 10 more, at most 99; a step when at two syncs, of periods of a
 * second or more, more than half as much was dirtied as was sent. To first order it needs p* = 1 - B T_d / U(T_d). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_MAX_WINDOWS = 8 };

/* One dirty sample: bytes dirtied at least once within `length` ms. */
struct model_window {
    int64_t length;
    int64_t dirtied;
    bool exact; /* by bitmap or ring; else by page sampling (512 pages per GiB: one hit is 2 MiB) */
};

struct model_curve {
    double hot, hot_rate;   /* W in bytes, h in bytes per second */
    double cold, cold_rate; /* M_c, c */
    bool sweep;             /* the hot part is written in order */
};

/* U(t) in bytes. */
double model_dirtied(const struct model_curve *curve, double seconds);

struct model_input {
    int64_t memory; /* bytes */
    int64_t zero;   /* of it zero or never touched, where known: costs next to nothing to send */
    struct model_window windows[MODEL_MAX_WINDOWS];
    unsigned n_windows;
    int64_t age;       /* ms since they were taken */
    int64_t bandwidth; /* bytes per second that the migration gets */
    int64_t downtime;  /* T_d in ms: the most that the guest may be paused to switch over */
    int64_t overhead;  /* ms that stopping, the device state and resuming take besides */
};

enum model_mode {
    MODEL_LIVE,
    MODEL_AUTO_CONVERGE,
    MODEL_PAUSE, /* live, until passes no longer help; then paused inside the running job */
    MODEL_POST_COPY,
    MODEL_OFFLINE, /* paused from the start */
    MODEL_MODES,
};

struct model_outcome {
    bool ends;        /* else the rest is 0 */
    int64_t time;     /* ms, all of it */
    int64_t bytes;    /* sent */
    int64_t downtime; /* ms */
    unsigned passes;
    unsigned throttle; /* percent at the end, auto-converge */
    int64_t throttled; /* ms of vCPU time that it took away */
};

struct model_forecast {
    bool converges;    /* live alone, with T_d */
    double confidence; /* that `converges` is right: 0 (not sampled) or 0.5 to 0.99 */
    int64_t dirtied;   /* U(T_d), bytes */
    int64_t carried;   /* B T_d, bytes */
    struct model_curve curve;
    struct model_outcome outcome[MODEL_MODES];
    char why[160]; /* "dirties 210 MiB within 300 ms, the link carries 30 MiB in that time" */
};

/* Never fails: what isn't known (no windows, no bandwidth) is said in `why`, with confidence 0. */
void model_forecast(const struct model_input *in, struct model_forecast *ret);

/* A migration under way, right after a bitmap sync. */
struct model_progress {
    struct model_curve curve;
    int64_t remaining; /* bytes */
    int64_t bandwidth; /* bytes per second */
    int64_t downtime;  /* T_d in ms */
    int64_t overhead;  /* ms */
    bool auto_converge;
    unsigned throttle; /* percent now */
};

/* What is still to come, if nothing is changed and it takes at most `limit` ms (0: a day). */
struct model_outcome model_continue(const struct model_progress *p, int64_t limit);

/* The next pass: what remains after the sync at its end; *ret_ms: how long it takes. */
int64_t model_next_pass(const struct model_progress *p, int64_t *ret_ms);

struct model_fit {
    struct model_curve curve;
    double dirtied; /* U(horizon), the mean of all that fit */
    double below;   /* probability that U(horizon) <= limit */
    double misfit;  /* sum of squares, in standard deviations: far more than n, and it is no single curve */
};

/* Fits the windows; where they leave a choice, the curve is the one closest to the mean at `horizon` seconds. */
void model_fit(const struct model_window *windows, unsigned n, int64_t memory, double horizon, double limit,
               struct model_fit *ret);

/* "210 MiB", "1.5 GiB"; "300 ms", "2.4 s", "12 min". Return buf. */
char *model_say_bytes(char *buf, size_t size, double bytes);
char *model_say_time(char *buf, size_t size, double ms);
