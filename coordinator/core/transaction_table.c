/* The states of a transaction: their names, and the table of allowed moves. */
#include "coordinator/core/transaction.h"

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
