#include "agent/core/ladder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_DOWNTIME = 100, /* ms: raised when that is worth it */
    LIVE_DOWNTIME = 300,  /* ms, QEMU's own default: the most without a max_pause */
    RESERVE = 1000,       /* ms before the deadline in which a cancel or a pause takes effect */
    GAP = 500,            /* ms between samples at worst */
    CANCEL_TAKES = 200,   /* ms */
    SLACK = 7,            /* percent */
    MEASURED = 4,         /* windows: older ones tell of a guest that may have changed */
    PATIENCE_MIN = 10000,
    PATIENCE_MAX = 300000,
};

/* What could be done now. */
struct option {
    enum ladder_action action;
    int64_t downtime;    /* limit, with LADDER_SET_DOWNTIME */
    int64_t time, pause; /* ms expected */
    double cost;
};

const char *ladder_rung_name(enum ladder_rung rung)
{
    static const char *const names[] = {"live", "raised", "throttled", "paused", "post-copy", "cancelled"};
    return (unsigned)rung < LADDER_RUNGS ? names[rung] : "unknown";
}

static char *say_bytes(char buf[24], double bytes)
{
    return model_say_bytes(buf, 24, bytes);
}

static char *say_time(char buf[24], double ms)
{
    return model_say_time(buf, 24, ms);
}

static void say(struct ladder_actions *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct ladder_actions *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->why, sizeof(a->why), fmt, ap);
    va_end(ap);
}

static double cost_of(double time, double pause, double slowed)
{
    return time + LADDER_PAUSE_WORTH * pause + slowed;
}

static bool may_pause(const struct ladder *l)
{
    return l->policy.mode == LADDER_AUTO && l->policy.offline;
}

static bool may_post_copy(const struct ladder *l)
{
    return l->policy.post_copy && (l->policy.mode == LADDER_AUTO || l->policy.mode == LADDER_POST_COPY);
}

/* With a tenth to spare: the link may get slower while the guest is paused. */
static bool pause_fits(const struct ladder *l, double ms)
{
    return l->policy.max_pause == 0 || ms * 1.1 <= (double)l->policy.max_pause;
}

/* ms that are left for everything; INT64_MAX without a deadline. */
static int64_t time_left(const struct ladder *l, const struct ladder_sample *s)
{
    return l->policy.deadline > 0 ? l->policy.deadline - s->elapsed - RESERVE : INT64_MAX;
}

void ladder_init(struct ladder *l, const struct ladder_policy *policy, const struct model_input *guest,
                 struct ladder_start *ret_start)
{
    *l = (struct ladder){
        .policy = *policy,
        .overhead = guest->overhead,
        .memory = guest->memory,
        .bandwidth = (double)guest->bandwidth,
        .synced_at = -1,
        .least = INT64_MAX,
        .curve = {.cold = (double)guest->memory},
    };
    for (unsigned i = 0; i < guest->n_windows && i + MEASURED < MODEL_MAX_WINDOWS; i++) {
        l->windows[l->n_windows] = guest->windows[i];
        l->windows[l->n_windows++].exact = false; /* it was before; what the job shows counts more */
    }
    l->max_downtime = LIVE_DOWNTIME;
    if (policy->max_pause > 0) {
        int64_t most = (policy->max_pause - guest->overhead) * 9 / 10;
        l->max_downtime = most > 1 ? most : 1;
    }
    l->downtime = l->max_downtime < FIRST_DOWNTIME ? l->max_downtime : FIRST_DOWNTIME;

    struct model_input in = *guest;
    in.downtime = l->max_downtime;
    struct model_forecast f;
    model_forecast(&in, &f);
    l->curve = f.curve;
    bool sure = f.converges && f.confidence > 0.8;
    struct ladder_start start = {
        .auto_converge = policy->auto_converge && policy->mode <= LADDER_LIVE && !sure,
        .post_copy = may_post_copy(l),
        .paused = policy->mode == LADDER_OFFLINE,
        .downtime = l->downtime,
    };
    l->auto_converge = start.auto_converge;
    if (start.paused) {
        l->rung = LADDER_RUNG_PAUSED;
        snprintf(start.why, sizeof(start.why), "paused from the start, as asked");
    } else {
        snprintf(start.why, sizeof(start.why), "%s; starts live%s", f.why,
                 start.auto_converge ? ", with auto-converge" : "");
    }
    *ret_start = start;
}

