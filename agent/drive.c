/* One step of a transaction: look at libvirt, ask the core, write, act, write. */
#include "agent/transaction.h"

#include "agent/copies.h"
#include "agent/io/domain.h"
#include "agent/io/libvirt.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MS = 20, ASK_AGAIN_MS = 1000, RETRY_MS = 500 };

/* ---- may it ---- */

static int admit_unknown(struct operation *op, const Drover__V1__Step *step, enum admission how,
                         struct error *err)
{
    uint64_t seen = records_generation(op->all->records, step->guest);
    if (how == ADMIT_KNOWN)
        return error_set(err, STATUS_ABORTED, "transaction %s was not prepared at this host",
                         step->transaction);
    bool late = how == ADMIT_LATE || how == ADMIT_SETTLE;
    bool own = step->generation == seen || (op->cold_generation && op->cold_generation == seen);
    bool lost = late && step->transferred && own;
    if (step->generation > seen || lost)
        return 0;
    if (late)
        return 1;
    return error_set(err, STATUS_ABORTED,
                     "generation %" PRIu64 " of guest %s is over: this host has seen %" PRIu64
                     " and has no record of transaction %s; start a new migration",
                     step->generation, step->guest, seen, step->transaction);
}

static int admit_known(struct operation *op, const Drover__V1__Step *step, enum participant_role role,
                       enum admission how, struct error *err)
{
    const struct transaction *txn = op->txn;
    if (txn->role != role)
        return error_set(err, STATUS_ABORTED, "this host is not the %s of transaction %s",
                         role == PARTICIPANT_SOURCE ? "source" : "destination", step->transaction);
    uint64_t mine = txn->record->step->generation;
    bool anew = how == ADMIT_SETTLE && transaction_state(txn) == PARTICIPANT_COLD && step->generation < mine;
    if (step->generation != mine && !anew)
        return error_set(err, STATUS_ABORTED,
                         "transaction %s is generation %" PRIu64
                         " of guest %s here, the message says %" PRIu64,
                         step->transaction, mine, step->guest, step->generation);
    return 0;
}

int drive_admit(struct operation *op, const Drover__V1__Step *step, enum participant_role role,
                enum admission how, struct error *err)
{
    if (op->foreign)
        return error_set(err, STATUS_ABORTED, "transaction %s is another guest's", step->transaction);
    int e = transactions_admit_epoch(op->all, step->epoch, err);
    if (e < 0)
        return e;
    return op->txn ? admit_known(op, step, role, how, err) : admit_unknown(op, step, how, err);
}

/* ---- look ---- */

/* While libvirt ends the source's QEMU (1.5 s) it answers no question about it, and nothing depends on the answer: once it has
 * committed it can't go back, and what is fenced stays fenced. */
static bool looked_enough(struct transaction *txn, enum participant_event event, struct participant_facts *f,
                          char *text, size_t size)
{
    if (txn->role != PARTICIPANT_SOURCE || (event != PARTICIPANT_LOOK && event != PARTICIPANT_SETTLE))
        return false;
    enum participant_state state = transaction_state(txn);
    if (state == PARTICIPANT_MIGRATING && txn->committed) {
        *f = (struct participant_facts){.guest = PARTICIPANT_PAUSED, .job = true, .committed = true};
        snprintf(text, size, "libvirt has handed the guest over and is ending its QEMU here");
        return true;
    }
    *f = (struct participant_facts){0};
    return state == PARTICIPANT_FENCED || state == PARTICIPANT_RELEASED ||
           (state == PARTICIPANT_PREPARED && !transaction_has_made(txn, DROVER__V1__MADE__KIND__AUTOSTART));
}

/* libvirtd carries out a migrate call that it finds in its socket, also if the agent that sent it was killed meanwhile. It is not begun
 * after KEPT, which rests on a look of the next agent: that has to connect to the same libvirtd, behind the call. Measured with a
 * libvirtd that was stopped with the call in its socket: the job was on at the first look after it went on, 3 of 3; and where all
 * of libvirtd's workers are busy, the look has no answer either. */
