/* An agent: core/participant with the order of things of the agent's own driver: look, step, write, act, write, answer. The
 * operations of the guest take turns. */
#include "agent_inside.h"

#include <string.h>

enum { ASK_AGAIN_MS = 50, RETRY_MS = 500, JOB_END_MS = 20000 };

static struct agent *agent_of(struct world *w, int host)
{
    return &w->hosts[host].agent;
}

void agent_soon(struct world *w, int host, int64_t ms)
{
    struct event *e = world_after(w, ms, EV_AGENT_STEP);
    e->host = host;
    e->life = agent_of(w, host)->life;
}

void agent_take(struct world *w, int host, const struct operation *op)
{
    struct agent *a = agent_of(w, host);
    if (a->n_ops == OPS)
        return; /* as good as lost */
    a->ops[a->n_ops++] = *op;
    if (a->n_ops == 1) {
        a->phase = 0;
        agent_soon(w, host, (int64_t)world_random(w, 2));
    }
}

/* One that failed is tried again, once at a time. */
static void look_again(struct world *w, int host, int txn)
{
    struct agent *a = agent_of(w, host);
    if (a->again[txn] > w->now)
        return;
    a->again[txn] = w->now + RETRY_MS;
    agent_look(w, host, txn, RETRY_MS);
}

void agent_look(struct world *w, int host, int txn, int64_t ms)
{
    if (ms == 0) {
        struct agent *a = agent_of(w, host);
        for (unsigned i = 1; i < a->n_ops; i++)
            if (a->ops[i].is_look && a->ops[i].message.txn == txn)
                return;
        agent_take(w, host, &(struct operation){.is_look = true, .message = {.txn = txn, .call = -1}});
        return;
    }
    struct event *e = world_after(w, ms, EV_LOOK);
    e->host = host;
    e->life = agent_of(w, host)->life;
    e->a = txn;
}

void agent_look_all(struct world *w, int host)
{
    const struct agent *a = agent_of(w, host);
    for (int t = 0; a->alive && t < TXNS; t++)
        if (a->records[t].exists)
            agent_look(w, host, t, 0);
}

/* ---- one operation, phase by phase ------------------------------------------------------------------------------- */

void agent_done(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    memmove(a->ops, a->ops + 1, --a->n_ops * sizeof(a->ops[0]));
    a->phase = 0;
    a->since = 0;
    if (a->n_ops)
        agent_soon(w, host, (int64_t)world_random(w, 2));
}

static void make_record(struct agent *a, const struct message *m, bool voted_autostart)
{
    struct record *r = &a->records[m->txn];
    if (r->exists)
        return;
    *r = (struct record){.role = m->role, .generation = m->generation, .epoch = m->epoch};
    r->image = m->transferred && m->role == PARTICIPANT_DESTINATION;
    r->autostart = m->transferred && voted_autostart;
    r->autostart_off = r->autostart && m->role == PARTICIPANT_SOURCE;
    r->image_ended = m->from_disks && a->generation == m->generation + 1; /* had_begun_anew */
}

/* The first of the two writes of a new record or a new generation. What was never prepared supersedes nothing. */
static int raise_fence(struct world *w, int host, const struct record *r, enum participant_state state)
{
    struct agent *a = agent_of(w, host);
    bool refused = r->state == PARTICIPANT_NONE && state == PARTICIPANT_KEPT;
    uint64_t old = a->generation;
    bool anew = state == PARTICIPANT_OWNER && r->from_disks; /* under the next generation */
    uint64_t generation = r->generation + anew;
    if (!((r->state == PARTICIPANT_NONE && !refused) || state == PARTICIPANT_COLD || anew) ||
        old >= generation)
        return 0;
    a->generation = generation;
    if (disk_write_fence(w, host))
        return 1;
    a->generation = old;
    return -1;
}

