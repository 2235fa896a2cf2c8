/* The source tells the destination itself, as soon as FENCED is durable: the guest is paused at both ends until then. */
#include "agent/transaction.h"

#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <string.h>

enum { RETRY_MIN_MS = 50, RETRY_MAX_MS = 2000, ANSWER_MS = 20 * 1000 };

struct attempt {
    struct handover *owner; /* NULL when it is not wanted any more */
};

struct handover {
    struct transaction *txn;
    Drover__V1__Endpoint peer;
    Drover__V1__Step step;
    struct loop_timer *timer;
    struct attempt *attempt;
    int64_t retry_ms;
    char *said;               /* why not, as it was logged last; NULL: nothing yet */
    bool paused;              /* an operator paused it in mid-transfer */
    uint64_t cold_generation; /* from its disks, by an operator's word */
};

static void send(void *arg);

static void again(struct handover *h, const char *why)
{
    if (!h->said || !streq(h->said, why)) { /* a host may be off for days */
        log_warn("transaction %s: %s does not take the guest over yet: %s", h->step.transaction, h->peer.host,
                 why);
        free(h->said);
        h->said = xstrdup(why);
    }
    h->timer = loop_timer_start(h->txn->all->agent->loop, h->retry_ms, send, h);
    h->retry_ms = h->retry_ms * 2 < RETRY_MAX_MS ? h->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_answer(const Drover__V1__ActivateReply *reply, void *arg)
{
    struct attempt *a = arg;
    struct handover *h = a->owner;
    free(a);
    if (!h)
        return;
    h->attempt = NULL;
    struct transaction *txn = h->txn;
    if (!reply && rpc_status()->code == STATUS_ABORTED) { /* it has no other answer for this message */
        log_warn("transaction %s: %s leaves it to the coordinator: %s", h->step.transaction, h->peer.host,
                 rpc_status()->text);
        txn->handover = NULL;
        handover_free(h);
    } else if (!reply) {
        again(h, rpc_status()->text);
    } else if (reply->activation == DROVER__V1__ACTIVATION__RUNNING) {
        transfer_activated(txn, PARTICIPANT_RUNS, reply->ran_for, reply->text);
    } else if (reply->activation == DROVER__V1__ACTIVATION__LOST) {
        transfer_activated(txn, PARTICIPANT_IS_LOST, 0, reply->text);
    } else {
        again(h, reply->text);
    }
}

static void send(void *arg)
{
    struct handover *h = arg;
    struct transaction *txn = h->txn;
    h->timer = NULL;
    if (txn->state != PARTICIPANT_FENCED) { /* the coordinator went on without us */
        txn->handover = NULL;
        handover_free(h);
        return;
    }
    struct error err = {0};
    struct rpc_client *client = peers_client(txn->all->peers, &h->peer, &err);
    if (!client) {
        again(h, err.text);
        return;
    }
    struct attempt *a = h->attempt = new0(struct attempt);
    a->owner = h;
    Drover__V1__ActivateRequest request = DROVER__V1__ACTIVATE_REQUEST__INIT;
    request.step = &h->step;
    request.paused = h->paused;
    request.cold_generation = h->cold_generation;
    struct rpc_stub stub =
        rpc_stub(client, &drover__v1__peer__descriptor, .timeout_ms = ANSWER_MS, .once = true, .wait = true);
    failpoint("agent.mesh.ACTIVATE.before_send");
    drover__v1__peer__activate(&stub.base, &request, on_answer, a);
    failpoint("agent.mesh.ACTIVATE.after_send");
}

void handover_start(struct transaction *txn)
{
    const Drover__V1__Endpoint *peer = txn->record->peer;
    if (txn->handover || transfer_is_activated(txn) || !peer || !peer->agent_url || !peer->agent_url[0])
        return; /* without an address: the coordinator's ACTIVATE does it */
    struct handover *h = txn->handover = new0(struct handover);
    h->txn = txn;
    h->retry_ms = RETRY_MIN_MS;
    if (transaction_has_made(txn, DROVER__V1__MADE__KIND__FROM_DISKS))
        h->cold_generation = txn->record->cold_generation;
    h->paused = transaction_has_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE);
    drover__v1__endpoint__init(&h->peer);
    h->peer.agent_url = xstrdup(peer->agent_url);
    h->peer.host = xstrdup(peer->host);
    drover__v1__step__init(&h->step);
    h->step.transaction = xstrdup(txn->id);
    h->step.guest = xstrdup(txn->guest);
    h->step.generation = txn->record->step->generation;
    h->step.epoch = txn->record->step->epoch;
    send(h);
}

void handover_free(struct handover *h)
{
    if (!h)
        return;
    loop_timer_cancel(h->timer);
    if (h->attempt)
        h->attempt->owner = NULL;
    free(h->said);
    free(h->peer.agent_url);
    free(h->peer.host);
    free(h->step.transaction);
    free(h->step.guest);
    free(h);
}