static void look(struct transaction *txn, virConnectPtr *conn, struct participant_facts *f, char *text,
                 size_t size)
{
    struct transactions *all = txn->all;
    struct error why = {0};
    /* Read before libvirt is asked: what became true meanwhile is seen next time. */
    *f = (struct participant_facts){.committed = txn->committed,
                                    .call_succeeded = txn->call_succeeded,
                                    .ran_to_the_end = txn->ran_to_the_end,
                                    .ran_here = txn->ran_here};
    bool calling = txn->calling;
    if (!*conn && all->agent->libvirt)
        *conn = libvirt_ref(all->agent->libvirt, &why);
    if (!*conn)
        snprintf(text, size, "libvirt can't be asked: %s",
                 why.code ? why.text : "this host is no hypervisor");
    else if (domain_look(*conn, txn->guest, txn->role, f, text, size, NULL) < 0 &&
             virConnectIsAlive(*conn) != 1) {
        libvirt_unref(*conn);
        *conn = NULL;
    }
    f->job |= calling;
}

/* The record is lost, and the fence says how far it had come: the image was about to be ended, or is. What is here may be the guest. */
static bool had_begun_anew(const struct transaction *txn)
{
    uint64_t cold = txn->record->cold_generation;
    return txn->role == PARTICIPANT_DESTINATION && transaction_state(txn) == PARTICIPANT_NONE && cold &&
           records_generation(txn->all->records, txn->guest) == cold;
}

static struct participant half_of(const struct transaction *txn)
{
    const Drover__V1__Definition *d = txn->record->definition;
    return (struct participant){
        .role = txn->role,
        .state = transaction_state(txn),
        .definition_only = txn->record->mode == DROVER__V1__MODE__MODE_DEFINITION,
        .paused_by_us = transaction_has_made(txn, DROVER__V1__MADE__KIND__PAUSE),
        .transferred = txn->transferred,
        .autostart = d && d->persistent && d->autostart,
        .owes_autostart = transaction_has_made(txn, DROVER__V1__MADE__KIND__AUTOSTART),
        .owes_resume = transaction_has_made(txn, DROVER__V1__MADE__KIND__RESUME),
        .others_pause = transaction_has_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE),
        .from_disks = transaction_had_made(txn, DROVER__V1__MADE__KIND__FROM_DISKS),
        .image_ended = (transaction_had_made(txn, DROVER__V1__MADE__KIND__FROM_DISKS) &&
                        !transaction_has_made(txn, DROVER__V1__MADE__KIND__FROM_DISKS)) ||
                       had_begun_anew(txn),
        .copies = transaction_has_made(txn, DROVER__V1__MADE__KIND__IMAGE),
        .incomplete = txn->record->mode == DROVER__V1__MODE__MODE_DEFINITION && copies_incomplete(txn),
        .copied = transaction_had_made(txn, DROVER__V1__MADE__KIND__IMAGE),
        .post_copy = transaction_has_made(txn, DROVER__V1__MADE__KIND__POST_COPY),
        .may_post_copy = transaction_may_post_copy(txn),
        .superseded = transaction_is_superseded(txn),
    };
}

/* ---- act ---- */

#define KEPTS_DEEDS ((unsigned)(PARTICIPANT_RESUME_SOURCE | PARTICIPANT_PAUSE | PARTICIPANT_AUTOSTART_ON))

/* The answer KEPT does not wait for it: it is what makes the destination let go of the disks. */
static bool try_deed(struct transaction *txn, virConnectPtr conn, enum participant_action deed,
                     struct outcome *out)
{
    struct error why = {0};
    if (deeds_do(txn, conn, deed, out->text, sizeof(out->text), &why) < 0) {
        snprintf(out->text, sizeof(out->text), "%s; it is tried again until it %s", why.text,
                 deed == PARTICIPANT_RESUME_SOURCE  ? "runs"
                 : deed == PARTICIPANT_AUTOSTART_ON ? "is on"
                                                    : "is paused");
        return false;
    }
    out->actions &= ~(unsigned)deed;
    return true;
}

