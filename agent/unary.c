#include "agent/unary.h"

enum { REPLY_MS = 500 }; /* of the call's time, kept for the answer's way back */

bool unary_begin(struct unary *u, struct transactions *all, const Drover__V1__Step *step,
                 enum participant_role role, struct rpc_call *call)
{
    u->call = call;
    u->step = step;
    u->role = role;
    if (operation_init(&u->op, all, step, &u->err) == 0)
        return true;
    rpc_call_fail(call, &u->err);
    return false;
}

bool unary_admit(struct unary *u, enum admission how)
{
    return drive_admit(&u->op, u->step, u->role, how, &u->err) >= 0;
}

void unary_work(struct unary *u, enum participant_event event, enum admission how)
{
    int64_t left = rpc_call_remaining_ms(u->call);
    int64_t wait = left < TRANSACTION_JOB_END_MS + REPLY_MS ? left - REPLY_MS : TRANSACTION_JOB_END_MS;
    int e = drive_admit(&u->op, u->step, u->role, how, &u->err);
    if (e < 0)
        return;
    if (e > 0) {
        u->late = true;
        return;
    }
    if (!u->op.txn)
        if ((u->op.txn = transaction_new(u->op.all, u->step, u->role)))
            u->op.txn->record->cold_generation = u->op.cold_generation;
    u->stepped = drive_step(&u->op, event, clock_monotonic_ms() + wait, &u->out, &u->err) == 0;
}

bool unary_answered(struct unary *u)
{
    struct transaction *txn = u->op.txn;
    if (txn)
        txn->heard_ms = clock_monotonic_ms();
    if (u->stepped)
        drive_done(txn, u->out.actions);
    if (u->stepped && u->out.answer == PARTICIPANT_REFUSED)
        error_set(&u->err, STATUS_FAILED_PRECONDITION, "transaction %s: %s", u->step->transaction,
                  u->out.text);
    if (u->late || (u->stepped && u->out.answer != PARTICIPANT_REFUSED))
        return true;
    if (!u->stepped && u->err.code != STATUS_ABORTED)
        log_error("transaction %s: %s", u->step->transaction, u->err.text);
    rpc_call_fail(u->call, &u->err);
    return false;
}
