/* The last look: both libvirts are asked where the guest is, and the outcome is put into a sentence. What they say never
 * changes what was done; it is told. */
#include "coordinator/driver_internal.h"

#include "common/base/memory.h"

enum { CHECK_MS = 10000, HOOKS_MS = 60000 /* that hooks are waited for, after all else is done */ };

struct check_call {
    struct check *check; /* NULL: nobody waits any more */
    enum txn_party party;
    struct rpc_client *client;
    uint64_t id;
    bool sending, ended;
};

struct seen {
    bool asked, exists;
    Drover__V1__GuestState state;
    char why[200]; /* not asked */
};

struct check {
    struct migration *migration;
    struct check_call *calls[2]; /* by party; NULL: answered */
    struct seen seen[2];
    struct loop_timer *timer;
    int64_t since;
};

static bool is_active(const struct seen *s)
{
    return s->asked && s->exists && s->state != DROVER__V1__GUEST_STATE__GUEST_SHUTOFF &&
           s->state != DROVER__V1__GUEST_STATE__GUEST_CRASHED;
}

static const char *state_words(const struct seen *s)
{
    switch (s->state) {
    case DROVER__V1__GUEST_STATE__GUEST_RUNNING: return "runs";
    case DROVER__V1__GUEST_STATE__GUEST_PAUSED: return "is paused";
    case DROVER__V1__GUEST_STATE__GUEST_SHUTOFF: return "is shut off";
    case DROVER__V1__GUEST_STATE__GUEST_CRASHED: return "has crashed";
    case DROVER__V1__GUEST_STATE__GUEST_SUSPENDED: return "is suspended";
    case DROVER__V1__GUEST_STATE__GUEST_SHUTDOWN: return "is shutting down";
    default: return "is";
    }
}

/* ---- the sentence ------------------------------------------------------------------------------------------------ */

static char *figures(const struct migration *m)
{
    const Drover__V1__Result *r = m->job->result;
    char total[32], paused[32], bytes[32];
    say_ms(r->total, total);
    say_ms(r->pause ? r->pause : r->downtime, paused);
    say_bytes(r->bytes, bytes);
    if (m->txn.paused) /* for as long as the operator wanted */
        return xasprintf("moved from %s in %s, %s", m->job->source, total, bytes);
    bool measured =
        r->bytes || r->pause || r->downtime; /* not of a definition, nor where a crash lost the figures */
    if (!measured)
        return xasprintf("moved from %s in %s", m->job->source, total);
    return xasprintf("moved from %s in %s, paused %s, %s", m->job->source, total, paused, bytes);
}

static void say_where(struct migration *m, const struct seen *at, const char *host, const char *more)
{
    Drover__V1__Job *job = m->job;
    _cleanup_free_ char *text = NULL;
    if (!at->asked)
        text = xasprintf("%s is on %s (%s); %s could not be asked at the end: %s", job->guest, host, more,
                         host, at->why);
    else if (!at->exists)
        text = xasprintf("%s was on %s (%s), and has gone from there since", job->guest, host, more);
    else
        text = xasprintf("%s %s on %s (%s)", job->guest, state_words(at), host, more);
    set_text(&job->text, text);
    if (!at->asked || at->exists)
        set_text(&job->runs_on, host);
}

/* Disks that were copied away are the operator's to remove. */
static void say_left(Drover__V1__Job *job)
{
    _cleanup_free_ char *list = NULL;
    for (size_t i = 0; i < job->n_left; i++) {
        char *longer = xasprintf("%s%s%s", list ? list : "", list ? ", " : "", job->left[i]);
        free(list);
        list = longer;
    }
    if (!list)
        return;
    _cleanup_free_ char *text = xasprintf("%s; its old disk%s kept on %s: %s", job->text,
                                          job->n_left == 1 ? " is" : "s are", job->source, list);
    set_text(&job->text, text);
    if (job->todo[0])
        return;
    _cleanup_free_ char *todo = xasprintf("remove %s on %s when the guest is seen to be well on %s", list,
                                          job->source, job->destination);
    set_text(&job->todo, todo);
}

/* What an operator did in mid-transfer, and may have forgotten. */
static void say_paused(struct migration *m, const struct seen *at, const char *host)
{
    Drover__V1__Job *job = m->job;
    if (!m->txn.paused || !at->asked || !at->exists || at->state != DROVER__V1__GUEST_STATE__GUEST_PAUSED)
        return;
    _cleanup_free_ char *text =
        xasprintf("%s; an operator paused it in mid-transfer (virsh suspend)", job->text);
    _cleanup_free_ char *todo = xasprintf("`virsh resume %s` on %s when it is to run", job->guest, host);
    set_text(&job->text, text);
    set_text(&job->todo, todo);
}

