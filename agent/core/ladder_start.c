/* How a job begins, and what of that a later run of the agent must know. */
#include "agent/core/ladder.h"
#include "agent/core/outlook.h"

#include <stdio.h>

void ladder_init(struct ladder *l, const struct ladder_policy *policy, const struct model_input *guest,
                 struct ladder_start *ret_start)
{
    *l = (struct ladder){
        .policy = *policy,
        .overhead = guest->overhead,
        .memory = guest->memory,
        .zero = guest->zero,
        .ends_at = -1,
        .bandwidth = (double)guest->bandwidth,
        .began_at = -1,
        .synced_at = -1,
        .least = INT64_MAX,
        .curve = {.cold = (double)guest->memory},
    };
    for (unsigned i = 0; i < guest->n_windows && i < MODEL_MAX_WINDOWS / 2; i++) {
        l->windows[l->n_windows] = guest->windows[i];
        l->windows[l->n_windows++].exact = false; /* it was before; what the job shows counts more */
    }
    l->max_downtime = LADDER_LIVE_DOWNTIME;
    if (policy->max_pause > 0) {
        int64_t most = (policy->max_pause - guest->overhead) * 9 / 10;
        l->max_downtime = most > 1 ? most : 1;
    }
    l->downtime = l->max_downtime < LADDER_FIRST_DOWNTIME ? l->max_downtime : LADDER_FIRST_DOWNTIME;

    struct model_input in = *guest;
    in.downtime = l->max_downtime;
    struct model_forecast f;
    model_forecast(&in, &f);
    l->curve = f.curve;
    bool sure = f.converges && f.confidence > 0.8;
    in.downtime = l->downtime;
    model_forecast(&in, &f);
    bool easy = f.converges && f.confidence > 0.8; /* with the limit that it begins with */
    struct outlook best;
    outlook_make(policy, guest, &best);
    if (best.allowed && best.confidence > 0 && guest->bandwidth > 0) {
        int64_t first = (guest->memory - guest->zero) * 1000 / guest->bandwidth;
        l->tail = best.outcome.time > first ? best.outcome.time - first : 0;
    }
    struct ladder_start start = {
        .auto_converge = policy->auto_converge && policy->mode <= LADDER_LIVE && !sure,
        .post_copy = policy->mode == LADDER_POST_COPY ||
                     (policy->mode == LADDER_AUTO && policy->post_copy && !easy && best.way != MODEL_OFFLINE),
        .paused = policy->mode == LADDER_OFFLINE ||
                  (policy->mode == LADDER_AUTO && best.way == MODEL_OFFLINE && best.allowed),
        .downtime = l->downtime,
    };
    l->auto_converge = start.auto_converge;
    l->post_copy = start.post_copy;
    if (start.paused) {
        char pause[24];
        l->rung = LADDER_RUNG_PAUSED;
        if (policy->mode == LADDER_OFFLINE)
            snprintf(start.why, sizeof(start.why), "paused from the start, as asked");
        else
            snprintf(
                start.why, sizeof(start.why),
                "%.160s, and a first pass would not make the pause shorter: paused for %s from the start",
                best.why, model_say_time(pause, sizeof(pause), (double)best.outcome.downtime));
    } else {
        snprintf(start.why, sizeof(start.why), "%.190s; starts live%s%s", best.why,
                 start.auto_converge ? ", with auto-converge" : "",
                 start.post_copy ? ", and may go on as post-copy" : "");
    }
    /* What was learnt is no reason: some odd moves would keep guests here for good, and nothing would be learnt any more. */
    int64_t least = guest->overhead < LADDER_SWITCH_OVER ? guest->overhead : LADDER_SWITCH_OVER;
    if (policy->mode != LADDER_OFFLINE && policy->max_pause > 0 && policy->max_pause < least) {
        char takes[24], allowed[24];
        start.refused = true;
        snprintf(
            start.why, sizeof(start.why),
            "a switch-over alone takes about %s between these hosts: needs a pause of that, you allowed %s",
            model_say_time(takes, sizeof(takes), (double)least),
            model_say_time(allowed, sizeof(allowed), (double)policy->max_pause));
    }
    *ret_start = start;
}

void ladder_adopt(struct ladder *l, const struct ladder_start *begun, bool post_copy_asked)
{
    l->auto_converge = begun->auto_converge;
    l->post_copy = begun->post_copy;
    l->rung = begun->paused ? LADDER_RUNG_PAUSED : LADDER_RUNG_LIVE;
    if (!post_copy_asked)
        return;
    l->rung = LADDER_RUNG_POST_COPY;
    l->asked = LADDER_START_POST_COPY; /* and again, if it is not to be seen */
}

void ladder_give_up(struct ladder *l)
{
    l->rung = LADDER_RUNG_CANCELLED;
    l->asked = LADDER_CANCEL;
    l->asked_at = 0;
}

void ladder_refused_post_copy(struct ladder *l)
{
    if (l->last.post_copy)
        return; /* it is there all the same */
    l->post_copy = false;
    l->asked = LADDER_NOTHING;
    if (l->rung == LADDER_RUNG_POST_COPY)
        l->rung = LADDER_RUNG_LIVE;
}
