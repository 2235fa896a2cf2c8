/* COLD START: the image died with the destination; the source starts the guest from its disks, under the next generation. */
#include "agent/unary.h"

#include "agent/service.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <inttypes.h>

struct cold_start {
    struct unary u;
    const Drover__V1__ColdStartRequest *request;
    Drover__V1__Step step; /* the lost transaction's; borrows the strings */
    Drover__V1__ColdStartReply_Closure reply;
};

/* The new generation is durable with COLD itself: a repeated message finds it there. */
static void work(struct operation *op)
{
    struct cold_start *c = (struct cold_start *)op;
    struct transaction *txn = op->txn;
    uint64_t next = c->request->step->generation;
    uint64_t mine = txn ? txn->record->step->generation : 0;
    bool again = txn && transaction_state(txn) == PARTICIPANT_COLD;
    if (txn && !again && next <= mine) {
        error_set(&c->u.err, STATUS_ABORTED,
                  "a cold start needs a generation above %" PRIu64 ", the message says %" PRIu64, mine, next);
        return;
    }
    if (txn && !again)
        txn->record->step->generation = next;
    unary_work(&c->u, PARTICIPANT_COLD_START, c->step.transferred ? ADMIT_LATE : ADMIT_KNOWN);
    if (c->u.late) {
        c->u.late = false;
        error_set(&c->u.err, STATUS_ABORTED,
                  "there is no record of transaction %s, and a later one of the guest was prepared here",
                  c->step.transaction);
    }
    if (txn && transaction_state(txn) != PARTICIPANT_COLD)
        txn->record->step->generation = mine;
}

static void done(struct operation *op)
{
    struct cold_start *c = (struct cold_start *)op;
    struct unary *u = &c->u;
    if (unary_answered(u)) {
        if (u->out.answer == PARTICIPANT_IN_DOUBT) {
            error_set(&u->err, STATUS_UNAVAILABLE, "%s", u->out.text);
            rpc_call_fail(u->call, &u->err);
        } else {
            Drover__V1__ColdStartReply reply = DROVER__V1__COLD_START_REPLY__INIT;
            reply.text = u->out.text;
            failpoint("agent.COLD_START.before_answer");
            c->reply(&reply, u->call);
            failpoint("agent.COLD_START.after_answer");
        }
    }
    free(c);
}

void rpc_cold_start(Drover__V1__Agent_Service *service, const Drover__V1__ColdStartRequest *request,
                    Drover__V1__ColdStartReply_Closure reply, void *call)
{
    struct cold_start *c = new0(struct cold_start);
    c->request = request;
    c->reply = reply;
    c->u.op.work = work;
    c->u.op.done = done;
    drover__v1__step__init(&c->step);
    if (request->step)
        c->step = *request->step;
    c->step.transaction = request->transaction;
    if (unary_begin(&c->u, service_agent(service)->transactions, &c->step, PARTICIPANT_SOURCE, call))
        turn_take(&c->u.op);
    else
        free(c);
}
