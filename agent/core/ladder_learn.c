#include "agent/core/ladder_learn.h"

#include <math.h>
#include <string.h>

enum { WINDOWS = 6, MISFIT = 9, CARRIED_LEAST = 500 /* ms */ };

#define BEGUN (1 << 20) /* bytes: less may be QEMU's own beginning, while the destination's still starts */

/* Where zero pages are only counted, nothing is learnt of the link. */
static void learn_bandwidth(struct ladder *l, const struct ladder_sample *s)
{
    if (s->waits || (l->seen && l->last.waits)) /* it is not the link that this shows */
        return;
    double ms = (double)(s->elapsed - l->last.elapsed), sent = (double)(s->sent - l->last.sent);
    if (!l->seen || ms <= 0 || sent < 0) {
        if (l->bandwidth <= 0)
            l->bandwidth = (double)s->bandwidth;
        return;
    }
    if (l->last.sent <= 0) /* nothing has been sent, which is no rate: the destination's QEMU still starts */
        return;
    double passed = (double)(l->last.remaining - s->remaining);
    if (s->iteration == l->last.iteration ? passed > 1.5 * sent : sent == 0)
        return;
    double now = sent / ms * 1e3, share = 1 - exp(-ms / 1000);
    l->bandwidth = l->bandwidth > 0 ? l->bandwidth + share * (now - l->bandwidth) : now;
    if (l->began_at < 0 || s->post_copy || sent == 0) /* a link that is down says nothing of its rate */
        return;
    l->carried += sent;
    l->carrying += ms;
}

int64_t ladder_carried(const struct ladder *l)
{
    return l->carrying < CARRIED_LEAST ? 0 : llround(l->carried / l->carrying * 1e3);
}

static void drop_window(struct ladder *l, unsigned i)
{
    l->n_windows--;
    memmove(&l->windows[i], &l->windows[i + 1], (l->n_windows - i) * sizeof(l->windows[0]));
}

/* A new window takes the place of one of about its length, or of the oldest, so that both the short ones (how fast) and
 * the long ones (how much) stay known. */
static void add_window(struct ladder *l, const struct model_window *w)
{
    unsigned like = MODEL_MAX_WINDOWS;
    for (unsigned i = l->n_windows; i-- > 0;)
        if (l->windows[i].exact && l->windows[i].length * 2 > w->length &&
            l->windows[i].length < w->length * 2)
            like = i;
    if (like < MODEL_MAX_WINDOWS)
        drop_window(l, like);
    else if (l->n_windows == WINDOWS)
        drop_window(l, 0);
    l->windows[l->n_windows++] = *w;
}

/* Windows that no single curve explains are from before the guest changed: the oldest go. */
static void fit_windows(struct ladder *l)
{
    struct model_fit fit;
    for (;;) {
        model_fit(l->windows, l->n_windows, l->memory, (double)l->max_downtime / 1e3, 0, &fit);
        if (fit.misfit <= MISFIT || l->n_windows == 1)
            break;
        drop_window(l, 0);
    }
    l->curve = fit.curve;
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
    add_window(l, &w);
    fit_windows(l);
}

static void on_sync(struct ladder *l, const struct ladder_sample *s)
{
    learn_window(l, s);
    if (l->syncs++ == 0)
        l->first_pass = s->elapsed;
    /* The guest is, which takes some passes to show, and is expected to be enough. */
    bool slower = l->seen && s->throttle > l->last.throttle && l->hopeful;
    if (l->mark == 0 || (double)s->remaining < 0.9 * (double)l->mark || slower) {
        l->mark = s->remaining > 0 ? s->remaining : 1;
        l->improved_at = s->elapsed;
        l->stalled = 0;
    } else {
        l->stalled++;
    }
    if (s->remaining < l->least)
        l->least = s->remaining;
    l->synced_at = s->elapsed;
}

bool ladder_learn(struct ladder *l, const struct ladder_sample *s)
{
    bool sync = s->iteration > 1 && (!l->seen || s->iteration != l->last.iteration);
    learn_bandwidth(l, s);
    if (s->waits)
        l->began_at = -1;
    else if (l->began_at < 0 && s->sent >= BEGUN) {
        l->began_at = s->elapsed;
        l->began_sent = s->sent;
    }
    l->auto_converge |= s->throttle > 0; /* an adopted job may have it */
    if (!l->seen && s->iteration <= 1)
        l->synced_at = 0; /* the job's own first sync */
    if (sync)
        on_sync(l, s);
    return sync;
}
