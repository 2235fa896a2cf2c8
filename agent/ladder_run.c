#include "agent/ladder_run.h"

#include "agent/core/ladder_gate.h"
#include "agent/core/ladder_learn.h"
#include "agent/io/domain.h"
#include "agent/samples.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <string.h>

struct ladder_run {
    struct transaction *txn;
    struct ladder ladder;
    void (*said)(void *arg, const char *text);
    void (*downtime)(void *arg, int64_t ms);
    void *arg;
    bool adopted; /* libvirt's job was begun before this program */
    bool cancelled, pauses;
    struct ladder_gate gate;
    char why[256];
};

struct ladder_policy ladder_run_policy(Drover__V1__Mode mode, const Drover__V1__Policy *policy)
{
    static const enum ladder_mode modes[] = {
        [DROVER__V1__MODE__MODE_AUTO] = LADDER_AUTO,
        [DROVER__V1__MODE__MODE_LIVE] = LADDER_LIVE,
        [DROVER__V1__MODE__MODE_POST_COPY] = LADDER_POST_COPY,
        [DROVER__V1__MODE__MODE_OFFLINE] = LADDER_OFFLINE,
    };
    bool known = (unsigned)mode < sizeof(modes) / sizeof(modes[0]);
    struct ladder_policy p = {.mode = known ? modes[mode] : LADDER_LIVE};
    if (policy) {
        p.max_pause = policy->max_pause;
        p.deadline = policy->deadline;
        p.auto_converge = policy->auto_converge;
        p.offline = policy->offline;
        p.post_copy = policy->post_copy;
    }
    return p;
}

uint64_t ladder_run_limit(const struct transaction *txn)
{
    uint64_t limit = txn->record->policy ? txn->record->policy->bandwidth : 0;
    /* While others have the link, its little is not what it will have. */
    uint64_t share = txn->waits ? 0 : txn->begin_bandwidth;
    return share && (!limit || share < limit) ? share : limit;
}

static void ladder_make(struct transaction *txn, struct ladder *ladder, struct ladder_start *ret_start)
{
    const Drover__V1__Record *r = txn->record;
    const struct samples *samples = txn->all->agent->samples;
    struct ladder_policy policy = ladder_run_policy(r->mode, r->policy);
    struct model_input guest = {.overhead = samples_overhead(samples, r->peer->host)};
    bool copies = r->relocation && r->relocation->n_copies;
    const char *source;
    int64_t age;
    if (r->guest)
        guest.memory = (int64_t)r->guest->memory_max;
    samples_guest(samples, txn->guest, &guest);
    guest.bandwidth = samples_link(samples, r->peer->host, &source, &age);
    int64_t limit = (int64_t)ladder_run_limit(txn);
    if (limit && (!guest.bandwidth || limit < guest.bandwidth))
        guest.bandwidth = limit;
    if (copies) /* libvirt does not combine the two */
        policy.post_copy = false;
    ladder_init(ladder, &policy, &guest, ret_start);
    if (ret_start->paused && policy.mode != LADDER_OFFLINE && copies) {
        guest.n_windows = 0; /* the disks come first, and the guest would stand still for them, too */
        ladder_init(ladder, &policy, &guest, ret_start);
    }
}

void ladder_run_begin(struct transaction *txn)
{
    Drover__V1__Record *r = txn->record;
    struct ladder ladder;
    struct ladder_start start;
    ladder_make(txn, &ladder, &start);
    if (!r->begun) {
        r->begun = new0(Drover__V1__Begun);
        drover__v1__begun__init(r->begun);
    }
    r->begun->paused = start.paused;
    r->begun->auto_converge = start.auto_converge;
    r->begun->post_copy = start.post_copy;
}

/* The program's last run has given it up, and libvirt's job is still there: the first sample asks for its end once more. */
static void go_on_cancelling(struct ladder_run *run, const char *why)
{
    run->cancelled = true;
    snprintf(run->why, sizeof(run->why), "%s", why);
    ladder_give_up(&run->ladder);
}

struct ladder_run *ladder_run_new(struct transaction *txn, void (*said)(void *arg, const char *text),
                                  void (*downtime)(void *arg, int64_t ms), void *arg, bool adopt,
                                  struct ladder_start *ret_start)
{
    const Drover__V1__Begun *begun = txn->record->begun;
    struct ladder_run *run = new0(struct ladder_run);
    run->txn = txn;
    run->said = said;
    run->downtime = downtime;
    run->arg = arg;
    run->adopted = adopt;
    run->pauses = adopt && ladder_run_paused_since(txn);
    ladder_make(txn, &run->ladder, ret_start);
    if (begun) {
        ret_start->paused = begun->paused;
        ret_start->auto_converge = begun->auto_converge;
        ret_start->post_copy = begun->post_copy;
        run->gate.before = adopt ? begun->before : 0;
        run->gate.begun = run->gate.before > 0;
    } else if (adopt) { /* by an older agent */
        ret_start->paused = txn->record->mode == DROVER__V1__MODE__MODE_OFFLINE;
        ret_start->post_copy = false;
    }
    ladder_adopt(&run->ladder, ret_start,
                 adopt && transaction_has_made(txn, DROVER__V1__MADE__KIND__POST_COPY));
    if (adopt && ladder_run_given_up(txn) && !transaction_has_made(txn, DROVER__V1__MADE__KIND__POST_COPY))
        go_on_cancelling(run, ladder_run_given_up(txn));
    return run;
}