/* Durable if it returns true; else the record in memory is as it was. */
bool agent_write(struct world *w, int host, int txn, enum participant_state state)
{
    struct agent *a = agent_of(w, host);
    struct record *r = &a->records[txn];
    if (!participant_may_move(r->role, r->state, state))
        world_violate(w, "host %d: %s to %s is not in the table", host, participant_state_name(r->state),
                      participant_state_name(state));
    struct record old = *r;
    r->exists = true;
    r->state = state;
    r->changed = clock_real(w, host);
    if (!disk_write_record(w, host, txn)) {
        r->exists = old.exists;
        r->state = old.state;
        r->changed = old.changed;
        return false;
    }
    if (old.state == PARTICIPANT_MIGRATING && state == PARTICIPANT_KEPT)
        faults_aim_at_kept(w, host);
    if (old.state == PARTICIPANT_MIGRATING && state == PARTICIPANT_FENCED)
        faults_aim_at_fenced(w, host);
    if (old.state != state) {
        w->coverage->participant[r->role][old.state][state]++;
        world_trace(w, "%d is %s in %d", host, participant_state_name(state), txn);
    }
    return true;
}

static struct participant half_of(const struct world *w, int host, int txn, bool transferred)
{
    const struct agent *a = &w->hosts[host].agent;
    const struct record *r = &a->records[txn];
    return (struct participant){.role = r->role,
                                .state = r->state,
                                .definition_only = w->definition_only,
                                .transferred = transferred,
                                .paused_by_us = r->our_pause,
                                .others_pause = r->others_pause && w->mutation != LET_RUN,
                                .from_disks = r->from_disks,
                                .copies = r->copies,
                                .copied = r->copied && w->mutation != LOSE_COPIED,
                                .incomplete = images_are_incomplete(w, r),
                                .image_ended = r->image_ended,
                                .autostart = r->autostart && w->mutation != LEAVE_AUTOSTART,
                                .owes_autostart = r->autostart_off,
                                .owes_resume = r->owed || w->mutation == RESUME_UNOWED,
                                .may_post_copy = r->may_post_copy && w->mutation != RESUME_LEFT,
                                .post_copy = r->post_copy && w->mutation != STOP_POST_COPY,
                                .superseded = a->generation > r->generation && w->mutation != RESUME_OLD};
}

/* True if the operation is over: it was refused, or its answer is stored. */
static bool is_answered(struct world *w, int host, const struct message *m)
{
    struct record *r = &agent_of(w, host)->records[m->txn];
    int admitted = agent_admit(w, host, m);
    if (admitted < 0) {
        agent_fail(w, host, m, "stale or unknown");
    } else if (admitted > 0) {
        agent_answer(w, host, m, agent_late_answer(w, host, m));
    } else if (m->what == TXN_PREPARE && r->exists) { /* the stored vote */
        if (r->vote)
            agent_answer(w, host, m, r->vote > 0 ? TXN_YES : TXN_NO);
        else
            agent_fail(w, host, m, "it is over");
    } else {
        return false;
    }
    return true;
}

