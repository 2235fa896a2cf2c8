/* The ladder against the page-level model of QEMU, over random guests, links and policies.
 *
 *     ladder_sim [--guests N] [--seed N] [--broken] [--verbose]
 *
 * For each guest: it always ends; no pause exceeds max_pause, nothing but post-copy goes on after the deadline; and its cost
 * (ladder.h: time, pause, harm) is within 10 % of the best that a fixed rung reaches with hindsight: live with any of
 * several downtime limits, with and without auto-converge, pause from the start, pause or post-copy at any sync. Where no
 * rung could have done it within the limits, cancelling is right. In --mode post-copy and offline only the rules count.
 * Post-copy may end after the deadline, but is not begun where the link, if it stays as it is, can't make it. Ends with one
 * line; exits 1 when a rule was broken.
 * --broken tells the ladder twice the limits and turns the exit code around: the simulation must see it. */
#include "agent/core/ladder.h"
#include "tests/sim/qemu_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OVERHEAD = 150, HOUR = 3600000, NEAR_PERCENT = 90 };

struct world {
    struct qemu_setup setup;
    struct ladder_policy policy;
    struct model_input guest; /* what is sampled before */
    uint64_t seed;
    bool broken;  /* the ladder is told wrong limits */
    bool changes; /* guest or link, in mid-migration */
};

struct result {
    bool moved, over, late, long_pause;
    double cost;
    int64_t time, pause;
    enum ladder_rung rung;
    char why[256];
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static double between(uint64_t *r, double low, double high)
{
    return low + (high - low) * (double)(next_random(r) >> 11) * 0x1p-53;
}

static double log_between(uint64_t *r, double low, double high)
{
    return exp(between(r, log(low), log(high)));
}

static bool chance(uint64_t *r, double p)
{
    return between(r, 0, 1) < p;
}

/* Bytes that the guest dirties in a window, counted on the pages themselves; then seen by page sampling. */
static int64_t sample_window(const struct world *w, uint64_t *r, int64_t ms)
{
    struct qemu q;
    struct qemu_setup setup = w->setup;
    setup.phases[1].hot_rate = -1;
    setup.phases[0].bandwidth = 0;
    qemu_init(&q, &setup);
    while (q.now < ms)
        qemu_step(&q);
    unsigned dirty = 0;
    for (unsigned i = 0; i < QEMU_PAGES / 64; i++)
        dirty += (unsigned)__builtin_popcountll(q.log[i]);
    double p = (double)dirty / QEMU_PAGES, memory = w->setup.page * QEMU_PAGES;
    unsigned n = (unsigned)fmax(512 * memory / (1 << 30), 16), hits = 0;
    for (unsigned i = 0; i < n; i++)
        hits += chance(r, p);
    return llround(memory * hits / n);
}

static struct world random_world(uint64_t seed)
{
    uint64_t r = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < 8; i++)
        next_random(&r);
    struct world w = {.seed = seed};
    double memory = log_between(&r, 64.0 * (1 << 20), 8.0 * (1 << 30));
    double bandwidth = log_between(&r, 0.01 * memory, 0.8 * memory); /* 1.25 to 100 s for a pass */
    double page = memory / QEMU_PAGES;
    w.setup = (struct qemu_setup){
        .seed = next_random(&r),
        .page = page,
        .zero = chance(&r, 0.5) ? (uint32_t)between(&r, 0, 0.7 * QEMU_PAGES) : 0,
        .noise = between(&r, 0, 0.08),
        .device = llround(between(&r, 20, 140)),
    };
    struct qemu_phase *p = w.setup.phases;
    for (int i = 0; i < QEMU_PHASES; i++)
        p[i] = (struct qemu_phase){
            .hot = (uint32_t)log_between(&r, 8, 0.9 * QEMU_PAGES),
            .hot_rate = log_between(&r, 0.05, 20) * bandwidth / page,
            .cold_rate = chance(&r, 0.5) ? log_between(&r, 0.001, 0.1) * bandwidth / page : 0,
            .sweep = chance(&r, 0.3),
            .bandwidth = bandwidth,
        };
    p[1].from = llround(log_between(&r, 0.2, 3) * memory / bandwidth * 1e3);
    if (chance(&r, 0.08)) {
        p[1] = (struct qemu_phase){.from = p[1].from,
                                   .hot = p[0].hot,
                                   .hot_rate = p[0].hot_rate,
                                   .cold_rate = p[0].cold_rate,
                                   .sweep = p[0].sweep,
                                   .bandwidth = bandwidth * log_between(&r, 0.3, 2)};
        w.changes = true;
    } else if (chance(&r, 0.2)) {
        w.changes = true;
    } else {
        p[1].hot_rate = -1; /* none */
    }
    w.policy = (struct ladder_policy){
        .mode = chance(&r, 0.15) ? LADDER_LIVE : LADDER_AUTO,
        .max_pause = chance(&r, 0.1) ? 0 : llround(log_between(&r, 300, 20000)),
        .deadline = chance(&r, 0.2) ? 0 : llround(log_between(&r, 1.2, 40) * memory / bandwidth * 1e3) + 3000,
        .auto_converge = chance(&r, 0.3),
        .post_copy = chance(&r, 0.2),
        .offline = chance(&r, 0.6),
    };
    w.guest =
        (struct model_input){.memory = llround(memory),
                             .bandwidth = chance(&r, 0.7) ? llround(bandwidth * between(&r, 0.8, 1.2)) : 0,
                             .overhead = OVERHEAD};
    if (chance(&r, 0.8)) {
        w.guest.n_windows = 2;
        w.guest.windows[0] = (struct model_window){.length = 1000, .dirtied = sample_window(&w, &r, 1000)};
        w.guest.windows[1] = (struct model_window){.length = 4000, .dirtied = sample_window(&w, &r, 4000)};
    }
    /* A link whose switch-over takes long, which is known of it; one that max_pause has no room for is not moved over. */
    double slow = w.policy.max_pause > 0 ? fmin(0.7 * (double)w.policy.max_pause, 900) : 900;
    if (chance(&r, 0.2) && slow > OVERHEAD) {
        w.setup.device = llround(between(&r, OVERHEAD, slow));
        w.guest.overhead = llround((double)w.setup.device * between(&r, 1, 1.3));
    }
    if (chance(&r, 0.05)) {
        w.policy.mode = LADDER_POST_COPY;
        w.policy.post_copy = true;
    } else if (chance(&r, 0.05)) {
        w.policy.mode = LADDER_OFFLINE;
    }
    /* QEMU holds more than the guest uses, or the guest has touched more since. */
    w.guest.zero = llround(fmin(w.setup.zero * page * between(&r, 0.7, 1.2), memory));
    return w;
}

