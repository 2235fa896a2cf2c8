/* An agent: core/participant with the order of things of the agent's own driver: look, step, write, act, write, answer. The
 * operations of the guest take turns. */
#include "world.h"

#include <string.h>

enum { ASK_AGAIN_MS = 50, RETRY_MS = 500, LEASE_MS = 20000, JOB_END_MS = 20000 };

static struct agent *agent_of(struct world *w, int host)
{
    return &w->hosts[host].agent;
}

static void soon(struct world *w, int host, int64_t ms)
{
    struct event *e = world_after(w, ms, EV_AGENT_STEP);
    e->host = host;
    e->life = agent_of(w, host)->life;
}

static void take(struct world *w, int host, const struct operation *op)
{
    struct agent *a = agent_of(w, host);
    if (a->n_ops == OPS)
        return; /* as good as lost */
    a->ops[a->n_ops++] = *op;
    if (a->n_ops == 1) {
        a->phase = 0;
        soon(w, host, (int64_t)world_random(w, 2));
    }
}

void agent_look(struct world *w, int host, int txn, int64_t ms)
{
    if (ms == 0) {
        struct agent *a = agent_of(w, host);
        for (unsigned i = 1; i < a->n_ops; i++)
            if (a->ops[i].is_look && a->ops[i].message.txn == txn)
                return;
        take(w, host, &(struct operation){.is_look = true, .message = {.txn = txn, .call = -1}});
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

/* ---- the peer ---------------------------------------------------------------------------------------------------- */

static void tell_peer(struct world *w, int host, int txn)
{
    struct agent *a = agent_of(w, host);
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
                        .call = -1,
                        .life = a->life};
    world_trace(w, "%d tells its peer", host);
    network_send(w, 1 - host, &m, true);
    struct event *e = world_after(w, 2000, EV_PEER);
    e->host = host;
    e->life = a->life;
    e->a = txn;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void answer(struct world *w, int host, const struct message *m, enum txn_answer answer)
{
    if (m->call >= 0) {
        network_answer(w, host, m->call, m->life, answer);
    } else if (m->call == -1 && (answer == TXN_RUNNING || answer == TXN_LOST) && !world_chance(w, w->loss) &&
               !(w->cut_off & 1u << HOSTS)) {
        struct event *e = world_after(w, 1, EV_PEER_ANSWER);
        e->host = 1 - host;
        e->life = m->life;
        e->a = m->txn;
    }
}

static void fail(struct world *w, int host, const struct message *m, const char *why)
{
    world_trace(w, "%d refuses %s of %d: %s", host, txn_message_name(m->what), m->txn, why);
    if (m->call < 0)
        return;
    struct event *e = world_after(w, 1, EV_FAILED);
    e->a = m->call;
    e->life = m->life;
}

static void end_listener(struct world *w, int host, int txn, bool succeeded)
{
    struct agent *a = agent_of(w, host);
    if (a->listener[txn] < 0)
        return;
    network_answer(w, host, a->listener[txn], a->listener_life[txn], succeeded ? TXN_OK : TXN_FAILED);
    a->listener[txn] = -1;
}

static void transfer_stepped(struct world *w, int host, int txn)
{
    const struct agent *a = agent_of(w, host);
    enum participant_state state = a->records[txn].state;
    if (a->records[txn].role != PARTICIPANT_SOURCE)
        return;
    if (state == PARTICIPANT_FENCED && a->told[txn])
        end_listener(w, host, txn, true);
    else if (state == PARTICIPANT_MIGRATING && !a->calling[txn] &&
             !libvirt_look(w, host, txn, PARTICIPANT_SOURCE).job)
        end_listener(w, host, txn, false);
    else if (state != PARTICIPANT_MIGRATING && state != PARTICIPANT_FENCED)
        end_listener(w, host, txn, false);
}

/* ---- one operation, phase by phase ------------------------------------------------------------------------------- */

static void done(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    memmove(a->ops, a->ops + 1, --a->n_ops * sizeof(a->ops[0]));
    a->phase = 0;
    a->since = 0;
    if (a->n_ops)
        soon(w, host, (int64_t)world_random(w, 2));
}

/* As drive_admit: 0 go on, -1 refused, 1 late. */
static int admit(struct world *w, int host, const struct message *m)
{
    struct agent *a = agent_of(w, host);
    const struct record *r = &a->records[m->txn];
    if (m->epoch < a->epoch)
        return -1;
    a->epoch = m->epoch;
    if (r->exists) {
        if (r->role != m->role)
            return -1;
        if (m->what == TXN_COLD)
            return r->state == PARTICIPANT_COLD || m->generation > r->generation ? 0 : -1;
        return m->generation == r->generation || w->mutation == NO_GENERATION ? 0 : -1;
    }
    bool known =
        m->what == TXN_MIGRATE || m->what == TXN_ACTIVATE || m->what == TXN_RELEASE || m->what == TXN_COLD;
    if (w->mutation == NO_GENERATION)
        return known && m->what != TXN_MIGRATE ? -1 : 0;
    if (known)
        return -1;
    if (m->generation > a->generation)
        return 0;
    return m->what == TXN_SETTLE || m->what == TXN_ABORT ? 1 : -1;
}

static void answer_late(struct world *w, int host, const struct message *m)
{
    if (m->what == TXN_ABORT) {
        answer(w, host, m, TXN_OK);
        return;
    }
    enum participant_guest guest = libvirt_look(w, host, m->txn, PARTICIPANT_SOURCE).guest;
    bool alive = guest == PARTICIPANT_RUNNING || guest == PARTICIPANT_PAUSED;
    answer(w, host, m, alive ? TXN_KEPT : TXN_UNKNOWN);
}

static bool other_open(const struct agent *a, int txn)
{
    for (int t = 0; t < TXNS; t++)
        if (t != txn && a->records[t].exists && participant_is_open(a->records[t].role, a->records[t].state))
            return true;
    return false;
}

static bool votes_yes(struct world *w, int host, const struct message *m)
{
    const struct host *h = &w->hosts[host];
    if (!h->libvirt_up || other_open(&h->agent, m->txn) || world_chance(w, 20))
        return false;
    if (m->role == PARTICIPANT_SOURCE)
        return w->definition_only ? h->domain.qemu == Q_OFF && h->domain.defined
                                  : h->domain.qemu == Q_RUN && w->job.phase == JOB_NONE;
    return h->domain.qemu == Q_OFF && !h->domain.defined;
}

static enum participant_event event_of(struct world *w, int host, const struct operation *op)
{
    static const enum participant_event events[TXN_N_MESSAGES] = {
        [TXN_MIGRATE] = PARTICIPANT_MIGRATE, [TXN_SETTLE] = PARTICIPANT_SETTLE,
        [TXN_ABORT] = PARTICIPANT_ABORT,     [TXN_ACTIVATE] = PARTICIPANT_ACTIVATE,
        [TXN_RELEASE] = PARTICIPANT_RELEASE, [TXN_COLD] = PARTICIPANT_COLD_START,
    };
    if (op->is_look)
        return PARTICIPANT_LOOK;
    if (op->message.what != TXN_PREPARE)
        return events[op->message.what];
    return votes_yes(w, host, &op->message) ? PARTICIPANT_PREPARE_YES : PARTICIPANT_PREPARE_NO;
}

static void make_record(struct agent *a, const struct message *m)
{
    struct record *r = &a->records[m->txn];
    if (r->exists)
        return;
    *r = (struct record){.role = m->role, .generation = m->generation};
}

/* Durable. */
static void write(struct world *w, int host, const struct operation *op, enum participant_state state)
{
    struct agent *a = agent_of(w, host);
    struct record *r = &a->records[op->message.txn];
    if (!participant_may_move(r->role, r->state, state))
        world_violate(w, "host %d: %s to %s is not in the table", host, participant_state_name(r->state),
                      participant_state_name(state));
    if (r->state != state)
        world_trace(w, "%d is %s in %d", host, participant_state_name(state), op->message.txn);
    bool refused = r->state == PARTICIPANT_NONE && state == PARTICIPANT_KEPT; /* supersedes nothing */
    r->exists = true;
    r->state = state;
    r->changed = w->now;
    if (op->message.what == TXN_COLD && !op->is_look && state == PARTICIPANT_COLD)
        r->generation = op->message.generation;
    if (a->generation < r->generation && !refused)
        a->generation = r->generation;
    if (r->role == PARTICIPANT_DESTINATION && state == PARTICIPANT_PREPARED)
        agent_look(w, host, op->message.txn, LEASE_MS);
}

/* A prepared destination of which nothing was heard for a lease gives the memory back, unless an image has come. */
static void end_lease(struct world *w, int host, struct record *r)
{
    struct domain *d = &w->hosts[host].domain;
    if (r->role != PARTICIPANT_DESTINATION || r->state != PARTICIPANT_PREPARED ||
        w->now - r->changed < LEASE_MS)
        return;
    if (d->qemu == Q_OFF)
        r->memory = false;
    if (w->mutation == LEASE_DESTROYS && d->qemu == Q_PAUSED) {
        d->qemu = Q_OFF;
        r->state = PARTICIPANT_TOMBSTONE;
    }
}

static void decide(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    const struct operation *op = &a->ops[0];
    const struct message *m = &op->message;
    struct record *r = &a->records[m->txn];
    if (!op->is_look) {
        int admitted = admit(w, host, m);
        if (admitted) {
            if (admitted < 0)
                fail(w, host, m, "stale or unknown");
            else
                answer_late(w, host, m);
            done(w, host);
            return;
        }
        if (m->what == TXN_PREPARE && r->exists) { /* the stored vote */
            if (r->vote)
                answer(w, host, m, r->vote > 0 ? TXN_YES : TXN_NO);
            else
                fail(w, host, m, "it is over");
            done(w, host);
            return;
        }
        make_record(a, m);
    } else if (!r->exists) {
        done(w, host);
        return;
    } else {
        end_lease(w, host, r);
    }
    enum participant_event event = event_of(w, host, op);
    struct participant p = {.role = r->role,
                            .state = r->state,
                            .definition_only = w->definition_only,
                            .superseded = a->generation > r->generation && w->mutation != RESUME_OLD};
    struct participant_facts f = libvirt_look(w, host, m->txn, r->role);
    a->step = participant_step(&p, event, &f);
    world_trace(w, "%d: %s of %d in %s, guest %d%s", host, participant_event_name(event), m->txn,
                participant_state_name(r->state), (int)f.guest, f.job ? ", job" : "");
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
            soon(w, host, ASK_AGAIN_MS);
            return;
        }
        a->step.answer = PARTICIPANT_IN_DOUBT;
    }
    if (event == PARTICIPANT_PREPARE_YES || event == PARTICIPANT_PREPARE_NO) {
        r->vote = event == PARTICIPANT_PREPARE_YES ? 1 : -1;
        r->image = r->memory = r->vote > 0 && r->role == PARTICIPANT_DESTINATION;
    }
    a->todo = a->step.actions;
    a->failed = false;
    a->phase = 1;
    soon(w, host, (int64_t)world_random(w, 3));
}