/* Where zero pages are only counted, nothing is learnt of the link. */
static void learn_bandwidth(struct ladder *l, const struct ladder_sample *s)
{
    double ms = (double)(s->elapsed - l->last.elapsed), sent = (double)(s->sent - l->last.sent);
    if (!l->seen || ms <= 0 || sent <= 0) {
        if (l->bandwidth <= 0)
            l->bandwidth = (double)s->bandwidth;
        return;
    }
    if (s->iteration == l->last.iteration && (double)(l->last.remaining - s->remaining) > 1.5 * sent)
        return;
    double now = sent / ms * 1e3, share = 1 - exp(-ms / 1000);
    l->bandwidth = l->bandwidth > 0 ? l->bandwidth + share * (now - l->bandwidth) : now;
}

static void drop_window(struct ladder *l, unsigned i)
{
    l->n_windows--;
    memmove(&l->windows[i], &l->windows[i + 1], (l->n_windows - i) * sizeof(l->windows[0]));
    memmove(&l->measured_at[i], &l->measured_at[i + 1], (l->n_windows - i) * sizeof(l->measured_at[0]));
}

/* A new window takes the place of one of about its length, or of the oldest, so that both the short ones (how fast) and the
 * long ones (how much) stay known. */
static void add_window(struct ladder *l, const struct model_window *w, int64_t now)
{
    unsigned measured = 0, like = MODEL_MAX_WINDOWS, sampled = MODEL_MAX_WINDOWS;
    for (unsigned i = l->n_windows; i-- > 0;) {
        measured += l->windows[i].exact;
        if (l->windows[i].exact && l->windows[i].length * 2 > w->length &&
            l->windows[i].length < w->length * 2)
            like = i;
        if (!l->windows[i].exact)
            sampled = i;
    }
    if (like < MODEL_MAX_WINDOWS)
        drop_window(l, like);
    else if (measured >= 2 && sampled < MODEL_MAX_WINDOWS)
        drop_window(l, sampled);
    else if (measured >= MEASURED)
        drop_window(l, 0);
    l->windows[l->n_windows] = *w;
    l->measured_at[l->n_windows++] = now;
}

/* A sync is a window: from the last one to this, unless one between them went unseen. */
static void learn_window(struct ladder *l, const struct ladder_sample *s)
{
    if (l->synced_at < 0 || s->iteration != l->last.iteration + 1 || s->elapsed <= l->synced_at)
        return;
    double sent = l->bandwidth * (double)(s->elapsed - l->last.elapsed) / 1e3;
    double threshold = l->bandwidth * (double)l->downtime / 1e3; /* more than that can't have been pending */
    double after = (double)s->remaining;
    double pending = fmin(fmin(fmax(0, (double)l->last.remaining - sent), threshold), after);
    /* Only pages that were not pending are seen to be dirtied; as many of the others, in proportion, were dirtied again. */
    double all = fmax(l->curve.hot, after), seen = all > pending ? (after - pending) / (all - pending) : 1;
    /* In the time of its vCPUs, so that a throttled guest isn't taken for a calm one. */
    int64_t length = (s->elapsed - l->synced_at) * (100 - (s->throttle < 99 ? s->throttle : 99)) / 100;
    struct model_window w = {
        .length = length > 0 ? length : 1, .dirtied = llround(seen * all), .exact = true};
    add_window(l, &w, s->elapsed);
    struct model_fit fit;
    model_fit(l->windows, l->n_windows, l->memory, (double)l->max_downtime / 1e3, 0, &fit);
    l->curve = fit.curve;
}

static void on_sync(struct ladder *l, const struct ladder_sample *s)
{
    learn_window(l, s);
    if (l->syncs++ == 0)
        l->first_pass = s->elapsed;
    if (l->least == INT64_MAX || (double)s->remaining < 0.9 * (double)l->least) {
        l->improved_at = s->elapsed;
        l->stalled = 0;
    } else {
        l->stalled++;
    }
    if (s->remaining < l->least)
        l->least = s->remaining;
    l->synced_at = s->elapsed;
}

static struct model_progress progress_of(const struct ladder *l, const struct ladder_sample *s,
                                         int64_t downtime)
{
    return (struct model_progress){
        .curve = l->curve,
        .remaining = s->remaining,
        .bandwidth = llround(fmax(l->bandwidth, 1)),
        .downtime = downtime,
        .overhead = l->overhead,
        .auto_converge = l->auto_converge,
        .throttle = s->throttle,
    };
}