struct ladder_run *ladder_run_free(struct ladder_run *run)
{
    free(run);
    return NULL;
}

/* ---- what it does to the guest: an operation of the guest's turn ---- */

struct deed {
    struct operation op;
    enum ladder_action action;
    bool break_stream;
    bool refused;   /* out: libvirt won't do it later either */
    int64_t before; /* to be written down: ladder_gate.h */
    char why[256];  /* the same: of a cancel */
    char id[37];
    struct error err;
};

static int suspend(struct transaction *txn, virConnectPtr conn, struct error *err)
{ /* model: S21 */
    char text[200];
    struct participant_facts f = {0};
    bool ours = transaction_has_made(txn, DROVER__V1__MADE__KIND__PAUSE);
    transaction_made(txn, DROVER__V1__MADE__KIND__PAUSE, txn->guest);
    int e = ours ? 0 : transaction_write(txn, transaction_state(txn), err);
    if (e < 0)
        transaction_undone(txn, DROVER__V1__MADE__KIND__PAUSE); /* so that the next try writes it */
    if (e == 0)
        e = domain_suspend(conn, txn->guest, err);
    if (e == 0 &&
        !transaction_may_post_copy(txn) && /* else it may run at the destination: SETTLE has to say */
        domain_look(conn, txn->guest, txn->role, &f, text, sizeof(text), NULL) == 0 &&
        f.guest == PARTICIPANT_PAUSED && !f.job)
        e = domain_resume(conn, txn->guest, err); /* there is nothing left that the pause is for */
    return e;
}

static bool start_post_copy(struct transaction *txn, virConnectPtr conn, struct error *err)
{ /* model: S26 */
    bool asked = transaction_has_made(txn, DROVER__V1__MADE__KIND__POST_COPY);
    transaction_made(txn, DROVER__V1__MADE__KIND__POST_COPY, txn->guest);
    if (!asked && transaction_write(txn, transaction_state(txn), err) < 0) {
        transaction_undone(txn,
                           DROVER__V1__MADE__KIND__POST_COPY); /* nobody was asked: it can be cancelled */
        return true;
    }
    int e = domain_start_post_copy(conn, txn->guest, err);
    if (e == -STATUS_FAILED_PRECONDITION) { /* libvirt refuses it: it won't come later either */
        transaction_undone(txn, DROVER__V1__MADE__KIND__POST_COPY);
        transaction_write(txn, transaction_state(txn), NULL);
    }
    return e != -STATUS_FAILED_PRECONDITION;
}

/* Whoever settles names the pause that it would have needed, after a restart, too. */
static void cancel(struct deed *d, virConnectPtr conn)
{
    struct transaction *txn = d->op.txn;
    Drover__V1__Begun *begun = txn->record->begun;
    if (begun && !ladder_run_given_up(txn)) {
        begun->cancelled = xstrdup(d->why);
        transaction_write(txn, transaction_state(txn), NULL);
    }
    failpoint("agent.ladder.cancel.before");
    domain_stop_job(conn, d->op.guest, &d->err);
    failpoint("agent.ladder.cancel.after");
}

static void deed_work(struct operation *op)
{
    struct deed *d = (struct deed *)op;
    if (!op->txn || transaction_state(op->txn) != PARTICIPANT_MIGRATING || op->txn->committed)
        return;
    if (d->before) {
        if (op->txn->record->begun) /* else an older agent has begun it */
            op->txn->record->begun->before = d->before;
        transaction_write(op->txn, PARTICIPANT_MIGRATING, &d->err);
        return;
    }
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(op->all->agent->libvirt, &d->err);
    if (!conn)
        return;
    if (d->break_stream)
        domain_break_post_copy(conn, op->guest, &d->err);
    else if (d->action == LADDER_START_POST_COPY)
        d->refused = !start_post_copy(op->txn, conn, &d->err);
    else if (transaction_has_made(op->txn, DROVER__V1__MADE__KIND__POST_COPY))
        error_set(&d->err, STATUS_FAILED_PRECONDITION, "post-copy was asked for");
    else if (d->action == LADDER_PAUSE)
        suspend(op->txn, conn, &d->err);
    else
        cancel(d, conn);
}

static void deed_done(struct operation *op)
{
    struct deed *d = (struct deed *)op;
    if (op->txn && d->refused)
        op->txn->refused_post_copy = true;
    if (d->err.code)
        log_warn("transaction %s: %s; it is tried again if it is still needed", d->id, d->err.text);
    free(d);
}

