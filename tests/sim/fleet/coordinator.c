/* The coordinator: core/transaction with the driver's order of things: an action that follows a journal entry waits for it. */
#include "world.h"

#include <string.h>

static const char *const hosts[] = {"A", "B"};

static void soon(struct world *w)
{
    struct event *e = world_after(w, (int64_t)world_random(w, 2), EV_COORDINATOR_STEP);
    e->life = w->coordinator.life;
}

static struct txn fresh(const struct world *w, int txn, uint64_t generation)
{
    int source = w->source_of[txn];
    return (struct txn){.guest = "g",
                        .host = {hosts[source], hosts[1 - source], NULL},
                        .generation = generation,
                        .cold_generation = generation + 1,
                        .definition_only = w->definition_only};
}

static void feed(struct world *w, const struct txn_event *e)
{
    struct coordinator *c = &w->coordinator;
    if (!c->alive || !c->open || c->n_queue == QUEUE)
        return;
    c->queue[c->n_queue++] = *e;
    if (!c->busy) {
        c->busy = true;
        soon(w);
    }
}

static void order(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    int host;
    if (c->open || w->orders == TXNS || !world_guest_runs_on(w, &host))
        return;
    if (!c->alive) {
        world_after(w, 500, EV_ORDER);
        return;
    }
    int txn = w->orders++;
    w->source_of[txn] = host;
    c->current = txn;
    c->generation += 2;
    if (world_chance(w, 500))
        disk_keep_backup(w);
    c->txn = fresh(w, txn, c->generation - 1);
    c->open = true;
    c->finished = c->busy = false;
    c->n_queue = 0;
    c->actions.n = c->next = 0;
    world_trace(w, "order: transaction %d, %s to %s", txn, hosts[host], hosts[1 - host]);
    feed(w, &(struct txn_event){.kind = TXN_EVENT_START});
}

static void journal(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    c->journal[c->current] = c->txn;
    c->journalled[c->current] = true;
    world_trace(w, "C journal %s", txn_state_name(c->txn.state));
}

static void send(struct world *w, const struct txn_action *a)
{
    struct coordinator *c = &w->coordinator;
    bool durable = c->journalled[c->current] && c->journal[c->current].state == c->txn.state;
    if (!durable && w->mutation != SEND_FIRST)
        world_violate(w, "%s is sent in %s, which is not durable", txn_message_name(a->message),
                      txn_state_name(c->txn.state));
    int host = a->party == TXN_SOURCE ? w->source_of[c->current] : 1 - w->source_of[c->current];
    int call = network_call(w, c->current, a->message, a->party);
    struct message m = {.what = a->message,
                        .role = a->party == TXN_SOURCE ? PARTICIPANT_SOURCE : PARTICIPANT_DESTINATION,
                        .txn = c->current,
                        .generation = txn_generation(&c->txn, a->message),
                        .epoch = c->epoch,
                        .transferred = c->txn.transferred && w->mutation != FORGET_TRANSFER,
                        .granted = c->txn.granted,
                        .from_disks = a->message == TXN_SETTLE ? c->txn.resolve_cold : c->txn.from_disks,
                        .resolve = a->message == TXN_SETTLE ? c->txn.resolve : TXN_OK,
                        .call = call,
                        .life = w->calls[call].life};
    world_trace(w, "C sends %s to %s", txn_message_name(a->message), hosts[host]);
    network_send(w, host, &m, false);
}

/* One action; false if the disk refuses it. */
static bool act(struct world *w, const struct txn_action *a)
{
    struct coordinator *c = &w->coordinator;
    struct event *e;
    switch (a->kind) {
    case TXN_ACTION_JOURNAL:
        if (!w->calm && world_chance(w, 5)) {
            world_trace(w, "C: the disk refuses");
            if (world_chance(w, 500)) /* and has it all the same */
                journal(w);
            return false;
        }
        journal(w);
        break;
    case TXN_ACTION_SEND: send(w, a); break;
    case TXN_ACTION_ARM:
        c->timer++;
        if (a->ms) {
            e = world_after(w, a->ms, EV_COORDINATOR_TIMER);
            e->life = c->life;
            e->a = (int)c->timer;
        }
        break;
    case TXN_ACTION_TELL: break;
    case TXN_ACTION_FINISH:
        world_trace(w, "C: transaction %d is %s", c->current, txn_state_name(c->txn.state));
        c->finished = true;
        w->aborted += c->txn.state == TXN_ABORTED;
        w->cold += c->txn.cold_started;
        w->done += c->txn.state == TXN_DONE && !c->txn.cold_started;
        break;
    }
    return true;
}

