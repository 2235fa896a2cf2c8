#include "agent/transaction.h"

#include "agent/io/host_report.h"
#include "agent/io/libvirt.h"
#include "agent/service.h"
#include "agent/throughput.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"
#include "common/message/message.h"
#include "common/story/story.h"

#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- one transaction ---- */

struct transaction *transactions_find(const struct transactions *all, const char *id)
{
    for (struct transaction *t = all->list; t; t = t->next)
        if (streq(t->id, id))
            return t;
    return NULL;
}

static struct transaction *from_record(struct transactions *all, Drover__V1__Record *record,
                                       enum participant_role role)
{
    struct transaction *txn = new0(struct transaction);
    txn->all = all;
    txn->role = role;
    txn->record = record;
    snprintf(txn->id, sizeof(txn->id), "%s", record->step->transaction);
    snprintf(txn->guest, sizeof(txn->guest), "%s", record->step->guest);
    txn->heard_ms = clock_monotonic_ms();
    return txn;
}

struct transaction *transaction_new(struct transactions *all, const Drover__V1__Step *step,
                                    enum participant_role role)
{
    Drover__V1__Record *r = new0(Drover__V1__Record);
    drover__v1__record__init(r);
    r->step = new0(Drover__V1__Step);
    drover__v1__step__init(r->step);
    r->step->transaction = xstrdup(step->transaction);
    r->step->guest = xstrdup(step->guest);
    r->step->generation = step->generation;
    r->step->epoch = step->epoch;
    r->role = role == PARTICIPANT_SOURCE ? DROVER__V1__ROLE__SOURCE : DROVER__V1__ROLE__DESTINATION;
    r->state = xstrdup(participant_state_name(PARTICIPANT_NONE));
    struct transaction *txn = from_record(all, r, role);
    txn->transferred = step->transferred;
    if (step->transferred) {
        const Drover__V1__Definition *d = step->definition;
        r->mode = step->mode;
        r->definition =
            step->definition ? (Drover__V1__Definition *)message_copy(&step->definition->base) : NULL;
        if (role == PARTICIPANT_DESTINATION)
            transaction_made(txn, DROVER__V1__MADE__KIND__RESERVATION, "memory");
        else if (d && d->persistent && d->autostart)
            transaction_made(txn, DROVER__V1__MADE__KIND__AUTOSTART, txn->guest);
    }
    return txn;
}

void transaction_free(struct transaction *txn)
{
    if (!txn)
        return;
    transfer_free(txn->transfer);
    story_free(txn->story);
    handover_free(txn->handover);
    disk_sender_free(txn->sender);
    loop_timer_cancel(txn->again);
    free(txn->hook_notes);
    transaction_unreserve(txn);
    drover__v1__record__free_unpacked(txn->record, NULL);
    free(txn);
}

const char *transaction_guest_name(const struct transaction *txn)
{
    const Drover__V1__Guest *g = txn->record->guest;
    return g && g->name ? g->name : txn->guest;
}

enum participant_state transaction_state(const struct transaction *txn)
{
    return participant_state_of(txn->record->state);
}

int transactions_durable(int e, const struct error *err)
{
    if (e == -(int)STATUS_DATA_LOSS) {
        log_error("%s; the agent ends, and reads it again when it is started", err ? err->text : "state_dir");
        _exit(EXIT_FAILURE);
    }
    return e;
}

int transactions_check_epoch(const struct transactions *all, uint64_t epoch, struct error *err)
{
    uint64_t seen = records_epoch(all->records);
    if (epoch >= seen)
        return 0;
    return error_set(err, STATUS_ABORTED,
                     "epoch %" PRIu64 " is over: a coordinator of epoch %" PRIu64
                     " has taken over; stop the one that sent this",
                     epoch, seen);
}

int transactions_admit_epoch(struct transactions *all, uint64_t epoch, struct error *err)
{
    int e = transactions_check_epoch(all, epoch, err);
    if (e < 0)
        return e;
    return transactions_durable(records_raise(all->records, epoch, NULL, 0, err), err);
}

/* Its own next generation, under which the guest starts from its disks, may be the highest before that is in the record. */
bool transaction_is_superseded(const struct transaction *txn)
{
    const Drover__V1__Record *r = txn->record;
    uint64_t seen = records_generation(txn->all->records, txn->guest);
    return seen > r->step->generation && seen > r->cold_generation;
}

static int raise(struct transaction *txn, uint64_t generation, struct error *err)
{
    const char *role = txn->role == PARTICIPANT_SOURCE ? "source" : "destination";
    failpoint("agent.%s.fence.before_write", role);
    int e = records_raise(txn->all->records, txn->record->step->epoch, txn->guest, generation, err);
    failpoint("agent.%s.fence.after_write", role);
    return transactions_durable(e, err);
}

