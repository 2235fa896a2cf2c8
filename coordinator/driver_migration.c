#include "coordinator/driver_internal.h"

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/core/heard.h"

enum {
    LOG_ENTRIES = 200, /* of a job */
    DISK_RETRY_MS = 1000,
};

struct migration *migration_new(struct driver *driver, Drover__V1__Job *job, Drover__V1__Journal *journal)
{
    struct migration *m = new0(struct migration);
    m->driver = driver;
    m->job = job;
    m->journal = journal;
    m->last = &m->first;
    m->started = -1;
    m->txn = (struct txn){
        .guest = job->guest,
        .host = {[TXN_SOURCE] = job->source, [TXN_DESTINATION] = job->destination},
        .generation = journal->generation,
        .cold_generation = journal->cold_generation,
        .definition_only = journal->mode == DROVER__V1__MODE__MODE_DEFINITION,
        .cancelled = journal->cancelled,
        .transferred = journal->transferred,
        .cold_started = journal->cold_started,
        .granted = journal->granted,
        .taken_back = journal->taken_back,
        .said_cold = journal->said_cold,
        .post_copy = journal->post_copy,
        .paused = journal->paused,
        .from_disks = journal->from_disks,
    };
    snprintf(m->txn.why, sizeof(m->txn.why), "%s", journal->why);
    return m;
}

static void drop_events(struct migration *m)
{
    while (m->first) {
        struct event *e = m->first;
        m->first = e->next;
        free(e->text);
        free(e);
    }
    m->last = &m->first;
}

void migration_free(struct migration *m)
{
    if (!m)
        return;
    migration_drop_calls(m);
    migration_drop_check(m);
    loop_timer_cancel(m->timer);
    loop_timer_cancel(m->disk_retry);
    drop_events(m);
    drover__v1__job__free_unpacked(m->job, NULL);
    drover__v1__journal__free_unpacked(m->journal, NULL);
    free(m);
}

/* ---- what the operator sees -------------------------------------------------------------------------------------- */

void migration_log(struct migration *m, const char *text)
{
    job_log(m->job, (uint64_t)clock_realtime_ms(), text, LOG_ENTRIES);
}

void migration_hear(struct migration *m, const Drover__V1__Story *story)
{
    heard_story(m->job, m->journal, story, LOG_ENTRIES);
}

static const char *progress_phase(enum txn_state state)
{
    switch (state) {
    case TXN_NEW:
    case TXN_PREPARING: return "prepare";
    case TXN_TRANSFER: return "transfer";
    case TXN_SETTLING:
    case TXN_ABORTING: return "settle";
    case TXN_ACTIVATING:
    case TXN_COLD_START: return "activate";
    default: return "release";
    }
}

/* The job's fields that follow from the transaction's state. */
static void show(struct migration *m)
{
    Drover__V1__Job *job = m->job;
    const char *phase = txn_state_name(m->txn.state);
    if (!streq(job->phase, phase)) {
        set_text(&job->phase, phase);
        if (!job->progress) {
            job->progress = new0(Drover__V1__Progress);
            drover__v1__progress__init(job->progress);
        }
        set_text(&job->progress->phase, progress_phase(m->txn.state));
    }
    job->state = m->txn.in_doubt ? DROVER__V1__JOB_STATE__JOB_IN_DOUBT : DROVER__V1__JOB_STATE__JOB_RUNNING;
    char text[600], todo[400];
    txn_waiting(&m->txn, text, sizeof(text), todo, sizeof(todo));
    set_text(&job->text, text);
    set_text(&job->todo, todo);
    if (m->disk_retry) {
        _cleanup_free_ char *waits = xasprintf("waits for the coordinator's disk: %s", m->disk_error.text);
        set_text(&job->text, waits);
        set_text(&job->todo, "see the coordinator's `store:` in its configuration; it goes on by itself");
    }
}

