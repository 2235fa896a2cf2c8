/* MIGRATE: starts the transfer (or, for a guest that is shut off, gives its definition away at once) and streams what
 * happens. */
#include "agent/unary.h"

#include "agent/copies.h"
#include "agent/ladder_run.h"
#include "agent/samples.h"
#include "agent/service.h"
#include "common/base/memory.h"
#include "common/message/message.h"

struct migrate {
    struct unary u;
    const Drover__V1__MigrateRequest *request;
    bool copy; /* disks first: the step comes when they are there */
};

static char *kept(const char *text)
{
    return xstrdup(text ? text : "");
}

/* Where the guest goes has to outlive this program: a restarted one must be able to tell the destination. */
static void remember(struct transaction *txn, const Drover__V1__MigrateRequest *q)
{
    Drover__V1__Record *r = txn->record;
    Drover__V1__Endpoint *e = new0(Drover__V1__Endpoint);
    drover__v1__endpoint__init(e);
    e->host = kept(q->destination->host);
    e->agent_url = kept(q->destination->agent_url);
    e->libvirt_remote = kept(q->destination->libvirt_remote);
    e->migration_uri = kept(q->destination->migration_uri);
    if (r->peer)
        drover__v1__endpoint__free_unpacked(r->peer, NULL);
    r->peer = e;
    if (q->relocation) { /* as the destination completed it */
        drover__v1__relocation__free_unpacked(r->relocation, NULL);
        r->relocation = (Drover__V1__Relocation *)message_copy(&q->relocation->base);
    }
    if (q->policy) {
        if (!r->policy) {
            r->policy = new0(Drover__V1__Policy);
        }
        *r->policy = *q->policy;
        r->policy->base.n_unknown_fields = 0;
        r->policy->base.unknown_fields = NULL;
    }
    if (r->mode != DROVER__V1__MODE__MODE_DEFINITION && q->mode != DROVER__V1__MODE__MODE_DEFINITION)
        r->mode = q->mode;
}

/* How the job is begun is in the record before it is. What is known beforehand of guest and link is the loop's. */
static void begin(struct operation *op)
{
    struct migrate *m = (struct migrate *)op;
    if (!op->txn || op->txn->role != PARTICIPANT_SOURCE ||
        transactions_check_epoch(op->all, m->u.step->epoch, NULL) < 0) /* which work refuses */
        return;
    op->txn->begin_bandwidth = m->request->begin_bandwidth;
    op->txn->waits = m->request->waits;
    if (transaction_state(op->txn) != PARTICIPANT_PREPARED)
        return;
    remember(op->txn, m->request);
    samples_line(op->all->agent->samples, m->request->destination->host, m->request->delay);
    if (op->txn->record->mode != DROVER__V1__MODE__MODE_DEFINITION)
        ladder_run_begin(op->txn);
}

static void work(struct operation *op)
{
    struct migrate *m = (struct migrate *)op;
    m->copy = op->txn && op->txn->role == PARTICIPANT_SOURCE &&
              transaction_state(op->txn) == PARTICIPANT_PREPARED && copies_any(op->txn) &&
              op->txn->record->mode == DROVER__V1__MODE__MODE_DEFINITION;
    if (m->copy)
        drive_admit(op, m->u.step, PARTICIPANT_SOURCE, ADMIT_KNOWN, &m->u.err);
    else
        unary_work(&m->u, PARTICIPANT_MIGRATE, ADMIT_KNOWN);
}

static void done(struct operation *op)
{
    struct migrate *m = (struct migrate *)op;
    struct unary *u = &m->u;
    if (m->copy && !u->err.code) {
        if (!op->txn->sender)
            disk_sender_start(op->txn);
        if (op->txn->sender)
            disk_sender_listen(op->txn->sender, u->call);
        else
            transfer_listen(op->txn, u->call);
    } else if (unary_answered(u)) {
        if (u->out.answer == PARTICIPANT_IN_DOUBT) {
            error_set(&u->err, STATUS_UNAVAILABLE, "%s", u->out.text);
            rpc_call_fail(u->call, &u->err);
        } else {
            transfer_listen(op->txn, u->call);
        }
    }
    free(m);
}

void rpc_migrate(Drover__V1__Agent_Service *service, const Drover__V1__MigrateRequest *request,
                 Drover__V1__TransferEvent_Closure reply, void *call)
{
    (void)reply; /* a stream: rpc_call_item */
    struct migrate *m = new0(struct migrate);
    m->request = request;
    m->u.op.begin = begin;
    m->u.op.work = work;
    m->u.op.done = done;
    const Drover__V1__Endpoint *d = request->destination;
    if (!d || !d->libvirt_remote || !d->libvirt_remote[0] || !d->migration_uri || !d->migration_uri[0]) {
        error_set(
            &m->u.err, STATUS_INVALID_ARGUMENT,
            "MIGRATE needs the destination's endpoint as it voted: libvirt's URI and the migration URI");
        rpc_call_fail(call, &m->u.err);
        free(m);
        return;
    }
    if (unary_begin(&m->u, service_agent(service)->transactions, request->step, PARTICIPANT_SOURCE, call))
        turn_take(&m->u.op);
    else
        free(m);
}
