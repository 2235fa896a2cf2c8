/* Somebody who looks at what is in doubt, sees both hosts, and says or does what only a person can know. */
#include "coordinator/core/freeing.h"
#include "world.h"

static const struct record *record_of(const struct world *w, int host)
{
    return &w->hosts[host].agent.records[w->coordinator.current];
}

/* A record is lost, and libvirt does not say enough: the guest is started, or resumed, by hand where it belongs. */
static void run_by_hand(struct world *w, int host, enum qemu was)
{
    if (record_of(w, host)->exists || w->hosts[host].domain.qemu != was || w->definition_only ||
        w->job.phase != JOB_NONE || w->hosts[1 - host].domain.qemu == Q_RUN)
        return;
    if (w->hosts[host].domain.stale && was == Q_PAUSED) { /* its disks are newer: it is started from them */
        libvirt_destroy(w, host);
        return;
    }
    w->said = true;
    libvirt_run_by_hand(w, host);
    w->image_died = true;
}

/* One QEMU died in post-copy: what is left at the other host is half a guest. Or libvirt has let it run at the destination, and
 * left its old copy at the source. */
static void clear_away(struct world *w, int source)
{
    const struct domain *s = &w->hosts[source].domain, *d = &w->hosts[1 - source].domain;
    if ((s->half || s->post_copy) && s->qemu == Q_PAUSED && (d->qemu == Q_OFF || !s->half))
        libvirt_destroy(w, source);
    if (d->half && d->qemu != Q_OFF && s->qemu == Q_OFF)
        libvirt_destroy(w, 1 - source);
    if (s->qemu == Q_PAUSED && s->stale && !s->half && w->job.phase == JOB_NONE) {
        w->image_died |= d->qemu != Q_RUN;
        libvirt_destroy(w, source);
    }
}

/* An operator who knows that the image is as new as the disks may say so. */
static bool from_disks(struct world *w, const struct domain *image)
{
    return w->mutation != OLD_IMAGE && !w->definition_only && (image->stale || world_chance(w, 500));
}

static void tell_the_truth(struct world *w, int destination)
{
    const struct host *there = &w->hosts[destination];
    bool newer = w->hosts[1 - destination].domain.qemu == Q_PAUSED && there->domain.stale; /* at the source */
    enum participant_state state = there->agent.disk.records[w->coordinator.current].state;
    bool gone = (there->domain.qemu == Q_PAUSED && !newer) || there->domain.qemu == Q_RUN ||
                there->domain.defined || state == PARTICIPANT_OWNER || state == PARTICIPANT_ACTIVATED;
    bool cold = from_disks(w, &there->domain) && gone;
    world_saw(w, cold ? SEEN_SAID_COLD : gone ? SEEN_SAID_DESTINATION : SEEN_SAID_SOURCE);
    world_trace(w, "the operator says %s%s", gone ? "destination" : "source", cold ? ", from its disks" : "");
    w->image_died |= !gone;
    w->said = true;
    coordinator_feed(w, &w->coordinator,
                     &(struct txn_event){.kind = TXN_EVENT_RESOLVE,
                                         .answer = gone ? TXN_GONE : TXN_KEPT,
                                         .from_disks = cold});
}

/* While the source can't be asked: its QEMU is gone for certain. Whether it has run since the image that is at the destination was
 * complete, nobody knows. */
static void grant(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    if (!c->alive || !c->open || c->txn.state != TXN_SETTLING || !c->txn.in_doubt)
        return;
    int source = w->source_of[c->current];
    const struct domain *there = &w->hosts[1 - source].domain;
    bool here = there->qemu == Q_PAUSED || there->qemu == Q_RUN; /* libvirt itself may have let it run */
    if (w->hosts[source].domain.qemu != Q_OFF || !here || there->half || there->by_hand)
        return;
    bool cold = from_disks(w, there);
    w->disarmed |= 1u << source; /* "see that it can't start the guest": it may have KEPT */
    w->said = true;
    w->hosts[source].domain.autostart = false;
    world_saw(w, cold ? SEEN_GRANTED_COLD : SEEN_GRANTED);
    world_trace(w, "the operator gives the guest to %d%s", 1 - source, cold ? ", from its disks" : "");
    coordinator_feed(w, c, &(struct txn_event){.kind = TXN_EVENT_GRANT, .from_disks = cold});
}

