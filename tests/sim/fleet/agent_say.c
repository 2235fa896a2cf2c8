/* What an agent says: to its peer, to who asked, to who listens to a transfer. */
#include "agent_inside.h"

/* ---- the peer ---------------------------------------------------------------------------------------------------- */

void agent_tell_peer(struct world *w, int host, int txn)
{
    struct agent *a = &w->hosts[host].agent;
    const struct record *r = &a->records[txn];
    if (a->told[txn] || r->state != PARTICIPANT_FENCED) {
        a->telling[txn] = false;
        return;
    }
    a->telling[txn] = true;
    struct message m = {.what = TXN_ACTIVATE,
                        .role = PARTICIPANT_DESTINATION,
                        .txn = txn,
                        .generation = r->generation,
                        .epoch = a->epoch,
                        .from_disks = r->from_disks,
                        .paused = r->others_pause,
                        .call = -1,
                        .mesh = true,
                        .life = a->life};
    world_trace(w, "%d tells its peer", host);
    network_send(w, 1 - host, &m, true);
    struct event *e = world_after(w, 2000, EV_PEER);
    e->host = host;
    e->life = a->life;
    e->a = txn;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

void agent_answer(struct world *w, int host, const struct message *m, enum txn_answer answer)
{
    if (m->call >= 0) {
        const struct record *r = &w->hosts[host].agent.records[m->txn];
        int more =
            (r->from_disks && r->state != PARTICIPANT_COLD ? FROM_DISKS : 0) | (r->others_pause ? PAUSED : 0);
        network_answer(w, host, m->call, m->life, (int)answer | more);
    } else if (m->call == -1 && (answer == TXN_RUNNING || answer == TXN_LOST) && !world_chance(w, w->loss) &&
               !(w->cut_off & 1u << HOSTS)) {
        struct event *e = world_after(w, 1, EV_PEER_ANSWER);
        e->host = 1 - host;
        e->life = m->life;
        e->a = m->txn;
    }
}

void agent_fail(struct world *w, int host, const struct message *m, const char *why)
{
    world_trace(w, "%d refuses %s of %d: %s", host, txn_message_name(m->what), m->txn, why);
    if (m->call < 0)
        return;
    struct event *e = world_after(w, 1, EV_FAILED);
    e->a = m->call;
    e->life = m->life;
}

void agent_conclude(struct world *w, int host, const struct message *m, enum participant_answer said,
                    const char *why)
{
    switch (said) {
    case PARTICIPANT_NO_ANSWER: break;
    case PARTICIPANT_DONE:
        agent_answer(w, host, m,
                     m->what != TXN_PREPARE                          ? TXN_OK
                     : w->hosts[host].agent.records[m->txn].vote > 0 ? TXN_YES
                                                                     : TXN_NO);
        break;
    case PARTICIPANT_IS_KEPT: agent_answer(w, host, m, TXN_KEPT); break;
    case PARTICIPANT_IS_GONE: agent_answer(w, host, m, TXN_GONE); break;
    case PARTICIPANT_RUNS: agent_answer(w, host, m, TXN_RUNNING); break;
    case PARTICIPANT_IS_LOST: agent_answer(w, host, m, TXN_LOST); break;
    case PARTICIPANT_IN_DOUBT:
        if (m->what == TXN_SETTLE || m->what == TXN_ACTIVATE)
            agent_answer(w, host, m, TXN_UNKNOWN);
        else
            agent_fail(w, host, m, "in doubt");
        break;
    case PARTICIPANT_REFUSED: agent_fail(w, host, m, why); break;
    }
}

void agent_end_listener(struct world *w, int host, int txn, bool succeeded)
{
    struct agent *a = &w->hosts[host].agent;
    if (a->listener[txn] < 0)
        return;
    network_answer(w, host, a->listener[txn], a->listener_life[txn], succeeded ? TXN_OK : TXN_FAILED);
    a->listener[txn] = -1;
}

void agent_transfer_stepped(struct world *w, int host, int txn)
{
    const struct agent *a = &w->hosts[host].agent;
    enum participant_state state = a->records[txn].state;
    if (a->records[txn].role != PARTICIPANT_SOURCE)
        return;
    if (state == PARTICIPANT_FENCED && a->told[txn])
        agent_end_listener(w, host, txn, true);
    else if (state == PARTICIPANT_MIGRATING && !a->calling[txn] &&
             !libvirt_look(w, host, txn, PARTICIPANT_SOURCE).job)
        agent_end_listener(w, host, txn, false);
    else if (state != PARTICIPANT_MIGRATING && state != PARTICIPANT_FENCED)
        agent_end_listener(w, host, txn, false);
}

/* ---- how the transfer is ----------------------------------------------------------------------------------------- */

void agent_tell_later(struct world *w, int host, int txn)
{
    struct event *e = world_after(w, 1000 + (int64_t)world_random(w, 2000), EV_TELL);
    e->host = host;
    e->life = w->hosts[host].agent.life;
    e->a = txn;
}

void agent_tell_listener(struct world *w, int host, int txn)
{
    const struct agent *a = &w->hosts[host].agent;
    if (a->listener[txn] < 0 || a->records[txn].state != PARTICIPANT_MIGRATING)
        return;
    network_tell(w, host, a->listener[txn], a->listener_life[txn], w->hosts[host].domain.post_copy,
                 w->job.broken);
    agent_tell_later(w, host, txn);
}