static void say_done(struct migration *m, const struct check *c)
{
    Drover__V1__Job *job = m->job;
    _cleanup_free_ char *numbers = figures(m);
    say_where(m, &c->seen[TXN_DESTINATION], job->destination, numbers);
    job->state = DROVER__V1__JOB_STATE__JOB_DONE;
    const struct seen *there = &c->seen[TXN_DESTINATION];
    if (!m->txn.definition_only && there->asked && there->exists && !is_active(there)) {
        _cleanup_free_ char *text = xasprintf("%s; it ran there, and has ended since", job->text);
        _cleanup_free_ char *todo =
            xasprintf("see why in /var/log/libvirt/qemu/%s.log on %s; `virsh start %s` "
                      "there starts it from its disks",
                      job->guest, job->destination, job->guest);
        set_text(&job->text, text);
        set_text(&job->todo, todo);
    }
    const struct seen *source = &c->seen[TXN_SOURCE];
    if (source->asked && source->exists && !is_active(source)) {
        _cleanup_free_ char *text =
            xasprintf("%s; a definition of it is still on %s", job->text, job->source);
        _cleanup_free_ char *todo = xasprintf(
            "look at it (virsh dumpxml %s on %s) and undefine it there if nobody put it back on purpose",
            job->guest, job->source);
        set_text(&job->text, text);
        set_text(&job->todo, todo);
    }
    if (m->txn.from_disks) {
        _cleanup_free_ char *text =
            xasprintf("%s; it was started there from its disks, by an operator's word", job->text);
        set_text(&job->text, text);
        if (!job->todo[0])
            set_text(&job->todo, "check the guest: what was only in its memory is lost");
    }
    say_paused(m, there, job->destination);
    say_left(job);
}

static void say_cold(struct migration *m, const struct check *c)
{
    Drover__V1__Job *job = m->job;
    _cleanup_free_ char *why = xasprintf(m->txn.definition_only ? "its definition is back there: %s"
                                                                : "started anew there from its disks: %s",
                                         m->txn.why);
    say_where(m, &c->seen[TXN_SOURCE], job->source, why);
    set_text(&job->todo,
             m->txn.definition_only ? "" : "check the guest: what was only in its memory is lost");
    job->state = DROVER__V1__JOB_STATE__JOB_FAILED;
}

static const char *first_todo(const Drover__V1__Job *job)
{
    for (size_t i = 0; i < job->n_findings; i++)
        if ((job->findings[i]->severity == DROVER__V1__SEVERITY__BLOCK && job->findings[i]->todo[0]) ||
            streq(job->findings[i]->id, COPY_ENDED))
            return job->findings[i]->todo;
    return "";
}

static void say_copy_ended(Drover__V1__Job *job)
{
    for (size_t i = 0; i < job->n_findings; i++)
        if (streq(job->findings[i]->id, COPY_ENDED)) {
            _cleanup_free_ char *text = xasprintf("%s; %s", job->text, job->findings[i]->seen);
            set_text(&job->text, text);
        }
}

static void say_kept(struct migration *m, const struct check *c)
{
    Drover__V1__Job *job = m->job;
    const struct seen *at = &c->seen[TXN_SOURCE];
    _cleanup_free_ char *text = NULL;
    if (!at->asked)
        text = xasprintf("%s is safe on %s: %s (%s could not be asked again at the end: %s)", job->guest,
                         job->source, m->txn.why, job->source, at->why);
    else if (!at->exists)
        text = xasprintf("%s stayed on %s and has gone from there since: %s", job->guest, job->source,
                         m->txn.why);
    else if (m->txn.definition_only || at->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING)
        text = xasprintf("%s is safe on %s: %s", job->guest, job->source, m->txn.why);
    else
        text = xasprintf("%s is safe on %s and %s there: %s", job->guest, job->source, state_words(at),
                         m->txn.why);
    set_text(&job->text, text);
    say_copy_ended(job);
    set_text(&job->todo, first_todo(job));
    say_paused(m, at, job->source);
    if (!at->asked || at->exists)
        set_text(&job->runs_on, job->source);
    job->state = m->txn.cancelled ? DROVER__V1__JOB_STATE__JOB_CANCELLED : DROVER__V1__JOB_STATE__JOB_FAILED;
}

/* What must never be is said first. */
static void say_twice(struct migration *m)
{
    Drover__V1__Job *job = m->job;
    _cleanup_free_ char *text = xasprintf("%s is active on %s AND on %s: its disks are in danger", job->guest,
                                          job->source, job->destination);
    _cleanup_free_ char *todo =
        xasprintf("pause one of them now (virsh suspend %s), then find out which one is right", job->guest);
    set_text(&job->text, text);
    set_text(&job->todo, todo);
    set_text(&job->runs_on, "");
    job->state = DROVER__V1__JOB_STATE__JOB_FAILED;
}

