#include "agent/core/outlook.h"

#include <math.h>
#include <stdio.h>

enum {
    QEMU_LOOKS = 100,        /* ms between its looks at what remains */
    SAMPLES_HOLD = 60 * 1000 /* ms for which a guest is taken to go on as it was sampled */
};

static bool within(const struct ladder_policy *p, int64_t pause, int64_t time)
{
    return (p->max_pause == 0 || pause <= p->max_pause) && (p->deadline == 0 || time <= p->deadline);
}

static int64_t highest_downtime(const struct ladder_policy *p, const struct model_input *guest)
{
    int64_t most = p->max_pause ? (p->max_pause - guest->overhead) * 9 / 10 : LADDER_LIVE_DOWNTIME;
    return most > 1 ? most : 1;
}

/* The cheapest of what is tried, by the ladder's own measure; what the policy doesn't allow only if there is nothing else. */
static void consider(const struct ladder_policy *p, enum model_mode way, bool may,
                     const struct model_outcome *o, double *best, struct outlook *ret)
{
    bool allowed = may && within(p, p->mode == LADDER_OFFLINE ? 0 : o->downtime, o->time);
    double cost = (double)o->time + LADDER_PAUSE_WORTH * (double)o->downtime + (double)o->throttled;
    if (way == MODEL_POST_COPY)
        cost += (double)o->time / 2; /* about how long the guest waits for its pages */
    if (!o->ends || (ret->allowed && !allowed) || (ret->allowed == allowed && cost >= *best))
        return;
    *best = cost;
    ret->way = way;
    ret->allowed = allowed;
    ret->outcome = *o;
}

/* Paused after the first pass: what the ladder does when the next one would not help. */
static struct model_outcome pause_early(const struct model_input *in, const struct model_forecast *f)
{
    if (in->bandwidth <= 0 || f->confidence == 0)
        return (struct model_outcome){0};
    double first = (double)(in->memory - in->zero), seconds = first / (double)in->bandwidth;
    double left = model_dirtied(&f->curve, seconds), pause = left / (double)in->bandwidth * 1e3;
    return (struct model_outcome){.ends = true,
                                  .time = llround(seconds * 1e3 + pause) + in->overhead,
                                  .bytes = llround(first + left),
                                  .downtime = llround(pause) + in->overhead,
                                  .passes = 2};
}

/* Live, with a limit that is raised after the first pass: the ladder begins with a low one. */
static struct model_outcome raised(const struct model_input *in, const struct model_forecast *f)
{
    double first = (double)(in->memory - in->zero), seconds = first / (double)in->bandwidth;
    const struct model_progress p = {
        .curve = f->curve,
        .remaining = llround(model_dirtied(&f->curve, seconds)),
        .bandwidth = in->bandwidth,
        .downtime = in->downtime,
        .overhead = in->overhead,
    };
    struct model_outcome o = model_continue(&p, 0);
    o.time += llround(seconds * 1e3) + QEMU_LOOKS;
    o.bytes += llround(first);
    o.passes++;
    return o;
}

/* ms, by what was seen to be dirtied; a curve says of longer times what nobody has seen. */
static double seen_pause(const struct model_input *in)
{
    int64_t most = 0;
    for (unsigned i = 0; i < in->n_windows; i++)
        most = in->windows[i].dirtied > most ? in->windows[i].dirtied : most;
    return (double)most / (double)in->bandwidth * 1e3 + (double)in->overhead;
}

/* A guest that rewrites nearly all that it holds stands still as long after a first pass as without one, and is there sooner
 * without. Only where that is sure, with what the ladder keeps to spare: a guest that does less, or has become quiet since it
 * was sampled, would stand still for nothing. */
static bool pass_is_wasted(const struct ladder_policy *p, const struct model_input *in,
                           const struct model_forecast *f, const struct model_outcome *early)
{
    const struct model_outcome *o = &f->outcome[MODEL_OFFLINE];
    return in->age <= SAMPLES_HOLD && early->ends && o->ends && !f->converges && f->confidence > 0.9 &&
           (double)o->downtime <= fmin((double)early->downtime, seen_pause(in)) * 1.05 + 50 &&
           (p->max_pause == 0 || o->downtime * 11 / 10 <= p->max_pause);
}

/* The same first pass, then the guest goes over and what it dirtied follows, each page once. */
static struct model_outcome post_copy(const struct model_input *in, const struct model_outcome *early)
{
    struct model_outcome o = *early;
    if (!o.ends)
        return o;
    o.downtime = in->overhead;
    return o;
}

void outlook_make(const struct ladder_policy *policy, const struct model_input *guest, struct outlook *ret)
{
    struct model_input in = *guest;
    struct model_forecast f;
    double best = INFINITY;
    int64_t most = highest_downtime(policy, guest);
    bool offline = policy->mode == LADDER_OFFLINE, pause = policy->mode == LADDER_AUTO && policy->offline;
    *ret = (struct outlook){.way = offline ? MODEL_OFFLINE : MODEL_PAUSE};
    in.downtime = most < LADDER_LIVE_DOWNTIME ? most : LADDER_LIVE_DOWNTIME;
    model_forecast(&in, &f);
    ret->confidence = f.confidence;
    snprintf(ret->why, sizeof(ret->why), "%s", f.why);
    if (offline) {
        consider(policy, MODEL_OFFLINE, true, &f.outcome[MODEL_OFFLINE], &best, ret);
        return;
    }
    struct model_outcome early = pause_early(&in, &f), late = post_copy(&in, &early);
    if (policy->mode == LADDER_POST_COPY) {
        consider(policy, MODEL_POST_COPY, true, &late, &best, ret);
        return;
    }
    struct model_forecast lowest;
    int64_t limit = in.downtime;
    in.downtime = most < LADDER_FIRST_DOWNTIME ? most : LADDER_FIRST_DOWNTIME;
    model_forecast(&in, &lowest);
    consider(policy, MODEL_LIVE, true, &lowest.outcome[MODEL_LIVE], &best, ret);
    in.downtime = limit;
    consider(policy, MODEL_LIVE, true, &f.outcome[MODEL_LIVE], &best, ret);
    if (f.converges && ret->allowed)
        return;
    consider(policy, MODEL_PAUSE, pause, &f.outcome[MODEL_PAUSE], &best, ret);
    consider(policy, MODEL_PAUSE, pause, &early, &best, ret);
    if (pause && pass_is_wasted(policy, &in, &f, &early))
        consider(policy, MODEL_OFFLINE, true, &f.outcome[MODEL_OFFLINE], &best, ret);
    if (policy->mode == LADDER_AUTO && policy->post_copy)
        consider(policy, MODEL_POST_COPY, true, &late, &best, ret);
    consider(policy, MODEL_AUTO_CONVERGE, policy->auto_converge, &f.outcome[MODEL_AUTO_CONVERGE], &best, ret);
    while (f.confidence > 0 && in.downtime < most) {
        in.downtime = in.downtime * 3 / 2 < most ? in.downtime * 3 / 2 : most;
        model_forecast(&in, &f);
        struct model_outcome live = raised(&in, &f);
        if (f.converges)
            consider(policy, MODEL_LIVE, true, &live, &best, ret);
    }
}