static int act(struct transaction *txn, virConnectPtr conn, const struct participant_step *s,
               struct outcome *out)
{
    static const enum participant_action kepts[] = {
        PARTICIPANT_RESUME_SOURCE, PARTICIPANT_PAUSE,
        PARTICIPANT_AUTOSTART_ON /* last: a guest that a boot has started is not one to be paused */
    };
    static const enum participant_action mine[] = {
        PARTICIPANT_AUTOSTART_OFF, PARTICIPANT_DEFINE, PARTICIPANT_RESUME, PARTICIPANT_PAUSE,
        PARTICIPANT_UNDO,          PARTICIPANT_END,    PARTICIPANT_RETIRE, PARTICIPANT_START};
    struct error why = {0};
    unsigned kept = txn->role == PARTICIPANT_SOURCE ? s->actions & KEPTS_DEEDS : 0;
    for (unsigned i = 0; i < sizeof(kepts) / sizeof(kepts[0]); i++)
        if (kept & kepts[i] && !try_deed(txn, conn, kepts[i], out))
            break;
    if (txn->role == PARTICIPANT_DESTINATION)
        out->actions &= ~KEPTS_DEEDS;
    for (unsigned i = 0; i < sizeof(mine) / sizeof(mine[0]); i++)
        if (s->actions & ~kept & mine[i] &&
            deeds_do(txn, conn, mine[i], out->text, sizeof(out->text), &why) < 0) {
            snprintf(out->text, sizeof(out->text), "%s", why.text);
            out->answer = PARTICIPANT_IN_DOUBT;
            out->actions &= ~(unsigned)(PARTICIPANT_START_JOB | PARTICIPANT_TELL_PEER);
            return -1;
        }
    return 0;
}

/* What is going to be made is in the record before it is made. */
static void manifest(struct transaction *txn, const struct participant_step *s,
                     const struct participant_facts *f)
{
    if (s->first == PARTICIPANT_KEPT && f->guest == PARTICIPANT_RUNNING)
        transaction_undone(txn, DROVER__V1__MADE__KIND__PAUSE); /* by libvirt: later pauses are not ours */
    if (s->actions & PARTICIPANT_RESUME_SOURCE)
        transaction_made(txn, DROVER__V1__MADE__KIND__RESUME, txn->guest);
    if (s->actions & PARTICIPANT_AUTOSTART_OFF)
        transaction_made(txn, DROVER__V1__MADE__KIND__AUTOSTART, txn->guest);
    if (s->actions & PARTICIPANT_DEFINE && txn->record->definition && txn->record->definition->persistent)
        transaction_made(txn, DROVER__V1__MADE__KIND__DEFINITION, txn->guest);
    bool image = s->first == PARTICIPANT_OWNER && s->actions & PARTICIPANT_END;
    if (image || (s->by_word && txn->record->cold_generation))
        transaction_made(txn, DROVER__V1__MADE__KIND__FROM_DISKS, txn->guest);
    if (s->first == PARTICIPANT_OWNER) /* from here on the copied disks may hold what is nowhere else */
        transaction_undone(txn, DROVER__V1__MADE__KIND__IMAGE);
    if (s->first == PARTICIPANT_TOMBSTONE || s->first == PARTICIPANT_RELEASED ||
        s->then == PARTICIPANT_RELEASED)
        transaction_unreserve(txn);
}

