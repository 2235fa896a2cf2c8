#include "agent/core/ladder.h"
#include "agent/core/ladder_learn.h"
#include "agent/core/ladder_pause.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    RESERVE = 1000,     /* ms before the deadline in which a cancel or a pause takes effect */
    STALLED = 5,        /* syncs */
    GAP = 500,          /* ms between samples at worst */
    SETTLED = 2000,     /* ms of sending after which the bandwidth is trusted */
    STALL = 20,         /* a link that stalls for a twentieth of the time that is left is not given up */
    STANDSTILL = 20,    /* a link at so small a part of its rate foretells nothing */
    REPEAT = 2000,      /* ms after which what had no effect is asked for again */
    CANCEL_TAKES = 200, /* ms */
    PATIENCE_MIN = 10000,
    PATIENCE_MAX = 300000,
};

/* What could be done now. */
struct option {
    enum ladder_action action;
    int64_t downtime;    /* limit, with LADDER_SET_DOWNTIME */
    int64_t time, pause; /* ms expected */
    double cost;
    bool for_deadline; /* begun because there would be no time for it later */
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

static bool may_post_copy(const struct ladder *l)
{
    return l->post_copy;
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

static double pause_now(const struct ladder *l, const struct ladder_sample *s)
{
    int64_t since = l->synced_at < 0 ? 0 : s->elapsed - l->synced_at;
    return ladder_pause_of(l, ladder_to_send(l, s), since + LADDER_PAUSE_TAKES, s->throttle);
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
static void weigh_waiting(const struct ladder *l, const struct ladder_sample *s, int64_t left, bool as_it_is,
                          struct option *best)
{
    int64_t most = highest_limit(l, left);
    /* A guest that is slowed down obeys less than the model thinks. */
    int64_t least = as_it_is && !l->auto_converge && l->downtime > LADDER_FIRST_DOWNTIME
                        ? LADDER_FIRST_DOWNTIME
                        : l->downtime;
    for (int64_t downtime = least;; downtime = downtime * 3 / 2 + 1) {
        if (downtime < l->downtime && downtime * 3 / 2 > l->downtime)
            downtime = l->downtime;
        if (downtime > most)
            downtime = most;
        /* With some slack: QEMU judges by the bandwidth of its last 100 ms. */
        struct model_progress p = progress_of(l, s, downtime * (100 - LADDER_SLACK) / 100);
        struct model_outcome out = model_continue(&p, left == INT64_MAX ? 0 : left);
        bool same = downtime == l->downtime;
        if (out.ends && (as_it_is || !same) &&
            (same || l->policy.max_pause == 0 || out.downtime <= l->policy.max_pause)) {
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
static void weigh_pause(const struct ladder *l, const struct ladder_sample *s, int64_t left, bool later,
                        struct option *best)
{
    enum { PASSES = 4 };
    if (!ladder_may_pause(l))
        return;
    struct model_progress p = progress_of(l, s, l->downtime);
    int64_t waited = 0;
    for (unsigned i = 0; i <= (later ? PASSES : 0); i++) {
        double pause = ladder_pause_of(l, (double)p.remaining, LADDER_PAUSE_TAKES, p.throttle);
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

static void cancel_for_pause(struct ladder *l, struct ladder_actions *a)
{
    char needs[24], allowed[24], least[24], rate[24];
    act(l, a, LADDER_CANCEL, LADDER_RUNG_CANCELLED);
    a->needs_pause = ladder_needed_pause(l);
    int64_t max = l->policy.max_pause > 0 ? l->policy.max_pause : LADDER_LIVE_DOWNTIME;
    say(a, "cancelled: never less than %s remained, at %s/s: needs a pause of %s, you allowed %s",
        say_bytes(least, (double)l->least), say_bytes(rate, l->bandwidth),
        say_time(needs, (double)a->needs_pause), say_time(allowed, (double)max));
}

static void cancel_for_deadline(struct ladder *l, const struct ladder_sample *s, double needed,
                                struct ladder_actions *a)
{
    char more[24], left[24], remain[24];
    /* Where it is the pause that there was no way around, that is the reason. */
    bool steady = l->syncs > 1 && l->policy.mode <= LADDER_LIVE && !l->post_copy;
    if (steady && !s->paused && l->policy.max_pause > 0 && ladder_needed_pause(l) > l->policy.max_pause) {
        cancel_for_pause(l, a);
        return;
    }
    act(l, a, LADDER_CANCEL, LADDER_RUNG_CANCELLED);
    if (s->sent <= 0) {
        say(a, "cancelled: nothing has been sent, and the deadline leaves %s",
            say_time(left, fmax(0, (double)(l->policy.deadline - s->elapsed))));
        return;
    }
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
        say(a, "%s remain after sync %u at %s/s, and %s: paused for %s to finish", remain, s->iteration, rate,
            o->for_deadline ? "the deadline is near" : "going on live would not make it less", pause);
        act(l, a, LADDER_PAUSE, LADDER_RUNG_PAUSED);
        return;
    case LADDER_START_POST_COPY:
        say(a, "%s remain after sync %u at %s/s%s: post-copy, each page once more, %s", remain, s->iteration,
            rate, o->for_deadline ? ", and the deadline is near" : "", time);
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

/* The model says wait, again and again, and what remains doesn't shrink: it is wrong about this guest. */
static bool waiting_fails(const struct ladder *l, const struct ladder_sample *s)
{
    return l->stalled >= STALLED && s->elapsed - l->improved_at >= l->first_pass / 5;
}

/* Nothing is expected to end it. The guest may calm down, so there is some patience. */
static void nothing_ends(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    int64_t most = highest_limit(l, time_left(l, s));
    if (l->downtime < most) {
        char remain[24], rate[24], to[24];
        say(a,
            "%s remain after sync %u at %s/s and nothing is expected to end it: a downtime limit of %s, in "
            "case it calms down",
            say_bytes(remain, (double)s->remaining), s->iteration, say_bytes(rate, l->bandwidth),
            say_time(to, (double)most));
        l->downtime = a->downtime = most;
        act(l, a, LADDER_SET_DOWNTIME, LADDER_RUNG_RAISED);
        return;
    }
    if (patience_over(l, s))
        cancel_for_pause(l, a);
}

static void decide(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    int64_t left = time_left(l, s);
    struct option best = {.cost = INFINITY};
    bool wait = !waiting_fails(l, s) || l->auto_converge;
    if (!patience_over(l, s))
        weigh_waiting(l, s, left, wait, &best);
    l->hopeful = !isinf(best.cost);
    weigh_pause(l, s, left, wait && !patience_over(l, s), &best);
    weigh_post_copy(l, s, left, &best);
    l->ends_at = isinf(best.cost) ? -1 : s->elapsed + best.time;
    if (isinf(best.cost))
        nothing_ends(l, s, a);
    else
        do_option(l, s, &best, a);
}

/* The job's time begins before QEMU has anything to send: the destination's may take long to start. */
static bool settled(const struct ladder *l, const struct ladder_sample *s)
{
    return l->began_at >= 0 && s->elapsed - l->began_at > SETTLED;
}

/* No rate that was seen would do: not that of now, nor the mean, nor the one at which the first pass gets on (pages that were never
 * touched are passed over). */
static bool hopeless(const struct ladder *l, const struct ladder_sample *s, int64_t left, double *ret_needed)
{
    if (!settled(l, s) || s->elapsed - l->began_at < left / STALL)
        return false;
    double seconds = (double)(s->elapsed - l->began_at) / 1e3;
    double mean = (double)(s->sent - l->began_sent) / seconds;
    double passed = l->syncs == 0 ? ((double)l->memory - (double)s->remaining) / seconds : 0;
    *ret_needed = ladder_to_send(l, s) / fmax(fmax(l->bandwidth, fmax(mean, passed)), 1) * 1e3;
    return *ret_needed > 1.25 * (double)left;
}

/* The deadline, on every sample: what still can end it is begun while it can. */
static void watch_deadline(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    int64_t left = time_left(l, s);
    if (left == INT64_MAX)
        return;
    double pause = pause_now(l, s), needed;
    struct option o = {.time = llround(pause * 1.1), .pause = llround(pause), .for_deadline = true};
    bool can_pause = ladder_may_pause(l) && pause_fits(l, pause), can_post_copy = may_post_copy(l);
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
    } else if (!s->waits && hopeless(l, s, left, &needed)) {
        cancel_for_deadline(l, s, needed, a);
    }
}

/* Bytes per second, not more than between the last two samples of the pause: there is no time to be sure that it got less. */
static double rate_in_pause(const struct ladder *l, const struct ladder_sample *s)
{
    int64_t ms = s->elapsed - l->last.elapsed;
    if (!l->seen || !l->last.paused || ms < 50)
        return l->bandwidth;
    return fmin(l->bandwidth, fmax((double)(s->sent - l->last.sent) / (double)ms * 1e3, 1));
}

/* `needs`: ms of a pause that would do, if the link goes on like that. */
static void cancel_in_pause(struct ladder *l, const struct ladder_sample *s, double rate, double needs,
                            struct ladder_actions *a)
{
    char remain[24], now[24], allowed[24], time[24];
    say_bytes(remain, (double)s->remaining);
    say_bytes(now, rate);
    say_time(allowed, (double)l->policy.max_pause);
    act(l, a, LADDER_CANCEL, LADDER_RUNG_CANCELLED);
    if (s->remaining == 0) {
        say(a,
            "cancelled: all is sent, and the other end has not taken it in after %s of the pause, you "
            "allowed %s",
            say_time(time, (double)s->paused_for), allowed);
        return;
    }
    if (rate < l->bandwidth / STANDSTILL || rate <= 1) {
        say(a,
            "cancelled: the link came to a standstill in the pause, %s remain, and the pause would exceed "
            "the %s that you "
            "allowed",
            remain, allowed);
        return;
    }
    a->needs_pause = ladder_round_up(needs);
    say(a,
        "cancelled: the link slowed down to %s/s in the pause, and %s remain: needs a pause of %s, you "
        "allowed %s",
        now, remain, say_time(time, (double)a->needs_pause), allowed);
}

/* Paused: it ends by itself, or the limit is kept by giving up. A young job has shown little of its link (the first samples
 * hold QEMU's start, or zero pages only), so a fresh pause in it is not judged by that: QEMU begins none that it thinks long. */
static void watch_pause(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    bool known = l->bandwidth > 0 && (settled(l, s) || s->paused_for >= GAP);
    double now = rate_in_pause(l, s);
    double more = known ? ladder_to_send(l, s) / now * 1e3 + (double)l->overhead / 2 : 0;
    int64_t left = time_left(l, s);
    double needed = more;
    if (left <= 0 || (left < INT64_MAX && hopeless(l, s, left, &needed))) {
        cancel_for_deadline(l, s, needed, a);
        return;
    }
    if (l->policy.max_pause == 0 || l->policy.mode == LADDER_OFFLINE || s->others)
        return;
    double total = (double)s->paused_for + more, max = (double)l->policy.max_pause;
    bool last_chance = s->paused_for + CANCEL_TAKES + GAP / 2 >= l->policy.max_pause;
    bool dead = l->bandwidth <= 0 && s->paused_for >= GAP; /* nothing was ever seen to be sent */
    if (last_chance ? total <= max && !dead : total <= 2 * max)
        return;
    cancel_in_pause(l, s, now, (double)s->paused_for + more * 1.1 + (double)l->overhead, a);
}

/* A pause, post-copy or cancel that was asked for, and isn't to be seen. */
static void ask_again(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    if (l->asked == LADDER_NOTHING || s->elapsed - l->asked_at < REPEAT)
        return;
    bool seen =
        (l->asked == LADDER_PAUSE && s->paused) || (l->asked == LADDER_START_POST_COPY && s->post_copy);
    if (seen) {
        l->asked = LADDER_NOTHING;
        return;
    }
    char time[24];
    say(a, "asked %s ago and not done yet: once more", say_time(time, (double)(s->elapsed - l->asked_at)));
    act(l, a, l->asked, l->rung);
}

void ladder_step(struct ladder *l, const struct ladder_sample *s, struct ladder_actions *a)
{
    *a = (struct ladder_actions){.rung = l->rung};
    bool sync = ladder_learn(l, s);
    if (!l->seen && s->paused)
        l->rung = LADDER_RUNG_PAUSED; /* by an earlier run of the agent, or QEMU is about to end it */
    if (l->rung == LADDER_RUNG_PAUSED && l->seen && l->last.paused && !s->paused) {
        l->rung = LADDER_RUNG_LIVE; /* somebody let it run again */
        l->asked = LADDER_NOTHING;
    }
    if (s->post_copy)
        l->rung = LADDER_RUNG_POST_COPY;

    if (l->rung != LADDER_RUNG_CANCELLED && l->rung != LADDER_RUNG_POST_COPY) {
        if (s->paused || l->rung == LADDER_RUNG_PAUSED) {
            watch_pause(l, s, a);
        } else {
            if (s->throttle > 0)
                l->rung = LADDER_RUNG_THROTTLED;
            watch_deadline(l, s, a);
            if (sync && !s->waits && a->action == LADDER_NOTHING)
                decide(l, s, a);
        }
    }
    if (a->action == LADDER_NOTHING)
        ask_again(l, s, a);
    if (a->action != LADDER_NOTHING && a->action != LADDER_SET_DOWNTIME) {
        l->asked = a->action;
        l->asked_at = s->elapsed;
    }
    a->rung = l->rung;
    l->last = *s;
    l->seen = true;
}
