/* What an agent thinks of a message before its core hears of it, and what the core is told: agent/drive.c, agent/rpc_*.c. */
#include "agent_inside.h"

int agent_admit(struct world *w, int host, const struct message *m)
{
    struct agent *a = &w->hosts[host].agent;
    const struct record *r = &a->records[m->txn];
    uint64_t epoch = a->epoch; /* a peer's is not compared: it is its own word that it has fenced itself */
    if (!m->mesh && m->epoch < epoch && w->mutation != IGNORE_EPOCH) {
        world_saw(w, SEEN_DEPOSED_REFUSED);
        return -1;
    }
    if (!m->mesh && m->epoch > epoch)
        a->epoch = m->epoch;
    if (a->epoch != epoch && !disk_write_fence(w, host)) {
        a->epoch = epoch;
        return -1;
    }
    if (r->exists) {
        if (r->role != m->role)
            return -1;
        if (m->what == TXN_COLD)
            return r->state == PARTICIPANT_COLD || m->generation > r->generation ? 0 : -1;
        bool anew = m->what == TXN_SETTLE && r->state == PARTICIPANT_COLD && m->generation < r->generation;
        return m->generation == r->generation || anew || w->mutation == NO_GENERATION ? 0 : -1;
    }
    bool truth = m->what != TXN_PREPARE && m->what != TXN_MIGRATE && m->transferred;
    bool known = !truth && (m->what == TXN_MIGRATE || m->what == TXN_ACTIVATE || m->what == TXN_RELEASE ||
                            m->what == TXN_COLD);
    if (w->mutation == NO_GENERATION)
        return known && m->what != TXN_MIGRATE ? -1 : 0;
    if (known)
        return -1;
    bool cold = m->what == TXN_ACTIVATE && m->from_disks && m->generation + 1 == a->generation; /* its own */
    if (m->generation > a->generation || (truth && (m->generation == a->generation || cold)))
        return 0;
    return truth || m->what == TXN_SETTLE || m->what == TXN_ABORT ? 1 : -1;
}

enum txn_answer agent_late_answer(const struct world *w, int host, const struct message *m)
{
    if (m->what == TXN_ABORT || m->what == TXN_RELEASE)
        return TXN_OK;
    if (m->what == TXN_SETTLE && !m->granted && !m->transferred)
        return TXN_KEPT;
    if (m->what != TXN_SETTLE)
        return TXN_UNKNOWN;
    enum participant_guest guest = libvirt_look(w, host, m->txn, PARTICIPANT_SOURCE).guest;
    bool alive = guest == PARTICIPANT_RUNNING || guest == PARTICIPANT_PAUSED;
    if (m->granted)
        return alive || guest == PARTICIPANT_UNASKED ? TXN_UNKNOWN : TXN_GONE;
    return alive ? TXN_KEPT : TXN_UNKNOWN;
}

/* What an agent may obey: design.md, "Agents keep the highest epoch and generation on disk and refuse lower ones". */
void agent_check_rights(struct world *w, int host, const struct message *m)
{
    const struct agent *a = &w->hosts[host].agent;
    bool begins = (m->what == TXN_PREPARE || m->what == TXN_MIGRATE) && !a->records[m->txn].exists;
    if (!m->mesh && m->epoch < a->disk.epoch)
        world_violate(w, "host %d obeys a coordinator that another has replaced", host);
    if (begins && m->generation <= a->disk.generation)
        world_violate(w, "host %d begins a migration whose generation is over", host);
}

/* rpc_release.c: take_up_autostart. False if libvirt can't be asked. */
bool agent_takes_up_autostart(struct world *w, int host, const struct message *m)
{
    const struct record *r = &w->hosts[host].agent.records[m->txn];
    if (m->what != TXN_RELEASE || r->role != PARTICIPANT_DESTINATION || r->state != PARTICIPANT_ACTIVATED ||
        !r->autostart)
        return true;
    if (w->hosts[host].libvirt_up)
        w->hosts[host].domain.autostart = w->hosts[host].domain.defined;
    return w->hosts[host].libvirt_up;
}

static bool other_open(const struct agent *a, int txn)
{
    for (int t = 0; t < TXNS; t++)
        if (t != txn && a->records[t].exists && participant_is_open(a->records[t].role, a->records[t].state))
            return true;
    return false;
}