static double cost_of(double time, double pause, double slowed)
{
    return time + LADDER_PAUSE_WORTH * pause + slowed;
}

/* Where the link got slower, nobody could know. */
static bool late_post_copy(const struct world *w, const struct qemu *q)
{
    const struct qemu_phase *p = w->setup.phases;
    bool same_link = p[1].hot_rate < 0 || p[1].bandwidth == p[0].bandwidth;
    return same_link &&
           q->post_copy_left / p[0].bandwidth * 1e3 > 1.25 * (double)(w->policy.deadline - q->post_copy_at);
}

static void judge(const struct world *w, const struct qemu *q, struct result *res)
{
    res->time = q->now;
    res->pause = q->pause;
    res->moved = q->state == QEMU_DONE;
    res->over = qemu_over(q);
    res->late =
        w->policy.deadline > 0 && (q->post_copied == 0 ? q->now > w->policy.deadline : late_post_copy(w, q));
    res->long_pause =
        w->policy.max_pause > 0 && w->policy.mode != LADDER_OFFLINE && q->pause > w->policy.max_pause;
    res->cost = cost_of((double)q->now, (double)q->pause, q->throttled + q->post_copied);
}

/* No rung needs longer than this without a deadline: the patience of nothing_ends, and some; auto-converge takes nine steps of two
 * passes first. */
static int64_t cap_of(const struct world *w)
{
    return w->policy.deadline > 0 ? w->policy.deadline + HOUR : w->policy.auto_converge ? HOUR : HOUR / 2;
}

static struct result run_ladder(const struct world *w, bool verbose)
{
    uint64_t r = w->seed + 77;
    for (int i = 0; i < 8; i++)
        next_random(&r);
    struct result res = {0};
    struct ladder ladder;
    struct ladder_start start;
    struct ladder_policy told = w->policy;
    if (w->broken) {
        told.max_pause *= 2;
        told.deadline *= 2;
    }
    ladder_init(&ladder, &told, &w->guest, &start);
    struct qemu_setup setup = w->setup;
    setup.auto_converge = start.auto_converge;
    setup.downtime = start.downtime;
    struct qemu q;
    qemu_init(&q, &setup);
    if (start.paused)
        qemu_pause(&q);
    if (verbose)
        printf("  %s\n", start.why);