static void conclude(struct check *c)
{
    struct migration *m = c->migration;
    Drover__V1__Job *job = m->job;
    if (!job->result) {
        job->result = new0(Drover__V1__Result);
        drover__v1__result__init(job->result);
    }
    job->ended = (uint64_t)clock_realtime_ms();
    job->result->total =
        m->started >= 0 ? clock_monotonic_ms() - m->started : (int64_t)(job->ended - job->created);
    set_text(&job->todo, "");
    if (is_active(&c->seen[TXN_SOURCE]) && is_active(&c->seen[TXN_DESTINATION]))
        say_twice(m);
    else if (m->txn.state == TXN_ABORTED)
        say_kept(m, c);
    else if (m->txn.cold_started)
        say_cold(m, c);
    else
        say_done(m, c);
    migration_end(m);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void on_all_seen(void *arg)
{
    struct check *c = arg;
    c->timer = NULL;
    conclude(c);
}

/* Never concludes within the call that asked: the migration is gone after that. */
static void when_all_seen(struct check *c)
{
    if (!c->calls[TXN_SOURCE] && !c->calls[TXN_DESTINATION] && !c->timer)
        c->timer = loop_timer_start(c->migration->driver->config.loop, 0, on_all_seen, c);
}

static void ask_notes(struct check *c, enum txn_party party);

static void end_call(struct check_call *call)
{
    if (call->check && call->check->calls[call->party] == call)
        call->check->calls[call->party] = NULL;
    call->ended = true;
    if (!call->sending)
        free(call);
}

/* Hooks that failed after the vote: they changed nothing, and are told. */
static void on_notes(const Drover__V1__HookNotesReply *reply, void *data)
{
    struct check_call *call = data;
    struct check *c = call->check;
    enum txn_party party = call->party;
    end_call(call);
    if (!c)
        return;
    bool wait = reply && reply->running && clock_monotonic_ms() - c->since < HOOKS_MS;
    if (wait)
        ask_notes(c, party);
    for (size_t i = 0; reply && !wait && i < reply->n_notes; i++) {
        Drover__V1__Job *job = c->migration->job;
        _cleanup_free_ char *subject = xasprintf("hooks on %s", c->migration->txn.host[party]);
        Drover__V1__Finding f = DROVER__V1__FINDING__INIT, *one = &f;
        f.id = (char *)"hook";
        f.severity = DROVER__V1__SEVERITY__WARN;
        f.subject = subject;
        f.seen = reply->notes[i];
        f.expected = (char *)"status 0 in time";
        f.todo = (char *)"do by hand what it did not do, and mend the hook";
        findings_add(&job->n_findings, &job->findings, &one, 1);
        migration_log(c->migration, reply->notes[i]);
    }
    when_all_seen(c);
}

static void on_seen(const Drover__V1__GetGuestReply *reply, void *data)
{
    struct check_call *call = data;
    struct check *c = call->check;
    enum txn_party party = call->party;
    end_call(call);
    if (!c)
        return;
    struct seen *s = &c->seen[party];
    if (reply) {
        *s = (struct seen){.asked = true,
                           .exists = reply->exists && reply->guest,
                           .state =
                               reply->guest ? reply->guest->state : DROVER__V1__GUEST_STATE__GUEST_UNKNOWN};
        ask_notes(c, party);
    } else {
        snprintf(s->why, sizeof(s->why), "%.190s", rpc_status()->text);
    }
    when_all_seen(c);
}

static struct check_call *call_new(struct check *c, enum txn_party party, struct rpc_client *client)
{
    struct check_call *call = new0(struct check_call);
    *call = (struct check_call){.check = c, .party = party, .client = client, .sending = true};
    c->calls[party] = call;
    return call;
}

static void call_sent(struct check_call *call, uint64_t id)
{
    call->sending = false;
    call->id = id;
    if (call->ended)
        free(call);
}

static void ask_notes(struct check *c, enum txn_party party)
{
    struct migration *m = c->migration;
    struct rpc_client *client = agents_client(m->driver->config.agents, m->txn.host[party]);
    if (!client)
        return;
    struct check_call *call = call_new(c, party, client);
    Drover__V1__HookNotesRequest request = DROVER__V1__HOOK_NOTES_REQUEST__INIT;
    request.transaction = m->job->transaction;
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor, .timeout_ms = CHECK_MS);
    drover__v1__agent__hook_notes(&stub.base, &request, on_notes, call);
    call_sent(call, stub.id);
}

static void look(struct check *c, enum txn_party party)
{
    struct migration *m = c->migration;
    struct rpc_client *client = agents_client(m->driver->config.agents, m->txn.host[party]);
    if (!client) {
        snprintf(c->seen[party].why, sizeof(c->seen[party].why),
                 "it is not in the coordinator's configuration");
        return;
    }
    struct check_call *call = call_new(c, party, client);
    Drover__V1__GetGuestRequest request = DROVER__V1__GET_GUEST_REQUEST__INIT;
    request.guest = m->job->guest_uuid;
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor, .timeout_ms = CHECK_MS);
    drover__v1__agent__get_guest(&stub.base, &request, on_seen, call);
    call_sent(call, stub.id);
}

void migration_check(struct migration *m)
{
    struct check *c = new0(struct check);
    c->migration = m;
    c->since = clock_monotonic_ms();
    m->check = c;
    look(c, TXN_SOURCE);
    look(c, TXN_DESTINATION);
    when_all_seen(c);
}

void migration_drop_check(struct migration *m)
{
    struct check *c = m->check;
    if (!c)
        return;
    for (unsigned i = 0; i < 2; i++)
        if (c->calls[i]) {
            c->calls[i]->check = NULL;
            rpc_client_cancel(c->calls[i]->client, c->calls[i]->id);
        }
    loop_timer_cancel(c->timer);
    free(c);
}
