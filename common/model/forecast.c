#include "common/model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* QEMU, read in 7.2: the thread wakes every 100 ms, so that it overshoots a threshold by half of that on average. */
static const double slice = 0.1;
static const double half_slice = 0.05;
enum {
    SYNCS_MAX = 20000,
    THROTTLE_FIRST = 20,
    THROTTLE_STEP = 10,
    THROTTLE_MAX = 99,
    STALLED = 3,
    DAY = 86400
};

/* One part of memory, in bytes: `left` of `size` are still to be sent. */
struct part {
    double size, left, k;
    bool sweep;
};

struct run {
    struct part hot, cold;
    double bandwidth, threshold;
    double time, bytes, passes;
    double throttle; /* 0 to 0.99 */
    double throttled;
    unsigned high;
    double period_time, period_sent, period_dirtied;
};

static double left(const struct run *r)
{
    return r->hot.left + r->cold.left;
}

static void send_part(struct part *p, double share)
{
    p->left -= p->left * share;
}

/* Pages that were dirtied since the last sync join those that are still to be sent. Returns the bytes found dirty. */
static double sync_part(struct part *p, double seconds)
{
    double dirty = p->sweep ? fmin(1, p->k * seconds) : 1 - exp(-p->k * seconds);
    p->left += (p->size - p->left) * dirty;
    return p->size * dirty;
}

/* Sends until the threshold is crossed, then syncs. */
static void run_pass(struct run *r)
{
    double before = left(r);
    double seconds = fmax((before - r->threshold) / r->bandwidth + half_slice, slice);
    double sent = fmin(before, r->bandwidth * seconds);
    if (before > 0) {
        send_part(&r->hot, sent / before);
        send_part(&r->cold, sent / before);
    }
    r->time += seconds;
    r->throttled += seconds * r->throttle;
    r->bytes += sent;
    r->passes++;
    double dirtied =
        sync_part(&r->hot, seconds * (1 - r->throttle)) + sync_part(&r->cold, seconds * (1 - r->throttle));
    r->period_time += seconds;
    r->period_sent += sent;
    r->period_dirtied += dirtied;
}

/* QEMU's migration_trigger_throttle. */
static void run_throttle(struct run *r)
{
    if (r->period_time < 1)
        return;
    if (r->period_dirtied > r->period_sent / 2 && ++r->high >= 2) {
        r->high = 0;
        r->throttle = r->throttle == 0 ? THROTTLE_FIRST / 100.0
                                       : fmin(r->throttle + THROTTLE_STEP / 100.0, THROTTLE_MAX / 100.0);
    }
    r->period_time = r->period_sent = r->period_dirtied = 0;
}

/* Until it ends, or what remains stays the same and nothing will change that, or `limit` seconds. */
static bool run_live(struct run *r, bool throttling, double limit)
{
    double before = INFINITY;
    for (unsigned i = 0; i < SYNCS_MAX && r->time < limit; i++) {
        run_pass(r);
        if (left(r) <= r->threshold)
            return true;
        if (fabs(left(r) - before) < 1e-4 * before && (!throttling || r->throttle > 0.985))
            return false;
        before = left(r);
        if (throttling)
            run_throttle(r);
    }
    return false;
}

static struct run run_new(const struct model_input *in, const struct model_curve *c)
{
    double zero = fmin((double)in->zero, (double)in->memory);
    /* What is zero is cold; a working set that leaves no room for it isn't zero any more. */
    struct run r = {
        .hot = {.size = c->hot,
                .left = c->hot,
                .k = c->hot > 0 ? c->hot_rate / c->hot : 0,
                .sweep = c->sweep},
        .cold = {.size = c->cold,
                 .left = fmax(0, c->cold - zero),
                 .k = c->cold > 0 ? c->cold_rate / c->cold : 0},
        .bandwidth = (double)in->bandwidth,
        .threshold = (double)in->bandwidth * (double)in->downtime / 1e3,
    };
    return r;
}

static struct model_outcome run_end(const struct run *r, int64_t overhead)
{
    double pause = left(r) / r->bandwidth;
    return (struct model_outcome){
        .ends = true,
        .time = llround((r->time + pause) * 1e3) + overhead,
        .bytes = llround(r->bytes + left(r)),
        .downtime = llround(pause * 1e3) + overhead,
        .passes = (unsigned)r->passes,
        .throttle = (unsigned)lround(r->throttle * 100),
        .throttled = llround(r->throttled * 1e3),
    };
}

static struct model_outcome forecast_live(const struct model_input *in, const struct model_curve *c,
                                          bool throttling)
{
    struct run r = run_new(in, c);
    if (run_live(&r, throttling, DAY))
        return run_end(&r, in->overhead);
    return (struct model_outcome){0};
}

