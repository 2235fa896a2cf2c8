#include "coordinator/driver.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/core/relocation.h"
#include "coordinator/driver_internal.h"

#include <string.h>
#include <uuid/uuid.h>

static void append(struct driver *d, struct migration *m)
{
    struct migration **p = &d->migrations;
    while (*p)
        p = &(*p)->next;
    *p = m;
}

static struct migration *find(const struct driver *d, uint64_t id)
{
    for (struct migration *m = d->migrations; m; m = m->next)
        if (m->job->id == id)
            return m;
    return NULL;
}

/* Durably: what waits for the coordinator's disk may be forgotten. */
static bool is_settled(const struct migration *m, enum txn_party *ret_left)
{
    return !m->disk_retry && txn_is_settled(&m->txn, ret_left);
}

static const struct migration *in_the_way(const struct driver *d, const char *uuid, const char *source,
                                          const char *destination)
{
    for (const struct migration *m = d->migrations; m; m = m->next) {
        enum txn_party left;
        if (!streq(m->job->guest_uuid, uuid))
            continue;
        if (!is_settled(m, &left) || (destination && streq(m->txn.host[left], destination)) ||
            streq(m->txn.host[left], source))
            return m;
    }
    return NULL;
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

struct reading {
    struct driver *driver;
    struct error *err;
};

static int take_up(void *arg, const Drover__V1__Job *stored, const void *txn, size_t txn_size)
{
    struct reading *reading = arg;
    if (!streq(stored->kind, "migrate"))
        return 0; /* a plan: coordinator/plans.h */
    Drover__V1__Journal *journal = drover__v1__journal__unpack(NULL, txn_size, txn);
    enum txn_state state;
    if (!journal || !txn_state_parse(journal->state, &state) || state == TXN_NEW) {
        if (journal)
            drover__v1__journal__free_unpacked(journal, NULL);
        return error_set(
            reading->err, STATUS_DATA_LOSS,
            "job %llu (%s, %s to %s) is open and its journal can't be read: put a backup of the store in its "
            "place",
            (unsigned long long)stored->id, stored->guest, stored->source, stored->destination);
    }
    struct migration *m =
        migration_new(reading->driver, (Drover__V1__Job *)message_copy(&stored->base), journal);
    m->txn.state = state;
    append(reading->driver, m);
    return 0;
}

int driver_new(const struct driver_config *config, struct driver **ret, struct error *err)
{
    _cleanup_(driver_freep) struct driver *d = new0(struct driver);
    d->config = *config;
    d->started_ms = clock_monotonic_ms();
    struct error own = {0};
    struct reading reading = {d, err ? err : &own};
    int r = store_each_open(config->store, take_up, &reading, reading.err);
    if (r)
        return r;
    for (struct migration *m = d->migrations, *next; m; m = next) {
        next = m->next;
        log_info("job %llu, %s: taken up again", (unsigned long long)m->job->id, m->job->guest);
        migration_feed(m, &(struct txn_event){.kind = TXN_EVENT_RESTART});
    }
    *ret = steal(&d);
    return 0;
}

void driver_free(struct driver *d)
{
    if (!d)
        return;
    while (d->migrations) {
        struct migration *m = d->migrations;
        d->migrations = m->next;
        migration_free(m);
    }
    while (d->watches) {
        struct driver_watch *w = d->watches;
        d->watches = w->next;
        free(w);
    }
    free(d);
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

static Drover__V1__Endpoint *endpoint_of(const struct fleet *fleet, const char *name)
{
    Drover__V1__Endpoint *e = new0(Drover__V1__Endpoint);
    drover__v1__endpoint__init(e);
    e->host = xstrdup(name);
    const struct fleet_host *host = fleet_host(fleet, name);
    if (!host)
        return e;
    const Drover__V1__HostReport *report = host->report;
    e->agent_url = xstrdup(report && report->agent_url[0] ? report->agent_url : host->agent_url);
    if (report) {
        const char *address = report->migration_address;
        bool v6 = strchr(address, ':') && address[0] != '[';
        e->libvirt_remote = xstrdup(report->libvirt_remote);
        e->migration_uri = address[0] ? xasprintf(v6 ? "tcp://[%s]" : "tcp://%s", address) : xstrdup("");
    }
    return e;
}

static Drover__V1__Job *job_of(const struct migration_order *order)
{
    Drover__V1__Job *job = new0(Drover__V1__Job);
    drover__v1__job__init(job);
    char id[37];
    uuid_t uuid;
    uuid_generate(uuid);
    uuid_unparse_lower(uuid, id);
    job->kind = xstrdup("migrate");
    job->transaction = xstrdup(id);
    job->guest = xstrdup(order->guest_name);
    job->guest_uuid = xstrdup(order->guest_uuid);
    job->source = xstrdup(order->source);
    job->destination = xstrdup(order->destination);
    job->operator_ = xstrdup(order->operator_name ? order->operator_name : "");
    job->mode = order->mode;
    job->plan = order->plan;
    job->disk_bytes = relocation_bytes(order->relocation);
    job->created = job->started = (uint64_t)clock_realtime_ms();
    findings_add(&job->n_findings, &job->findings, order->findings, order->n_findings);
    return job;
}

static Drover__V1__Journal *journal_of(const struct driver *d, const struct migration_order *order)
{
    Drover__V1__Journal *j = new0(Drover__V1__Journal);
    drover__v1__journal__init(j);
    Drover__V1__Policy none = DROVER__V1__POLICY__INIT;
    j->mode = order->mode;
    j->policy = (Drover__V1__Policy *)message_copy(order->policy ? &order->policy->base : &none.base);
    j->accept = xcalloc(order->n_accept + 1, sizeof(*j->accept));
    for (size_t i = 0; i < order->n_accept; i++)
        j->accept[j->n_accept++] = xstrdup(order->accept[i]);
    j->source = endpoint_of(d->config.fleet, order->source);
    j->destination = endpoint_of(d->config.fleet, order->destination);
    if (order->relocation)
        j->relocation = (Drover__V1__Relocation *)message_copy(&order->relocation->base);
    return j;
}

int driver_migrate(struct driver *d, const struct migration_order *order, uint64_t *ret_job,
                   struct error *err)
{
    struct error own = {0};
    if (!err)
        err = &own;
    enum txn_party left;
    const struct migration *other = in_the_way(d, order->guest_uuid, order->source, order->destination);
    if (other && is_settled(other, &left))
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s has still to clear away what job %llu left of %s there: wait for that job, or name "
            "another destination",
            other->txn.host[left], (unsigned long long)other->job->id, order->guest_name);
    if (other)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s is being migrated already, from %s to %s: wait for job %llu, or `drover cancel %llu`",
            order->guest_name, other->job->source, other->job->destination,
            (unsigned long long)other->job->id, (unsigned long long)other->job->id);
    if (streq(order->source, order->destination))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s is on %s already", order->guest_name,
                         order->source);
    int r = store_ready(d->config.store, err);
    if (r)
        return r;
    Drover__V1__Journal *journal = journal_of(d, order);
    struct migration *m = migration_new(d, job_of(order), journal);
    r = store_next_generation(d->config.store, order->guest_uuid, &journal->generation, err);
    if (!r)
        r = store_next_generation(d->config.store, order->guest_uuid, &journal->cold_generation, err);
    m->txn.generation = journal->generation;
    m->txn.cold_generation = journal->cold_generation;
    if (!r) {
        append(d, m);
        r = migration_start(m, err);
    }
    if (r) {
        for (struct migration **p = &d->migrations; *p; p = &(*p)->next)
            if (*p == m) {
                *p = m->next;
                break;
            }
        migration_free(m);
        return r;
    }
    *ret_job = m->job->id;
    return 0;
}