/* The destination is off, and can't be asked. What it has written down it does whenever it comes back. */
static void take_back(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    if (!c->alive || !c->open || !txn_may_take_back(&c->txn))
        return;
    int there = 1 - w->source_of[c->current];
    const struct record *r = record_of(w, there);
    if (w->hosts[there].domain.qemu != Q_OFF || !(w->cut_off & 1u << there) || !w->lost[there])
        return;
    world_saw(w, r->exists && r->state != PARTICIPANT_PREPARED ? SEEN_TAKEN_BACK_OWNED : SEEN_TAKEN_BACK);
    world_trace(w, "the operator takes the guest back from %d", there);
    w->said = true;
    coordinator_feed(w, c, &(struct txn_event){.kind = TXN_EVENT_TAKE_BACK});
}

/* Which no record explains, and libvirt does not say why it is there. */
static bool is_unexplained(const struct world *w, int source)
{
    const struct domain *d = &w->hosts[source].domain;
    const struct record *r = record_of(w, source);
    return d->qemu == Q_PAUSED && !(r->exists && (!d->suspended || r->our_pause || r->others_pause));
}

static bool is_left_over(const struct world *w, int source)
{
    const struct domain *d = &w->hosts[source].domain, *there = &w->hosts[1 - source].domain;
    const struct txn *t = &w->coordinator.txn;
    bool taken =
        record_of(w, 1 - source)->state == PARTICIPANT_RELEASED || /* and shut down there since, it may be */
        (t->state == TXN_RELEASING && (t->answered & TXN_BIT(TXN_DESTINATION))); /* more than a day ago */
    return is_unexplained(w, source) &&
           (d->stale || taken || there->qemu == Q_PAUSED || there->qemu == Q_RUN);
}

/* As the answer says. */
static void end_resumed(struct world *w, int destination)
{
    const struct domain *d = &w->hosts[destination].domain;
    if (d->qemu != Q_RUN || !d->by_hand)
        return;
    w->image_died = true;
    libvirt_destroy(w, destination);
}

/* ---- drover free: what is held for a move that is over ------------------------------------------------------------ */

static struct freeing_side side_of(const struct world *w, int host, int txn, const char *name)
{
    static const enum freeing_seen seen[] = {[Q_OFF] = FREEING_ABSENT,
                                             [Q_INCOMING] = FREEING_PAUSED,
                                             [Q_PAUSED] = FREEING_PAUSED,
                                             [Q_RUN] = FREEING_RUNNING};
    const struct host *h = &w->hosts[host];
    const struct record *r = &h->agent.records[txn];
    bool open = r->exists && participant_is_open(r->role, r->state);
    return (struct freeing_side){
        .host = name,
        .asked = h->agent.alive,
        .state = open ? participant_state_name(r->state) : NULL,
        .seen = !h->libvirt_up                                 ? FREEING_UNKNOWN
                : h->domain.qemu == Q_OFF && h->domain.defined ? FREEING_OFF
                                                               : seen[h->domain.qemu],
        .images = r->copies ? FREEING_IMAGES_SOME : FREEING_IMAGES_NONE,
    };
}

