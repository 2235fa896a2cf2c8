/* The coordinator: core/transaction with the driver's order of things: an action that follows a journal entry waits for it.
 *
 * The journal is SQLite's (coordinator/io/store.c: WAL, synchronous=FULL, a job's row is one statement, or one transaction when it
 * is new). A commit that returned is durable: with FULL the log is synced at each commit (sqlite.org/pragma.html#pragma_synchronous).
 * One that was torn is not there: recovery goes up to the last commit frame whose checksum, which runs through all frames before it,
 * is right (sqlite.org/walformat.html#recovery). So a row is as it was before or as it is after, never half; a commit that failed may
 * be there after a crash all the same, where its frames had come through. tests/unit/store_torn_test.c tears it everywhere. */
#include "world.h"

#include <string.h>

static const char *const hosts[] = {"A", "B"};

static void soon(struct world *w, const struct coordinator *c)
{
    struct event *e = world_after(w, (int64_t)world_random(w, 2), EV_COORDINATOR_STEP);
    e->life = c->life;
}

/* NULL: it has died since. */
static struct coordinator *of_life(struct world *w, unsigned life)
{
    return w->coordinator.life == life ? &w->coordinator : w->deposed.life == life ? &w->deposed : NULL;
}

static bool is_full(const struct world *w, const struct coordinator *c)
{
    return w->now < c->full_until;
}

static struct txn fresh(const struct world *w, int txn, uint64_t generation)
{
    int source = w->source_of[txn];
    return (struct txn){.guest = "g",
                        .host = {hosts[source], hosts[1 - source]},
                        .generation = generation,
                        .cold_generation = generation + 1,
                        .definition_only = w->definition_only};
}

void coordinator_feed(struct world *w, struct coordinator *c, const struct txn_event *e)
{
    if (!c->alive || !c->open || c->n_queue == QUEUE)
        return;
    c->queue[c->n_queue++] = *e;
    if (!c->busy) {
        c->busy = true;
        soon(w, c);
    }
}

