/* libvirt 9.0 and QEMU 7.2 as they were measured: who has the guest at each point of a migration, what a crash leaves. */
#include "world.h"

static void tells(struct world *w, int host, int what)
{
    struct event *e = world_after(w, 1 + (int64_t)world_random(w, 30), EV_LIBVIRT_TELLS);
    e->host = host;
    e->life = w->hosts[host].agent.life;
    e->a = w->job.txn;
    e->b = what;
}

enum { TOLD_CHANGE, TOLD_COMMITTED, TOLD_MIGRATED, TOLD_CALL_FAILED, TOLD_ENDED };

static void next(struct world *w, int64_t ms)
{
    struct event *e = world_after(w, ms, EV_JOB);
    e->life = ++w->job.life;
}

static void end_job(struct world *w, int told)
{
    w->job.phase = JOB_NONE;
    w->job.life++;
    tells(w, w->job.source, told);
}

static void runs(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain, *other = &w->hosts[1 - host].domain;
    if (d->stale)
        world_violate(w, "an image whose disks are newer is let run at host %d", host);
    d->qemu = Q_RUN;
    w->image_died = false;
    other->stale |= other->qemu == Q_PAUSED;
}

/* The destination drops its half; the source, which never stopped or is woken by libvirt, runs. */
static void fail_job(struct world *w, const char *why)
{
    struct domain *s = &w->hosts[w->job.source].domain, *d = &w->hosts[1 - w->job.source].domain;
    world_trace(w, "L: the job fails: %s", why);
    if (d->qemu == Q_INCOMING)
        d->qemu = Q_OFF;
    if (s->qemu == Q_PAUSED)
        runs(w, w->job.source);
    end_job(w, TOLD_CALL_FAILED);
}

void libvirt_migrate(struct world *w, int source, int txn)
{
    if (w->job.phase != JOB_NONE)
        return;
    w->jobs_started[txn]++;
    if (!w->hosts[source].libvirt_up) {
        w->job = (struct job){.life = w->job.life, .source = source, .txn = txn};
        end_job(w, TOLD_CALL_FAILED);
        return;
    }
    w->job = (struct job){.phase = JOB_BEGIN, .life = w->job.life, .source = source, .txn = txn};
    next(w, 1 + (int64_t)world_random(w, 300));
}

void libvirt_stop_job(struct world *w, int host)
{
    if (w->job.phase == JOB_NONE || w->job.source != host || !w->hosts[host].libvirt_up)
        return;
    if (w->job.phase == JOB_BEGIN || w->job.phase == JOB_COPY)
        w->job.stop = true; /* later it has no effect */
}

static void begin(struct world *w)
{
    struct domain *s = &w->hosts[w->job.source].domain, *d = &w->hosts[1 - w->job.source].domain;
    if (!w->hosts[1 - w->job.source].libvirt_up || w->cut_off & 1u << HOSTS || d->qemu != Q_OFF ||
        s->qemu != Q_RUN) {
        fail_job(w, "the destination can't be reached or has the guest already");
        return;
    }
    d->qemu = Q_INCOMING;
    d->stale = false;
    w->job.phase = JOB_COPY;
    next(w, 1 + (int64_t)world_random(w, world_chance(w, 50) ? 40000 : 2000));
}

static void copied(struct world *w)
{
    struct domain *s = &w->hosts[w->job.source].domain, *d = &w->hosts[1 - w->job.source].domain;
    if (w->job.stop || w->cut_off & 1u << HOSTS) {
        fail_job(w, w->job.stop ? "it was stopped" : "the stream is broken");
        return;
    }
    world_trace(w, "L: switch-over");
    s->qemu = Q_PAUSED;
    d->qemu = w->mutation == AUTORESUME ? Q_RUN : Q_PAUSED;
    w->job.phase = JOB_SWITCHED;
    next(w, 1 + (int64_t)world_random(w, 20));
}

/* Finish's answer: if it is lost, the source takes the guest back, and a complete image stays at the destination. */
static void finished(struct world *w)
{
    struct domain *d = &w->hosts[1 - w->job.source].domain;
    if (w->cut_off & 1u << HOSTS || world_chance(w, w->calm ? 0 : 30) || d->qemu == Q_OFF) {
        fail_job(w, "Finish has failed, or its answer is lost");
        return;
    }
    world_trace(w, "L: committed");
    w->job.phase = JOB_COMMITTED;
    tells(w, w->job.source, TOLD_COMMITTED);
    next(w, 1 + (int64_t)world_random(w, 1500));
}

static void confirmed(struct world *w)
{
    struct domain *s = &w->hosts[w->job.source].domain;
    s->qemu = Q_OFF;
    s->migrated = w->persistent;
    world_trace(w, "L: the source's QEMU has ended");
    end_job(w, TOLD_MIGRATED);
}