static void decide(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    const struct operation *op = &a->ops[0];
    const struct message *m = &op->message;
    struct record *r = &a->records[m->txn];
    if (op->is_look ? !r->exists : is_answered(w, host, m)) {
        agent_done(w, host);
        return;
    }
    if (!op->is_look)
        agent_check_rights(w, host, m);
    if (!op->is_look) {
        make_record(a, m, w->voted_autostart[m->txn]);
        a->heard[m->txn] = clock_up(w, host);
    }
    if (!op->is_look && !agent_takes_up_autostart(w, host, m)) {
        agent_fail(w, host, m, "libvirt can't be asked");
        agent_done(w, host);
        return;
    }
    if (!a->since)
        a->old_generation = r->generation;
    if (agent_notes_pause(w, host, m))
        return;
    enum participant_event event = agent_next_event(w, host, op);
    if (event == PARTICIPANT_COLD_START && r->state == PARTICIPANT_FENCED)
        r->generation = m->generation;
    struct participant p = half_of(w, host, m->txn, !op->is_look && m->transferred);
    struct participant_facts f = libvirt_look(w, host, m->txn, r->role);
    if (event == PARTICIPANT_MIGRATE && r->state == PARTICIPANT_PREPARED)
        r->may_post_copy = w->post_copy;
    f.post_copy &= w->mutation != STOP_POST_COPY;
    a->step = participant_step(&p, event, &f);
    world_trace(w, "%d: %s of %d in %s, guest %d%s", host, participant_event_name(event), m->txn,
                participant_state_name(r->state), (int)f.guest, f.job ? ", job" : "");
    if (event == PARTICIPANT_SETTLE && f.post_copy && a->step.answer == PARTICIPANT_IN_DOUBT)
        world_saw(w, SEEN_POST_COPY_DOUBT);
    if (a->step.actions & PARTICIPANT_RESUME_SOURCE && r->state == PARTICIPANT_KEPT && !r->owed)
        world_violate(w, "host %d ends a pause that is not this transaction's", host);
    if (r->state == PARTICIPANT_MIGRATING && f.guest == PARTICIPANT_PAUSED && w->mutation == END_EARLY)
        w->hosts[host].domain.qemu = Q_OFF;
    if (a->step.actions & PARTICIPANT_STOP_JOB && w->mutation == KEEP_UNASKED) {
        a->step.first = a->step.then = PARTICIPANT_KEPT;
        a->step.actions = 0;
        a->step.answer = PARTICIPANT_IS_KEPT;
    }
    if (a->step.actions & PARTICIPANT_STOP_JOB) {
        if (!a->since)
            a->since = w->now;
        if (w->now - a->since < JOB_END_MS) {
            libvirt_stop_job(w, host);
            agent_soon(w, host, ASK_AGAIN_MS);
            return;
        }
        a->step.answer = PARTICIPANT_IN_DOUBT;
    }
    if (event == PARTICIPANT_PREPARE_YES || event == PARTICIPANT_PREPARE_NO) {
        r->vote = event == PARTICIPANT_PREPARE_YES ? 1 : -1;
        images_prepared(w, host, r, r->vote > 0);
        r->image = r->memory = r->vote > 0 && r->role == PARTICIPANT_DESTINATION;
        if (r->role == PARTICIPANT_SOURCE)
            w->voted_autostart[m->txn] = w->hosts[host].domain.autostart;
        r->autostart = w->voted_autostart[m->txn];
    }
    a->todo = a->step.actions;
    a->failed = false;
    a->phase = 1;
    agent_soon(w, host, (int64_t)world_random(w, 3));
}

void agent_give_up(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    if (!a->alive)
        return;
    const struct operation op = a->ops[0];
    struct record *r = &a->records[op.message.txn];
    r->generation = a->old_generation;
    if (!r->exists)
        *r = (struct record){0};
    agent_done(w, host);
    if (op.is_look)
        look_again(w, host, op.message.txn);
    else
        agent_fail(w, host, &op.message, "the disk refuses");
}

static void write_first(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    int txn = a->ops[0].message.txn;
    struct record *r = &a->records[txn];
    r->owed |= (a->step.actions & PARTICIPANT_RESUME_SOURCE) != 0;
    r->our_pause &= !(a->step.first == PARTICIPANT_KEPT && w->hosts[host].domain.qemu == Q_RUN);
    r->from_disks |= (a->step.first == PARTICIPANT_OWNER && a->step.actions & PARTICIPANT_END) ||
                     (a->step.by_word && a->ops[0].message.from_disks);
    r->autostart_off |= (a->step.actions & PARTICIPANT_AUTOSTART_OFF) != 0;
    r->definition |= (a->step.actions & PARTICIPANT_DEFINE) && w->persistent;
    images_stepped(w, r, a->step.first);
    if (a->step.first == PARTICIPANT_TOMBSTONE || a->step.first == PARTICIPANT_RELEASED ||
        a->step.then == PARTICIPANT_RELEASED)
        r->memory = false;
    if (a->step.first != r->state || a->step.actions & PARTICIPANT_AUTOSTART_OFF) {
        int raised = raise_fence(w, host, r, a->step.first);
        if (raised < 0 || (raised == 0 && !agent_write(w, host, txn, a->step.first))) {
            if (w->mutation == SAY_UNWRITTEN && a->alive && !a->ops[0].is_look) {
                agent_conclude(w, host, &a->ops[0].message, a->step.answer, a->step.why);
                a->ops[0].is_look = true; /* nobody waits any more */
            }
            agent_give_up(w, host);
            return;
        }
        if (raised > 0) { /* the record itself comes next */
            agent_soon(w, host, (int64_t)world_random(w, 2));
            return;
        }
        if (r->state == PARTICIPANT_PREPARED)
            agent_look(w, host, txn, AGENT_LEASE_MS);
    }
    a->phase = 2;
    agent_soon(w, host, (int64_t)world_random(w, 3));
}

