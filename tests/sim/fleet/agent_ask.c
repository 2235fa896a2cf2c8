/* The source's ladder, as far as it asks for post-copy or pauses the guest: agent/ladder_run.c. In the manifest first, then libvirt. */
#include "agent_inside.h"

enum { REPEAT_MS = 2000 };

static void ask_later(struct world *w, int host, int txn, bool pause, int64_t ms)
{
    struct event *e = world_after(w, ms, EV_ASK);
    e->host = host;
    e->life = w->hosts[host].agent.life;
    e->a = txn;
    e->b = pause;
}

void agent_watch(struct world *w, int host, int txn)
{
    struct agent *a = &w->hosts[host].agent;
    if (a->watching[txn])
        return;
    a->watching[txn] = true;
    if (w->job.by_libvirt)
        ask_later(w, host, txn, false, (int64_t)world_random(w, 2500));
    if (world_chance(w, 100))
        ask_later(w, host, txn, true, (int64_t)world_random(w, 2500));
}

void agent_ask(struct world *w, int host, int txn, bool pause)
{
    if (w->job.phase == JOB_NONE || w->job.txn != txn)
        return;
    if (w->job.phase == JOB_COPY)
        agent_take(
            w, host,
            &(struct operation){.is_ask = true, .is_pause = pause, .message = {.txn = txn, .call = -1}});
    ask_later(w, host, txn, pause, REPEAT_MS);
}

/* Two micro-steps: the record, the deed. */
void agent_ask_step(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    if (a->ops[0].is_pause) {
        agent_pause_step(w, host);
        return;
    }
    int txn = a->ops[0].message.txn;
    struct record *r = &a->records[txn];
    bool deed_first = w->mutation == ASK_UNWRITTEN;
    if (r->state != PARTICIPANT_MIGRATING || a->committed[txn]) {
        agent_done(w, host);
        return;
    }
    if (a->phase == (deed_first ? 1 : 0)) {
        r->post_copy = true;
        if (!agent_write(w, host, txn, r->state) && a->alive)
            a->phase = 1;
    } else if (libvirt_ask_post_copy(w, host) == 0) { /* nor will it later */
        r->post_copy = false;
        agent_write(w, host, txn, r->state);
    }
    if (!a->alive)
        return;
    if (a->phase == 1) {
        agent_done(w, host);
        return;
    }
    a->phase = 1;
    agent_soon(w, host, (int64_t)world_random(w, 3));
}
