/* libvirt 9.0's migration job and QEMU 7.2's streams as they were measured: who has the guest at each point.
 *
 *     BEGIN ---> COPY ------> SWITCHED --------------> COMMITTED ---> the source's QEMU is ended
 *                  \               \  libvirt runs it  /
 *                   \               `----> RUNS ------'
 *                    `-> POST_COPY ---------^
 *
 * The hole. A job that may go on as post-copy can't start the guest paused: libvirt lets it run at the destination (Finish), and if
 * Finish's answer is lost before post-copy has begun, it lets it run at the source, too. Nothing that Drover writes or asks can
 * prevent that, only a lock on the disk does (the finding post-copy-handover warns). So without a lock that answer is never lost
 * here, unless LOSE_FINISH is played. */
#include "hypervisor_inside.h"
#include "images.h"

enum { TAKE_UP_MS = 2000 };

static void next(struct world *w, int64_t ms)
{
    struct event *e = world_after(w, ms, EV_JOB);
    e->life = ++w->job.life;
}

static struct domain *source_of(struct world *w)
{
    return &w->hosts[w->job.source].domain;
}

static struct domain *destination_of(struct world *w)
{
    return &w->hosts[1 - w->job.source].domain;
}

static bool is_cut(const struct world *w)
{
    return w->cut_off & 1u << HOSTS;
}

void job_end(struct world *w, enum told what)
{
    w->job.phase = JOB_NONE;
    w->job.life++;
    hypervisor_tells(w, w->job.source, what);
}

void job_fail(struct world *w, const char *why)
{
    struct domain *s = source_of(w), *d = destination_of(w);
    world_trace(w, "L: the job fails: %s", why);
    if (w->job.post_copy)
        world_saw(w, SEEN_POST_COPY_FAILED);
    if (d->qemu == Q_INCOMING)
        d->qemu = Q_OFF;
    if (s->qemu == Q_PAUSED && !hypervisor_is_locked(w, w->job.source))
        hypervisor_runs(w, w->job.source);
    job_end(w, TOLD_CALL_FAILED);
}

void libvirt_migrate(struct world *w, int source, int txn)
{
    if (w->job.phase != JOB_NONE)
        return;
    w->jobs_started[txn]++;
    w->job = (struct job){.life = w->job.life, .source = source, .txn = txn};
    if (!w->hosts[source].libvirt_up) {
        job_end(w, TOLD_CALL_FAILED);
        return;
    }
    w->job.phase = JOB_BEGIN;
    w->job.by_libvirt = w->hosts[source].agent.records[txn].may_post_copy && !world_chance(w, 200);
    next(w, 1 + (int64_t)world_random(w, 300));
}

void libvirt_stop_job(struct world *w, int host)
{
    if (w->job.phase == JOB_NONE || w->job.source != host || !w->hosts[host].libvirt_up)
        return;
    if (w->job.post_copy)
        world_violate(w, "a job is stopped though post-copy was asked for");
    if (w->job.phase == JOB_BEGIN || w->job.phase == JOB_COPY) {
        w->job.stop = true; /* later it has no effect */
        world_saw(w, SEEN_STOPPED);
    }
}

/* ---- its steps --------------------------------------------------------------------------------------------------- */

static void begin(struct world *w)
{
    struct domain *s = source_of(w), *d = destination_of(w);
    if (!w->hosts[1 - w->job.source].libvirt_up || is_cut(w) || d->qemu != Q_OFF || s->qemu != Q_RUN) {
        job_fail(w, "the destination can't be reached or has the guest already");
        return;
    }
    d->qemu = Q_INCOMING;
    d->stale = d->locks = d->half = d->post_copy = d->suspended = d->by_hand = false;
    w->job.phase = JOB_COPY;
    if (world_chance(w, 50))
        world_after(w, (int64_t)world_random(w, 1500), EV_SUSPEND);
    next(w, 1 + (int64_t)world_random(w, world_chance(w, 50) ? 40000 : 2000));
}

static void begin_post_copy(struct world *w)
{
    struct domain *s = source_of(w), *d = destination_of(w);
    world_trace(w, "L: post-copy");
    world_saw(w, SEEN_POST_COPY_BEGUN);
    s->qemu = Q_PAUSED;
    s->locks = false;
    s->half = d->half = s->post_copy = d->post_copy = true;
    hypervisor_runs(w, 1 - w->job.source);
    w->job.phase = JOB_POST_COPY;
    next(w, 1 + (int64_t)world_random(w, 3000));
}

