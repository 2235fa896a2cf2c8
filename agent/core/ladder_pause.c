#include "agent/core/ladder_pause.h"

#include <math.h>

bool ladder_may_pause(const struct ladder *l)
{
    return l->policy.mode == LADDER_AUTO && l->policy.offline;
}

/* What remains, as far as it holds data: in the first pass QEMU counts pages that were never touched, and cost next to nothing. More than
 * was known to be touched may be by now, up to a tenth more until all of it is passed; far more, and nothing is known. */
double ladder_to_send(const struct ladder *l, const struct ladder_sample *s)
{
    double left = (double)s->remaining, data = (double)l->memory - (double)l->zero;
    if (l->syncs > 0 || l->zero == 0 || (double)s->sent > 1.1 * data)
        return left;
    return fmin(left, fmax(data - (double)s->sent, data / 10));
}

/* ms of a pause when so much remains, and the last sync is `since` ms ago when it begins: what was dirtied since is sent, too, also
 * of the pages that remain anyhow. */
double ladder_pause_of(const struct ladder *l, double remaining, int64_t since, unsigned throttle)
{
    double seconds = (double)since / 1e3 * (100 - (throttle < 99 ? throttle : 99)) / 100;
    double bytes = remaining + model_dirtied(&l->curve, seconds);
    return bytes / fmax(l->bandwidth, 1) * 1e3 + (double)l->overhead;
}

/* As a sentence says it, never less: an operator gives back what was read. */
int64_t ladder_round_up(double ms)
{
    double step = ms < 1000 ? 10 : ms < 10000 ? 100 : ms < 99000 ? 1000 : 60000;
    return llround(ceil(ms / step) * step);
}

/* ms: the least max_pause with which it would have ended, by a limit of QEMU's (ladder_init, weigh_waiting) or by a pause
 * (weigh_pause), and with some more in hand, since no two runs see the same. */
int64_t ladder_needed_pause(const struct ladder *l)
{
    double send = (double)l->least / fmax(l->bandwidth, 1) * 1e3;
    double ms = send * 100 / (100 - LADDER_SLACK) * 10 / 9 + (double)l->overhead;
    if (ladder_may_pause(l))
        ms = fmin(ms, 1.1 * ladder_pause_of(l, (double)l->least, LADDER_PAUSE_TAKES, 0));
    return ladder_round_up(ms * 1.05);
}

int64_t ladder_time_left(const struct ladder *l)
{
    if (!l->seen || l->bandwidth <= 0 || l->rung == LADDER_RUNG_CANCELLED)
        return -1;
    if (l->syncs > 0 && l->rung < LADDER_RUNG_PAUSED)
        return l->ends_at < 0 ? -1 : l->ends_at > l->last.elapsed ? l->ends_at - l->last.elapsed : 0;
    return llround(ladder_to_send(l, &l->last) / l->bandwidth * 1e3) +
           (l->rung < LADDER_RUNG_PAUSED ? l->tail : l->overhead / 2);
}
