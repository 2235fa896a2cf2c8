#include "agent/core/ladder_gate.h"

static enum ladder_gate_verdict before_memory(struct ladder_gate *g, const struct ladder_policy *p,
                                              const struct ladder_gate_sample *s)
{
    if (s->done != g->moved) {
        g->moved = s->done;
        g->moved_at = s->elapsed;
    }
    if (p->deadline == 0 || s->elapsed - g->moved_at < p->deadline ||
        (g->asked_at && s->elapsed - g->asked_at < LADDER_GATE_REPEAT))
        return LADDER_GATE_WAIT;
    g->asked_at = s->elapsed;
    return LADDER_GATE_STUCK;
}

/* The guest stands still and all is sent: is the other end late in taking it in? */
static bool overdue(const struct ladder_gate *g, const struct ladder_policy *p,
                    const struct ladder_gate_sample *s)
{
    if (s->committed)
        return false;
    if (p->deadline > 0 && s->elapsed - g->before >= p->deadline)
        return true;
    return p->max_pause > 0 && p->mode != LADDER_OFFLINE && !s->others &&
           s->paused_for > p->max_pause + LADDER_GATE_GRACE;
}

enum ladder_gate_verdict ladder_gate(struct ladder_gate *g, const struct ladder_policy *p,
                                     const struct ladder_gate_sample *s)
{
    if (s->memory == 0)
        return before_memory(g, p, s);
    if (s->paused && s->memory_left == 0 && !overdue(g, p, s))
        return LADDER_GATE_WAIT;
    if (g->begun)
        return LADDER_GATE_PASS;
    g->begun = true;
    if (s->disks)
        g->before = s->elapsed;
    return LADDER_GATE_BEGIN;
}