static void send_first(struct txn_actions *a)
{
    size_t n = 0;
    struct txn_actions sorted;
    for (int sends = 1; sends >= 0; sends--)
        for (size_t i = 0; i < a->n; i++)
            if ((a->list[i].kind == TXN_ACTION_SEND) == sends)
                sorted.list[n++] = a->list[i];
    memcpy(a->list, sorted.list, n * sizeof(sorted.list[0]));
}

static void step(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    if (!c->open)
        return;
    if (c->next < c->actions.n) {
        if (!act(w, &c->actions.list[c->next])) {
            struct event *e = world_after(w, 1000, EV_COORDINATOR_STEP);
            e->life = c->life;
            return;
        }
        c->next++;
        soon(w);
        return;
    }
    if (c->finished) {
        c->open = c->busy = false;
        world_after(w, 1 + (int64_t)world_random(w, 3000), EV_ORDER);
        return;
    }
    if (c->n_queue == 0) {
        c->busy = false;
        return;
    }
    struct txn_event e = c->queue[0];
    memmove(c->queue, c->queue + 1, --c->n_queue * sizeof(e));
    e.now = w->now;
    txn_step(&c->txn, &e, &c->actions);
    if (w->mutation == SEND_FIRST)
        send_first(&c->actions);
    c->next = 0;
    soon(w);
}

/* Wrong on purpose. */
static void mutate(const struct world *w, struct txn_event *e)
{
    if (w->mutation == ABORT_ON_TIMEOUT && e->kind == TXN_EVENT_NO_ANSWER && e->message == TXN_SETTLE) {
        e->kind = TXN_EVENT_ANSWER;
        e->answer = TXN_KEPT;
    }
    if (w->mutation == ACTIVATE_EARLY && e->kind == TXN_EVENT_NO_ANSWER && e->message == TXN_SETTLE) {
        e->kind = TXN_EVENT_ANSWER;
        e->answer = TXN_GONE;
    }
}

static void on_call(struct world *w, const struct event *e)
{
    struct call *call = &w->calls[e->a];
    if (!call->open || call->life != e->life)
        return;
    call->open = false;
    struct coordinator *c = &w->coordinator;
    if (!c->open || call->txn != c->current)
        return;
    struct txn_event event = {.kind = e->kind == EV_ANSWER ? TXN_EVENT_ANSWER : TXN_EVENT_NO_ANSWER,
                              .message = call->message,
                              .party = call->party,
                              .from_disks = e->b & FROM_DISKS,
                              .answer = (enum txn_answer)(e->b & ~FROM_DISKS)};
    mutate(w, &event);
    world_trace(w, "C: %s %s (%d)", txn_message_name(call->message),
                event.kind == TXN_EVENT_ANSWER ? "is answered" : "has failed", e->b);
    feed(w, &event);
}

void coordinator_crash(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    if (!c->alive)
        return;
    world_trace(w, "FAULT: the coordinator dies");
    c->alive = c->busy = c->finished = false;
    c->life++;
    c->n_queue = 0;
    c->actions.n = c->next = 0;
    for (int i = 0; i < CALLS; i++)
        w->calls[i].open = false;
    if (c->open && !c->journalled[c->current])
        c->open = false; /* nobody knows of the order */
    world_after(w, 100 + (int64_t)world_random(w, 8000), EV_COORDINATOR_START);
}

static void start(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    if (c->alive)
        return;
    c->alive = true;
    c->epoch++;
    world_trace(w, "C starts, epoch %llu", (unsigned long long)c->epoch);
    if (!c->open) {
        world_after(w, 1000, EV_ORDER);
        return;
    }
    const struct txn was = c->journal[c->current];
    c->txn = fresh(w, c->current, was.generation);
    c->txn.state = was.state;
    c->txn.cancelled = was.cancelled;
    c->txn.transferred = was.transferred;
    c->txn.granted = was.granted;
    c->txn.from_disks = was.from_disks;
    c->txn.cold_started = was.cold_started;
    c->txn.post_copy = was.post_copy;
    feed(w, &(struct txn_event){.kind = TXN_EVENT_RESTART});
}