    int64_t next_sample = 0, act_at = -1, cap = cap_of(w);
    struct ladder_actions due = {0};
    while (!qemu_over(&q) && q.now < cap) {
        bool synced = qemu_step(&q);
        if (act_at >= 0 && q.now >= act_at) {
            act_at = -1;
            switch (due.action) {
            case LADDER_SET_DOWNTIME: q.downtime = due.downtime; break;
            case LADDER_PAUSE: qemu_pause(&q); break;
            case LADDER_START_POST_COPY: qemu_post_copy(&q); break;
            case LADDER_CANCEL: qemu_cancel(&q); break;
            case LADDER_NOTHING: break;
            }
        }
        if (qemu_over(&q) || (!synced && q.now < next_sample) || act_at >= 0)
            continue;
        next_sample = q.now + llround(between(&r, 100, 400));
        struct ladder_sample s = {
            .elapsed = q.now,
            .iteration = q.iteration,
            .remaining = llround(qemu_remaining(&q)),
            .sent = llround(q.sent),
            .bandwidth = llround(q.slice_bandwidth),
            .throttle = q.throttle,
            .post_copy = q.state == QEMU_POST_COPY,
            .paused = qemu_stopped(&q),
            .paused_for = q.pause,
        };
        ladder_step(&ladder, &s, &due);
        if (due.action != LADDER_NOTHING) {
            act_at = q.now + llround(between(&r, 0, 40));
            snprintf(res.why, sizeof(res.why), "%s", due.why);
            if (verbose)
                printf("  %7.2f s %-10s %s\n", (double)q.now / 1e3, ladder_rung_name(due.rung), due.why);
        }
    }
    res.rung = ladder.rung;
    judge(w, &q, &res);
    return res;
}

static void keep_best(struct result *best, const struct result *r)
{
    if (r->moved && !r->late && !r->long_pause && (!best->moved || r->cost < best->cost))
        *best = *r;
}

/* What a pause or post-copy at this moment would come to. */
static void try_now(const struct world *w, const struct qemu *q, bool post_copy, int64_t cap,
                    struct result *best)
{
    struct qemu branch = *q;
    if (post_copy)
        qemu_post_copy(&branch);
    else
        qemu_pause(&branch);
    while (!qemu_over(&branch) && branch.now < cap)
        qemu_step(&branch);
    struct result r = {.rung = post_copy ? LADDER_RUNG_POST_COPY : LADDER_RUNG_PAUSED};
    judge(w, &branch, &r);
    keep_best(best, &r);
}

/* Live with this limit, or paused at once or at any sync on the way, or from there on in post-copy. */
static void run_fixed(const struct world *w, int64_t downtime, bool auto_converge, struct result *best)
{
    const struct ladder_policy *policy = &w->policy;
    struct qemu_setup setup = w->setup;
    setup.auto_converge = auto_converge;
    setup.downtime = downtime;
    struct qemu q;
    qemu_init(&q, &setup);
    int64_t cap = policy->deadline > 0 ? policy->deadline : cap_of(w);
    unsigned sync = 0;
    bool pause = policy->mode == LADDER_AUTO && policy->offline,
         post_copy = policy->mode == LADDER_AUTO && policy->post_copy;
    if (pause)
        try_now(w, &q, false, cap, best);
    while (!qemu_over(&q) && q.now < cap) {
        if (!qemu_step(&q) || q.state != QEMU_ACTIVE)
            continue;
        /* After some dozen syncs a pause or post-copy won't be the best. */
        if (++sync > 40) {
            if (best->moved && cost_of((double)q.now, 0, q.throttled) > best->cost)
                return;
            continue;
        }
        if (pause)
            try_now(w, &q, false, cap, best);
        if (post_copy)
            try_now(w, &q, true, cap, best);
    }
    struct result r = {.rung = auto_converge ? LADDER_RUNG_THROTTLED : LADDER_RUNG_RAISED};
    judge(w, &q, &r);
    keep_best(best, &r);
}

static struct result run_best(const struct world *w)
{
    struct result best = {0};
    double max = w->policy.max_pause > 0 ? (double)w->policy.max_pause - (double)w->setup.device : 300;
    double shares[] = {1, 0.6, 0.3, 0.1};
    for (unsigned i = 0; i < 4; i++)
        for (int converge = 0; converge <= w->policy.auto_converge; converge++)
            run_fixed(w, llround(fmax(1, max * shares[i])), converge, &best);
    return best;
}