int driver_cancel(struct driver *d, uint64_t id, const char *by, char **ret_text, struct error *err)
{
    struct migration *m = find(d, id);
    if (!m)
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no open job %llu: see `drover jobs` and `drover history`",
                         (unsigned long long)id);
    char text[400];
    if (!txn_cancel_text(&m->txn, text, sizeof(text)))
        return error_set(err, STATUS_FAILED_PRECONDITION, "job %llu: %s", (unsigned long long)id, text);
    *ret_text = xstrdup(text);
    migration_feed(m, &(struct txn_event){.kind = TXN_EVENT_CANCEL, .text = by});
    return 0;
}

/* ---- who asks ---------------------------------------------------------------------------------------------------- */

const Drover__V1__Job *driver_job(const struct driver *d, uint64_t id)
{
    const struct migration *m = find(d, id);
    return m ? m->job : NULL;
}

const Drover__V1__Policy *driver_policy(const struct driver *d, uint64_t id)
{
    const struct migration *m = find(d, id);
    return m ? m->journal->policy : NULL;
}

bool driver_copies(const struct driver *d, uint64_t id)
{
    const struct migration *m = find(d, id);
    return m && m->journal->relocation && m->journal->relocation->n_copies;
}

void driver_hook(struct driver *d, const struct driver_hooks *hooks)
{
    d->hooks = *hooks;
}

