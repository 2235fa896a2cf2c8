/* Joins the transactions (core/transaction) with the journal and the agents: event -> core -> journal -> send. */
#pragma once

#include "coordinator/core/fleet.h"
#include "coordinator/io/agents.h"
#include "coordinator/io/store.h"

struct driver;

struct driver_config {
    struct loop *loop;
    struct store *store; /* borrowed, like the next two */
    struct agents *agents;
    struct fleet *fleet;
};

/* Reads open transactions from the journal and goes on with them. */
int driver_new(const struct driver_config *config, struct driver **ret, struct error *err);
void driver_free(struct driver *driver);
DEFINE_CLEANUP(struct driver *, driver_free);

/* What to do; all strings are copied. Checks were made by the caller; that no other job is in the way is checked here
 * (FAILED_PRECONDITION names it). */
struct migration_order {
    const char *guest_uuid, *guest_name, *source, *destination, *operator_name;
    Drover__V1__Mode mode;
    const Drover__V1__Policy *policy;
    Drover__V1__Finding *const *findings; /* warnings and infos of the preflight, kept with the job */
    size_t n_findings;
    const Drover__V1__Relocation *relocation; /* NULL: all is as at the source */
    char *const *accept; /* ids of findings that the operator accepts, for the agents' own checks */
    size_t n_accept;
    uint64_t plan; /* the job whose step it is; 0: none */
};
int driver_migrate(struct driver *driver, const struct migration_order *order, uint64_t *ret_job,
                   struct error *err);

/* Ends with KEPT if the guest has not switched over. *ret_text says what cancel means in the phase it is in (freed by
 * the caller). NOT_FOUND, or FAILED_PRECONDITION when the job has ended or is past the switch-over. */
int driver_cancel(struct driver *driver, uint64_t job, const char *by, char **ret_text, struct error *err);

/* The operator's word on whose the guest is, where neither libvirt can tell. */
enum resolution {
    RESOLVE_SOURCE,      /* the source is asked with that word */
    RESOLVE_DESTINATION, /* the same */
    RESOLVE_SOURCE_OFF, /* the destination's, without the source's answer: the operator knows that it is switched off */
    RESOLVE_DESTINATION_OFF, /* the source's, without the destination's answer. With either: what only waits for that host waits no longer */
    RESOLVE_FENCED,          /* the same as SOURCE_OFF: the storage was closed to it, which was proved */
};

/* FAILED_PRECONDITION unless the job is in doubt about that, or if a libvirt that can be asked says otherwise; without a host's answer
 * also unless that host can't be asked. *ret_text as above.
 *
 * The destination starts the guest from its disks, for its image may be older than they are. It goes on in the image `with_memory`, and
 * where all disks that the guest writes to came with it: these are as old as the image. */
int driver_resolve(struct driver *driver, uint64_t job, enum resolution how, bool with_memory, const char *by,
                   char **ret_text, struct error *err);

/* Whether driver_resolve would do it; NULL if not. */
struct migration;
const struct migration *driver_may_resolve(const struct driver *driver, uint64_t job, enum resolution how,
                                           bool with_memory, struct error *err);

/* The guest of the open job was given to the destination without the source's word, and was not started at the source again. */
bool driver_gave_away(const struct driver *driver, uint64_t job);

/* Told by the driver: a job has changed, or has ended; and asked what a transfer that begins now may use (begin_bandwidth and waits
 * of its request), and how long its line is (delay). Each may be NULL. */
struct driver_hooks {
    void (*changed)(void *arg);
    void (*begins)(void *arg, const Drover__V1__Job *job, Drover__V1__MigrateRequest *request);
    void *arg;
};
void driver_hook(struct driver *driver, const struct driver_hooks *hooks);

/* Of an open job; NULL if there is none of that id. */
const Drover__V1__Policy *driver_policy(const struct driver *driver, uint64_t id);
/* Disks are copied; false, too, if there is no open job of that id. */
bool driver_copies(const struct driver *driver, uint64_t id);

/* An open job as it is now; NULL if there is none of that id (it may be in the store). Good until the next change. */
const Drover__V1__Job *driver_job(const struct driver *driver, uint64_t id);
/* The one that moves the guest, else the last of those that only wait for a host to clear away. */
const Drover__V1__Job *driver_job_of_guest(const struct driver *driver, const char *guest_uuid);
const Drover__V1__Job *driver_job_of_transaction(const struct driver *driver, const char *transaction);

/* The open job that forbids a migration of the guest between these hosts; `destination` NULL: to any. One that only waits for a host
 * to clear away, which may never come back, forbids no migration between others. */
const Drover__V1__Job *driver_in_the_way(const struct driver *driver, const char *guest_uuid,
                                         const char *source, const char *destination);

/* How an open job is going to end that is in doubt only about what a host still holds: DONE, FAILED or CANCELLED. Else UNSET. */
Drover__V1__JobState driver_outcome(const struct driver *driver, uint64_t job);
/* Oldest first; returns how many there are, which may be more than `max`. */
size_t driver_jobs(const struct driver *driver, const Drover__V1__Job **ret, size_t max);

/* Tells fn(arg, job) on each change of a job, the last time with its end (state DONE, FAILED or CANCELLED), when the job is
 * in the store and no longer the driver's. NULL if that job is not open. The watch stays until driver_unwatch (also from
 * within fn) or driver_free. */
struct driver_watch;
struct driver_watch *driver_watch(struct driver *driver, uint64_t job,
                                  void (*fn)(void *arg, const Drover__V1__Job *job), void *arg);
struct driver_watch *driver_unwatch(struct driver_watch *watch);