/* A record is lost, and libvirt does not say enough: the guest is started, or resumed, by hand where it belongs. */
static void run_by_hand(struct world *w, int host, enum qemu was)
{
    struct domain *d = &w->hosts[host].domain;
    bool known = w->hosts[host].agent.records[w->coordinator.current].exists;
    if (known || d->qemu != was || w->definition_only || w->job.phase != JOB_NONE)
        return;
    world_trace(w, "the operator lets the guest run on %s", hosts[host]);
    d->qemu = Q_RUN;
    d->defined = w->persistent;
    w->image_died = true;
}

/* An operator who knows that the image is as new as the disks may say so. */
static bool from_disks(struct world *w, const struct domain *image)
{
    return w->mutation != OLD_IMAGE && !w->definition_only && (image->stale || world_chance(w, 500));
}

static void tell_the_truth(struct world *w, int destination)
{
    const struct host *there = &w->hosts[destination];
    enum participant_state state = there->agent.disk.records[w->coordinator.current].state;
    bool gone = there->domain.qemu == Q_PAUSED || there->domain.qemu == Q_RUN || there->domain.defined ||
                state == PARTICIPANT_OWNER || state == PARTICIPANT_ACTIVATED;
    bool cold = from_disks(w, &there->domain);
    world_trace(w, "the operator says %s%s", gone ? "destination" : "source",
                gone && cold ? ", from its disks" : "");
    w->image_died |= !gone;
    feed(w, &(struct txn_event){
                .kind = TXN_EVENT_RESOLVE, .answer = gone ? TXN_GONE : TXN_KEPT, .from_disks = gone && cold});
}

/* While the source can't be asked: its QEMU is gone for certain. Whether it has run since the image that is at the destination was
 * complete, nobody knows. */
static void grant(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    if (!c->alive || !c->open || c->txn.state != TXN_SETTLING || !c->txn.in_doubt)
        return;
    int source = w->source_of[c->current];
    const struct domain *there = &w->hosts[1 - source].domain;
    if (w->hosts[source].domain.qemu != Q_OFF || there->qemu != Q_PAUSED)
        return;
    bool cold = from_disks(w, there);
    world_trace(w, "the operator gives the guest to %s%s", hosts[1 - source], cold ? ", from its disks" : "");
    feed(w, &(struct txn_event){.kind = TXN_EVENT_GRANT, .from_disks = cold});
}

static void operator_looks(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    if (!c->open)
        return;
    world_after(w, DOUBT_MS, EV_OPERATOR);
    w->operator_looks = true;
    if (!c->alive || !c->txn.in_doubt)
        return;
    int source = w->source_of[c->current];
    switch (c->txn.state) {
    case TXN_SETTLING: tell_the_truth(w, 1 - source); break;
    case TXN_ACTIVATING: run_by_hand(w, 1 - source, Q_OFF); break;
    case TXN_COLD_START: run_by_hand(w, source, Q_PAUSED); break;
    default: break;
    }
}

void coordinator_event(struct world *w, const struct event *e)
{
    struct coordinator *c = &w->coordinator;
    switch (e->kind) {
    case EV_ORDER: order(w); break;
    case EV_COORDINATOR_START: start(w); break;
    case EV_COORDINATOR_STEP:
        if (c->alive && e->life == c->life)
            step(w);
        break;
    case EV_COORDINATOR_TIMER:
        if (c->alive && e->life == c->life && e->a == (int)c->timer)
            feed(w, &(struct txn_event){.kind = TXN_EVENT_TIMER});
        break;
    case EV_OPERATOR: operator_looks(w); break;
    case EV_GRANT: grant(w); break;
    case EV_CANCEL: feed(w, &(struct txn_event){.kind = TXN_EVENT_CANCEL}); break;
    case EV_ANSWER:
    case EV_FAILED: on_call(w, e); break;
    default: break;
    }
}