static void copied(struct world *w)
{
    struct domain *s = source_of(w), *d = destination_of(w);
    if (w->job.stop || is_cut(w)) {
        job_fail(w, w->job.stop ? "it was stopped" : "the stream is broken");
        return;
    }
    if (w->job.post_copy && world_chance(w, 800)) {
        begin_post_copy(w);
        return;
    }
    if (w->job.post_copy)
        world_saw(w, SEEN_POST_COPY_TOO_LATE);
    world_trace(w, "L: switch-over");
    images_switched(w, w->job.source);
    s->qemu = Q_PAUSED;
    s->locks = false;
    if (!w->job.by_libvirt) {
        d->qemu = w->mutation == AUTORESUME ? Q_RUN : Q_PAUSED;
        d->suspended = true; /* libvirt says so of what it started paused */
        d->locks = world_chance(w, 500);
        if (world_chance(w, 25))
            world_after(w, (int64_t)world_random(w, world_chance(w, 500) ? 3000 : 30000), EV_RESUME);
    }
    w->job.phase = JOB_SWITCHED;
    next(w, 1 + (int64_t)world_random(w, 20));
}

static void commit(struct world *w)
{
    world_trace(w, "L: committed");
    w->job.phase = JOB_COMMITTED;
    hypervisor_tells(w, w->job.source, TOLD_COMMITTED);
    next(w, 1 + (int64_t)world_random(w, 1500));
}

/* Finish: if its answer is lost, the source takes the guest back, and a complete image stays at the destination. */
static void finish(struct world *w)
{
    const struct domain *d = destination_of(w);
    bool lost = is_cut(w) || world_chance(w, w->calm ? 0 : 30);
    if (lost || d->qemu == Q_OFF) {
        if (d->qemu == Q_PAUSED)
            world_saw(w, SEEN_FINISH_LOST);
        job_fail(w, "Finish has failed, or its answer is lost");
        return;
    }
    if (!w->job.by_libvirt) {
        commit(w);
        return;
    }
    world_trace(w, "L: the guest is let run");
    hypervisor_runs(w, 1 - w->job.source);
    w->job.phase = JOB_RUNS;
    next(w, 1 + (int64_t)world_random(w, 20));
}

static bool may_lose_finish(struct world *w)
{
    return destination_of(w)->qemu == Q_RUN && (w->locked || w->mutation == LOSE_FINISH);
}

static void breaks(struct world *w, enum seen what)
{
    world_trace(w, "L: post-copy is broken");
    world_saw(w, what);
    w->job.broken = true;
    world_after(w, TAKE_UP_MS, EV_TAKE_UP);
}

/* Its answer. After post-copy libvirt takes nothing back. */
static void finished(struct world *w)
{
    bool lost = is_cut(w) || world_chance(w, w->calm ? 0 : 30);
    if (lost && w->job.broken) /* it was not taken up yet */
        return;
    if (lost && source_of(w)->post_copy) {
        breaks(w, SEEN_POST_COPY_UNFINISHED);
    } else if (lost && may_lose_finish(w)) {
        world_saw(w, SEEN_FINISH_LOST_LOCKED);
        job_fail(w, "Finish's answer is lost, and the guest runs there");
    } else {
        commit(w);
    }
}

static void rest_arrives(struct world *w)
{
    struct domain *s = source_of(w), *d = destination_of(w);
    if (is_cut(w) || world_chance(w, w->calm ? 0 : 50)) {
        breaks(w, SEEN_POST_COPY_BROKEN);
        return;
    }
    world_trace(w, "L: all memory is there");
    world_saw(w, SEEN_POST_COPY_DONE);
    s->half = d->half = d->post_copy = false;
    w->job.phase = JOB_RUNS;
    next(w, 1 + (int64_t)world_random(w, 20));
}

static void confirmed(struct world *w)
{
    struct domain *s = source_of(w);
    s->qemu = Q_OFF;
    s->migrated = w->persistent;
    s->post_copy = false;
    world_trace(w, "L: the source's QEMU has ended");
    job_end(w, TOLD_MIGRATED);
}

void job_event(struct world *w)
{
    /* QEMU's streams go on without libvirt; what libvirt does waits for it. */
    bool waits = source_of(w)->post_copy && w->job.phase > JOB_POST_COPY &&
                 !(w->hosts[0].libvirt_up && w->hosts[1].libvirt_up);
    if (waits) {
        next(w, 500);
        return;
    }
    switch (w->job.phase) {
    case JOB_NONE: break;
    case JOB_BEGIN: begin(w); break;
    case JOB_COPY: copied(w); break;
    case JOB_POST_COPY: rest_arrives(w); break;
    case JOB_SWITCHED: finish(w); break;
    case JOB_RUNS: finished(w); break;
    case JOB_COMMITTED: confirmed(w); break;
    }
}