static bool owes_autostart(const struct agent *a)
{
    for (int t = 0; t < TXNS; t++)
        if (a->records[t].exists && a->records[t].autostart_off &&
            (a->records[t].state == PARTICIPANT_KEPT || a->records[t].state == PARTICIPANT_COLD))
            return true;
    return false;
}

static bool votes_yes(struct world *w, int host, const struct message *m)
{
    const struct host *h = &w->hosts[host];
    if (!h->libvirt_up || other_open(&h->agent, m->txn) || world_chance(w, 20))
        return false;
    if (!images_vote(w, host, m->role))
        return false;
    if (m->role == PARTICIPANT_SOURCE && owes_autostart(&h->agent))
        return false;
    if (m->role == PARTICIPANT_SOURCE)
        return w->definition_only ? h->domain.qemu == Q_OFF && h->domain.defined
                                  : h->domain.qemu == Q_RUN && w->job.phase == JOB_NONE;
    return h->domain.qemu == Q_OFF && !h->domain.defined;
}

static enum participant_event event_of(struct world *w, int host, const struct message *m)
{
    static const enum participant_event events[TXN_N_MESSAGES] = {
        [TXN_MIGRATE] = PARTICIPANT_MIGRATE, [TXN_SETTLE] = PARTICIPANT_SETTLE,
        [TXN_ABORT] = PARTICIPANT_ABORT,     [TXN_ACTIVATE] = PARTICIPANT_ACTIVATE,
        [TXN_RELEASE] = PARTICIPANT_RELEASE, [TXN_COLD] = PARTICIPANT_COLD_START,
    };
    if (m->what == TXN_PREPARE)
        return votes_yes(w, host, m) ? PARTICIPANT_PREPARE_YES : PARTICIPANT_PREPARE_NO;
    if (m->what == TXN_MIGRATE && !images_send(w, host, m->txn))
        return PARTICIPANT_LOOK; /* the stream's end is lost, too: the coordinator loses patience */
    if (m->what == TXN_ACTIVATE && m->from_disks)
        return PARTICIPANT_ACTIVATE_COLD;
    if (m->what == TXN_ABORT && m->taken_back && m->role == PARTICIPANT_DESTINATION)
        return PARTICIPANT_ABORT_TAKEN;
    if (m->what == TXN_SETTLE && m->granted)
        return PARTICIPANT_SETTLE_GRANTED;
    if (m->what == TXN_SETTLE && m->resolve != TXN_OK)
        return m->resolve == TXN_KEPT ? PARTICIPANT_SETTLE_KEPT : PARTICIPANT_SETTLE_GONE;
    return events[m->what];
}

/* ---- leases --------------------------------------------------------------------------------------------------------- */

/* Of which nothing was heard for a lease. A source lets go; a destination gives the memory back, unless an image has come. */
static bool lease_is_over(const struct world *w, int host, int txn)
{
    const struct agent *a = &w->hosts[host].agent;
    return a->records[txn].state == PARTICIPANT_PREPARED &&
           clock_up(w, host) - a->heard[txn] >= AGENT_LEASE_MS;
}

static void end_lease(struct world *w, int host, int txn)
{
    struct record *r = &w->hosts[host].agent.records[txn];
    struct domain *d = &w->hosts[host].domain;
    if (r->role != PARTICIPANT_DESTINATION)
        return;
    if (d->qemu == Q_OFF && !d->defined && w->hosts[host].libvirt_up && r->memory) {
        r->memory = false;
        agent_write(w, host, txn, PARTICIPANT_PREPARED);
    }
    if (w->mutation == LEASE_DESTROYS && d->qemu == Q_PAUSED) {
        d->qemu = Q_OFF;
        agent_write(w, host, txn, PARTICIPANT_TOMBSTONE);
    }
}

enum participant_event agent_next_event(struct world *w, int host, const struct operation *op)
{
    const struct agent *a = &w->hosts[host].agent;
    int txn = op->message.txn;
    if (!op->is_look)
        return event_of(w, host, &op->message);
    if (!lease_is_over(w, host, txn))
        return PARTICIPANT_LOOK;
    end_lease(w, host, txn);
    return a->records[txn].role == PARTICIPANT_SOURCE ? PARTICIPANT_SETTLE : PARTICIPANT_LOOK;
}