static void deeds(struct world *w, int host)
{
    static const enum participant_action order[] = {
        PARTICIPANT_RESUME_SOURCE, PARTICIPANT_PAUSE,  PARTICIPANT_AUTOSTART_ON, PARTICIPANT_AUTOSTART_OFF,
        PARTICIPANT_DEFINE,        PARTICIPANT_RESUME, PARTICIPANT_UNDO,         PARTICIPANT_END,
        PARTICIPANT_RETIRE,        PARTICIPANT_START};
    unsigned kepts = PARTICIPANT_RESUME_SOURCE | PARTICIPANT_PAUSE | PARTICIPANT_AUTOSTART_ON;
    struct agent *a = agent_of(w, host);
    int txn = a->ops[0].message.txn;
    if (a->records[txn].role == PARTICIPANT_DESTINATION)
        kepts = 0;
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (!(a->todo & order[i]))
            continue;
        a->todo &= ~(unsigned)order[i];
        bool good = libvirt_deed(w, host, txn, order[i]);
        world_trace(w, "%d deed %d%s", host, (int)order[i], good ? "" : " fails");
        if (good && order[i] & kepts) {
            a->step.actions &= ~(unsigned)order[i];
            agent_strike_off(w, host, txn, order[i]);
        }
        if (good && order[i] == PARTICIPANT_UNDO)
            good = agent_write(w, host, txn, a->records[txn].state);
        if (!a->alive)
            return;
        if (!good && order[i] & kepts) /* the guest first, then what happens to it at the next boot */
            a->todo &= ~kepts;
        if (!good && !(order[i] & kepts)) {
            a->failed = true;
            a->todo = 0;
            a->step.actions &= ~(unsigned)(PARTICIPANT_START_JOB | PARTICIPANT_TELL_PEER);
        }
        agent_soon(w, host, (int64_t)world_random(w, 3));
        return;
    }
    a->phase = 3;
    agent_soon(w, host, (int64_t)world_random(w, 2));
}

static void conclude(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    struct operation op = a->ops[0];
    int txn = op.message.txn;
    struct record *r = &a->records[txn];
    const struct participant_step s = a->step;
    enum participant_answer said = a->failed ? PARTICIPANT_IN_DOUBT : s.answer;
    if (!a->failed && s.then != s.first && !agent_write(w, host, txn, s.then)) {
        agent_give_up(w, host);
        return;
    }
    if (r->state != PARTICIPANT_COLD)
        r->generation = a->old_generation;
    if (!r->exists)
        *r = (struct record){.role = r->role}; /* nothing of it is durable: it never was */
    agent_done(w, host);

    /* The loop's part. */
    if (s.actions & PARTICIPANT_START_JOB) {
        a->calling[txn] = true;
        libvirt_migrate(w, host, txn);
        agent_watch(w, host, txn);
    }
    if (op.is_look && r->state == PARTICIPANT_MIGRATING && w->job.phase != JOB_NONE && w->job.source == host)
        agent_watch(w, host, txn); /* adopted */
    if (s.actions & PARTICIPANT_TELL_PEER && !a->telling[txn])
        agent_tell_peer(w, host, txn);
    if (s.actions & (PARTICIPANT_RESUME_SOURCE | PARTICIPANT_PAUSE | PARTICIPANT_AUTOSTART_ON) ||
        (op.is_look && said == PARTICIPANT_IN_DOUBT))
        look_again(w, host, txn);
    if (!op.is_look && op.message.what == TXN_MIGRATE && said == PARTICIPANT_DONE && op.message.call >= 0) {
        agent_end_listener(w, host, txn, false);
        a->listener[txn] = op.message.call;
        a->listener_life[txn] = op.message.life;
        agent_tell_later(w, host, txn);
        agent_transfer_stepped(w, host, txn);
        return;
    }
    agent_transfer_stepped(w, host, txn);
    if (op.is_look)
        return;
    agent_conclude(w, host, &op.message, said, s.why);
}