const Drover__V1__Job *driver_job_of_guest(const struct driver *d, const char *guest_uuid)
{
    const struct migration *found = NULL;
    enum txn_party left;
    for (const struct migration *m = d->migrations; m; m = m->next) {
        if (!streq(m->job->guest_uuid, guest_uuid))
            continue;
        found = m;
        if (!is_settled(m, &left))
            break;
    }
    return found ? found->job : NULL;
}

const Drover__V1__Job *driver_job_of_transaction(const struct driver *d, const char *transaction)
{
    for (const struct migration *m = d->migrations; m; m = m->next)
        if (streq(m->job->transaction, transaction))
            return m->job;
    return NULL;
}

const Drover__V1__Job *driver_in_the_way(const struct driver *d, const char *guest_uuid, const char *source,
                                         const char *destination)
{
    const struct migration *m = in_the_way(d, guest_uuid, source, destination);
    return m ? m->job : NULL;
}

Drover__V1__JobState driver_outcome(const struct driver *d, uint64_t id)
{
    const struct migration *m = find(d, id);
    enum txn_party left;
    if (!m || !m->txn.in_doubt || !is_settled(m, &left))
        return DROVER__V1__JOB_STATE__JOB_UNSET;
    if (m->txn.state == TXN_RELEASING)
        return DROVER__V1__JOB_STATE__JOB_DONE;
    return m->txn.cancelled ? DROVER__V1__JOB_STATE__JOB_CANCELLED : DROVER__V1__JOB_STATE__JOB_FAILED;
}

size_t driver_jobs(const struct driver *d, const Drover__V1__Job **ret, size_t max)
{
    size_t n = 0;
    for (const struct migration *m = d->migrations; m; m = m->next) {
        if (n < max)
            ret[n] = m->job;
        n++;
    }
    return n;
}

struct driver_watch *driver_watch(struct driver *d, uint64_t job,
                                  void (*fn)(void *arg, const Drover__V1__Job *job), void *arg)
{
    if (!find(d, job))
        return NULL;
    struct driver_watch *w = new0(struct driver_watch);
    *w = (struct driver_watch){.driver = d, .next = d->watches, .job = job, .fn = fn, .arg = arg};
    d->watches = w;
    return w;
}

struct driver_watch *driver_unwatch(struct driver_watch *w)
{
    if (!w)
        return NULL;
    w->fn = NULL;
    struct driver *d = w->driver;
    if (d->telling)
        return NULL;
    for (struct driver_watch **p = &d->watches; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            free(w);
            break;
        }
    return NULL;
}