static void on_job(struct world *w)
{
    switch (w->job.phase) {
    case JOB_NONE: break;
    case JOB_BEGIN: begin(w); break;
    case JOB_COPY: copied(w); break;
    case JOB_SWITCHED: finished(w); break;
    case JOB_COMMITTED: confirmed(w); break;
    }
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void job_without_source(struct world *w)
{
    struct domain *s = &w->hosts[w->job.source].domain, *d = &w->hosts[1 - w->job.source].domain;
    if (d->qemu == Q_INCOMING)
        d->qemu = Q_OFF;
    if (w->job.phase == JOB_COMMITTED) { /* libvirt ends it when it is back, and may not remember why */
        if (!world_chance(w, 200))       /* or it forgets that it had decided so, and leaves it paused */
            s->qemu = Q_OFF;
        s->migrated = s->qemu == Q_OFF && w->persistent && world_chance(w, 500);
    }
    w->job.phase = JOB_NONE;
    w->job.life++;
}

static void job_without_destination(struct world *w)
{
    if (w->job.phase == JOB_COMMITTED)
        return;
    if (w->job.phase == JOB_SWITCHED && world_chance(w, 300))
        w->hosts[1 - w->job.source].domain.qemu = Q_OFF;
    fail_job(w, "the destination's libvirt died");
}

void libvirt_crash(struct world *w, int host)
{
    struct host *h = &w->hosts[host];
    if (!h->libvirt_up)
        return;
    world_trace(w, "FAULT: libvirt on %d dies", host);
    h->libvirt_up = false;
    h->libvirt_life++;
    h->domain.migrated = false; /* forgotten */
    for (int i = 0; i < TXNS; i++)
        if (h->agent.calling[i]) {
            h->agent.calling[i] = false;
            agent_look(w, host, i, 1);
        }
    if (w->job.phase != JOB_NONE && w->job.source == host)
        job_without_source(w);
    else if (w->job.phase != JOB_NONE)
        job_without_destination(w);
    struct event *e = world_after(w, 500 + (int64_t)world_random(w, 8000), EV_LIBVIRT_START);
    e->host = host;
    e->life = h->libvirt_life;
}

static bool memory_elsewhere(const struct world *w, int host)
{
    enum qemu other = w->hosts[1 - host].domain.qemu;
    return other == Q_RUN || other == Q_PAUSED;
}

void libvirt_qemu_dies(struct world *w, int host)
{
    struct domain *d = &w->hosts[host].domain;
    if (d->qemu == Q_OFF)
        return;
    world_trace(w, "FAULT: QEMU on %d dies", host);
    enum qemu was = d->qemu;
    d->qemu = Q_OFF;
    d->migrated = false;
    if (was != Q_INCOMING && !memory_elsewhere(w, host))
        w->image_died = true;
    /* Two images after a lost Finish: the one that is left may be the one that is to go. */
    if (was != Q_INCOMING && w->hosts[1 - host].domain.qemu == Q_PAUSED)
        w->image_died = true;
    if (w->job.phase == JOB_NONE) {
        tells(w, host, TOLD_CHANGE);
        return;
    }
    if (host != w->job.source) {
        if (w->job.phase != JOB_COMMITTED)
            fail_job(w, "the destination's QEMU died");
        return;
    }
    if (w->job.phase == JOB_COMMITTED) {
        confirmed(w);
        return;
    }
    if (w->hosts[1 - host].domain.qemu == Q_INCOMING)
        w->hosts[1 - host].domain.qemu = Q_OFF;
    if (was == Q_RUN)
        tells(w, host, TOLD_ENDED); /* it had not stopped to switch over */
    end_job(w, TOLD_CALL_FAILED);
}

void libvirt_event(struct world *w, const struct event *e)
{
    struct host *h = &w->hosts[e->host];
    if (e->kind == EV_JOB) {
        if (e->life == w->job.life)
            on_job(w);
    } else if (e->kind == EV_LIBVIRT_START) {
        if (e->life != h->libvirt_life)
            return;
        h->libvirt_up = true;
        world_trace(w, "L: libvirt on %d is back", e->host);
        agent_look_all(w, e->host);
    } else if (h->agent.alive && e->life == h->agent.life && (h->libvirt_up || e->b == TOLD_CALL_FAILED)) {
        struct agent *a = &h->agent;
        a->committed[e->a] |= e->b == TOLD_COMMITTED;
        a->succeeded[e->a] |= e->b == TOLD_MIGRATED;
        a->ended[e->a] |= e->b == TOLD_ENDED;
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
        if (d->qemu == Q_RUN)
            return false; /* a running guest is never dropped */
        if (d->qemu == Q_PAUSED && !memory_elsewhere(w, host) && !w->image_died)
            world_violate(w, "the only image of the guest is dropped at host %d", host);
        d->qemu = Q_OFF;
    }
    if (newest && r->definition) {
        d->defined = d->migrated = false;
    }
    r->image = r->definition = false;
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
        if (d->qemu == Q_PAUSED)
            runs(w, host);
        return true;
    case PARTICIPANT_DEFINE:
        if (w->persistent)
            d->defined = true;
        return true;
    case PARTICIPANT_UNDO: return undo(w, host, r);
    case PARTICIPANT_END:
        if (d->qemu == Q_RUN)
            world_violate(w, "a running guest is ended at host %d", host);
        w->image_died |= r->from_disks; /* by an operator's word */
        d->qemu = Q_OFF;
        r->image_ended |= r->role == PARTICIPANT_DESTINATION;
        return r->role == PARTICIPANT_SOURCE || disk_write_record(w, host, txn);
    case PARTICIPANT_RETIRE:
        if (d->qemu != Q_OFF && w->persistent)
            world_violate(w, "the definition of an active guest is taken away at host %d", host);
        d->defined = d->migrated = false;
        return true;
    case PARTICIPANT_START:
        if (d->qemu == Q_OFF) {
            d->stale = false;
            runs(w, host);
        }
        d->migrated = false;
        return d->qemu == Q_RUN;
    default: return true;
    }
}
