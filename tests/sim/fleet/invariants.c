/* What holds at every moment, and what holds when the faults are over (design.md, "Rules that hold at every moment"). */
#include "world.h"

static void at_most_one_runs(struct world *w)
{
    if (w->hosts[0].domain.qemu == Q_RUN && w->hosts[1].domain.qemu == Q_RUN)
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

static void words_agree(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    for (int t = 0; t < w->orders; t++) {
        const struct record *s = &w->hosts[w->source_of[t]].agent.records[t];
        const struct record *d = &w->hosts[1 - w->source_of[t]].agent.records[t];
        bool owned = d->exists && (d->state == PARTICIPANT_OWNER || d->state == PARTICIPANT_ACTIVATED);
        if (s->exists && s->state == PARTICIPANT_KEPT && owned && !c->journal[t].granted)
            world_violate(w, "transaction %d: the source has KEPT, the destination is %s", t,
                          participant_state_name(d->state));
        if (c->journalled[t] && c->journal[t].state == TXN_ABORTED && s->exists &&
            s->state == PARTICIPANT_FENCED)
            world_violate(w, "transaction %d: ABORTED, and the source is FENCED", t);
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

/* Off, and nothing says that it migrated: only a person can know what happened to it. */
static bool may_be_in_doubt(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    int source = w->source_of[c->current];
    struct participant_facts f = libvirt_look(w, source, c->current, PARTICIPANT_SOURCE);
    bool off =
        f.guest == PARTICIPANT_OFF || f.guest == PARTICIPANT_ABSENT || f.guest == PARTICIPANT_OFF_MIGRATED;
    const struct host *there = &w->hosts[1 - source];
    bool lost = w->spoilt && !there->agent.records[c->current].exists && there->domain.qemu == Q_OFF;
    bool paused = w->spoilt && f.guest == PARTICIPANT_PAUSED;
    return ((c->txn.state == TXN_SETTLING && (off || paused)) || (c->txn.state == TXN_ACTIVATING && lost) ||
            (c->txn.state == TXN_COLD_START && paused)) &&
           c->txn.in_doubt && !w->operator_looks;
}

static void nothing_is_held(struct world *w)
{
    for (int h = 0; h < HOSTS; h++)
        for (int t = 0; t < w->orders; t++) {
            const struct record *r = &w->hosts[h].agent.records[t];
            if (!r->exists)
                continue;
            if (participant_is_open(r->role, r->state))
                world_violate(w, "transaction %d has ended, and host %d is still %s in it", t, h,
                              participant_state_name(r->state));
            if (r->memory)
                world_violate(w, "transaction %d has ended, and host %d still reserves memory for it", t, h);
        }
}

static void the_guest_is_in_one_place(struct world *w)
{
    const struct domain *d[HOSTS] = {&w->hosts[0].domain, &w->hosts[1].domain};
    if (w->persistent && d[0]->defined && d[1]->defined)
        world_violate(w, "the guest is defined at both hosts");
    if (w->definition_only || w->image_died)
        return;
    for (int h = 0; h < HOSTS; h++)
        if (d[h]->qemu == Q_RUN && d[1 - h]->qemu == Q_OFF && d[h]->defined == w->persistent)
            return;
    world_violate(w, "the guest does not run in exactly one place: %d%s, %d%s", (int)d[0]->qemu,
                  d[0]->defined ? " defined" : "", (int)d[1]->qemu, d[1]->defined ? " defined" : "");
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
    nothing_is_held(w);
    the_guest_is_in_one_place(w);
}
