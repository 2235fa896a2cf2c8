/* SETTLE: who has the guest? The one question that may never be guessed. */
#include "agent/unary.h"

#include "agent/io/domain.h"
#include "agent/service.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

/* GONE is worth waiting for the figures, since what comes next waits for libvirt's end of the job anyway: but only if the guest
 * runs already. */
enum { TICK_MS = 5, ACTIVATION_MS = 500, FIGURES_MS = 4000 };

struct settle {
    struct unary u;
    Drover__V1__SettleReply_Closure reply;
    enum participant_event event;
    bool paused; /* by an operator, in mid-transfer */
    uint64_t cold_generation;
    bool from_disks;
    char warning[320];
    int64_t since;
    Drover__V1__Result result;
};

/* Its host may have lost its power, and did not start it. */
static void warn_of_autostart(struct settle *s, const struct transaction *txn)
{
    const char *host = txn->all->agent->config->name;
    if (s->u.out.answer != PARTICIPANT_IS_KEPT || !s->u.out.off ||
        txn->record->mode == DROVER__V1__MODE__MODE_DEFINITION ||
        !transaction_had_made(txn, DROVER__V1__MADE__KIND__AUTOSTART))
        return;
    snprintf(
        s->warning, sizeof(s->warning),
        "%s is off on %s, and its autostart was off while it moved: had %s been started again meanwhile, it "
        "would not have been started with it; start it (virsh start %s on %s)",
        transaction_guest_name(txn), host, host, transaction_guest_name(txn), host);
    log_warn("transaction %s: %s", txn->id, s->warning);
}

static void work(struct operation *op)
{ /* model: S6 */
    struct settle *s = (struct settle *)op;
    if (!unary_admit(&s->u, ADMIT_SETTLE))
        return;
    if (op->txn && s->event == PARTICIPANT_SETTLE_GONE && transaction_state(op->txn) != PARTICIPANT_FENCED)
        op->txn->record->cold_generation = s->cold_generation; /* durable with FENCED */
    unary_work(&s->u, s->event, ADMIT_SETTLE);
    const struct transaction *txn = op->txn;
    s->from_disks = txn && transaction_state(txn) != PARTICIPANT_COLD && /* else it is done with */
                    transaction_has_made(txn, DROVER__V1__MADE__KIND__FROM_DISKS);
    if (txn) /* where it is kept the pause is made good and struck off */
        s->paused = transaction_state(txn) == PARTICIPANT_KEPT
                        ? transaction_had_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE)
                        : transaction_has_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE);
    if (txn && s->u.stepped)
        warn_of_autostart(s, txn);
    if (!s->u.late)
        return;
    if (!s->u.step->transferred &&
        s->event !=
            PARTICIPANT_SETTLE_GRANTED) { /* nothing of it has begun, and no PREPARE of it is taken any more */
        s->u.out.answer = PARTICIPANT_IS_KEPT;
        snprintf(s->u.out.text, sizeof(s->u.out.text), "it was never prepared here");
        return;
    }
    /* No record, and a later one was prepared here: nothing of it can begin any more, so a guest that is here stays. */
    char text[200];
    struct participant_facts f = {0};
    _cleanup_connect_ virConnectPtr conn =
        op->all->agent->libvirt ? libvirt_ref(op->all->agent->libvirt, &s->u.err) : NULL;
    if (conn && domain_look(conn, op->guest, PARTICIPANT_SOURCE, &f, text, sizeof(text), &s->u.err) == 0)
        snprintf(s->u.out.text, sizeof(s->u.out.text), "there is no record of this transaction; %s", text);
    else
        snprintf(s->u.out.text, sizeof(s->u.out.text), "there is no record of this transaction; %s",
                 s->u.err.text);
    bool alive = f.guest == PARTICIPANT_RUNNING || f.guest == PARTICIPANT_PAUSED;
    if (s->event == PARTICIPANT_SETTLE_GRANTED)
        s->u.out.answer =
            alive || f.guest == PARTICIPANT_UNASKED ? PARTICIPANT_IN_DOUBT : PARTICIPANT_IS_GONE;
    else
        s->u.out.answer = alive ? PARTICIPANT_IS_KEPT : PARTICIPANT_IN_DOUBT;
}

static void answer(struct settle *s, struct transaction *txn)
{
    Drover__V1__SettleReply reply = DROVER__V1__SETTLE_REPLY__INIT;
    reply.outcome = s->u.out.answer == PARTICIPANT_IS_KEPT   ? DROVER__V1__OUTCOME__KEPT
                    : s->u.out.answer == PARTICIPANT_IS_GONE ? DROVER__V1__OUTCOME__GONE
                                                             : DROVER__V1__OUTCOME__OUTCOME_UNKNOWN;
    reply.text = s->u.out.text;
    reply.warning = s->warning;
    reply.paused = s->paused;
    reply.from_disks = s->from_disks;
    reply.result = &s->result;
    if (txn) {
        reply.story = txn->story;
        if (s->u.out.answer != PARTICIPANT_IS_KEPT)
            transfer_result(txn, &s->result);
        reply.activated = transfer_is_activated(txn);
    }
    failpoint("agent.SETTLE.before_answer");
    s->reply(&reply, s->u.call);
    failpoint("agent.SETTLE.after_answer");
    free(s);
}

static void figures(void *arg)
{
    struct settle *s = arg;
    struct transactions *all = s->u.op.all;
    struct transaction *txn = transactions_find(all, s->u.step->transaction);
    int64_t waited = clock_monotonic_ms() - s->since;
    Drover__V1__Result unused;
    bool more = txn && txn->transfer && !all->closing && !transfer_result(txn, &unused) &&
                waited < (transfer_is_activated(txn) ? FIGURES_MS : ACTIVATION_MS);
    if (more && !rpc_call_cancelled(s->u.call)) {
        loop_timer_start(all->agent->loop, TICK_MS, figures, s);
        return;
    }
    answer(s, txn);
    transactions_unref(all);
}

static void done(struct operation *op)
{
    struct settle *s = (struct settle *)op;
    if (op->txn && s->u.out.answer == PARTICIPANT_IS_KEPT)
        transfer_harm(op->txn, &s->result);
    if (!unary_answered(&s->u)) {
        free(s);
        return;
    }
    if (s->u.out.answer != PARTICIPANT_IS_GONE) {
        answer(s, op->txn);
        return;
    }
    s->since = clock_monotonic_ms();
    op->all->refs++;
    figures(s);
}

void rpc_settle(Drover__V1__Agent_Service *service, const Drover__V1__SettleRequest *request,
                Drover__V1__SettleReply_Closure reply, void *call)
{
    struct settle *s = new0(struct settle);
    s->reply = reply;
    drover__v1__result__init(&s->result);
    s->cold_generation = request->cold_generation;
    s->event = request->granted                                ? PARTICIPANT_SETTLE_GRANTED
               : request->resolve == DROVER__V1__OUTCOME__KEPT ? PARTICIPANT_SETTLE_KEPT
               : request->resolve == DROVER__V1__OUTCOME__GONE ? PARTICIPANT_SETTLE_GONE
                                                               : PARTICIPANT_SETTLE;
    s->u.op.work = work;
    s->u.op.done = done;
    if (unary_begin(&s->u, service_agent(service)->transactions, request->step, PARTICIPANT_SOURCE, call))
        turn_take(&s->u.op);
    else
        free(s);
}