/* Durable as soon as it is known: a restart of the agent forgets what libvirt told. */
static int note_pause(struct transaction *txn, struct error *err)
{
    bool is = txn->others_pause && !transaction_has_made(txn, DROVER__V1__MADE__KIND__PAUSE);
    if (transaction_state(txn) != PARTICIPANT_MIGRATING ||
        is == transaction_has_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE))
        return 0;
    const struct manifest_was was = transaction_manifest(txn);
    _cleanup_free_ bool *undone = was.undone;
    if (is)
        transaction_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE, txn->guest);
    else
        transaction_undone(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE);
    int e = transaction_write(txn, PARTICIPANT_MIGRATING, err);
    if (e < 0)
        transaction_manifest_back(txn, &was);
    return e;
}

int drive_step(struct operation *op, enum participant_event event, int64_t deadline_ms, struct outcome *ret,
               struct error *err)
{
    struct transaction *txn = op->txn;
    _cleanup_connect_ virConnectPtr conn = NULL;
    struct participant_facts f;
    struct participant_step s;
    struct participant half;
    int64_t asked = 0;
    *ret = (struct outcome){0};
    int e = note_pause(txn, err);
    if (e < 0)
        return e;
    for (;;) {
        if (!looked_enough(txn, event, &f, ret->text, sizeof(ret->text)))
            look(txn, &conn, &f, ret->text, sizeof(ret->text));
        half = half_of(txn);
        s = participant_step(&half, event, &f);
        if (!(s.actions & PARTICIPANT_STOP_JOB))
            break;
        int64_t now = clock_monotonic_ms();
        if (now >= deadline_ms || txn->all->closing) {
            s.answer = PARTICIPANT_IN_DOUBT;
            s.why = "libvirt was told to give up the migration and has not ended it yet";
            break;
        }
        if (now - asked >= ASK_AGAIN_MS && conn) { /* before QEMU's part has begun it has no effect */
            domain_stop_job(conn, txn->guest, NULL);
            asked = now;
        }
        usleep(POLL_MS * 1000);
    }
    ret->answer = s.answer;
    ret->actions = s.actions & ~(unsigned)PARTICIPANT_STOP_JOB;
    if (s.why) {
        _cleanup_free_ char *seen = xstrdup(ret->text);
        snprintf(ret->text, sizeof(ret->text), seen[0] ? "%s; seen: %s" : "%s", s.why, seen);
    }
    const struct manifest_was was = transaction_manifest(txn);
    _cleanup_free_ bool *undone = was.undone;
    manifest(txn, &s, &f);
    ret->off = f.guest == PARTICIPANT_OFF || f.guest == PARTICIPANT_OFF_MIGRATED;
    bool write = s.first != half.state || s.actions & PARTICIPANT_AUTOSTART_OFF;
    if (write && (e = transaction_write(txn, s.first, err)) < 0) {
        transaction_manifest_back(txn, &was);
        return e;
    }
    if (act(txn, conn, &s, ret) < 0)
        return 0;
    return s.then != s.first ? transaction_write(txn, s.then, err) : 0;
}

/* ---- the loop's part ---- */

static void look_again(void *arg)
{
    struct transaction *txn = arg;
    txn->again = NULL;
    drive_look(txn);
}

void drive_look_later(struct transaction *txn)
{
    if (!txn->again)
        txn->again = loop_timer_start(txn->all->agent->loop, RETRY_MS, look_again, txn);
}

void drive_done(struct transaction *txn, unsigned actions)
{
    if (!txn || txn->all->closing)
        return;
    if (actions & PARTICIPANT_START_JOB) {
        failpoint("agent.start_job.before");
        transfer_start(txn, false);
        failpoint("agent.start_job.after");
    }
    if (actions & PARTICIPANT_TELL_PEER)
        handover_start(txn);
    if (actions & KEPTS_DEEDS)
        drive_look_later(txn);
    transfer_stepped(txn);
    if (txn->sender && txn->state != PARTICIPANT_PREPARED)
        txn->sender = disk_sender_free(txn->sender);
    if (txn->role == PARTICIPANT_DESTINATION && txn->state != PARTICIPANT_PREPARED)
        receivers_stop(txn->all, txn->id);
}

