/* What holds at every moment, and what holds when the faults are over (design.md, "Rules that hold at every moment"). */
#include "world.h"

static void at_most_one_runs(struct world *w)
{
    const struct domain *d[HOSTS] = {&w->hosts[0].domain, &w->hosts[1].domain};
    if (d[0]->qemu == Q_RUN && d[1]->qemu == Q_RUN && !d[0]->by_hand && !d[1]->by_hand)
        world_violate(w, "the guest runs twice");
}

static void one_image_is_left(struct world *w)
{
    if (w->definition_only || w->image_died)
        return;
    for (int h = 0; h < HOSTS; h++)
        if (w->hosts[h].domain.qemu == Q_RUN || w->hosts[h].domain.qemu == Q_PAUSED)
            return;
    world_violate(w, "the guest's memory is lost, and no fault did it");
}

static void the_definition_is_somewhere(struct world *w)
{
    if (w->persistent && !w->hosts[0].domain.defined && !w->hosts[1].domain.defined)
        world_violate(w, "the definition is lost");
}

static bool has_aborted(const struct coordinator *c, int txn)
{
    return c->journalled[txn] && c->journal[txn].state == TXN_ABORTED;
}

static bool is_done(const struct coordinator *c, int txn)
{
    return c->journalled[txn] && c->journal[txn].state == TXN_DONE;
}

/* A record that is lost after a second coordinator has begun with a copy of the journal: words may be void then, and something may be
 * left over. What concerns the guest itself is checked all the same. */
static bool words_are_void(const struct world *w)
{
    return w->spoilt && w->deposed.life;
}

static bool was_granted(const struct world *w, int txn)
{
    return w->coordinator.journal[txn].granted || w->deposed.journal[txn].granted;
}

static void words_agree(struct world *w)
{
    const struct coordinator *c = &w->coordinator, *old = &w->deposed;
    if (words_are_void(w))
        return;
    for (int t = 0; t < w->orders; t++) {
        const struct record *s = &w->hosts[w->source_of[t]].agent.records[t];
        const struct record *d = &w->hosts[1 - w->source_of[t]].agent.records[t];
        bool owned = d->exists && (d->state == PARTICIPANT_OWNER || d->state == PARTICIPANT_ACTIVATED);
        if (s->exists && s->state == PARTICIPANT_KEPT && owned && !was_granted(w, t))
            world_violate(w, "transaction %d: the source has KEPT, the destination is %s", t,
                          participant_state_name(d->state));
        /* A grant at the one coordinator, while the other hears KEPT and aborts: then the guest is started at the source anew. */
        bool granted_beside = old->life && was_granted(w, t);
        if ((has_aborted(c, t) || has_aborted(old, t)) && s->exists && s->state == PARTICIPANT_FENCED &&
            !granted_beside)
            world_violate(w, "transaction %d: ABORTED, and the source is FENCED", t);
        if (((has_aborted(c, t) && is_done(old, t)) || (is_done(c, t) && has_aborted(old, t))) &&
            !granted_beside)
            world_violate(w, "transaction %d: one coordinator has ABORTED, the other is DONE", t);
        if (w->jobs_started[t] > 1)
            world_violate(w, "transaction %d: libvirt's job was started twice", t);
    }
}

void invariants_check(struct world *w)
{
    at_most_one_runs(w);
    one_image_is_left(w);
    the_definition_is_somewhere(w);
    words_agree(w);
}

/* ---- when the faults are over ------------------------------------------------------------------------------------ */

/* Whose the guest is at the source, only a person can know. */
static bool source_cannot_tell(struct world *w, int source)
{
    const struct coordinator *c = &w->coordinator;
    const struct host *h = &w->hosts[source];
    const struct record *r = &h->agent.records[c->current];
    struct participant_facts f = libvirt_look(w, source, c->current, PARTICIPANT_SOURCE);
    bool handed = r->exists && (r->may_post_copy || r->post_copy);
    switch (f.guest) {
    case PARTICIPANT_OFF:
    case PARTICIPANT_ABSENT:
    case PARTICIPANT_OFF_MIGRATED: return true; /* and nothing says that it migrated */
    case PARTICIPANT_PAUSED:
        if (f.post_copy) /* a half of the guest has died, or nobody knows that its stream is to be taken up */
            return w->image_died || (w->spoilt && w->job.broken);
        return w->spoilt || (handed && !f.job);
    default: return false;
    }
}