int transaction_write(struct transaction *txn, enum participant_state state, struct error *err)
{
    Drover__V1__Record *r = txn->record;
    enum participant_state old = transaction_state(txn);
    if (!participant_may_move(txn->role, old, state))
        return error_set(err, STATUS_INTERNAL, "transaction %s may not go from %s to %s", txn->id,
                         participant_state_name(old), participant_state_name(state));
    /* A late message of a lower generation is refused from here on. What was never prepared supersedes nothing: a guest that an
     * earlier transaction has paused is still that one's to resume. Its record alone refuses what comes late. */
    bool refused = old == PARTICIPANT_NONE && (state == PARTICIPANT_KEPT || state == PARTICIPANT_NONE);
    if ((old == PARTICIPANT_NONE && !refused) || state == PARTICIPANT_COLD) {
        int e = raise(txn, r->step->generation, err);
        if (e < 0)
            return e;
    }
    if (state == PARTICIPANT_OWNER && transaction_has_made(txn, DROVER__V1__MADE__KIND__FROM_DISKS)) {
        int e = raise(txn, r->cold_generation, err);
        if (e < 0)
            return e;
    }
    char *word = r->state;
    uint64_t changed = r->changed;
    r->state = (char *)participant_state_name(state);
    r->changed = (uint64_t)clock_realtime_ms();
    const char *role = txn->role == PARTICIPANT_SOURCE ? "source" : "destination";
    failpoint("agent.%s.%s.before_write", role, r->state);
    int e = records_put(txn->all->records, r, err);
    failpoint("agent.%s.%s.after_write", role, r->state);
    if (transactions_durable(e, err) < 0) {
        r->state = word;
        r->changed = changed;
        return e;
    }
    r->state = xstrdup(r->state);
    free(word);
    return 0;
}

/* ---- for the rest of the agent ---- */

static uint64_t under_lock(const struct transactions *transactions, const uint64_t *sum)
{
    struct transactions *all = (struct transactions *)transactions; /* the lock is not part of what it says */
    pthread_mutex_lock(&all->memory_lock);
    uint64_t bytes = *sum;
    pthread_mutex_unlock(&all->memory_lock);
    return bytes;
}

uint64_t transactions_reserved_bytes(const struct transactions *transactions)
{
    return under_lock(transactions, &transactions->memory_reserved);
}

uint64_t transactions_reserved_hugepages(const struct transactions *transactions)
{
    return under_lock(transactions, &transactions->hugepages_reserved);
}

bool transactions_moving(const struct transactions *all)
{
    if (!all)
        return false;
    for (const struct transaction *t = all->list; t; t = t->next)
        if (t->state == PARTICIPANT_PREPARED || t->state == PARTICIPANT_MIGRATING)
            return true;
    return false;
}

bool transaction_shares_link(const struct transaction *txn)
{
    for (const struct transaction *o = txn->all->list; o; o = o->next)
        if (o != txn && (o->sender || o->state == PARTICIPANT_MIGRATING))
            return true;
    return false;
}

const char *transactions_of_guest(const struct transactions *all, const char *uuid)
{
    for (const struct transaction *t = all->list; t; t = t->next)
        if (streq(t->guest, uuid) && participant_is_open(t->role, t->state))
            return t->id;
    return NULL;
}

void transactions_serve(Drover__V1__Agent_Service *service)
{
    service->prepare = rpc_prepare;
    service->migrate = rpc_migrate;
    service->settle = rpc_settle;
    service->abort = rpc_abort;
    service->activate = rpc_activate;
    service->release = rpc_release;
    service->cold_start = rpc_cold_start;
    service->list_transactions = rpc_list_transactions;
    service->hook_notes = rpc_hook_notes;
    service->make_forecast = rpc_forecast;
}

ProtobufCService *transactions_peer_service(struct transactions *all)
{
    return &all->peer_service.base;
}

struct records *transactions_records(struct transactions *all)
{
    return all->records;
}

/* ---- made, kept tidy, freed ---- */

/* What a crash has cut short. A transaction that was in a prepare hook has voted for nothing: it becomes a no. */
static void go_on_with_hooks(struct transactions *all)
{
    for (struct transaction *t = all->list; t; t = t->next)
        hooks_step(t);
}

static void look_at_open(struct transactions *all)
{
    for (struct transaction *t = all->list; t; t = t->next)
        if (participant_is_open(t->role, t->state) || t->state == PARTICIPANT_KEPT ||
            t->state == PARTICIPANT_COLD)
            drive_look(t);
}

