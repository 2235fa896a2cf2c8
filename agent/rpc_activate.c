/* ACTIVATE: the source is fenced, the guest is this host's. From the coordinator or, sooner, from the source's agent. */
#include "agent/unary.h"

#include "agent/service.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

struct activate {
    struct unary u;
    Drover__V1__Step step; /* borrows the request's strings */
    bool paused, from_disks;
    const struct rpc_peer *peer; /* the agent that sends it; NULL: the coordinator does */
    uint64_t cold_generation;
    Drover__V1__ActivateReply_Closure reply;
    int64_t since;
};

static void work(struct operation *op)
{
    struct activate *a = (struct activate *)op;
    struct transaction *txn = op->txn;
    enum admission how = a->step.transferred ? ADMIT_LATE : ADMIT_KNOWN;
    if ((a->peer && txn && peers_check_source(txn, a->peer, &a->u.err) < 0) || !unary_admit(&a->u, how))
        return;
    /* Written with the tombstone itself, which nobody may forget before the coordinator has heard of it. */
    if (txn && txn->role == PARTICIPANT_DESTINATION && participant_is_open(txn->role, transaction_state(txn)))
        txn->record->unheard = true;
    /* Durable with OWNER. */
    if (a->paused && txn && txn->role == PARTICIPANT_DESTINATION &&
        transaction_state(txn) == PARTICIPANT_PREPARED)
        transaction_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE, txn->guest);
    if (a->cold_generation && txn && txn->role == PARTICIPANT_DESTINATION &&
        transaction_state(txn) == PARTICIPANT_PREPARED)
        txn->record->cold_generation = a->cold_generation;
    unary_work(&a->u, a->cold_generation ? PARTICIPANT_ACTIVATE_COLD : PARTICIPANT_ACTIVATE, how);
    a->from_disks = op->txn && transaction_had_made(op->txn, DROVER__V1__MADE__KIND__FROM_DISKS);
    if (a->u.late)
        snprintf(a->u.out.text, sizeof(a->u.out.text),
                 "there is no record of this transaction, and a later one of the guest was prepared here");
}

static void done(struct operation *op)
{
    struct activate *a = (struct activate *)op;
    if (unary_answered(&a->u)) {
        enum participant_answer answer = a->u.out.answer;
        Drover__V1__ActivateReply reply = DROVER__V1__ACTIVATE_REPLY__INIT;
        reply.activation = answer == PARTICIPANT_RUNS      ? DROVER__V1__ACTIVATION__RUNNING
                           : answer == PARTICIPANT_IS_LOST ? DROVER__V1__ACTIVATION__LOST
                                                           : DROVER__V1__ACTIVATION__ACTIVATION_UNKNOWN;
        reply.text = a->u.out.text;
        reply.from_disks = a->from_disks;
        if (a->u.op.txn && a->u.op.txn->resumed_ms)
            reply.ran_for = clock_monotonic_ms() - a->u.op.txn->resumed_ms;
        reply.took = clock_monotonic_ms() - a->since;
        failpoint("agent.ACTIVATE.before_answer");
        a->reply(&reply, a->u.call);
        failpoint("agent.ACTIVATE.after_answer");
    }
    free(a);
}

/* What gives a peer the right is that it is the transaction's source and has fenced itself, and it may not have heard of a new coordinator
 * yet: its epoch does not count. */
static void begin(struct transactions *all, const Drover__V1__ActivateRequest *request, bool peer,
                  Drover__V1__ActivateReply_Closure reply, struct rpc_call *call)
{
    const Drover__V1__Step *step = request->step;
    struct activate *a = new0(struct activate);
    a->reply = reply;
    a->peer = peer ? rpc_call_peer(call) : NULL;
    a->paused = request->paused;
    a->cold_generation = a->u.op.cold_generation = request->cold_generation;
    a->since = clock_monotonic_ms();
    a->u.op.work = work;
    a->u.op.done = done;
    drover__v1__step__init(&a->step);
    if (step)
        a->step = *step;
    if (peer)
        a->step.epoch = records_epoch(all->records);
    a->step.transferred &= !peer; /* a peer's word is enough only for what was prepared here */
    if (unary_begin(&a->u, all, &a->step, PARTICIPANT_DESTINATION, call))
        turn_take(&a->u.op);
    else
        free(a);
}

void rpc_activate(Drover__V1__Agent_Service *service, const Drover__V1__ActivateRequest *request,
                  Drover__V1__ActivateReply_Closure reply, void *call)
{
    begin(service_agent(service)->transactions, request, false, reply, call);
}

void rpc_peer_activate(Drover__V1__Peer_Service *service, const Drover__V1__ActivateRequest *request,
                       Drover__V1__ActivateReply_Closure reply, void *call)
{
    struct transactions *all =
        (struct transactions *)((char *)service - offsetof(struct transactions, peer_service));
    begin(all, request, true, reply, call);
}