/* ---- post-copy --------------------------------------------------------------------------------------------------- */

int libvirt_ask_post_copy(struct world *w, int host)
{
    bool mine = w->job.phase != JOB_NONE && w->job.source == host;
    if (!w->hosts[host].libvirt_up)
        return -1;
    if (!mine || !w->job.by_libvirt || (!w->job.post_copy && world_chance(w, 100))) {
        world_saw(w, SEEN_POST_COPY_REFUSED);
        return 0;
    }
    if (!w->hosts[host].agent.disk.records[w->job.txn].post_copy)
        world_violate(w, "post-copy is asked for, and that is not durable");
    world_trace(w, "L: is asked for post-copy");
    world_saw(w, SEEN_POST_COPY_ASKED);
    if (!w->job.post_copy && w->job.phase == JOB_COPY)
        next(w, 1 + (int64_t)world_random(w, world_chance(w, 100) ? 15000
                                                                  : 100)); /* QEMU looks between passes */
    w->job.post_copy = true;
    return world_chance(w, w->calm ? 0 : 100) ? -1 : 1;
}

/* agent/transfer.c (post_copy_sample): as long as it takes. */
void libvirt_take_up(struct world *w)
{
    if (!w->job.broken || (w->job.phase != JOB_POST_COPY && w->job.phase != JOB_RUNS))
        return;
    world_after(w, TAKE_UP_MS, EV_TAKE_UP);
    const struct agent *a = &w->hosts[w->job.source].agent;
    bool watched = a->alive && (a->watching[w->job.txn] || w->operator_looks);
    if (!watched || is_cut(w) || !w->hosts[0].libvirt_up || !w->hosts[1].libvirt_up ||
        destination_of(w)->qemu == Q_OFF || w->mutation == LEAVE_BROKEN)
        return;
    world_trace(w, "L: post-copy is taken up again");
    world_saw(w, SEEN_POST_COPY_TAKEN_UP);
    w->job.broken = false;
    next(w, 1 + (int64_t)world_random(w, 500));
}

/* ---- what a death does to it ------------------------------------------------------------------------------------- */

void job_loses_source_libvirt(struct world *w)
{
    struct domain *s = source_of(w), *d = destination_of(w);
    if (s->post_copy)
        return; /* it goes on, and is known to the next libvirtd */
    if (d->qemu == Q_INCOMING)
        d->qemu = Q_OFF;
    if (w->job.by_libvirt && s->qemu == Q_PAUSED && w->job.phase != JOB_COMMITTED)
        world_saw(w, SEEN_LEFT_PAUSED);
    if (w->job.phase == JOB_COMMITTED) { /* libvirt ends it when it is back, and may not remember why */
        if (!world_chance(w, 200))       /* or it forgets that it had decided so, and leaves it paused */
            s->qemu = Q_OFF;
        s->migrated = s->qemu == Q_OFF && w->persistent && world_chance(w, 500);
    }
    w->job.phase = JOB_NONE;
    w->job.life++;
}

void job_loses_destination_libvirt(struct world *w)
{
    if (w->job.phase == JOB_COMMITTED || source_of(w)->post_copy)
        return;
    if (w->job.phase == JOB_RUNS && !may_lose_finish(w))
        return;
    if (w->job.phase == JOB_SWITCHED && world_chance(w, 300))
        destination_of(w)->qemu = Q_OFF;
    job_fail(w, "the destination's libvirt died");
}

void job_loses_source_qemu(struct world *w, bool ran)
{
    struct domain *d = destination_of(w);
    if (w->job.phase == JOB_COMMITTED) {
        confirmed(w);
        return;
    }
    if (w->job.phase == JOB_POST_COPY) {
        world_saw(w, SEEN_POST_COPY_SOURCE_DIED);
        if (d->qemu == Q_RUN && world_chance(w, 500))
            d->qemu = Q_PAUSED; /* it waits for a page that never comes */
    }
    if (d->qemu == Q_INCOMING)
        d->qemu = Q_OFF;
    source_of(w)->post_copy = false;
    if (ran) /* it had not stopped to switch over */
        hypervisor_tells(w, w->job.source, TOLD_ENDED);
    job_end(w, TOLD_CALL_FAILED);
}

void job_loses_destination_qemu(struct world *w)
{
    if (w->job.phase == JOB_COMMITTED)
        return;
    if (source_of(w)->post_copy) {
        world_saw(w, SEEN_POST_COPY_DESTINATION_DIED);
        w->job.broken = true; /* for good */
        w->job.life++;
    } else if (w->job.phase != JOB_RUNS) {
        job_fail(w, "the destination's QEMU died");
    }
}