/* What a pause would last now: what remains, and what was dirtied since the last sync. */
static double pause_now(const struct ladder *l, const struct ladder_sample *s)
{
    double since =
        l->synced_at < 0 ? 0 : (double)(s->elapsed - l->synced_at) / 1e3 * (100 - s->throttle) / 100;
    double bytes = fmin((double)s->remaining + model_dirtied(&l->curve, since), (double)l->memory);
    return bytes / fmax(l->bandwidth, 1) * 1e3 + (double)l->overhead;
}

static void take_if_better(struct option *best, const struct option *o)
{
    if (o->cost < best->cost)
        *best = *o;
}

/* A switch-over must still end before the deadline. */
static int64_t highest_limit(const struct ladder *l, int64_t left)
{
    int64_t most =
        left == INT64_MAX || left - l->overhead > l->max_downtime ? l->max_downtime : left - l->overhead;
    return most > l->downtime ? most : l->downtime;
}

/* As it is, or with a higher limit. What is in force has a tenth of advantage, so that it doesn't flutter. */
static void weigh_waiting(const struct ladder *l, const struct ladder_sample *s, int64_t left,
                          struct option *best)
{
    int64_t most = highest_limit(l, left);
    for (int64_t downtime = l->downtime;; downtime = downtime * 3 / 2 + 1) {
        if (downtime > most)
            downtime = most;
        /* With some slack: QEMU judges by the bandwidth of its last 100 ms. */
        struct model_progress p = progress_of(l, s, downtime * (100 - SLACK) / 100);
        struct model_outcome out = model_continue(&p, left == INT64_MAX ? 0 : left);
        bool same = downtime == l->downtime;
        if (out.ends && (same || l->policy.max_pause == 0 || out.downtime <= l->policy.max_pause)) {
            struct option o = {.action = same ? LADDER_NOTHING : LADDER_SET_DOWNTIME,
                               .downtime = downtime,
                               .time = out.time,
                               .pause = out.downtime};
            o.cost = cost_of((double)o.time, (double)o.pause, (double)out.throttled) * (same ? 0.9 : 1);
            take_if_better(best, &o);
        }
        if (downtime >= most)
            return;
    }
}

/* Now, or after one of the next passes, which would be worth waiting for. */
static void weigh_pause(const struct ladder *l, const struct ladder_sample *s, int64_t left,
                        struct option *best)
{
    enum { PASSES = 4 };
    if (!may_pause(l))
        return;
    struct model_progress p = progress_of(l, s, l->downtime);
    int64_t waited = 0;
    for (unsigned i = 0; i <= PASSES; i++) {
        double pause = (double)p.remaining / (double)p.bandwidth * 1e3 + (double)p.overhead;
        struct option o = {.action = i == 0 ? LADDER_PAUSE : LADDER_NOTHING,
                           .time = waited + llround(pause),
                           .pause = llround(pause)};
        o.cost = cost_of((double)o.time, pause, 0) * (i == 0 ? 1 : 1.1);
        if (pause_fits(l, pause) && o.time <= left)
            take_if_better(best, &o);
        int64_t took = 0;
        p.remaining = model_next_pass(&p, &took);
        waited += took;
    }
}

static void weigh_post_copy(const struct ladder *l, const struct ladder_sample *s, int64_t left,
                            struct option *best)
{
    if (!may_post_copy(l) || l->syncs == 0)
        return;
    double time = pause_now(l, s) * 1.1;
    struct option o = {.action = LADDER_START_POST_COPY, .time = llround(time), .pause = l->overhead};
    o.cost = l->policy.mode == LADDER_POST_COPY ? 0 : cost_of(time, (double)o.pause, time);
    if (o.time <= left && (l->policy.max_pause == 0 || o.pause <= l->policy.max_pause))
        take_if_better(best, &o);
}

static void act(struct ladder *l, struct ladder_actions *a, enum ladder_action action, enum ladder_rung rung)
{
    l->rung = rung;
    a->action = action;
    a->rung = rung;
}