static void order(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    int host;
    if (c->open || w->orders == TXNS || !world_guest_runs_on(w, &host) || w->suspended)
        return;
    if (!c->alive || is_full(w, c)) { /* store_ready: nothing new begins on a full disk */
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
    coordinator_feed(w, c, &(struct txn_event){.kind = TXN_EVENT_START});
}

static void journal(struct world *w, struct coordinator *c)
{
    c->journal[c->current] = c->txn;
    c->journalled[c->current] = true;
    world_trace(w, "C journal %s", txn_state_name(c->txn.state));
}

/* False: refused. */
static bool try_journal(struct world *w, struct coordinator *c)
{
    if (is_full(w, c) && c->ballast == 0) {
        world_saw(w, SEEN_JOURNAL_FULL);
        world_trace(w, "C: the disk is full");
        return false;
    }
    if (is_full(w, c)) {
        world_saw(w, SEEN_BALLAST);
        c->ballast--;
    }
    bool refused = !w->calm && world_chance(w, 5);
    if (refused && world_chance(w, 500)) {
        world_saw(w, SEEN_JOURNAL_REFUSED);
        world_trace(w, "C: the disk refuses");
        return false;
    }
    if (refused) {
        world_saw(w, SEEN_JOURNAL_UNSURE);
        world_trace(w, "C: the disk refuses, and has it all the same");
    }
    journal(w, c);
    return !refused;
}

static void send(struct world *w, const struct coordinator *c, const struct txn_action *a)
{
    bool durable = c->journalled[c->current] && c->journal[c->current].state == c->txn.state;
    if (!durable && w->mutation != SEND_FIRST)
        world_violate(w, "%s is sent in %s, which is not durable", txn_message_name(a->message),
                      txn_state_name(c->txn.state));
    int host = a->party == TXN_SOURCE ? w->source_of[c->current] : 1 - w->source_of[c->current];
    int call = network_call(w, c, a->message, a->party);
    struct message m = {.what = a->message,
                        .role = a->party == TXN_SOURCE ? PARTICIPANT_SOURCE : PARTICIPANT_DESTINATION,
                        .txn = c->current,
                        .generation = txn_generation(&c->txn, a->message),
                        .epoch = c->epoch,
                        .transferred = c->txn.transferred && w->mutation != FORGET_TRANSFER,
                        .granted = c->txn.granted,
                        .taken_back = c->txn.taken_back,
                        .paused = c->txn.paused,
                        .from_disks = a->message == TXN_SETTLE ? c->txn.resolve_cold : c->txn.from_disks,
                        .resolve = a->message == TXN_SETTLE ? c->txn.resolve : TXN_OK,
                        .call = call,
                        .life = w->calls[call].life};
    world_trace(w, "C sends %s to %s", txn_message_name(a->message), hosts[host]);
    network_send(w, host, &m, false);
}

/* One action; false if the disk refuses it. */
static bool act(struct world *w, struct coordinator *c, const struct txn_action *a)
{
    struct event *e;
    switch (a->kind) {
    case TXN_ACTION_JOURNAL: return try_journal(w, c);
    case TXN_ACTION_SEND: send(w, c, a); break;
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
        if (c == &w->deposed)
            break;
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

static void step(struct world *w, struct coordinator *c)
{
    if (!c->open)
        return;
    if (c->next < c->actions.n) {
        if (!act(w, c, &c->actions.list[c->next])) {
            struct event *e = world_after(w, 1000, EV_COORDINATOR_STEP);
            e->life = c->life;
            return;
        }
        c->next++;
        soon(w, c);
        return;
    }
    if (c->finished) {
        c->open = c->busy = false;
        if (c != &w->deposed)
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
    enum txn_state was = c->txn.state;
    txn_step(&c->txn, &e, &c->actions);
    coverage_transaction(w->coverage, was, c->txn.state);
    if (w->mutation == SEND_FIRST)
        send_first(&c->actions);
    c->next = 0;
    soon(w, c);
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
    struct coordinator *c = of_life(w, call->owner);
    if (!call->open || call->life != e->life)
        return;
    if (e->kind == EV_HEARD) {
        if (c && c->open && call->txn == c->current)
            coordinator_feed(
                w, c,
                &(struct txn_event){.kind = TXN_EVENT_PROGRESS, .post_copy = e->b & 1, .broken = e->b & 2});
        return;
    }
    call->open = false;
    if (!c || !c->open || call->txn != c->current)
        return;
    struct txn_event event = {.kind = e->kind == EV_ANSWER ? TXN_EVENT_ANSWER : TXN_EVENT_NO_ANSWER,
                              .message = call->message,
                              .party = call->party,
                              .from_disks = e->b & FROM_DISKS,
                              .paused = call->message == TXN_SETTLE && e->b & PAUSED,
                              .answer = (enum txn_answer)(e->b & ~(FROM_DISKS | PAUSED))};
    mutate(w, &event);
    world_trace(w, "C: %s %s (%d)", txn_message_name(call->message),
                event.kind == TXN_EVENT_ANSWER ? "is answered" : "has failed", e->b);
    coordinator_feed(w, c, &event);
}

/* ---- life and death ---------------------------------------------------------------------------------------------- */

static void count_death(struct world *w, const struct coordinator *c)
{
    world_saw(w, SEEN_COORDINATOR_DIED);
    if (!c->busy || c->next >= c->actions.n)
        return;
    enum txn_action_kind kind = c->actions.list[c->next].kind;
    enum txn_action_kind before = c->next ? c->actions.list[c->next - 1].kind : TXN_ACTION_FINISH;
    if (kind == TXN_ACTION_JOURNAL)
        world_saw(w, SEEN_COORDINATOR_DIED_UNWRITTEN);
    else if (kind == TXN_ACTION_SEND)
        world_saw(w,
                  before == TXN_ACTION_SEND ? SEEN_COORDINATOR_DIED_HALF_SENT : SEEN_COORDINATOR_DIED_UNSENT);
}

/* What is not durable is forgotten. */
static void forget(struct world *w, struct coordinator *c)
{
    c->alive = c->busy = c->finished = false;
    c->life = ++w->lives;
    c->n_queue = 0;
    c->actions.n = c->next = 0;
    if (c->open && !c->journalled[c->current])
        c->open = false; /* nobody knows of the order */
}

void coordinator_crash(struct world *w, struct coordinator *c)
{
    if (!c->alive)
        return;
    world_trace(w, "FAULT: the %scoordinator dies", c == &w->deposed ? "deposed " : "");
    count_death(w, c);
    for (int i = 0; i < CALLS; i++)
        if (w->calls[i].owner == c->life)
            w->calls[i].open = false;
    forget(w, c);
    w->stalled[COORDINATOR] = 0;
    if (c != &w->deposed)
        world_after(w, 100 + (int64_t)world_random(w, 8000), EV_COORDINATOR_START);
}

/* It begins with a copy of the store as it is now, while the old one goes on. That one takes no new orders: what is in its store
 * alone would have no end. */
void coordinator_replace(struct world *w)
{
    const struct coordinator *c = &w->coordinator;
    if (!c->alive || !c->open || !c->journalled[c->current] || w->deposed.alive)
        return;
    /* Where the copy does not say that MIGRATE was sent, only the agents' records do: none is lost then. */
    bool blind = !c->journal[c->current].transferred;
    if (blind && w->spoilt)
        return;
    w->blind |= blind;
    world_saw(w, SEEN_TAKEN_OVER);
    world_trace(w, "FAULT: a second coordinator takes over");
    w->deposed = w->coordinator;
    forget(w, &w->coordinator);
    world_after(w, (int64_t)world_random(w, 3), EV_COORDINATOR_START);
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
    c->txn.taken_back = was.taken_back;
    c->txn.said_cold = was.said_cold;
    c->txn.from_disks = was.from_disks;
    c->txn.paused = was.paused;
    c->txn.cold_started = was.cold_started;
    c->txn.post_copy = was.post_copy;
    coordinator_feed(w, c, &(struct txn_event){.kind = TXN_EVENT_RESTART});
}

static void cancel(struct world *w)
{
    struct coordinator *c = &w->coordinator;
    if (c->alive && c->open && (c->txn.state == TXN_PREPARING || c->txn.state == TXN_TRANSFER))
        world_saw(w, SEEN_CANCELLED);
    coordinator_feed(w, c, &(struct txn_event){.kind = TXN_EVENT_CANCEL});
}

void coordinator_event(struct world *w, const struct event *e)
{
    struct coordinator *c = of_life(w, e->life);
    switch (e->kind) {
    case EV_ORDER: order(w); break;
    case EV_COORDINATOR_START: start(w); break;
    case EV_COORDINATOR_STEP:
        if (c && c->alive)
            step(w, c);
        break;
    case EV_COORDINATOR_TIMER:
        if (c && c->alive && e->a == (int)c->timer)
            coordinator_feed(w, c, &(struct txn_event){.kind = TXN_EVENT_TIMER});
        break;
    case EV_CANCEL: cancel(w); break;
    case EV_ANSWER:
    case EV_FAILED:
    case EV_HEARD: on_call(w, e); break;
    default: break;
    }
}
