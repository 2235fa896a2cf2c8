/* The operations of one guest take turns; those of different guests run side by side. */
#include "agent/transaction.h"

#include "agent/io/guests.h"
#include "agent/io/host_report.h"
#include "agent/samples.h"
#include "agent/throughput.h"
#include "common/base/memory.h"

#include <string.h>

struct turn {
    struct turn *next;
    char guest[37];
    struct operation *first, **last; /* the first is being worked on */
};

static void begin(struct operation *op);

static struct turn *turn_of(struct transactions *all, const char *guest)
{
    for (struct turn *t = all->turns; t; t = t->next)
        if (streq(t->guest, guest))
            return t;
    return NULL;
}

static void turn_remove(struct transactions *all, struct turn *turn)
{
    for (struct turn **t = &all->turns; *t; t = &(*t)->next)
        if (*t == turn) {
            *t = turn->next;
            free(turn);
            return;
        }
}

static char *other_open(const struct transactions *all, const char *guest, const char *id)
{
    for (const struct transaction *t = all->list; t; t = t->next)
        if (streq(t->guest, guest) && !(id && streq(t->id, id)) && participant_is_open(t->role, t->state))
            return xasprintf("transaction %s, in which this host is the %s (%s)", t->id,
                             t->role == PARTICIPANT_SOURCE ? "source" : "destination",
                             participant_state_name(t->state));
    return NULL;
}

static bool owes_autostart(const struct transactions *all, const char *guest)
{
    for (const struct transaction *t = all->list; t; t = t->next)
        if (streq(t->guest, guest) && transaction_owes_autostart(t))
            return true;
    return false;
}

/* What the loop may know of the transaction, now that nobody works on it. */
static void copy(struct transaction *txn)
{
    const Drover__V1__Record *r = txn->record;
    bool was_open = participant_is_open(txn->role, txn->state);
    txn->state = transaction_state(txn);
    txn->unheard = r->unheard && txn->state == PARTICIPANT_TOMBSTONE;
    txn->generation = r->step->generation;
    txn->epoch = r->step->epoch;
    txn->changed_ms = (int64_t)r->changed;
    txn->post_copy = transaction_has_made(txn, DROVER__V1__MADE__KIND__POST_COPY);
    struct agent *agent = txn->all->agent;
    if (was_open != participant_is_open(txn->role, txn->state) && !txn->all->closing) {
        if (agent->guests)
            guests_refresh(agent->guests, txn->guest);
        if (agent->report)
            host_report_changed(agent->report);
    }
}

static void finished(void *arg)
{
    struct operation *op = arg;
    struct transactions *all = op->all;
    struct turn *turn = turn_of(all, op->guest);
    struct transaction *txn = op->txn;
    if (txn && !transactions_find(all, txn->id)) {
        bool durable = transaction_state(txn) != PARTICIPANT_NONE ||
                       transaction_has_made(txn, DROVER__V1__MADE__KIND__HOOK);
        if (!durable) { /* it never was */
            transaction_free(steal(&op->txn));
            txn = NULL;
        } else {
            txn->next = all->list;
            all->list = txn;
        }
    }
    if (txn)
        copy(txn);
    if (transactions_moving(all)) {
        throughput_give_up(all);
        samples_give_up(all->agent->samples);
    }
    free(op->other);
    turn->first = op->next; /* before done, which frees it and may take another turn */
    if (!turn->first)
        turn->last = &turn->first;
    op->done(op);
    if (txn)
        hooks_step(txn);
    if (turn->first)
        begin(turn->first);
    else
        turn_remove(all, turn);
    transactions_unref(all);
}

static void work(void *arg)
{
    struct operation *op = arg;
    op->work(op);
}

static void begin(struct operation *op)
{
    struct transactions *all = op->all;
    if (all->closing) { /* done fails what was not worked on */
        finished(op);
        return;
    }
    op->txn = op->id ? transactions_find(all, op->id) : NULL;
    op->foreign = op->txn && !streq(op->txn->guest, op->guest);
    if (op->foreign)
        op->txn = NULL;
    op->other = other_open(all, op->guest, op->id);
    op->autostart = owes_autostart(all, op->guest);
    if (op->begin)
        op->begin(op);
    workers_submit(op->votes ? all->voters : all->workers, work, finished, op);
}

int operation_init(struct operation *op, struct transactions *all, const Drover__V1__Step *step,
                   struct error *err)
{
    if (!step || !records_is_uuid(step->transaction) || !records_is_uuid(step->guest) || !step->generation)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the message names no transaction and guest by UUID with a generation above 0");
    op->all = all;
    op->id = step->transaction;
    memcpy(op->guest, step->guest, sizeof(op->guest));
    return 0;
}

void turn_take(struct operation *op)
{
    struct transactions *all = op->all;
    op->next = NULL;
    all->refs++;
    struct turn *turn = turn_of(all, op->guest);
    if (turn) {
        *turn->last = op;
        turn->last = &op->next;
        return;
    }
    turn = new0(struct turn);
    memcpy(turn->guest, op->guest, sizeof(turn->guest));
    turn->first = op;
    turn->last = &op->next;
    turn->next = all->turns;
    all->turns = turn;
    begin(op);
}

bool turn_is_taken(struct transactions *all, const char *guest)
{
    return turn_of(all, guest) != NULL;
}