/* In post-copy libvirt resumes the guest itself, before it is this host's. */
static void destination_event(struct transaction *t, const struct libvirt_event *event)
{
    if (t->state == PARTICIPANT_PREPARED && event->kind == LIBVIRT_LIFECYCLE &&
        event->event == VIR_DOMAIN_EVENT_RESUMED && !t->resumed_ms)
        t->resumed_ms = event->at_ms;
    t->ran_here |= t->resumed_ms != 0;
}

static void source_event(struct transaction *t, const struct libvirt_event *event)
{
    if (event->kind == LIBVIRT_LIFECYCLE && event->event == VIR_DOMAIN_EVENT_SUSPENDED)
        t->suspended_ms = event->at_ms;
    else if (event->kind == LIBVIRT_LIFECYCLE && event->event == VIR_DOMAIN_EVENT_RESUMED)
        t->suspended_ms = 0;
    if (t->transfer)
        transfer_event(t, event);
}

static void on_libvirt(void *arg, const struct libvirt_event *event)
{
    struct transactions *all = arg;
    if (event->kind == LIBVIRT_UP)
        look_at_open(all);
    if (event->kind != LIBVIRT_LIFECYCLE && event->kind != LIBVIRT_ITERATION &&
        event->kind != LIBVIRT_JOB_COMPLETED)
        return;
    for (struct transaction *t = all->list; t; t = t->next)
        if (streq(t->guest, event->uuid) && t->role == PARTICIPANT_DESTINATION)
            destination_event(t, event);
        else if (streq(t->guest, event->uuid))
            source_event(t, event);
}

/* It has something to undo, or to resume, still. */
static bool owes(const struct transaction *t)
{
    return t->state == PARTICIPANT_TOMBSTONE
               ? transaction_has_made(t, DROVER__V1__MADE__KIND__RESERVATION) ||
                     transaction_has_made(t, DROVER__V1__MADE__KIND__DEFINITION)
               : transaction_owes_autostart(t) ||
                     (t->state == PARTICIPANT_KEPT &&
                      (transaction_has_made(t, DROVER__V1__MADE__KIND__RESUME) ||
                       transaction_has_made(t, DROVER__V1__MADE__KIND__OTHERS_PAUSE)));
}

/* Taking a record away supersedes what is older, and what is older may owe something, which it then would never do. */
static bool guest_is_owed(const struct transactions *all, const char *guest)
{
    for (const struct transaction *t = all->list; t; t = t->next)
        if (streq(t->guest, guest) && owes(t))
            return true;
    return false;
}

/* By the host's clock, which may jump, and by one that does not: a late message still finds the record. */
static bool is_old(const struct transaction *t, int64_t now, int64_t real)
{
    return real - t->changed_ms >= TRANSACTION_KEEP_MS && now - t->heard_ms >= TRANSACTION_KEEP_MIN_MS;
}

static void lay_ballast(void *arg)
{
    records_has_room(((struct transactions *)arg)->records);
}

static void ballast_is_laid(void *arg)
{
    transactions_unref(arg);
}

static void tidy(void *arg)
{ /* model: S20 D15 */
    struct transactions *all = arg;
    all->tidy = loop_timer_start(all->agent->loop, 15 * 1000, tidy, all);
    int64_t now = clock_monotonic_ms(), real = clock_realtime_ms();
    all->refs++;
    workers_submit(all->workers, lay_ballast, ballast_is_laid, all);
    for (struct transaction **p = &all->list, *t; (t = *p);) {
        bool open = participant_is_open(t->role, t->state);
        if (t->state == PARTICIPANT_PREPARED && now - t->heard_ms > TRANSACTION_LEASE_MS) {
            drive_look(t); /* sees that the lease is over */
            t->heard_ms = now;
        }
        if (open || t->transfer || t->again || t->hooking || t->unheard || !is_old(t, now, real) ||
            turn_is_taken(all, t->guest) || guest_is_owed(all, t->guest)) {
            p = &t->next;
            continue;
        }
        int e = records_raise(all->records, t->epoch, t->guest, t->generation, NULL);
        if (transactions_durable(e, NULL) < 0) {
            p = &t->next; /* it still refuses what comes late */
            continue;
        }
        *p = t->next;
        records_remove(all->records, t->id, NULL);
        transaction_free(t);
    }
}

