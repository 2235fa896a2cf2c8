/* A message of the transaction as a call to an agent, and its answer as an event. Each call ends in exactly one event. */
#include "coordinator/driver_internal.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/story/story.h"
#include "coordinator/core/heard.h"
#include "coordinator/core/image_users.h"

#include <string.h>

enum {
    SETTLE_MS = 30000, /* the agent waits until libvirt has ended its job */
    UNDO_MS = 30000,
    START_MS = 120000, /* a cold start boots a QEMU */
    FLEET_MS = 6000,   /* after the start, for the hosts to tell their guests; below TXN_DOUBT_AFTER_MS */
};

struct call {
    struct call *next;
    struct migration *migration; /* NULL: nobody waits any more */
    struct rpc_client *client;
    uint64_t id;
    enum txn_message message;
    enum txn_party party;
    bool sending, ended; /* it may end before it was begun */
};

static const char *host_of(const struct call *c)
{
    return c->migration->txn.host[c->party];
}

static void forget(struct call *c)
{
    if (c->migration)
        for (struct call **p = &c->migration->calls; *p; p = &(*p)->next)
            if (*p == c) {
                *p = c->next;
                break;
            }
    c->migration = NULL;
    c->ended = true;
    if (!c->sending)
        free(c);
}

static void feed(struct call *c, struct txn_event event)
{
    struct migration *m = c->migration;
    event.message = c->message;
    event.party = c->party;
    forget(c);
    if (m)
        migration_feed(m, &event);
}

static void answered(struct call *c, enum txn_event_kind kind, enum txn_answer answer, const char *text)
{
    feed(c, (struct txn_event){.kind = kind, .answer = answer, .text = text});
}

