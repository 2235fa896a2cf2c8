/* Who is asked what in each state of a transaction. */
#pragma once

#include "coordinator/core/transaction.h"

#define TXN_BOTH (TXN_BIT(TXN_SOURCE) | TXN_BIT(TXN_DESTINATION))

/* From whom an answer is still needed in this state. */
unsigned txn_needed(const struct txn *txn);

/* It does not know yet that the guest was given away. */
bool txn_must_learn(const struct txn *txn, enum txn_party party);

enum txn_message txn_message_of(const struct txn *txn, enum txn_party party);