struct tally {
    unsigned guests, ended, moved, movable, near_best, long_pauses, late, missed, worse;
    unsigned rungs[LADDER_RUNGS];
    unsigned far[LADDER_RUNGS][LADDER_RUNGS]; /* what it came to, what would have been best */
};

static void run_world(uint64_t seed, bool broken, bool verbose, struct tally *t)
{
    struct world w = random_world(seed);
    w.broken = broken;
    if (verbose)
        printf("guest %llu: %.0f MiB at %.0f MiB/s, working set %.0f MiB at %.0f MiB/s%s%s, max_pause %lld, "
               "deadline %lld%s%s%s%s\n",
               (unsigned long long)seed, w.setup.page * QEMU_PAGES / 1048576,
               w.setup.phases[0].bandwidth / 1048576, w.setup.phases[0].hot * w.setup.page / 1048576,
               w.setup.phases[0].hot_rate * w.setup.page / 1048576,
               w.setup.phases[0].sweep ? " in order" : "", w.changes ? ", changes" : "",
               (long long)w.policy.max_pause, (long long)w.policy.deadline,
               w.policy.auto_converge ? " auto-converge" : "", w.policy.post_copy ? " post-copy" : "",
               w.policy.offline ? " offline" : "", w.policy.mode == LADDER_LIVE ? " (live)" : "");
    bool chosen = w.policy.mode > LADDER_LIVE; /* by the operator: there is no best, only the rules */
    struct result l = run_ladder(&w, verbose), best = chosen ? (struct result){0} : run_best(&w);
    bool near = best.moved && l.moved && l.cost <= 1.1 * best.cost;
    t->guests++;
    t->ended += l.over;
    t->moved += l.moved;
    t->movable += best.moved;
    t->near_best += near;
    t->long_pauses += l.long_pause;
    t->late += l.late;
    t->missed += best.moved && !l.moved;
    t->worse += best.moved && l.moved && !near;
    t->rungs[l.rung]++;
    t->far[l.rung][best.rung] += best.moved && !near;
    if (verbose || (!broken && (!l.over || l.long_pause || l.late)))
        printf("  seed %llu: %s%s%s%s %s: cost %.1f s (time %.1f, pause %.2f); best: %s %s cost %.1f s (time "
               "%.1f, pause %.2f)%s\n",
               (unsigned long long)seed,
               near         ? "near"
               : best.moved ? "FAR"
                            : "hopeless",
               l.over ? "" : " ENDLESS", l.long_pause ? " PAUSE TOO LONG" : "", l.late ? " LATE" : "",
               l.moved ? ladder_rung_name(l.rung) : "not moved", l.cost / 1e3, (double)l.time / 1e3,
               (double)l.pause / 1e3, best.moved ? "moved" : "none", ladder_rung_name(best.rung),
               best.cost / 1e3, (double)best.time / 1e3, (double)best.pause / 1e3,
               w.changes ? " changes" : "");
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, guests = 10000;
    bool verbose = false, broken = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--broken") == 0) {
            broken = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--guests") == 0) {
            guests = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: %s [--guests N] [--seed N] [--broken] [--verbose]\n", argv[0]);
            return 2;
        }
    }
    struct tally t = {0};
    for (uint64_t i = 0; i < guests; i++)
        run_world(seed + i, broken, verbose, &t);
    for (int i = 0; i < LADDER_RUNGS; i++)
        printf("%-10s %u\n", ladder_rung_name((enum ladder_rung)i), t.rungs[i]);
    for (int i = 0; i < LADDER_RUNGS; i++)
        for (int k = 0; k < LADDER_RUNGS; k++)
            if (t.far[i][k] * 100 > t.guests / 10)
                printf("far from the best: %s where %s was: %u\n", ladder_rung_name((enum ladder_rung)i),
                       ladder_rung_name((enum ladder_rung)k), t.far[i][k]);
    printf("not moved where a rung would have: %u; moved at more than 1.1 x the best cost: %u\n", t.missed,
           t.worse);
    double near_best = t.movable ? (double)t.near_best / t.movable : 1;
    printf("ladder guests=%u first_seed=%llu ended=%u moved=%u movable=%u pause_exceeded=%u "
           "deadline_exceeded=%u near_best=%.3f\n",
           t.guests, (unsigned long long)seed, t.ended, t.moved, t.movable, t.long_pauses, t.late, near_best);
    bool good = t.ended == t.guests && t.long_pauses == 0 && t.late == 0 && near_best * 100 >= NEAR_PERCENT;
    if (broken)
        return t.long_pauses > 0 && t.late > 0 ? 0 : 1;
    return good ? 0 : 1;
}