/* True if the call has failed, or nobody waits for it: then there is nothing more to do. */
static bool failed(struct call *c, const void *reply)
{
    if (reply && c->migration)
        return false;
    answered(c, TXN_EVENT_NO_ANSWER, TXN_OK, reply ? NULL : rpc_status()->text);
    return true;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void keep_vote(struct migration *m, enum txn_party party, const Drover__V1__Vote *vote)
{
    Drover__V1__Journal *j = m->journal;
    findings_add(&m->job->n_findings, &m->job->findings, vote->findings, vote->n_findings);
    if (party == TXN_SOURCE && vote->guest && vote->definition && !j->definition) {
        j->guest = (Drover__V1__Guest *)message_copy(&vote->guest->base);
        j->definition = (Drover__V1__Definition *)message_copy(&vote->definition->base);
    }
    /* The source completes it with what it knows of the disks, then the destination with what it made. */
    if (vote->relocation) {
        drover__v1__relocation__free_unpacked(j->relocation, NULL);
        j->relocation = (Drover__V1__Relocation *)message_copy(&vote->relocation->base);
    }
    if (party == TXN_DESTINATION && vote->endpoint) {
        drover__v1__endpoint__free_unpacked(j->destination, NULL);
        j->destination = (Drover__V1__Endpoint *)message_copy(&vote->endpoint->base);
    }
}

static char *why_not(const Drover__V1__Vote *vote)
{
    const Drover__V1__Finding *first = NULL;
    unsigned blocks = 0;
    for (size_t i = 0; i < vote->n_findings; i++)
        if (vote->findings[i]->severity == DROVER__V1__SEVERITY__BLOCK) {
            first = first ? first : vote->findings[i];
            blocks++;
        }
    if (!first)
        return xstrdup("it says no, without a finding that says why");
    _cleanup_free_ char *sentence = finding_sentence(first);
    return blocks == 1 ? xstrdup(sentence) : xasprintf("%s (and %u more)", sentence, blocks - 1);
}

static void on_vote(const Drover__V1__Vote *vote, void *data)
{
    struct call *c = data;
    if (failed(c, vote))
        return;
    bool expected = c->migration->txn.state == TXN_PREPARING;
    if (expected)
        keep_vote(c->migration, c->party, vote);
    if (vote->yes && c->party == TXN_SOURCE && !c->migration->journal->definition) {
        answered(c, TXN_EVENT_ANSWER, TXN_NO,
                 "its agent votes yes without the guest's definition: is it of this version?");
        return;
    }
    _cleanup_free_ char *why = vote->yes ? NULL : why_not(vote);
    answered(c, TXN_EVENT_ANSWER, vote->yes ? TXN_YES : TXN_NO, why);
}

/* The connection's loss, not the agent's answer: the transfer may well go on. */
static bool stream_was_lost(void)
{
    enum status_code code = rpc_status()->code;
    return code == STATUS_OK || code == STATUS_UNAVAILABLE || code == STATUS_DATA_LOSS ||
           code == STATUS_DEADLINE_EXCEEDED;
}

/* The end of the stream without the agent's word. */
static char *why_ended(const struct call *c)
{
    const struct error *status = rpc_status();
    switch (status->code) {
    case STATUS_OK: return xasprintf("%s's agent says no more of it", host_of(c));
    case STATUS_DATA_LOSS: return xasprintf("%s's agent was restarted", host_of(c));
    default: return xasprintf("%s's agent: %s", host_of(c), status->text);
    }
}

static void on_transfer(const Drover__V1__TransferEvent *event, void *data)
{
    struct call *c = data;
    struct migration *m = c->migration;
    if (!m || !event) {
        _cleanup_free_ char *why = m ? why_ended(c) : NULL;
        answered(c, stream_was_lost() ? TXN_EVENT_NO_ANSWER : TXN_EVENT_ANSWER, TXN_FAILED, why);
        return;
    }
    if (m->txn.state != TXN_TRANSFER)
        return;
    if (event->progress) {
        if (m->job->progress)
            drover__v1__progress__free_unpacked(m->job->progress, NULL);
        m->job->progress = (Drover__V1__Progress *)message_copy(&event->progress->base);
        story_pass(&m->job->n_passes, &m->job->passes, event->progress);
        if (!m->job->progress->phase[0])
            set_text(&m->job->progress->phase, "transfer");
    }
    if (event->forecast) {
        drover__v1__forecast__free_unpacked(m->job->forecast, NULL);
        m->job->forecast = (Drover__V1__Forecast *)message_copy(&event->forecast->base);
    }
    if (event->decision[0] && heard_anew(m->journal, event->run, event->number))
        migration_log(m, event->decision);
    if (!event->ended) {
        bool post_copy = event->progress && event->progress->post_copy;
        bool broken = post_copy && event->progress->broken;
        migration_feed(
            m, &(struct txn_event){.kind = TXN_EVENT_PROGRESS, .post_copy = post_copy, .broken = broken});
        return;
    }
    m->transfer_ended = clock_monotonic_ms();
    /* The stream's own end comes later, and is nobody's any more. */
    enum txn_answer answer = event->succeeded ? TXN_OK : TXN_FAILED;
    migration_feed(m, &(struct txn_event){.kind = TXN_EVENT_ANSWER,
                                          .message = TXN_MIGRATE,
                                          .party = TXN_SOURCE,
                                          .answer = answer,
                                          .text = event->error});
}

/* What is known stays known: an agent that was restarted has lost some of it. */
static void keep_result(struct migration *m, const Drover__V1__Result *more)
{
    if (!m->job->result) {
        m->job->result = (Drover__V1__Result *)message_copy(&more->base);
        return;
    }
    Drover__V1__Result *r = m->job->result;
#define KEEP(field) r->field = more->field ? more->field : r->field
    KEEP(transfer);
    KEEP(downtime);
    KEEP(handover);
    KEEP(pause);
    KEEP(bytes);
    KEEP(iterations);
    KEEP(throttle);
    KEEP(post_copy);
    KEEP(faults);
    KEEP(throttled);
    KEEP(others_pause);
    KEEP(given_up);
    KEEP(seen_late);
#undef KEEP
}

static void on_settled(const Drover__V1__SettleReply *reply, void *data)
{
    struct call *c = data;
    if (failed(c, reply))
        return;
    struct migration *m = c->migration;
    if (reply->result)
        keep_result(m, reply->result);
    if (reply->story)
        migration_hear(m, reply->story);
    m->activated_by_mesh = reply->activated;
    if (reply->warning[0])
        migration_log(m, reply->warning);
    if (!m->transfer_ended)
        m->transfer_ended = clock_monotonic_ms();
    enum txn_answer answer = reply->outcome == DROVER__V1__OUTCOME__KEPT   ? TXN_KEPT
                             : reply->outcome == DROVER__V1__OUTCOME__GONE ? TXN_GONE
                                                                           : TXN_UNKNOWN;
    feed(c, (struct txn_event){.kind = TXN_EVENT_ANSWER,
                               .answer = answer,
                               .paused = reply->paused,
                               .from_disks = reply->from_disks,
                               .text = reply->text});
}

/* Where the source's own word to the destination was lost, the guest waited for the coordinator's. */
static void count_handover(struct migration *m)
{
    Drover__V1__Result *r = m->job->result;
    if (m->activated_by_mesh || !r ||
        !r->downtime) /* nothing is known of the pause: an agent was restarted */
        return;
    int64_t waited = clock_monotonic_ms() - m->transfer_ended;
    if (waited > r->handover)
        r->handover = waited;
    if (r->downtime + r->handover > r->pause)
        r->pause = r->downtime + r->handover;
}

static void on_activated(const Drover__V1__ActivateReply *reply, void *data)
{
    struct call *c = data;
    if (failed(c, reply))
        return;
    enum txn_answer answer = reply->activation == DROVER__V1__ACTIVATION__RUNNING ? TXN_RUNNING
                             : reply->activation == DROVER__V1__ACTIVATION__LOST  ? TXN_LOST
                                                                                  : TXN_UNKNOWN;
    if (answer == TXN_RUNNING)
        count_handover(c->migration);
    feed(c, (struct txn_event){.kind = TXN_EVENT_ANSWER,
                               .answer = answer,
                               .from_disks = reply->from_disks,
                               .text = reply->text});
}

/* Of a copy that should not have run; it is told once, also if ABORT is repeated. */
static void keep_warning(struct migration *m, const char *host, const char *text)
{
    Drover__V1__Finding f = DROVER__V1__FINDING__INIT, *one = &f;
    for (size_t i = 0; i < m->job->n_findings; i++)
        if (streq(m->job->findings[i]->id, COPY_ENDED))
            return;
    _cleanup_free_ char *todo =
        xasprintf("check the file systems of %s: both copies have written to its disks", m->job->guest);
    f.id = (char *)COPY_ENDED;
    f.severity = DROVER__V1__SEVERITY__WARN;
    f.subject = (char *)host;
    f.seen = (char *)text;
    f.expected = (char *)"an image that waits is left alone until the migration has ended";
    f.todo = todo;
    findings_add(&m->job->n_findings, &m->job->findings, &one, 1);
    migration_log(m, text);
}

static void on_aborted(const Drover__V1__AbortReply *reply, void *data)
{
    struct call *c = data;
    if (reply && c->migration && reply->warning[0])
        keep_warning(c->migration, host_of(c), reply->warning);
    if (!failed(data, reply))
        answered(data, TXN_EVENT_ANSWER, TXN_OK, reply->text);
}

static void keep_left(Drover__V1__Job *job, const Drover__V1__ReleaseReply *reply)
{
    for (size_t i = job->n_left; i < reply->n_left; i++) { /* a repeated one says the same */
        job->left = xrealloc(job->left, job->n_left + 1, sizeof(*job->left));
        job->left[job->n_left++] = xstrdup(reply->left[i]);
    }
}

static void on_released(const Drover__V1__ReleaseReply *reply, void *data)
{
    struct call *c = data;
    if (reply && c->migration)
        keep_left(c->migration->job, reply);
    if (!failed(data, reply))
        answered(data, TXN_EVENT_ANSWER, TXN_OK, reply->text);
}

static void on_cold_started(const Drover__V1__ColdStartReply *reply, void *data)
{
    if (!failed(data, reply))
        answered(data, TXN_EVENT_ANSWER, TXN_OK, reply->text);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static Drover__V1__Role role_of(enum txn_party party)
{
    static const Drover__V1__Role roles[TXN_N_PARTIES] = {
        [TXN_SOURCE] = DROVER__V1__ROLE__SOURCE,
        [TXN_DESTINATION] = DROVER__V1__ROLE__DESTINATION,
    };
    return roles[party];
}

static void prepare(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step)
{
    const struct migration *m = c->migration;
    Drover__V1__PrepareRequest r = DROVER__V1__PREPARE_REQUEST__INIT;
    bool to_source = c->party == TXN_SOURCE;
    r.step = step;
    r.role = role_of(c->party);
    r.mode = m->journal->mode;
    r.policy = m->journal->policy;
    r.guest_name = m->job->guest;
    r.guest = to_source ? NULL : m->journal->guest;
    r.definition = to_source ? NULL : m->journal->definition;
    r.peer = to_source ? m->journal->destination : m->journal->source;
    r.relocation = m->journal->relocation;
    r.accept = m->journal->accept;
    r.n_accept = m->journal->n_accept;
    stub->timeout_ms = TXN_PREPARE_MS;
    stub->once = true;
    drover__v1__agent__prepare(&stub->base, &r, on_vote, c);
}

static void migrate(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step)
{
    const struct migration *m = c->migration;
    Drover__V1__MigrateRequest r = DROVER__V1__MIGRATE_REQUEST__INIT;
    r.step = step;
    r.mode = m->journal->mode;
    r.policy = m->journal->policy;
    r.destination = m->journal->destination;
    r.relocation = m->journal->relocation;
    const struct driver_hooks *hooks = &m->driver->hooks;
    if (hooks->begins)
        hooks->begins(hooks->arg, m->job, &r);
    stub->stream = true;
    drover__v1__agent__migrate(&stub->base, &r, on_transfer, c);
}

static void settle(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step)
{
    Drover__V1__SettleRequest r = DROVER__V1__SETTLE_REQUEST__INIT;
    r.step = step;
    r.reason = c->migration->txn.why;
    r.granted = c->migration->txn.granted;
    r.cold_generation = c->migration->txn.resolve_cold ? c->migration->txn.cold_generation : 0;
    r.resolve = c->migration->txn.resolve == TXN_KEPT   ? DROVER__V1__OUTCOME__KEPT
                : c->migration->txn.resolve == TXN_GONE ? DROVER__V1__OUTCOME__GONE
                                                        : DROVER__V1__OUTCOME__OUTCOME_UNKNOWN;
    stub->timeout_ms = SETTLE_MS;
    drover__v1__agent__settle(&stub->base, &r, on_settled, c);
}

/* Where the message has images renamed or removed: a host that has not told yet what its guests use. */
static const struct fleet_host *unknown_user(const struct call *c)
{
    const struct migration *m = c->migration;
    bool touches = c->party == TXN_SOURCE ? c->message == TXN_RELEASE : c->message == TXN_ABORT;
    return touches && m->journal->relocation && m->journal->relocation->n_copies
               ? image_users_unknown(m->driver->config.fleet, m->txn.host[TXN_SOURCE],
                                     m->txn.host[TXN_DESTINATION])
               : NULL;
}

/* What a third host's guest uses is not the two agents' to see. The list is the caller's, its strings are the journal's. */
static size_t keep_of(const struct call *c, char ***ret)
{
    struct migration *m = c->migration;
    const struct fleet_host *unknown = unknown_user(c);
    if (unknown && !m->said_unknown) {
        _cleanup_free_ char *text = xasprintf("%s has not told what images its guests use: "
                                              "none that it may use is renamed or removed",
                                              unknown->name);
        migration_log(m, text);
        m->said_unknown = true;
    }
    return image_users_find(m->driver->config.fleet, m->txn.host[TXN_SOURCE], m->txn.host[TXN_DESTINATION],
                            m->job->guest_uuid, m->journal->relocation, c->party == TXN_SOURCE, ret);
}

static void undo(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step)
{
    Drover__V1__AbortRequest r = DROVER__V1__ABORT_REQUEST__INIT;
    r.step = step;
    r.role = role_of(c->party);
    r.reason = c->migration->txn.why;
    r.taken_back = c->migration->txn.taken_back;
    _cleanup_free_ char **keep = NULL;
    r.n_keep = keep_of(c, &keep);
    r.keep = keep;
    stub->timeout_ms = UNDO_MS;
    drover__v1__agent__abort(&stub->base, &r, on_aborted, c);
}

static void activate(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step)
{
    Drover__V1__ActivateRequest r = DROVER__V1__ACTIVATE_REQUEST__INIT;
    r.step = step;
    r.paused = c->migration->txn.paused;
    r.cold_generation = c->migration->txn.from_disks ? c->migration->txn.cold_generation : 0;
    stub->timeout_ms = UNDO_MS;
    drover__v1__agent__activate(&stub->base, &r, on_activated, c);
}

static void release(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step)
{
    Drover__V1__ReleaseRequest r = DROVER__V1__RELEASE_REQUEST__INIT;
    r.step = step;
    r.role = role_of(c->party);
    _cleanup_free_ char **keep = NULL;
    r.n_keep = keep_of(c, &keep);
    r.keep = keep;
    stub->timeout_ms = UNDO_MS;
    drover__v1__agent__release(&stub->base, &r, on_released, c);
}

static void cold_start(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step)
{
    Drover__V1__ColdStartRequest r = DROVER__V1__COLD_START_REQUEST__INIT;
    r.step = step;
    r.transaction = c->migration->job->transaction;
    stub->timeout_ms = START_MS;
    drover__v1__agent__cold_start(&stub->base, &r, on_cold_started, c);
}

typedef void (*question)(struct call *c, struct rpc_stub *stub, Drover__V1__Step *step);

static const question questions[TXN_N_MESSAGES] = {
    [TXN_PREPARE] = prepare,   [TXN_MIGRATE] = migrate, [TXN_SETTLE] = settle,   [TXN_ABORT] = undo,
    [TXN_ACTIVATE] = activate, [TXN_RELEASE] = release, [TXN_COLD] = cold_start,
};

void migration_send(struct migration *m, enum txn_message message, enum txn_party party)
{
    struct call *c = new0(struct call);
    *c = (struct call){.next = m->calls, .migration = m, .message = message, .party = party, .sending = true};
    m->calls = c;
    c->client = agents_client(m->driver->config.agents, host_of(c));
    const struct fleet_host *unknown = unknown_user(c);
    bool early = unknown && clock_monotonic_ms() - m->driver->started_ms < FLEET_MS;
    if (early || !c->client) {
        _cleanup_free_ char *text =
            early ? xasprintf("%s has not told its guests yet", unknown->name)
                  : xasprintf("%s is not in the coordinator's configuration (`hosts:`)", host_of(c));
        answered(c, TXN_EVENT_NO_ANSWER, TXN_OK, text);
        free(c);
        return;
    }
    Drover__V1__Step step = DROVER__V1__STEP__INIT;
    step.transaction = m->job->transaction;
    step.guest = m->job->guest_uuid;
    step.generation = txn_generation(&m->txn, message);
    step.epoch = store_epoch(m->driver->config.store);
    step.transferred = m->txn.transferred;
    if (step.transferred && message != TXN_MIGRATE) {
        step.definition = m->journal->definition;
        step.mode = m->journal->mode;
    }
    struct rpc_stub stub = rpc_stub(c->client, &drover__v1__agent__descriptor);
    questions[message](c, &stub, &step);
    c->sending = false;
    c->id = stub.id;
    if (c->ended)
        free(c);
}

void migration_drop_calls(struct migration *m)
{
    while (m->calls) {
        struct call *c = m->calls;
        m->calls = c->next;
        c->migration = NULL;
        rpc_client_cancel(c->client, c->id);
    }
}