static void write_first(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    const struct operation *op = &a->ops[0];
    struct record *r = &a->records[op->message.txn];
    if (a->step.actions & PARTICIPANT_DEFINE && w->persistent)
        r->definition = true;
    if (a->step.first == PARTICIPANT_TOMBSTONE || a->step.first == PARTICIPANT_RELEASED ||
        a->step.then == PARTICIPANT_RELEASED)
        r->memory = false;
    if (a->step.first != r->state || !r->exists)
        write(w, host, op, a->step.first);
    a->phase = 2;
    soon(w, host, (int64_t)world_random(w, 3));
}

static void deeds(struct world *w, int host)
{
    static const enum participant_action order[] = {
        PARTICIPANT_RESUME_SOURCE, PARTICIPANT_DEFINE, PARTICIPANT_RESUME, PARTICIPANT_UNDO,
        PARTICIPANT_END,           PARTICIPANT_RETIRE, PARTICIPANT_START};
    struct agent *a = agent_of(w, host);
    int txn = a->ops[0].message.txn;
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (!(a->todo & order[i]))
            continue;
        a->todo &= ~(unsigned)order[i];
        bool good = libvirt_deed(w, host, txn, order[i]);
        world_trace(w, "%d deed %d%s", host, (int)order[i], good ? "" : " fails");
        if (good)
            a->step.actions &= ~(unsigned)PARTICIPANT_RESUME_SOURCE;
        if (!good && order[i] != PARTICIPANT_RESUME_SOURCE) {
            a->failed = true;
            a->todo = 0;
        }
        soon(w, host, (int64_t)world_random(w, 3));
        return;
    }
    a->phase = 3;
    soon(w, host, (int64_t)world_random(w, 2));
}