static struct deed *deed_new(struct ladder_run *run)
{
    struct transaction *txn = run->txn;
    struct deed *d = new0(struct deed);
    memcpy(d->id, txn->id, sizeof(d->id));
    memcpy(d->op.guest, txn->guest, sizeof(d->op.guest));
    d->op.all = txn->all;
    d->op.id = d->id;
    d->op.work = deed_work;
    d->op.done = deed_done;
    return d;
}

static void do_deed(struct ladder_run *run, enum ladder_action action)
{
    struct deed *d = deed_new(run);
    d->action = action;
    memcpy(d->why, run->why, sizeof(d->why));
    turn_take(&d->op);
}

/* The disks are there, and the deadline's time begins: for a later run of the program, too. */
static void note_before(struct ladder_run *run)
{
    struct deed *d = deed_new(run);
    d->before = run->gate.before;
    turn_take(&d->op);
}

void ladder_run_break_post_copy(struct ladder_run *run)
{
    struct deed *d = deed_new(run);
    d->break_stream = true;
    turn_take(&d->op);
}

/* ---- samples ---- */

static void obey(struct ladder_run *run, const struct ladder_actions *a)
{
    log_info("transaction %s: %s: %s", run->txn->id, ladder_rung_name(a->rung), a->why);
    run->pauses |= a->action == LADDER_PAUSE;
    switch (a->action) {
    case LADDER_SET_DOWNTIME: run->downtime(run->arg, a->downtime); break;
    case LADDER_CANCEL:
        if (!run->cancelled)
            snprintf(run->why, sizeof(run->why), "%s", a->why);
        run->cancelled = true;
        do_deed(run, a->action);
        break;
    default: do_deed(run, a->action);
    }
    run->said(run->arg, a->why);
}

/* Before the memory's part; libvirt hears of it only where it copies disks or QEMU is at it already, so it is asked again. */
static void give_up(struct ladder_run *run, bool disks)
{
    struct ladder_actions a = {.action = LADDER_CANCEL, .rung = LADDER_RUNG_CANCELLED};
    snprintf(a.why, sizeof(a.why), "cancelled: nothing of it has moved within the deadline: %s",
             disks ? "the disks are not all there" : "the destination's libvirt is not ready for it");
    ladder_give_up(&run->ladder);
    if (run->cancelled)
        do_deed(run, LADDER_CANCEL);
    else
        obey(run, &a);
}

void ladder_run_sample(struct ladder_run *run, const Drover__V1__Progress *p, int64_t paused_for, bool others)
{
    const struct ladder_gate_sample seen = {
        .elapsed = p->elapsed,
        .memory = p->bytes_total,
        .memory_left = p->bytes_left,
        .done = p->disk_done + p->bytes_done,
        .disks = p->disk_total > 0,
        .paused = p->paused,
        .others = others,
        .paused_for = paused_for,
        .committed = run->txn->committed,
    };
    if (run->txn->refused_post_copy) {
        run->txn->refused_post_copy = false;
        ladder_refused_post_copy(&run->ladder);
        run->said(run->arg, "libvirt refuses post-copy: it goes on live");
    }
    struct ladder_actions actions;
    switch (ladder_gate(&run->gate, &run->ladder.policy, &seen)) {
    case LADDER_GATE_WAIT: return;
    case LADDER_GATE_STUCK: give_up(run, p->disk_total > 0); return;
    case LADDER_GATE_BEGIN:
        if (run->gate.before)
            note_before(run);
        else if (!run->adopted)
            samples_learn_setup(run->txn->all->agent->samples, p->elapsed);
        break;
    case LADDER_GATE_PASS: break;
    }
    const struct ladder_sample sample = {
        .elapsed = p->elapsed - run->gate.before,
        .iteration = p->iteration,
        .remaining = (int64_t)p->bytes_left,
        .sent = (int64_t)p->bytes_done,
        .bandwidth = (int64_t)p->rate,
        .throttle = p->throttle,
        .paused = p->paused,
        .post_copy = p->post_copy,
        .paused_for = paused_for,
        .others = others,
        .waits = run->txn->waits,
    };
    ladder_step(&run->ladder, &sample, &actions);
    if (actions.action != LADDER_NOTHING)
        obey(run, &actions);
}

bool ladder_run_pauses(const struct ladder_run *run)
{
    return run->pauses;
}

int64_t ladder_run_time_left(const struct ladder_run *run)
{
    return ladder_time_left(&run->ladder);
}

int64_t ladder_run_carried(const struct ladder_run *run)
{
    return ladder_carried(&run->ladder);
}

const char *ladder_run_cancelled(const struct ladder_run *run)
{
    return run->cancelled ? run->why : NULL;
}

const char *ladder_run_given_up(const struct transaction *txn)
{
    const Drover__V1__Begun *begun = txn->record->begun;
    return begun && begun->cancelled && begun->cancelled[0] ? begun->cancelled : NULL;
}

int64_t ladder_run_paused_since(const struct transaction *txn)
{
    if (!transaction_has_made(txn, DROVER__V1__MADE__KIND__PAUSE))
        return 0;
    /* The manifest was written for the pause, and nothing has been since. */
    return clock_monotonic_of(txn->record->changed);
}