static void cancel_for_pause(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    char needs[24], allowed[24], least[24], rate[24];
    double ms = (double)l->least / fmax(l->bandwidth, 1) * 1e3 * 1.1 + (double)l->overhead;
    bool limit = l->policy.max_pause == 0 ? !may_pause(l) : !pause_fits(l, ms);
    act(l, a, LADDER_CANCEL, LADDER_RUNG_CANCELLED);
    a->needs_pause = llround(ms);
    int64_t max = l->policy.max_pause > 0 ? l->policy.max_pause : LIVE_DOWNTIME;
    say(a, "cancelled: never less than %s remained, at %s/s; needs a pause of %s, %s %s%s",
        say_bytes(least, (double)l->least), say_bytes(rate, l->bandwidth), say_time(needs, ms),
        limit ? "you allowed" : "within your", say_time(allowed, (double)max),
        s->throttle ? ", throttled" : "");
}

static void cancel_for_deadline(struct ladder *l, const struct ladder_sample *s, double needed,
                                struct ladder_actions *a)
{
    char more[24], left[24], remain[24];
    act(l, a, LADDER_CANCEL, LADDER_RUNG_CANCELLED);
    say(a, "cancelled: %s remain, which takes %s more; the deadline leaves %s",
        say_bytes(remain, (double)s->remaining), say_time(more, needed),
        say_time(left, fmax(0, (double)(l->policy.deadline - s->elapsed))));
}

static void do_option(struct ladder *l, const struct ladder_sample *s, const struct option *o,
                      struct ladder_actions *a)
{
    char remain[24], rate[24], pause[24], from[24], time[24];
    say_bytes(remain, (double)s->remaining);
    say_bytes(rate, l->bandwidth);
    say_time(pause, (double)o->pause);
    say_time(time, (double)o->time);
    switch (o->action) {
    case LADDER_SET_DOWNTIME:
        say(a, "%s remain after sync %u at %s/s; a downtime limit of %s instead of %s ends it in %s", remain,
            s->iteration, rate, say_time(pause, (double)o->downtime), say_time(from, (double)l->downtime),
            time);
        l->downtime = o->downtime;
        a->downtime = o->downtime;
        act(l, a, LADDER_SET_DOWNTIME, LADDER_RUNG_RAISED);
        return;
    case LADDER_PAUSE:
        say(a,
            "%s remain after sync %u at %s/s, and going on live would not make it less: paused for %s to "
            "finish",
            remain, s->iteration, rate, pause);
        act(l, a, LADDER_PAUSE, LADDER_RUNG_PAUSED);
        return;
    case LADDER_START_POST_COPY:
        say(a, "%s remain after sync %u at %s/s: post-copy, each page once more, %s", remain, s->iteration,
            rate, time);
        act(l, a, LADDER_START_POST_COPY, LADDER_RUNG_POST_COPY);
        return;
    default: return;
    }
}

/* What remains has not shrunk for long. */
static bool patience_over(const struct ladder *l, const struct ladder_sample *s)
{
    int64_t patience = 5 * l->first_pass;
    patience = patience < PATIENCE_MIN ? PATIENCE_MIN : patience > PATIENCE_MAX ? PATIENCE_MAX : patience;
    return l->stalled >= 3 && s->elapsed - l->improved_at >= patience;
}

/* Nothing is expected to end it. The guest may calm down, so there is some patience. */
static void nothing_ends(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    int64_t most = highest_limit(l, time_left(l, s));
    if (l->downtime < most) {
        char remain[24], rate[24], to[24];
        say(a,
            "%s remain after sync %u at %s/s and nothing is expected to end it; the downtime limit is raised "
            "to %s, in case "
            "the guest calms down",
            say_bytes(remain, (double)s->remaining), s->iteration, say_bytes(rate, l->bandwidth),
            say_time(to, (double)most));
        l->downtime = a->downtime = most;
        act(l, a, LADDER_SET_DOWNTIME, LADDER_RUNG_RAISED);
        return;
    }
    if (patience_over(l, s))
        cancel_for_pause(l, s, a);
}

static void decide(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    int64_t left = time_left(l, s);
    struct option best = {.cost = INFINITY};
    /* Whatever the model says: it has had its time. */
    if (!patience_over(l, s))
        weigh_waiting(l, s, left, &best);
    weigh_pause(l, s, left, &best);
    weigh_post_copy(l, s, left, &best);
    if (isinf(best.cost))
        nothing_ends(l, s, a);
    else
        do_option(l, s, &best, a);
}