/* One deed of one move at a time; true if there was something to look at. */
static bool free_held(struct world *w)
{
    static const enum txn_message messages[] = {[FREEING_SETTLE] = TXN_SETTLE,
                                                [FREEING_ABORT] = TXN_ABORT,
                                                [FREEING_RELEASE_SOURCE] = TXN_RELEASE,
                                                [FREEING_RELEASE_DESTINATION] = TXN_RELEASE};
    for (int t = 0; t < w->orders; t++) {
        int source = w->source_of[t];
        struct freeing f = {.guest = "the guest",
                            .source = side_of(w, source, t, "the source"),
                            .destination = side_of(w, 1 - source, t, "the destination")};
        enum freeing_deed deed = FREEING_NOTHING;
        struct error err;
        if (!f.source.state && !f.destination.state)
            continue;
        if (freeing_next(&f, &deed, &err) < 0) {
            world_trace(w, "not freed: %s", err.text);
            return true;
        }
        bool at_source = deed == FREEING_SETTLE || deed == FREEING_RELEASE_SOURCE;
        int host = at_source ? source : 1 - source;
        world_trace(w, "the operator frees the guest: %s to %d", txn_message_name(messages[deed]), host);
        network_send(w, host,
                     &(struct message){.what = messages[deed],
                                       .role = at_source ? PARTICIPANT_SOURCE : PARTICIPANT_DESTINATION,
                                       .txn = t,
                                       .generation = w->hosts[host].agent.records[t].generation,
                                       .epoch = w->coordinator.epoch,
                                       .call = -2},
                     false);
        return true;
    }
    return false;
}

static void look(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    if (!c->open) {
        if (!c->alive || !free_held(w))
            return;
        w->operator_looks = true;
        world_after(w, DOUBT_MS / 4, EV_OPERATOR);
        return;
    }
    world_after(w, DOUBT_MS, EV_OPERATOR);
    w->operator_looks = true;
    if (!c->alive || !c->txn.in_doubt)
        return;
    int source = w->source_of[c->current];
    switch (c->txn.state) {
    case TXN_TRANSFER: clear_away(w, source); break;
    case TXN_SETTLING:
        clear_away(w, source);
        tell_the_truth(w, 1 - source);
        break;
    case TXN_RELEASING:
        if (is_left_over(w, source))
            libvirt_destroy(w, source);
        break;
    case TXN_ACTIVATING:
        if (c->txn.from_disks && !record_of(w, 1 - source)->exists &&
            w->hosts[1 - source].domain.qemu == Q_PAUSED) /* its image, or the guest: the agent can't know */
            libvirt_destroy(w, 1 - source);
        run_by_hand(w, 1 - source, Q_OFF);
        if (c->txn.from_disks)
            end_resumed(w, 1 - source);
        break;
    case TXN_COLD_START:
        if (c->txn.cold_started && !record_of(w, 1 - source)->exists)
            w->hosts[1 - source].domain.defined = false; /* virsh undefine, as the answer says */
        run_by_hand(w, source, Q_PAUSED);
        if (record_of(w, source)->exists && is_unexplained(w, source)) { /* as the answer says */
            w->image_died = true;
            libvirt_destroy(w, source);
        }
        break;
    default: break;
    }
}

static void suspend(struct world *w)
{
    int source = w->job.source;
    if (w->job.phase != JOB_COPY || w->hosts[source].domain.qemu != Q_RUN || !libvirt_suspend(w, source))
        return;
    world_saw(w, SEEN_SUSPENDED);
    w->suspended = true;
    libvirt_tells_pause(w, source);
}

/* Of the open transaction, whoever's its guest is. */
static void resume(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    int there = 1 - w->source_of[c->current];
    const struct record *r = record_of(w, there);
    if (c->open && (!r->exists || r->state == PARTICIPANT_PREPARED || r->state == PARTICIPANT_TOMBSTONE))
        libvirt_resume(w, there);
}

void operator_event(struct world *w, const struct event *e)
{
    switch (e->kind) {
    case EV_GRANT:
        grant(w);
        take_back(w);
        break;
    case EV_SUSPEND: suspend(w); break;
    case EV_RESUME: resume(w); break;
    default: look(w); break;
    }
}
