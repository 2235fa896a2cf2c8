/* libvirt 9.0 and QEMU 7.2 as they were measured: what a crash leaves, what an agent sees and does. The migration job: job.c. */
#include "hypervisor_inside.h"
#include "images.h"

void hypervisor_tells(struct world *w, int host, enum told what)
{
    struct event *e = world_after(w, 1 + (int64_t)world_random(w, 30), EV_LIBVIRT_TELLS);
    e->host = host;
    e->life = w->hosts[host].agent.life;
    e->a = w->job.txn;
    e->b = (int)what;
}

bool hypervisor_is_locked(struct world *w, int host)
{
    const struct domain *other = &w->hosts[1 - host].domain;
    if (!w->locked || other->qemu == Q_OFF || !other->locks)
        return false;
    world_saw(w, SEEN_LOCKED);
    world_trace(w, "L: a lock keeps the guest from running on %d", host);
    return true;
}

void hypervisor_runs(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain, *other = &w->hosts[1 - host].domain;
    if (other->qemu == Q_RUN && !other->by_hand)
        world_violate(w, "the guest runs twice");
    if (d->stale)
        world_violate(w, "an image whose disks are newer is let run at host %d", host);
    d->qemu = Q_RUN;
    images_run(w, host);
    w->image_died = false;
    d->suspended = d->by_hand = false;
    d->locks = true;
    other->stale |= other->qemu == Q_PAUSED;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static int side(const struct world *w, int host)
{
    return w->job.source != host;
}

void libvirt_crash(struct world *w, int host)
{
    struct host *h = &w->hosts[host];
    if (!h->libvirt_up)
        return;
    world_trace(w, "FAULT: libvirt on %d dies", host);
    w->coverage->libvirt_died[side(w, host)][w->job.phase]++;
    h->libvirt_up = false;
    h->libvirt_life++;
    h->domain.migrated = false; /* forgotten */
    for (int i = 0; i < TXNS; i++)
        if (h->agent.calling[i]) {
            h->agent.calling[i] = false;
            agent_look(w, host, i, 1);
        }
    if (w->job.phase != JOB_NONE && w->job.source == host)
        job_loses_source_libvirt(w);
    else if (w->job.phase != JOB_NONE)
        job_loses_destination_libvirt(w);
    struct event *e = world_after(w, 500 + (int64_t)world_random(w, 8000), EV_LIBVIRT_START);
    e->host = host;
    e->life = h->libvirt_life;
}

static bool memory_elsewhere(const struct world *w, int host)
{
    const struct domain *other = &w->hosts[1 - host].domain;
    return (other->qemu == Q_RUN && !other->by_hand) || (other->qemu == Q_PAUSED && !other->stale);
}

void libvirt_qemu_dies(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain;
    if (d->qemu == Q_OFF)
        return;
    world_trace(w, "FAULT: QEMU on %d dies", host);
    w->coverage->qemu_died[side(w, host)][w->job.phase]++;
    enum qemu was = d->qemu;
    d->qemu = Q_OFF;
    d->migrated = false;
    if (was != Q_INCOMING && (d->half || !memory_elsewhere(w, host)))
        w->image_died = true;
    d->half = false;
    /* Two images after a lost Finish: the one that is left may be the one that is to go. */
    if (was != Q_INCOMING && w->hosts[1 - host].domain.qemu == Q_PAUSED)
        w->image_died = true;
    if (w->job.phase == JOB_NONE)
        hypervisor_tells(w, host, TOLD_CHANGE);
    else if (host == w->job.source)
        job_loses_source_qemu(w, was == Q_RUN);
    else
        job_loses_destination_qemu(w);
}

/* ---- an operator's hand ------------------------------------------------------------------------------------------ */

void libvirt_destroy(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain;
    world_saw(w, SEEN_BY_HAND);
    world_trace(w, "the operator destroys the guest on %d", host);
    d->qemu = Q_OFF;
    d->half = d->post_copy = d->migrated = false;
    if (w->job.phase != JOB_NONE && w->job.source == host)
        job_end(w, TOLD_CALL_FAILED);
}

void libvirt_tells_pause(struct world *w, int host)
{
    hypervisor_tells(w, host, TOLD_PAUSED);
}

bool libvirt_suspend(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain;
    if (!w->hosts[host].libvirt_up)
        return false;
    if (d->qemu != Q_RUN)
        return true;
    world_trace(w, "L: the guest is paused on %d", host);
    d->qemu = Q_PAUSED;
    d->suspended = true;
    return true;
}

/* Whatever it is: what comes of it is the operator's doing, a second copy and an old image that runs. */
void libvirt_resume(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain;
    if (!w->hosts[host].libvirt_up || d->qemu != Q_PAUSED || d->half || w->job.phase == JOB_SWITCHED ||
        w->job.source == host || hypervisor_is_locked(w, host))
        return;
    world_saw(w, SEEN_IMAGE_RESUMED);
    world_trace(w, "the operator resumes the image on %d", host);
    d->qemu = Q_RUN;
    d->suspended = false;
    d->by_hand = d->locks = w->resumed = true;
}

void libvirt_run_by_hand(struct world *w, int host)
{
    world_saw(w, SEEN_BY_HAND);
    world_trace(w, "the operator lets the guest run on %d", host);
    w->hosts[host].domain.stale &=
        w->hosts[host].domain.qemu == Q_PAUSED; /* else it is started from its disks */
    hypervisor_runs(w, host);
    w->hosts[host].domain.defined = w->persistent;
}

/* ---- what it tells ----------------------------------------------------------------------------------------------- */

static void boots(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain;
    bool was = w->hosts[host].boots;
    w->hosts[host].boots = false;
    if (!was || w->disarmed & 1u << host || !d->autostart || !d->defined || d->qemu != Q_OFF ||
        w->definition_only || hypervisor_is_locked(w, host))
        return;
    world_saw(w, SEEN_AUTOSTARTED);
    world_trace(w, "L: %d starts the guest", host);
    d->stale = d->half = d->post_copy = d->migrated = false;
    w->suspended = w->noted = false;
    hypervisor_runs(w, host);
}

void libvirt_event(struct world *w, const struct event *e)
{
    struct host *h = &w->hosts[e->host];
    if (e->kind == EV_JOB) {
        if (e->life == w->job.life)
            job_event(w);
    } else if (e->kind == EV_LIBVIRT_START) {
        if (e->life != h->libvirt_life)
            return;
        h->libvirt_up = true;
        world_trace(w, "L: libvirt on %d is back", e->host);
        boots(w, e->host);
        agent_look_all(w, e->host);
    } else if (h->agent.alive && e->life == h->agent.life && (h->libvirt_up || e->b == TOLD_CALL_FAILED)) {
        struct agent *a = &h->agent;
        a->committed[e->a] |= e->b == TOLD_COMMITTED;
        a->succeeded[e->a] |= e->b == TOLD_MIGRATED;
        a->ended[e->a] |= e->b == TOLD_ENDED;
        if (e->b == TOLD_PAUSED && a->watching[e->a] && !a->records[e->a].our_pause && world_chance(w, 850))
            a->others_pause[e->a] = true;
        if (e->b == TOLD_MIGRATED || e->b == TOLD_CALL_FAILED)
            a->calling[e->a] = false;
        agent_look(w, e->host, e->a, 0);
    }
}

/* ---- what an agent sees and does --------------------------------------------------------------------------------- */

struct participant_facts libvirt_look(const struct world *w, int host, int txn, enum participant_role role)
{
    const struct host *h = &w->hosts[host];
    const struct agent *a = &h->agent;
    struct participant_facts f = {
        .committed = a->committed[txn], .call_succeeded = a->succeeded[txn], .ran_to_the_end = a->ended[txn]};
    f.job = a->calling[txn];
    if (!h->libvirt_up)
        return f;
    f.job |= w->job.phase != JOB_NONE && w->job.source == host;
    f.post_copy = h->domain.post_copy && h->domain.qemu != Q_OFF;
    f.operators_pause = h->domain.suspended && h->domain.qemu == Q_PAUSED;
    f.by_hand = h->domain.by_hand && h->domain.qemu == Q_RUN;
    switch (h->domain.qemu) {
    case Q_OFF:
        f.guest = h->domain.migrated  ? PARTICIPANT_OFF_MIGRATED
                  : h->domain.defined ? PARTICIPANT_OFF
                                      : PARTICIPANT_ABSENT;
        break;
    case Q_INCOMING: f.guest = role == PARTICIPANT_SOURCE ? PARTICIPANT_PAUSED : PARTICIPANT_INCOMING; break;
    case Q_PAUSED: f.guest = PARTICIPANT_PAUSED; break;
    case Q_RUN: f.guest = PARTICIPANT_RUNNING; break;
    }
    return f;
}

static bool undo(struct world *w, int host, struct record *r)
{
    struct domain *d = &w->hosts[host].domain;
    bool newest = w->hosts[host].agent.generation <= r->generation;
    if (newest && r->image && !w->definition_only) {
        if (d->qemu == Q_RUN && !d->by_hand)
            return false; /* a running guest is never dropped */
        if (d->qemu == Q_RUN) {
            world_saw(w, SEEN_SECOND_ENDED);
            w->image_died |= !memory_elsewhere(w, host); /* it was not the guest */
        }
        if (d->qemu == Q_PAUSED && (d->half || !memory_elsewhere(w, host)) && !w->image_died)
            world_violate(w, "the only image of the guest is dropped at host %d", host);
        d->qemu = Q_OFF;
    }
    const struct operation *op = &w->hosts[host].agent.ops[0];
    bool told = !op->is_look && op->message.what == TXN_ABORT;
    bool made = told || r->vote; /* else it may be the only one */
    if (newest && r->definition && made)
        d->defined = d->migrated = d->autostart = false;
    images_undo(w, host, r, told);
    r->image = false;
    r->definition &= !made;
    return true;
}

bool libvirt_deed(struct world *w, int host, int txn, enum participant_action action)
{
    struct host *h = &w->hosts[host];
    struct domain *d = &h->domain;
    struct record *r = &h->agent.records[txn];
    if (!h->libvirt_up || (!w->calm && world_chance(w, 10)))
        return false;
    switch (action) {
    case PARTICIPANT_RESUME_SOURCE:
    case PARTICIPANT_RESUME:
        if (w->job.phase != JOB_NONE && w->job.source == host)
            return false;
        if (d->qemu != Q_PAUSED && d->qemu != Q_RUN)
            return false;
        if (d->qemu == Q_PAUSED && hypervisor_is_locked(w, host))
            return false;
        if (d->qemu == Q_PAUSED)
            hypervisor_runs(w, host);
        return true;
    case PARTICIPANT_PAUSE:
        if (d->qemu == Q_RUN)
            world_saw(w, SEEN_PAUSED_ANEW);
        return libvirt_suspend(w, host);
    case PARTICIPANT_DEFINE:
        d->by_hand = false; /* from now on it is the guest */
        if (w->persistent)
            d->defined = true;
        return true;
    case PARTICIPANT_UNDO: return undo(w, host, r);
    case PARTICIPANT_END:
        if (d->qemu == Q_RUN || (d->half && !w->image_died))
            world_violate(w, "a guest that is needed is ended at host %d", host);
        w->image_died |= r->from_disks; /* by an operator's word */
        d->qemu = Q_OFF;
        r->image_ended |= r->role == PARTICIPANT_DESTINATION;
        return r->role == PARTICIPANT_SOURCE || disk_write_record(w, host, txn);
    case PARTICIPANT_AUTOSTART_OFF:
    case PARTICIPANT_AUTOSTART_ON:
        if (action == PARTICIPANT_AUTOSTART_ON && w->job.phase != JOB_NONE && w->job.source == host)
            return false; /* libvirt waits for it */
        d->autostart = action == PARTICIPANT_AUTOSTART_ON && d->defined;
        return true;
    case PARTICIPANT_RETIRE:
        if (d->qemu != Q_OFF && w->persistent)
            world_violate(w, "the definition of an active guest is taken away at host %d", host);
        images_put_aside(w, host, r);
        d->defined = d->migrated = d->autostart = false;
        return true;
    case PARTICIPANT_START:
        if (d->qemu == Q_OFF && (hypervisor_is_locked(w, host) || !images_can_start(w, host)))
            return false;
        if (d->qemu == Q_OFF) {
            d->stale = w->suspended = w->noted = false;
            d->defined = w->persistent; /* as the message says, if libvirt does not know it any more */
            hypervisor_runs(w, host);
        }
        d->migrated = false;
        return d->qemu == Q_RUN;
    default: return true;
    }
}
