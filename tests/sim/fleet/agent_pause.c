/* Whose a pause in mid-transfer is: agent/transfer.c and agent/drive.c (note_pause), agent/ladder_run.c (suspend), agent/deeds.c. That an
 * operator's is told from the switch-over (agent/core/stop.h) is simulated as an event that comes, or does not. */
#include "agent_inside.h"

bool agent_notes_pause(struct world *w, int host, const struct message *m)
{
    struct agent *a = &w->hosts[host].agent;
    struct record *r = &a->records[m->txn];
    if (r->role == PARTICIPANT_DESTINATION) { /* durable with OWNER */
        r->others_pause |= m->paused && r->state == PARTICIPANT_PREPARED;
        return false;
    }
    if (r->state != PARTICIPANT_MIGRATING || !a->others_pause[m->txn] || r->our_pause || r->others_pause)
        return false;
    r->others_pause = true;
    bool good = agent_write(w, host, m->txn, r->state);
    w->noted |= a->disk.records[m->txn].others_pause;
    if (good) {
        world_saw(w, SEEN_PAUSE_NOTED);
        agent_soon(w, host, (int64_t)world_random(w, 2));
    } else if (a->alive) {
        r->others_pause = false;
        agent_give_up(w, host);
    }
    return true;
}

void agent_strike_off(struct world *w, int host, int txn, enum participant_action done)
{
    struct record *r = &w->hosts[host].agent.records[txn];
    r->our_pause &= done == PARTICIPANT_AUTOSTART_ON;
    if (done == PARTICIPANT_AUTOSTART_ON)
        r->autostart_off = false;
    else if (done == PARTICIPANT_RESUME_SOURCE)
        r->owed = false;
    else
        r->others_pause = false;
    agent_write(w, host, txn, r->state);
}

/* The ladder's. Two micro-steps: the record, the deed. Without a job there is nothing left that the pause is for. */
void agent_pause_step(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    int txn = a->ops[0].message.txn;
    struct record *r = &a->records[txn];
    if (r->state != PARTICIPANT_MIGRATING || a->committed[txn] || r->post_copy || a->others_pause[txn]) {
        agent_done(w, host);
        return;
    }
    if (a->phase == 0 && !r->our_pause) {
        r->our_pause = true;
        if (!agent_write(w, host, txn, r->state)) {
            if (!a->alive)
                return;
            r->our_pause = false;
            agent_done(w, host);
            return;
        }
        a->phase = 1;
        agent_soon(w, host, (int64_t)world_random(w, 3));
        return;
    }
    if (libvirt_suspend(w, host)) {
        world_saw(w, SEEN_LADDER_PAUSED);
        if (w->job.phase == JOB_NONE && !r->may_post_copy)
            libvirt_deed(w, host, txn, PARTICIPANT_RESUME_SOURCE);
    }
    agent_done(w, host);
}