/* Passes until several in a row brought less than a tenth, then the guest is paused and what is left is sent. */
static struct model_outcome forecast_pause(const struct model_input *in, const struct model_curve *c)
{
    struct run r = run_new(in, c);
    double least = INFINITY;
    unsigned stalled = 0;
    for (unsigned i = 0; i < SYNCS_MAX && stalled < STALLED; i++) {
        run_pass(&r);
        if (left(&r) <= r.threshold)
            break;
        stalled = left(&r) > 0.9 * least ? stalled + 1 : 0;
        least = fmin(least, left(&r));
    }
    return run_end(&r, in->overhead);
}

static struct model_outcome forecast_once(const struct model_input *in, const struct model_curve *c,
                                          bool paused)
{
    struct run r = run_new(in, c);
    struct model_outcome o = run_end(&r, in->overhead);
    o.passes = 1;
    if (!paused)
        o.downtime = in->overhead;
    return o;
}

static struct run run_resumed(const struct model_progress *p)
{
    const struct model_curve *c = &p->curve;
    double hot = fmin((double)p->remaining, c->hot);
    return (struct run){
        .hot = {.size = c->hot, .left = hot, .k = c->hot > 0 ? c->hot_rate / c->hot : 0, .sweep = c->sweep},
        .cold = {.size = c->cold,
                 .left = fmin((double)p->remaining - hot, c->cold),
                 .k = c->cold > 0 ? c->cold_rate / c->cold : 0},
        .bandwidth = fmax((double)p->bandwidth, 1),
        .threshold = (double)p->bandwidth * (double)p->downtime / 1e3,
        .throttle = p->throttle / 100.0,
    };
}

struct model_outcome model_continue(const struct model_progress *p, int64_t limit)
{
    struct run r = run_resumed(p);
    double seconds = limit > 0 ? (double)limit / 1e3 : DAY;
    if (left(&r) > r.threshold && !run_live(&r, p->auto_converge, seconds))
        return (struct model_outcome){0};
    struct model_outcome o = run_end(&r, p->overhead);
    return limit > 0 && o.time > limit ? (struct model_outcome){0} : o;
}

int64_t model_next_pass(const struct model_progress *p, int64_t *ret_ms)
{
    struct run r = run_resumed(p);
    run_pass(&r);
    *ret_ms = llround(r.time * 1e3);
    return llround(left(&r));
}

char *model_say_bytes(char *buf, size_t size, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned i = 0;
    for (; bytes >= 1023.5 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
        bytes /= 1024;
    snprintf(buf, size, bytes < 9.95 && i > 0 ? "%.1f %s" : "%.0f %s", bytes, units[i]);
    return buf;
}

char *model_say_time(char *buf, size_t size, double ms)
{
    if (ms < 999.5)
        snprintf(buf, size, "%.0f ms", ms);
    else if (ms < 99950)
        snprintf(buf, size, "%.3g s", ms / 1e3);
    else
        snprintf(buf, size, "%.0f min", ms / 60e3);
    return buf;
}

void model_forecast(const struct model_input *in, struct model_forecast *ret)
{
    struct model_forecast f = {.curve.cold = (double)in->memory};
    if (in->bandwidth <= 0) {
        snprintf(f.why, sizeof(f.why), "the link's throughput is not known: measure it first");
        *ret = f;
        return;
    }
    double horizon = fmax((double)in->downtime, 1) / 1e3,
           carried = (double)in->bandwidth * (double)in->downtime / 1e3;
    struct model_fit fit;
    unsigned n = in->n_windows < MODEL_MAX_WINDOWS ? in->n_windows : MODEL_MAX_WINDOWS;
    model_fit(in->windows, n, in->memory, horizon, carried, &fit);
    f.carried = llround(carried);
    f.outcome[MODEL_POST_COPY] = forecast_once(in, &f.curve, false);
    f.outcome[MODEL_OFFLINE] = forecast_once(in, &f.curve, true);
    if (n == 0) {
        snprintf(f.why, sizeof(f.why), "how fast it dirties its memory is not known: sample it first");
        *ret = f;
        return;
    }

    f.curve = fit.curve;
    f.dirtied = llround(fit.dirtied);
    f.converges = f.dirtied <= f.carried;
    f.confidence = fmin(fmax(f.converges ? fit.below : 1 - fit.below, 0.5), 0.99);
    if (f.converges)
        f.outcome[MODEL_LIVE] = forecast_live(in, &f.curve, false);
    f.outcome[MODEL_AUTO_CONVERGE] = forecast_live(in, &f.curve, true);
    f.outcome[MODEL_PAUSE] = forecast_pause(in, &f.curve);

    char dirtied[24], time[24], carries[24];
    snprintf(f.why, sizeof(f.why), "dirties %s within %s, the link carries %s in that time",
             model_say_bytes(dirtied, sizeof(dirtied), fit.dirtied),
             model_say_time(time, sizeof(time), (double)in->downtime),
             model_say_bytes(carries, sizeof(carries), carried));
    *ret = f;
}
