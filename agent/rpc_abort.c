/* ABORT: the guest was kept by the source. The destination buries what came, the source lets go. */
#include "agent/unary.h"

#include "agent/service.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

struct abort_call {
    struct unary u;
    const Drover__V1__AbortRequest *request;
    bool taken_back;
    char *warning;
    Drover__V1__AbortReply_Closure reply;
};

static void work(struct operation *op)
{ /* model: D4 */
    struct abort_call *a = (struct abort_call *)op;
    transaction_keep(op->txn, a->request->keep, a->request->n_keep, true);
    unary_work(&a->u, a->taken_back ? PARTICIPANT_ABORT_TAKEN : PARTICIPANT_ABORT, ADMIT_LATE);
    struct transaction *txn = op->txn;
    transaction_keep(txn, NULL, 0, false);
    if (txn)
        a->warning = xstrdup(txn->record->warning);
    if (a->u.stepped && txn && txn->record->unheard) {
        txn->record->unheard = false;
        transaction_write(txn, transaction_state(txn), NULL); /* else it is kept longer than it must be */
    }
}

static void done(struct operation *op)
{
    struct abort_call *a = (struct abort_call *)op;
    struct unary *u = &a->u;
    if (unary_answered(u)) {
        if (u->out.answer == PARTICIPANT_IN_DOUBT && !u->late) {
            error_set(&u->err, STATUS_UNAVAILABLE, "%s", u->out.text);
            rpc_call_fail(u->call, &u->err);
        } else {
            Drover__V1__AbortReply reply = DROVER__V1__ABORT_REPLY__INIT;
            reply.warning = a->warning ? a->warning : reply.warning;
            reply.text = u->late ? (char *)"nothing of it is held here" : u->out.text;
            failpoint("agent.%s.ABORT.before_answer",
                      u->role == PARTICIPANT_SOURCE ? "source" : "destination");
            a->reply(&reply, u->call);
            failpoint("agent.%s.ABORT.after_answer",
                      u->role == PARTICIPANT_SOURCE ? "source" : "destination");
        }
    }
    free(a->warning);
    free(a);
}

void rpc_abort(Drover__V1__Agent_Service *service, const Drover__V1__AbortRequest *request,
               Drover__V1__AbortReply_Closure reply, void *call)
{
    struct abort_call *a = new0(struct abort_call);
    a->reply = reply;
    a->request = request;
    a->taken_back = request->taken_back && request->role == DROVER__V1__ROLE__DESTINATION;
    a->u.op.work = work;
    a->u.op.done = done;
    enum participant_role role =
        request->role == DROVER__V1__ROLE__SOURCE ? PARTICIPANT_SOURCE : PARTICIPANT_DESTINATION;
    if (unary_begin(&a->u, service_agent(service)->transactions, request->step, role, call))
        turn_take(&a->u.op);
    else
        free(a);
}