static void conclude(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    struct operation op = a->ops[0];
    int txn = op.message.txn;
    struct record *r = &a->records[txn];
    const struct participant_step s = a->step;
    enum participant_answer said = a->failed ? PARTICIPANT_IN_DOUBT : s.answer;
    if (!a->failed && s.then != s.first)
        write(w, host, &op, s.then);
    done(w, host);

    /* The loop's part. */
    if (s.actions & PARTICIPANT_START_JOB) {
        a->calling[txn] = true;
        libvirt_migrate(w, host, txn);
    }
    if (s.actions & PARTICIPANT_TELL_PEER && !a->telling[txn])
        tell_peer(w, host, txn);
    if (s.actions & PARTICIPANT_RESUME_SOURCE || (op.is_look && said == PARTICIPANT_IN_DOUBT))
        agent_look(w, host, txn, RETRY_MS);
    if (!op.is_look && op.message.what == TXN_MIGRATE && said == PARTICIPANT_DONE && op.message.call >= 0) {
        end_listener(w, host, txn, false);
        a->listener[txn] = op.message.call;
        a->listener_life[txn] = op.message.life;
        transfer_stepped(w, host, txn);
        return;
    }
    transfer_stepped(w, host, txn);
    if (op.is_look)
        return;
    const struct message *m = &op.message;
    switch (said) {
    case PARTICIPANT_NO_ANSWER: break;
    case PARTICIPANT_DONE:
        answer(w, host, m, m->what == TXN_PREPARE ? (r->vote > 0 ? TXN_YES : TXN_NO) : TXN_OK);
        break;
    case PARTICIPANT_IS_KEPT: answer(w, host, m, TXN_KEPT); break;
    case PARTICIPANT_IS_GONE: answer(w, host, m, TXN_GONE); break;
    case PARTICIPANT_RUNS: answer(w, host, m, TXN_RUNNING); break;
    case PARTICIPANT_IS_LOST: answer(w, host, m, TXN_LOST); break;
    case PARTICIPANT_IN_DOUBT:
        if (m->what == TXN_SETTLE || m->what == TXN_ACTIVATE)
            answer(w, host, m, TXN_UNKNOWN);
        else
            fail(w, host, m, "in doubt");
        break;
    case PARTICIPANT_REFUSED: fail(w, host, m, s.why); break;
    }
}

