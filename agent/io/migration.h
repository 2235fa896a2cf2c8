/* libvirt's migration job: runs the call and watches the job.
 *
 * Threads. The call blocks for the whole transfer, on a thread and a connection of its own (libvirtd serves a client only a
 * few calls at a time); samples are taken on a worker; everything is told on the loop. The call is never cut off by us: the
 * job is ended by domain_stop_job, or goes on without us (a peer-to-peer migration is libvirtd's own). */
#pragma once

#include "agent/io/libvirt.h"
#include "proto/agent.pb-c.h"

struct migration;

struct migration_config {
    struct loop *loop;
    struct workers *workers;
    struct libvirt *libvirt; /* borrowed; for the samples */
    const char *libvirt_uri; /* the call's own connection; copied, like the next four */
    const char *guest;       /* UUID */
    const char *destination; /* the other libvirt's URI, as this host reaches it */
    const char *uri;         /* tcp://ADDRESS, for QEMU's stream */
    bool live;               /* else paused for the whole transfer */
    bool auto_converge;
    bool post_copy;                           /* may be asked for: then libvirt itself runs the guest there */
    bool take_up;                             /* a post-copy whose stream broke */
    uint64_t bandwidth;                       /* bytes per second, at most; 0: no limit */
    const Drover__V1__Relocation *relocation; /* NULL: all is as here. Copied */
    int64_t downtime_ms;                      /* the first limit of the switch-over; 0: libvirt's default */

    /* About every 250 ms while libvirt's job is on. May start or ask for anything below, but not free. */
    void (*sample)(void *arg, const Drover__V1__Progress *progress);
    /* Once, when the call is back (`why` is NULL if libvirt calls it a success); of an adopted job: when it is gone. */
    void (*ended)(void *arg, const struct error *why);
    void *arg;
};

struct migration *migration_start(const struct migration_config *config);

/* Watches a job that was started before this program: nobody will ever know what its call returned. */
struct migration *migration_adopt(const struct migration_config *config);

/* The next sample now, or right after the one that is being taken. */
void migration_sample(struct migration *migration);

/* The most that the switch-over may take, as soon as libvirt takes it. */
void migration_set_downtime(struct migration *migration, int64_t ms);

/* The most that its stream may use from now on, as soon as libvirt takes it; bytes per second, 0: no limit. */
void migration_set_bandwidth(struct migration *migration, uint64_t bytes);

/* No more samples: libvirt answers none while it ends the guest's QEMU, and each would hold a worker. */
void migration_quiet(struct migration *migration);

/* Nothing is told after this. The call may go on, it needs nothing of the caller's. NULL is fine, returns NULL. */
struct migration *migration_free(struct migration *migration);

/* Waits a moment for the threads of freed ones whose call has come back: what libvirt keeps for each thread would look like a leak to a
 * program that ends right then. */
void migration_join_ended(void);

/* Statistics of libvirt as messages. */
void migration_progress(virTypedParameterPtr params, int n, Drover__V1__Progress *ret);
void migration_result(virTypedParameterPtr params, int n, Drover__V1__Result *ret);

/* Of the job that ended last; NOT_FOUND if libvirt has none. Blocks. */
int migration_read_result(virConnectPtr conn, const char *guest, Drover__V1__Result *ret, struct error *err);
