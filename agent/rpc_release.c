/* RELEASE: the guest runs at the destination. The source archives and removes its definition, the destination takes up the
 * guest's autostart and gives the reservation back (the guest itself now has the memory). */
#include "agent/unary.h"

#include "agent/io/domain.h"
#include "agent/service.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <unistd.h>

enum { POLL_MS = 50, QEMU_END_MS = 10 * 1000, LEFT_BEHIND_MS = 3000 };

struct release {
    struct unary u;
    const Drover__V1__ReleaseRequest *request;
    Drover__V1__ReleaseReply_Closure reply;
    Drover__V1__Result result;
};

static void begin(struct operation *op)
{
    struct release *r = (struct release *)op;
    drover__v1__result__init(&r->result);
    if (op->txn && op->txn->role == PARTICIPANT_SOURCE)
        transfer_result(op->txn, &r->result);
}

/* libvirt takes 1.5 s to end the QEMU of a guest that has migrated. One that is paused without a job was left behind. */
static void wait_for_end(struct transaction *txn, int64_t wait_ms)
{
    char text[200];
    struct participant_facts f = {0};
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(txn->all->agent->libvirt, NULL);
    int64_t begin = clock_monotonic_ms();
    while (conn && domain_look(conn, txn->guest, txn->role, &f, text, sizeof(text), NULL) == 0 &&
           (f.job || f.guest == PARTICIPANT_PAUSED) && !txn->all->closing &&
           clock_monotonic_ms() - begin < (f.job || wait_ms < LEFT_BEHIND_MS ? wait_ms : LEFT_BEHIND_MS))
        usleep(POLL_MS * 1000);
}

static int take_up_autostart(struct transaction *txn, struct error *err)
{
    const Drover__V1__Definition *d = txn->record->definition;
    if (!d || !d->persistent || !d->autostart || transaction_state(txn) != PARTICIPANT_ACTIVATED)
        return 0;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(txn->all->agent->libvirt, err);
    return conn ? domain_set_autostart(conn, txn->guest, true, err) : -(int)STATUS_UNAVAILABLE;
}

static void work(struct operation *op)
{
    struct release *r = (struct release *)op;
    struct unary *u = &r->u;
    struct transaction *txn = op->txn;
    if (!unary_admit(u, ADMIT_LATE))
        return;
    if (txn && txn->role == PARTICIPANT_SOURCE && transaction_state(txn) == PARTICIPANT_FENCED) {
        int64_t left = rpc_call_remaining_ms(u->call) - 1000;
        wait_for_end(txn, left < QEMU_END_MS ? left : QEMU_END_MS);
        if (r->result.pause) {
            if (!txn->record->result) {
                txn->record->result = new0(Drover__V1__Result);
            }
            *txn->record->result = r->result;
        }
    }
    struct error why = {0};
    if (txn && txn->role == PARTICIPANT_DESTINATION && take_up_autostart(txn, &why) < 0 &&
        why.code != STATUS_NOT_FOUND) {
        u->err = why;
        return;
    }
    transaction_keep(txn, r->request->keep, r->request->n_keep, true);
    unary_work(u, PARTICIPANT_RELEASE, ADMIT_LATE);
    transaction_keep(op->txn, NULL, 0, false);
}

static void done(struct operation *op)
{
    struct release *r = (struct release *)op;
    struct unary *u = &r->u;
    if (unary_answered(u)) {
        if (u->out.answer == PARTICIPANT_IN_DOUBT && !u->late) {
            error_set(&u->err, STATUS_UNAVAILABLE, "%s", u->out.text);
            rpc_call_fail(u->call, &u->err);
        } else {
            Drover__V1__ReleaseReply reply = DROVER__V1__RELEASE_REPLY__INIT;
            reply.text = u->late ? (char *)"nothing of it is held here any more" : u->out.text;
            reply.left = op->txn ? op->txn->record->left : NULL;
            reply.n_left = op->txn ? op->txn->record->n_left : 0;
            failpoint("agent.%s.RELEASE.before_answer",
                      u->role == PARTICIPANT_SOURCE ? "source" : "destination");
            r->reply(&reply, u->call);
            failpoint("agent.%s.RELEASE.after_answer",
                      u->role == PARTICIPANT_SOURCE ? "source" : "destination");
        }
    }
    free(r);
}

void rpc_release(Drover__V1__Agent_Service *service, const Drover__V1__ReleaseRequest *request,
                 Drover__V1__ReleaseReply_Closure reply, void *call)
{
    struct release *r = new0(struct release);
    r->reply = reply;
    r->request = request;
    r->u.op.begin = begin;
    r->u.op.work = work;
    r->u.op.done = done;
    enum participant_role role =
        request->role == DROVER__V1__ROLE__SOURCE ? PARTICIPANT_SOURCE : PARTICIPANT_DESTINATION;
    if (unary_begin(&r->u, service_agent(service)->transactions, request->step, role, call))
        turn_take(&r->u.op);
    else
        free(r);
}