static void step(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    if (a->n_ops == 0)
        return;
    if (a->ops[0].is_ask) {
        agent_ask_step(w, host);
        return;
    }
    switch (a->phase) {
    case 0: decide(w, host); break;
    case 1: write_first(w, host); break;
    case 2: deeds(w, host); break;
    default: conclude(w, host); break;
    }
}

/* ---- life and death ---------------------------------------------------------------------------------------------- */

static void count_death(struct world *w, const struct agent *a)
{
    static const enum seen when[] = {SEEN_AGENT_DIED, SEEN_AGENT_DIED_UNWRITTEN, SEEN_AGENT_DIED_WRITTEN,
                                     SEEN_AGENT_DIED_UNSAID};
    world_saw(w, SEEN_AGENT_DIED);
    if (a->n_ops > 0 && !a->ops[0].is_ask && a->phase > 0)
        world_saw(w, when[a->phase]);
}

void agent_crash(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    if (!a->alive)
        return;
    world_trace(w, "FAULT: the agent of %d dies", host);
    count_death(w, a);
    a->alive = false;
    a->life++;
    w->stalled[host] = 0;
    /* Callers notice. */
    for (unsigned i = 0; i < a->n_ops; i++)
        if (!a->ops[i].is_look && !a->ops[i].is_ask)
            agent_fail(w, host, &a->ops[i].message, "the agent died");
    for (int t = 0; t < TXNS; t++) {
        if (a->listener[t] >= 0) {
            struct event *e = world_after(w, 1 + (int64_t)world_random(w, 9999), EV_FAILED);
            e->a = a->listener[t];
            e->life = a->listener_life[t];
        }
        a->listener[t] = -1;
        a->calling[t] = a->succeeded[t] = a->committed[t] = a->telling[t] = a->told[t] = a->ended[t] = false;
        a->watching[t] = false;
        a->again[t] = 0;
    }
    disk_read(w, host);
    a->n_ops = 0;
    a->since = 0;
    struct event *e = world_after(w, 100 + (int64_t)world_random(w, 8000), EV_AGENT_START);
    e->host = host;
}

static void start(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    if (a->alive)
        return;
    a->alive = true;
    world_trace(w, "the agent of %d starts", host);
    disk_read(w, host);
    for (int t = 0; t < TXNS; t++) {
        a->heard[t] = clock_up(w, host);
        if (a->records[t].exists && a->records[t].state == PARTICIPANT_PREPARED)
            agent_look(w, host, t, AGENT_LEASE_MS);
    }
    agent_look_all(w, host);
}

void agent_event(struct world *w, const struct event *e)
{
    struct agent *a = agent_of(w, e->host);
    if (e->kind == EV_AGENT_START) {
        start(w, e->host);
        return;
    }
    if (e->kind == EV_DELIVER) {
        world_trace(w, "%d gets %s of %d", e->host, txn_message_name(e->message.what), e->message.txn);
        if (e->message.number < a->delivered)
            world_saw(w, SEEN_REORDERED);
        else
            a->delivered = e->message.number;
        if (!a->alive)
            world_saw(w, SEEN_NOBODY_LISTENS);
        if (a->alive && e->message.connection == a->connection)
            agent_take(w, e->host, &(struct operation){.message = e->message});
        else
            agent_fail(w, e->host, &e->message, "nobody listens");
        return;
    }
    if (!a->alive || e->life != a->life)
        return;
    switch (e->kind) {
    case EV_AGENT_STEP: step(w, e->host); break;
    case EV_LOOK: agent_look(w, e->host, e->a, 0); break;
    case EV_PEER: agent_tell_peer(w, e->host, e->a); break;
    case EV_ASK: agent_ask(w, e->host, e->a, e->b); break;
    case EV_TELL: agent_tell_listener(w, e->host, e->a); break;
    case EV_PEER_ANSWER:
        a->told[e->a] = true;
        agent_transfer_stepped(w, e->host, e->a);
        break;
    default: break;
    }
}
