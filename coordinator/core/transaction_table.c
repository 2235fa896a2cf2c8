/* The states of a transaction: their names, the table of allowed moves, and who is asked what in each. */
#include "coordinator/core/transaction_table.h"

#include <string.h>

static const unsigned allowed[TXN_N_STATES] = {
    [TXN_NEW] = 1u << TXN_PREPARING,     [TXN_PREPARING] = 1u << TXN_TRANSFER | 1u << TXN_SETTLING,
    [TXN_TRANSFER] = 1u << TXN_SETTLING, [TXN_SETTLING] = 1u << TXN_ABORTING | 1u << TXN_ACTIVATING,
    [TXN_ABORTING] = 1u << TXN_ABORTED,  [TXN_ACTIVATING] = 1u << TXN_RELEASING | 1u << TXN_COLD_START,
    [TXN_RELEASING] = 1u << TXN_DONE,    [TXN_COLD_START] = 1u << TXN_DONE,
};

bool txn_may_move(enum txn_state from, enum txn_state to)
{
    return from < TXN_N_STATES && to < TXN_N_STATES && (allowed[from] & 1u << to);
}

bool txn_ended(const struct txn *t)
{
    return t->state == TXN_DONE || t->state == TXN_ABORTED;
}

bool txn_is_settled(const struct txn *t, enum txn_party *ret)
{
    bool at_source = t->state == TXN_ABORTING || (t->state == TXN_COLD_START && t->cold_started);
    bool released = t->state == TXN_RELEASING && (t->answered & TXN_BIT(TXN_DESTINATION));
    if (t->granted || t->taken_back || (!at_source && !released))
        return false;
    *ret = at_source ? TXN_DESTINATION : TXN_SOURCE;
    return true;
}

bool txn_may_take_back(const struct txn *t)
{
    return t->state == TXN_ACTIVATING && t->in_doubt && !t->granted && !t->from_disks && !t->said_cold;
}

uint64_t txn_generation(const struct txn *t, enum txn_message message)
{
    return message == TXN_COLD ? t->cold_generation : t->generation;
}

static const char *const state_names[TXN_N_STATES] = {
    [TXN_NEW] = "new",
    [TXN_PREPARING] = "preparing",
    [TXN_TRANSFER] = "transfer",
    [TXN_SETTLING] = "settling",
    [TXN_ABORTING] = "aborting",
    [TXN_ACTIVATING] = "activating",
    [TXN_RELEASING] = "releasing",
    [TXN_COLD_START] = "cold-start",
    [TXN_DONE] = "done",
    [TXN_ABORTED] = "aborted",
};

static const char *const message_names[TXN_N_MESSAGES] = {
    [TXN_PREPARE] = "PREPARE",   [TXN_MIGRATE] = "MIGRATE", [TXN_SETTLE] = "SETTLE",   [TXN_ABORT] = "ABORT",
    [TXN_ACTIVATE] = "ACTIVATE", [TXN_RELEASE] = "RELEASE", [TXN_COLD] = "COLD_START",
};

const char *txn_state_name(enum txn_state state)
{
    return state < TXN_N_STATES ? state_names[state] : "?";
}

bool txn_state_parse(const char *name, enum txn_state *ret)
{
    for (unsigned s = 0; s < TXN_N_STATES; s++)
        if (strcmp(state_names[s], name) == 0) {
            *ret = (enum txn_state)s;
            return true;
        }
    return false;
}

const char *txn_message_name(enum txn_message message)
{
    return message < TXN_N_MESSAGES ? message_names[message] : "?";
}

/* ---- who is asked what in a state -------------------------------------------------------------------------------- */

unsigned txn_needed(const struct txn *t)
{
    unsigned who = 0;
    switch (t->state) {
    case TXN_PREPARING: who = t->answered & TXN_BIT(TXN_SOURCE) ? TXN_BOTH : TXN_BIT(TXN_SOURCE); break;
    case TXN_TRANSFER:
    case TXN_SETTLING: who = TXN_BIT(TXN_SOURCE); break;
    case TXN_ABORTING: who = t->asked & ~TXN_BIT(TXN_SOURCE); break;
    case TXN_ACTIVATING: who = TXN_BIT(TXN_DESTINATION); break;
    case TXN_RELEASING: who = TXN_BOTH; break;
    /* The source first: only then is the guest safe; then the others forget what they hold. */
    case TXN_COLD_START: who = t->cold_started ? TXN_BOTH & ~TXN_BIT(TXN_SOURCE) : TXN_BIT(TXN_SOURCE); break;
    case TXN_NEW:
    case TXN_DONE:
    case TXN_ABORTED:
    case TXN_N_STATES: break;
    }
    return who & ~t->answered;
}

bool txn_must_learn(const struct txn *t, enum txn_party party)
{
    return t->granted && !t->left && party == TXN_SOURCE &&
           (t->state == TXN_RELEASING || (t->state == TXN_COLD_START && !t->cold_started));
}

enum txn_message txn_message_of(const struct txn *t, enum txn_party party)
{
    if (txn_must_learn(t, party))
        return TXN_SETTLE;
    switch (t->state) {
    case TXN_PREPARING: return TXN_PREPARE;
    case TXN_TRANSFER: return TXN_MIGRATE;
    case TXN_SETTLING: return TXN_SETTLE;
    case TXN_ABORTING: return TXN_ABORT;
    case TXN_ACTIVATING: return TXN_ACTIVATE;
    case TXN_RELEASING: return TXN_RELEASE;
    case TXN_COLD_START: return t->cold_started ? TXN_ABORT : TXN_COLD;
    case TXN_NEW:
    case TXN_DONE:
    case TXN_ABORTED:
    case TXN_N_STATES: break;
    }
    return TXN_N_MESSAGES;
}