static void on_record(void *arg, Drover__V1__Record *record)
{
    struct transactions *all = arg;
    enum participant_role role =
        record->role == DROVER__V1__ROLE__SOURCE ? PARTICIPANT_SOURCE : PARTICIPANT_DESTINATION;
    enum participant_state state = participant_state_of(record->state);
    bool begun = record->n_made > 0; /* a crash in a prepare hook */
    if (!participant_can_be(role, state) || (state == PARTICIPANT_NONE && !begun)) {
        log_error("the record of transaction %s says %s, which a %s can't be; it is ignored",
                  record->step->transaction, record->state,
                  role == PARTICIPANT_SOURCE ? "source" : "destination");
        drover__v1__record__free_unpacked(record, NULL);
        return;
    }
    struct transaction *txn = from_record(all, record, role);
    txn->state = state;
    txn->unheard = record->unheard && state == PARTICIPANT_TOMBSTONE;
    txn->generation = record->step->generation;
    txn->epoch = record->step->epoch;
    txn->changed_ms = (int64_t)record->changed;
    txn->post_copy = transaction_has_made(txn, DROVER__V1__MADE__KIND__POST_COPY);
    txn->others_pause = transaction_has_made(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE);
    txn->next = all->list;
    all->list = txn;
    all->memory_reserved += record->memory;
    all->hugepages_reserved += record->hugepages;
    if (participant_is_open(role, state))
        log_info("transaction %s of guest %s is open here: %s", txn->id, txn->guest, record->state);
}

static void on_damaged(void *arg, const struct error *why)
{
    (void)arg;
    log_error("%s; what it was about has to be settled by looking at both hosts", why->text);
}

/* What was refused has raised no fence (transaction_write): an earlier one's debts are still its own. */
static bool had_begun(const struct transaction *t)
{
    return t->state != PARTICIPANT_KEPT || (t->record->vote && t->record->vote->yes);
}

int transactions_new(struct agent *agent, struct transactions **ret, struct error *err)
{
    struct transactions *all = new0(struct transactions);
    struct error warning = {0};
    all->refs = 1;
    all->stop_fd = -1;
    all->agent = agent;
    pthread_mutex_init(&all->memory_lock, NULL);
    all->peer_service = (Drover__V1__Peer_Service)DROVER__V1__PEER__INIT(rpc_peer_);
    int e = records_open(agent->config->state_dir, &all->records, &warning, err);
    if (e == 0)
        e = records_read(all->records, on_record, on_damaged, all, err);
    if (e == 0 && warning.code) {
        log_error("%s; the highest epoch and generations are taken from the records", warning.text);
        for (struct transaction *t = all->list; t && e == 0; t = t->next)
            e = records_raise(all->records, t->epoch, t->guest, had_begun(t) ? t->generation : 0, err);
    }
    if (e < 0) {
        transactions_unref(all);
        return e;
    }
    all->workers = workers_new(agent->loop, TRANSACTION_WORKERS);
    all->voters = workers_new(agent->loop, TRANSACTION_WORKERS);
    all->copiers = workers_new(agent->loop, TRANSACTION_COPIERS);
    all->takers = workers_new(agent->loop, TRANSACTION_COPIERS);
    all->hook_workers = workers_new(agent->loop, HOOK_WORKERS);
    all->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    all->peers = peers_new(agent);
    go_on_with_hooks(all);
    all->tidy = loop_timer_start(agent->loop, 15 * 1000, tidy, all);
    if (agent->libvirt) {
        all->subscription = libvirt_subscribe(agent->libvirt, on_libvirt, all);
        if (libvirt_up(agent->libvirt, NULL, NULL))
            look_at_open(all);
    }
    *ret = all;
    return 0;
}

static void stop(struct transactions *all)
{
    all->closing = true;
    eventfd_write(all->stop_fd, 1);
    throughput_give_up(all);
    all->tidy = loop_timer_cancel(all->tidy);
    all->subscription = libvirt_unsubscribe(all->subscription);
    for (struct transaction *t = all->list; t; t = t->next) {
        transfer_free(steal(&t->transfer));
        handover_free(steal(&t->handover));
        disk_sender_free(steal(&t->sender));
        t->again = loop_timer_cancel(t->again);
    }
    receivers_stop(all, NULL);
    workers_free(steal(&all->copiers));
    workers_free(steal(&all->takers));
    peers_free(steal(&all->peers));
    workers_free(steal(&all->hook_workers));
    workers_free(steal(&all->voters));
    workers_free(steal(&all->workers));
}

void transactions_unref(struct transactions *all)
{
    if (--all->refs > 0)
        return;
    while (all->list) {
        struct transaction *t = all->list;
        all->list = t->next;
        transaction_free(t);
    }
    records_free(all->records);
    if (all->stop_fd >= 0)
        close(all->stop_fd);
    pthread_mutex_destroy(&all->memory_lock);
    free(all);
}

void transactions_free(struct transactions *all)
{
    if (!all)
        return;
    stop(all);
    transactions_unref(all);
}