/* The deadline, on every sample: what still can end it is begun while it can. */
static void watch_deadline(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    int64_t left = time_left(l, s);
    if (left == INT64_MAX)
        return;
    double pause = pause_now(l, s), once = (double)s->remaining / fmax(l->bandwidth, 1) * 1e3;
    struct option o = {.time = llround(pause * 1.1), .pause = llround(pause)};
    bool can_pause = may_pause(l) && pause_fits(l, pause), can_post_copy = may_post_copy(l);
    if (can_post_copy &&
        (!can_pause || cost_of(pause, (double)l->overhead, pause) < cost_of(pause, pause, 0))) {
        o.action = LADDER_START_POST_COPY;
        o.pause = l->overhead;
    } else if (can_pause) {
        o.action = LADDER_PAUSE;
    }
    struct model_progress p = progress_of(l, s, l->downtime);
    if (left <= l->downtime + l->overhead) {
        /* A switch-over that QEMU began now might not end in time. */
        if (o.action != LADDER_NOTHING && o.time <= left)
            do_option(l, s, &o, a);
        else
            cancel_for_deadline(l, s, pause, a);
    } else if (o.action != LADDER_NOTHING && o.time <= left && o.time + 2 * GAP > left &&
               !model_continue(&p, left).ends) {
        do_option(l, s, &o, a);
    } else if (s->elapsed > 2000 && once > 1.25 * (double)left) {
        cancel_for_deadline(l, s, once, a);
    }
}

/* Paused: it ends by itself, or the limit is kept by giving up. */
static void watch_pause(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    if (time_left(l, s) <= 0) {
        cancel_for_deadline(l, s, pause_now(l, s), a);
        return;
    }
    if (l->policy.max_pause == 0 || l->policy.mode == LADDER_OFFLINE)
        return;
    double more = (double)s->remaining / fmax(l->bandwidth, 1) * 1e3;
    double total = (double)s->paused_for + more, max = (double)l->policy.max_pause;
    bool last_chance = s->paused_for + CANCEL_TAKES + GAP / 2 >= l->policy.max_pause;
    if (total <= max || (!last_chance && total <= 2 * max))
        return;
    char remain[24], rate[24], allowed[24];
    act(l, a, LADDER_CANCEL, LADDER_RUNG_CANCELLED);
    a->needs_pause = s->paused_for + llround(more * 1.1) + l->overhead;
    say(a,
        "cancelled: the link slowed down to %s/s in the pause, %s remain, and the pause would exceed the %s "
        "that you allowed",
        say_bytes(rate, l->bandwidth), say_bytes(remain, (double)s->remaining),
        say_time(allowed, (double)l->policy.max_pause));
}

void ladder_step(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    *a = (struct ladder_actions){.rung = l->rung};
    learn_bandwidth(l, s);
    bool sync = s->iteration > 1 && (!l->seen || s->iteration != l->last.iteration);
    bool over = l->rung == LADDER_RUNG_CANCELLED || l->rung == LADDER_RUNG_POST_COPY;
    if (!l->seen && s->iteration <= 1)
        l->synced_at = 0; /* the job's own first sync */

    if (s->post_copy) {
        l->rung = LADDER_RUNG_POST_COPY;
    } else if (s->paused || l->rung == LADDER_RUNG_PAUSED) {
        if (!l->seen)
            l->rung = LADDER_RUNG_PAUSED; /* by an earlier run of the agent, or QEMU is about to end it */
        if (!over)
            watch_pause(l, s, a);
    } else if (!over) {
        if (sync)
            on_sync(l, s);
        if (s->throttle > 0 && l->rung < LADDER_RUNG_PAUSED)
            l->rung = LADDER_RUNG_THROTTLED;
        watch_deadline(l, s, a);
        if (sync && a->action == LADDER_NOTHING)
            decide(l, s, a);
    }
    a->rung = l->rung;
    l->last = *s;
    l->seen = true;
}

int64_t ladder_time_left(const struct ladder *l)
{
    if (!l->seen || l->bandwidth <= 0)
        return -1;
    if (l->rung >= LADDER_RUNG_PAUSED)
        return llround((double)l->last.remaining / l->bandwidth * 1e3);
    struct model_progress p = progress_of(l, &l->last, l->downtime);
    struct model_outcome out = model_continue(&p, 0);
    return out.ends ? out.time : -1;
}
