#include "made_driver.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <strings.h>

enum { MAX = 16 };

struct driver_watch {
    struct driver *driver;
    uint64_t job;
    void (*fn)(void *arg, const Drover__V1__Job *job);
    void *arg;
};

struct driver {
    Drover__V1__Job *jobs[MAX];
    struct driver_watch *watches[MAX];
};

struct made_order made_order;

static void forget_order(void)
{
    free(made_order.guest);
    free(made_order.source);
    free(made_order.destination);
    free(made_order.by);
    free(made_order.cancelled_by);
    made_order = (struct made_order){0};
}

struct driver *made_driver_new(void)
{
    forget_order();
    return new0(struct driver);
}

void driver_free(struct driver *d)
{
    for (int i = 0; i < MAX; i++) {
        drover__v1__job__free_unpacked(d->jobs[i], NULL);
        free(d->watches[i]);
    }
    free(d);
    forget_order();
}

Drover__V1__Job *made_driver_job(struct driver *d, uint64_t id, const char *guest, const char *uuid)
{
    Drover__V1__Job *job = new0(Drover__V1__Job);
    drover__v1__job__init(job);
    job->id = id;
    job->guest = xstrdup(guest);
    job->guest_uuid = xstrdup(uuid);
    job->state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    job->progress = new0(Drover__V1__Progress);
    drover__v1__progress__init(job->progress);
    for (int i = 0; i < MAX; i++)
        if (!d->jobs[i]) {
            d->jobs[i] = job;
            return job;
        }
    abort();
}

void made_driver_tell(struct driver *d, Drover__V1__Job *job)
{
    bool ended = job->state == DROVER__V1__JOB_STATE__JOB_DONE;
    for (int i = 0; ended && i < MAX; i++)
        if (d->jobs[i] == job)
            d->jobs[i] = NULL;
    for (int i = 0; i < MAX; i++)
        if (d->watches[i] && d->watches[i]->job == job->id)
            d->watches[i]->fn(d->watches[i]->arg, job);
    if (ended)
        drover__v1__job__free_unpacked(job, NULL);
}

unsigned made_driver_watches(const struct driver *d)
{
    unsigned n = 0;
    for (int i = 0; i < MAX; i++)
        n += d->watches[i] != NULL;
    return n;
}

int driver_migrate(struct driver *d, const struct migration_order *order, uint64_t *ret_job,
                   struct error *err)
{
    (void)d;
    (void)err;
    unsigned count = made_order.count + 1;
    forget_order();
    made_order = (struct made_order){
        .count = count,
        .guest = xstrdup(order->guest_name),
        .source = xstrdup(order->source),
        .destination = xstrdup(order->destination),
        .by = xstrdup(order->operator_name),
        .mode = order->mode,
        .policy = *order->policy,
        .n_findings = order->n_findings,
    };
    *ret_job = 41;
    return 0;
}

int driver_cancel(struct driver *d, uint64_t job, const char *by, char **ret_text, struct error *err)
{
    if (!driver_job(d, job))
        return error_set(err, STATUS_NOT_FOUND, "no open job %llu", (unsigned long long)job);
    free(made_order.cancelled_by);
    made_order.cancelled_by = xstrdup(by);
    *ret_text = xasprintf("cancelled by %s", by);
    return 0;
}

int driver_resolve(struct driver *d, uint64_t job, enum resolution how, bool with_memory, const char *by,
                   char **ret_text, struct error *err)
{
    if (!driver_job(d, job))
        return error_set(err, STATUS_NOT_FOUND, "no open job %llu", (unsigned long long)job);
    *ret_text = xasprintf("resolved to the %s%s by %s",
                          how == RESOLVE_SOURCE            ? "source"
                          : how == RESOLVE_DESTINATION_OFF ? "source, whose destination is off,"
                          : how == RESOLVE_SOURCE_OFF      ? "destination, whose source is off,"
                                                           : "destination",
                          with_memory ? " with its memory" : "", by);
    return 0;
}

bool driver_gave_away(const struct driver *d, uint64_t job)
{
    (void)d;
    (void)job;
    return false;
}

const struct migration *driver_may_resolve(const struct driver *d, uint64_t job, enum resolution how,
                                           bool with_memory, struct error *err)
{
    (void)how;
    (void)with_memory;
    error_set(err, driver_job(d, job) ? STATUS_FAILED_PRECONDITION : STATUS_NOT_FOUND, "no job in doubt %llu",
              (unsigned long long)job);
    return NULL;
}

const Drover__V1__Job *driver_job(const struct driver *d, uint64_t id)
{
    for (int i = 0; i < MAX; i++)
        if (d->jobs[i] && d->jobs[i]->id == id)
            return d->jobs[i];
    return NULL;
}

const Drover__V1__Job *driver_job_of_guest(const struct driver *d, const char *uuid)
{
    for (int i = 0; i < MAX; i++)
        if (d->jobs[i] && strcasecmp(d->jobs[i]->guest_uuid, uuid) == 0)
            return d->jobs[i];
    return NULL;
}

const Drover__V1__Job *driver_job_of_transaction(const struct driver *d, const char *transaction)
{
    for (int i = 0; i < MAX; i++)
        if (d->jobs[i] && streq(d->jobs[i]->transaction, transaction))
            return d->jobs[i];
    return NULL;
}

const Drover__V1__Job *driver_in_the_way(const struct driver *d, const char *uuid, const char *source,
                                         const char *destination)
{
    (void)source;
    (void)destination;
    return driver_job_of_guest(d, uuid);
}

Drover__V1__JobState driver_outcome(const struct driver *d, uint64_t job)
{
    (void)d;
    (void)job;
    return DROVER__V1__JOB_STATE__JOB_UNSET;
}

size_t driver_jobs(const struct driver *d, const Drover__V1__Job **ret, size_t max)
{
    size_t n = 0;
    for (int i = 0; i < MAX; i++) {
        if (d->jobs[i] && n < max)
            ret[n] = d->jobs[i];
        n += d->jobs[i] != NULL;
    }
    return n;
}

struct driver_watch *driver_watch(struct driver *d, uint64_t job,
                                  void (*fn)(void *arg, const Drover__V1__Job *job), void *arg)
{
    for (int i = 0; i < MAX; i++)
        if (!d->watches[i]) {
            d->watches[i] = new0(struct driver_watch);
            *d->watches[i] = (struct driver_watch){d, job, fn, arg};
            return d->watches[i];
        }
    abort();
}

struct driver_watch *driver_unwatch(struct driver_watch *w)
{
    for (int i = 0; w && i < MAX; i++)
        if (w->driver->watches[i] == w) {
            w->driver->watches[i] = NULL;
            free(w);
            break;
        }
    return NULL;
}