void migration_tell(struct migration *m)
{
    struct driver *d = m->driver;
    bool outer = !d->telling;
    d->telling = true;
    for (struct driver_watch *w = d->watches; w; w = w->next)
        if (w->fn && w->job == m->job->id)
            w->fn(w->arg, m->job);
    if (d->hooks.changed)
        d->hooks.changed(d->hooks.arg);
    if (!outer)
        return;
    d->telling = false;
    for (struct driver_watch **w = &d->watches; *w;) {
        struct driver_watch *gone = *w;
        if (gone->fn) {
            w = &gone->next;
            continue;
        }
        *w = gone->next;
        free(gone);
    }
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

static int write_journal(struct migration *m, struct error *err)
{
    show(m);
    Drover__V1__Journal *j = m->journal;
    set_text(&j->state, txn_state_name(m->txn.state));
    set_text(&j->why, m->txn.why);
    j->cancelled = m->txn.cancelled;
    j->transferred = m->txn.transferred;
    j->cold_started = m->txn.cold_started;
    j->granted = m->txn.granted;
    j->taken_back = m->txn.taken_back;
    j->said_cold = m->txn.said_cold;
    j->post_copy = m->txn.post_copy;
    j->paused = m->txn.paused;
    j->from_disks = m->txn.from_disks;
    size_t size = drover__v1__journal__get_packed_size(j);
    _cleanup_free_ uint8_t *packed = xcalloc(size, 1);
    drover__v1__journal__pack(j, packed);
    const char *state = txn_state_name(m->txn.state);
    failpoint("coordinator.%s.before_write", state);
    int r = store_put_job(m->driver->config.store, m->job, packed, size, err);
    failpoint("coordinator.%s.after_write", state);
    return r;
}

static void work(struct migration *m);

static void on_disk_retry(void *arg)
{
    struct migration *m = arg;
    m->disk_retry = NULL;
    work(m);
}

static void wait_for_disk(struct migration *m)
{
    log_error("job %llu waits: %s", (unsigned long long)m->job->id, m->disk_error.text);
    m->disk_retry = loop_timer_start(m->driver->config.loop, DISK_RETRY_MS, on_disk_retry, m);
}

/* ---- actions ----------------------------------------------------------------------------------------------------- */

static void on_timer(void *arg)
{
    struct migration *m = arg;
    m->timer = NULL;
    migration_feed(m, &(struct txn_event){.kind = TXN_EVENT_TIMER});
}

static void arm(struct migration *m, int64_t ms)
{
    m->timer = loop_timer_cancel(m->timer);
    if (ms > 0)
        m->timer = loop_timer_start(m->driver->config.loop, ms, on_timer, m);
}

static void tell_line(struct migration *m, const char *text)
{
    log_info("job %llu, %s: %s", (unsigned long long)m->job->id, m->job->guest, text);
    migration_log(m, text);
}

static void send(struct migration *m, enum txn_message message, enum txn_party party)
{
    const char *to = party == TXN_SOURCE ? "source" : "destination";
    failpoint("coordinator.%s.%s.before_send", txn_message_name(message), to);
    migration_send(m, message, party);
    failpoint("coordinator.%s.%s.after_send", txn_message_name(message), to);
}

/* False if the rest has to wait for the disk. */
static bool act(struct migration *m)
{
    while (m->next_action < m->actions.n) {
        const struct txn_action *a = &m->actions.list[m->next_action];
        switch (a->kind) {
        case TXN_ACTION_JOURNAL:
            if (write_journal(m, &m->disk_error))
                return false;
            break;
        case TXN_ACTION_SEND: send(m, a->message, a->party); break;
        case TXN_ACTION_ARM: arm(m, a->ms); break;
        case TXN_ACTION_TELL: tell_line(m, a->text); break;
        case TXN_ACTION_FINISH: migration_check(m); break;
        }
        m->next_action++;
    }
    return true;
}

static void step(struct migration *m, const struct txn_event *event)
{
    struct txn_event now = *event;
    now.now = clock_monotonic_ms();
    txn_step(&m->txn, &now, &m->actions);
    m->next_action = 0;
}

/* Works off actions, then events, until none is left or the disk refuses. Sending may answer at once, and so come back to
 * migration_feed: that only adds to the queue. */
static void work(struct migration *m)
{
    m->busy = true;
    for (;;) {
        if (!act(m)) {
            wait_for_disk(m);
            break;
        }
        struct event *e = m->first;
        if (!e)
            break;
        m->first = e->next;
        if (!m->first)
            m->last = &m->first;
        step(m, &e->event);
        free(e->text);
        free(e);
    }
    m->busy = false;
    show(m);
    migration_tell(m);
}

void migration_feed(struct migration *m, const struct txn_event *event)
{
    if (m->check)
        return; /* it has ended: what comes now is late */
    struct event *e = new0(struct event);
    e->event = *event;
    e->text = xstrdup(event->text);
    e->event.text = e->text;
    *m->last = e;
    m->last = &e->next;
    if (!m->busy && !m->disk_retry)
        work(m);
}

int migration_start(struct migration *m, struct error *err)
{
    m->busy = true;
    m->started = clock_monotonic_ms();
    step(m, &(struct txn_event){.kind = TXN_EVENT_START});
    if (!act(m)) {
        *err = m->disk_error;
        return -(int)err->code;
    }
    work(m);
    return 0;
}

static void on_end_retry(void *arg)
{
    struct migration *m = arg;
    m->disk_retry = NULL;
    migration_end(m);
}

void migration_end(struct migration *m)
{
    struct driver *d = m->driver;
    failpoint("coordinator.end.before_write");
    if (store_put_job(d->config.store, m->job, NULL, 0, &m->disk_error)) {
        log_error("job %llu has ended and can't be stored: %s", (unsigned long long)m->job->id,
                  m->disk_error.text);
        m->disk_retry = loop_timer_start(d->config.loop, DISK_RETRY_MS, on_end_retry, m);
        return;
    }
    failpoint("coordinator.end.after_write");
    log_info("job %llu: %s", (unsigned long long)m->job->id, m->job->text);
    for (struct migration **p = &d->migrations; *p; p = &(*p)->next)
        if (*p == m) {
            *p = m->next;
            break;
        }
    migration_tell(m);
    migration_free(m);
}