static void step(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    if (a->n_ops == 0)
        return;
    switch (a->phase) {
    case 0: decide(w, host); break;
    case 1: write_first(w, host); break;
    case 2: deeds(w, host); break;
    default: conclude(w, host); break;
    }
}

/* ---- life and death ---------------------------------------------------------------------------------------------- */

void agent_crash(struct world *w, int host)
{
    struct agent *a = agent_of(w, host);
    if (!a->alive)
        return;
    world_trace(w, "FAULT: the agent of %d dies", host);
    a->alive = false;
    a->life++;
    /* Callers notice. */
    for (unsigned i = 0; i < a->n_ops; i++)
        if (!a->ops[i].is_look)
            fail(w, host, &a->ops[i].message, "the agent died");
    for (int t = 0; t < TXNS; t++) {
        if (a->listener[t] >= 0) {
            struct event *e = world_after(w, 1 + (int64_t)world_random(w, 9999), EV_FAILED);
            e->a = a->listener[t];
            e->life = a->listener_life[t];
        }
        a->listener[t] = -1;
        a->calling[t] = a->succeeded[t] = a->committed[t] = a->telling[t] = a->told[t] = false;
        if (!a->records[t].exists)
            a->records[t] = (struct record){0};
    }
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
        if (a->alive)
            take(w, e->host, &(struct operation){.message = e->message});
        else
            fail(w, e->host, &e->message, "nobody listens");
        return;
    }
    if (!a->alive || e->life != a->life)
        return;
    switch (e->kind) {
    case EV_AGENT_STEP: step(w, e->host); break;
    case EV_LOOK: agent_look(w, e->host, e->a, 0); break;
    case EV_PEER: tell_peer(w, e->host, e->a); break;
    case EV_PEER_ANSWER:
        a->told[e->a] = true;
        transfer_stepped(w, e->host, e->a);
        break;
    default: break;
    }
}