struct looking {
    struct operation op;
    struct outcome out;
    struct error err;
    bool lease; /* it is over */
    bool job, looked, asked;
    char id[37];
};

/* Nobody has asked for a lease. A prepared source lets go: from then on a MIGRATE is refused, nothing has moved. A prepared
 * destination gives the memory back if nothing has come, and no more: the source may be migrating. */
static void end_lease(struct looking *l, struct transaction *txn)
{ /* model: S15 D14 */
    if (txn->role == PARTICIPANT_SOURCE) {
        l->looked = drive_step(&l->op, PARTICIPANT_SETTLE, 0, &l->out, &l->err) == 0;
        return;
    }
    struct error why = {0};
    struct participant_facts f = {0};
    char text[200];
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(txn->all->agent->libvirt, &why);
    if (!conn || !txn->record->memory ||
        domain_look(conn, txn->guest, txn->role, &f, text, sizeof(text), &why) < 0 ||
        f.guest != PARTICIPANT_ABSENT)
        return;
    transaction_unreserve(txn);
    transaction_write(txn, PARTICIPANT_PREPARED, NULL);
}

/* Of what an older agent has begun, or an operator has turned on again in mid-transfer. Not while libvirt's job is on: it would wait
 * for that. */
static void fence_autostart(struct transaction *txn)
{
    const Drover__V1__Definition *d = txn->record->definition;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(txn->all->agent->libvirt, NULL);
    if (conn && d && d->persistent && d->autostart)
        domain_set_autostart(conn, txn->guest, false, NULL);
}

static void look_work(struct operation *op)
{
    struct looking *l = (struct looking *)op;
    struct transaction *txn = op->txn;
    if (!txn)
        return;
    /* A crash in a prepare hook: there was no vote, so it is a no. model: S2 D2 */
    enum participant_event event =
        transaction_state(txn) == PARTICIPANT_NONE ? PARTICIPANT_PREPARE_NO : PARTICIPANT_LOOK;
    l->looked = drive_step(op, event, 0, &l->out, &l->err) == 0;
    if (transaction_state(txn) == PARTICIPANT_PREPARED && l->lease)
        end_lease(l, txn);
    if (transaction_state(txn) == PARTICIPANT_FENCED && !txn->calling)
        fence_autostart(txn);
    if (transaction_state(txn) == PARTICIPANT_MIGRATING) {
        char text[200];
        struct participant_facts f = {0};
        _cleanup_connect_ virConnectPtr conn = libvirt_ref(txn->all->agent->libvirt, NULL);
        l->asked = conn && domain_look(conn, txn->guest, txn->role, &f, text, sizeof(text), NULL) == 0;
        l->job = l->asked && f.job;
    }
}

static void look_done(struct operation *op)
{
    struct looking *l = (struct looking *)op;
    struct transaction *txn = op->txn;
    if (txn && !op->all->closing) {
        if (l->looked)
            drive_done(txn, l->out.actions);
        else
            log_error("transaction %s: %s", txn->id, l->err.text);
        txn->looked |= l->asked;
        if (l->job && !txn->transfer)
            transfer_start(txn, true);
        bool failed = !l->looked || l->out.answer == PARTICIPANT_IN_DOUBT;
        if (failed)
            drive_look_later(txn);
    }
    free(l);
}

void drive_look(struct transaction *txn)
{
    struct looking *l = new0(struct looking);
    l->lease = clock_monotonic_ms() - txn->heard_ms > TRANSACTION_LEASE_MS;
    memcpy(l->id, txn->id, sizeof(l->id));
    memcpy(l->op.guest, txn->guest, sizeof(l->op.guest));
    l->op.all = txn->all;
    l->op.id = l->id;
    l->op.work = look_work;
    l->op.done = look_done;
    turn_take(&l->op);
}