static bool may_be_in_doubt(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    int source = w->source_of[c->current];
    const struct host *there = &w->hosts[1 - source];
    bool unclear = there->domain.qemu == Q_OFF || (c->txn.from_disks && there->domain.qemu == Q_PAUSED);
    bool lost = w->spoilt && !there->agent.records[c->current].exists && unclear;
    /* A pause that no record has. */
    const struct record *here = &w->hosts[source].agent.records[c->current];
    bool late = w->hosts[source].domain.suspended && !here->our_pause && !here->others_pause;
    bool paused = (w->spoilt || late) && w->hosts[source].domain.qemu == Q_PAUSED;
    /* Given away by the coordinator that this one has replaced, and its copy of the store does not say so: the source has KEPT, the
     * destination refuses the ABORT. */
    bool overruled = w->deposed.journal[c->current].granted && !c->journal[c->current].granted;
    /* The same the other way round: taken back by that one; or it had released already what is taken back now. */
    const struct record *r[HOSTS] = {&w->hosts[0].agent.records[c->current],
                                     &w->hosts[1].agent.records[c->current]};
    bool released = c->txn.taken_back && w->deposed.life &&
                    (r[0]->state == PARTICIPANT_RELEASED || r[1]->state == PARTICIPANT_RELEASED);
    bool taken = w->deposed.journal[c->current].taken_back && !c->journal[c->current].taken_back;
    if (c->txn.in_doubt &&
        (words_are_void(w) || released || taken || (c->txn.state == TXN_ABORTING && overruled)))
        return true;
    if (!c->txn.in_doubt || w->operator_looks)
        return false;
    bool resumed =
        there->domain.by_hand && there->domain.qemu == Q_RUN; /* it may be old, and is to be ended */
    bool lone = w->hosts[source].domain.post_copy && there->domain.qemu == Q_OFF; /* died in post-copy */
    bool unrecorded = w->spoilt && !there->agent.records[c->current].exists && there->domain.defined;
    return (c->txn.state == TXN_TRANSFER && lone) || (c->txn.state == TXN_RELEASING && paused) ||
           (c->txn.state == TXN_SETTLING && source_cannot_tell(w, source)) ||
           (c->txn.state == TXN_ACTIVATING && (lost || resumed)) ||
           (c->txn.state == TXN_COLD_START && (paused || unrecorded));
}

static void nothing_is_held(struct world *w)
{
    for (int h = 0; h < HOSTS; h++)
        for (int t = 0; t < w->orders; t++) {
            const struct record *r = &w->hosts[h].agent.records[t];
            if (!r->exists)
                continue;
            /* A late message has made it, where its record was lost: doctor names it, an operator frees it. */
            if (w->spoilt && !w->operator_looks)
                continue;
            if (participant_is_open(r->role, r->state))
                world_violate(w, "transaction %d has ended, and host %d is still %s in it", t, h,
                              participant_state_name(r->state));
            if (r->memory)
                world_violate(w, "transaction %d has ended, and host %d still reserves memory for it", t, h);
        }
}

/* An operator's pause holds where the source's record has it, and nobody gave the guest away without asking the source. */
static bool must_be_paused(const struct world *w)
{
    bool granted = false;
    for (int t = 0; t < w->orders; t++)
        granted |= was_granted(w, t);
    return w->noted && !w->resumed && !w->spoilt && !granted;
}

static bool is_as_wanted(const struct world *w, const struct domain *d)
{
    bool paused = d->qemu == Q_PAUSED && d->suspended;
    return must_be_paused(w) ? paused : d->qemu == Q_RUN || (w->suspended && paused);
}

static void the_guest_is_in_one_place(struct world *w)
{
    const struct domain *d[HOSTS] = {&w->hosts[0].domain, &w->hosts[1].domain};
    if (w->persistent && d[0]->defined && d[1]->defined)
        world_violate(w, "the guest is defined at both hosts");
    if (w->definition_only || w->image_died)
        return;
    for (int h = 0; h < HOSTS; h++)
        if (is_as_wanted(w, d[h]) && d[1 - h]->qemu == Q_OFF && d[h]->defined == w->persistent)
            return;
    /* What was to be resumed is forgotten: it is safe, and the driver's last look at both hosts says that it is paused. */
    for (int h = 0; w->spoilt && h < HOSTS; h++)
        if (d[h]->qemu == Q_PAUSED && !d[h]->stale && d[1 - h]->qemu == Q_OFF)
            return;
    world_violate(w, "the guest does not %s in exactly one place: %d%s, %d%s",
                  must_be_paused(w) ? "stay paused" : "run", (int)d[0]->qemu, d[0]->defined ? " defined" : "",
                  (int)d[1]->qemu, d[1]->defined ? " defined" : "");
}

static void autostart_is_as_it_was(struct world *w)
{
    for (int h = 0; h < HOSTS && !w->spoilt && !w->disarmed; h++)
        if (w->hosts[h].domain.autostart != (w->autostart && w->hosts[h].domain.defined))
            world_violate(w, "the guest's autostart is %s at host %d", w->autostart ? "lost" : "on", h);
}

void invariants_check_end(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    if (c->open) {
        w->in_doubt = true;
        if (!may_be_in_doubt(w))
            world_violate(w, "transaction %d has not ended: %s", c->current, txn_state_name(c->txn.state));
        return;
    }
    if (words_are_void(w)) /* something may be left over for a person to clear away */
        return;
    nothing_is_held(w);
    the_guest_is_in_one_place(w);
    autostart_is_as_it_was(w);
}
