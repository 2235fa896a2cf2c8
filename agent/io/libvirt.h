/* The connection to this host's libvirt: opened, watched, and reopened with backoff when libvirtd is absent
 * or restarts.
 *
 * Threads. libvirt's event loop has a thread of its own, opening is done on a worker, and everything is
 * delivered on the program's loop. One per process: libvirt has one event loop. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/loop.h"

#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <stdint.h>

struct libvirt;

/* `uri` is copied. Fails only if libvirt can't be set up at all, not because libvirtd is absent. */
int libvirt_new(struct loop *loop, struct workers *workers, const char *uri, struct libvirt **ret,
                struct error *err);

/* Nothing is delivered any more, and libvirt_ref fails; calls in progress keep their reference. Loop's thread, before
 * workers_free, as it leaves the closing to a worker. */
void libvirt_close(struct libvirt *libvirt);

/* After libvirt_close and workers_free. */
void libvirt_free(struct libvirt *libvirt);
DEFINE_CLEANUP(struct libvirt *, libvirt_free);

/* Workers only: it may connect. A connection of the caller's own until it gives it back by libvirt_unref, or NULL with
 * UNAVAILABLE and why. */
virConnectPtr libvirt_ref(struct libvirt *libvirt, struct error *err);
void libvirt_unref(virConnectPtr conn); /* closes one that was opened otherwise */

/* Loop's thread. *ret_since_ms: realtime; *ret_why: only when down. Both may be NULL. */
bool libvirt_up(const struct libvirt *libvirt, int64_t *ret_since_ms, struct error *ret_why);

/* ---- events ---- */

enum libvirt_event_kind {
    LIBVIRT_UP,            /* connected (again): whatever was known before may have changed */
    LIBVIRT_DOWN,          /* `why` says why */
    LIBVIRT_LIFECYCLE,     /* of a domain: `event` is a virDomainEventType, `detail` its detail */
    LIBVIRT_CHANGED,       /* something else of a domain: a device, the balloon, its title, a reboot */
    LIBVIRT_ITERATION,     /* `event`: the number of the pass over memory that a migration begins */
    LIBVIRT_JOB_COMPLETED, /* `params`: as of virDomainGetJobStats with VIR_DOMAIN_JOB_STATS_COMPLETED */
    LIBVIRT_HOST_CHANGED,  /* a network or a storage pool */
};

struct libvirt_event {
    enum libvirt_event_kind kind;
    char uuid[VIR_UUID_STRING_BUFLEN]; /* of the domain */
    char *name;
    int event, detail;
    int64_t at_ms; /* monotonic, taken on libvirt's event thread, before the loop's queue */
    virTypedParameterPtr params;
    int n_params;
    const struct error *why;
};

/* Calls fn on the loop for each event, in order; what the event points at is good during the call only. A
 * subscriber that comes when libvirt is up already gets no LIBVIRT_UP for it. May be called (and cancelled)
 * inside of fn. */
struct libvirt_subscription;
struct libvirt_subscription *libvirt_subscribe(struct libvirt *libvirt,
                                               void (*fn)(void *arg, const struct libvirt_event *event),
                                               void *arg);
struct libvirt_subscription *libvirt_unsubscribe(struct libvirt_subscription *subscription); /* NULL */

/* ---- errors ---- */

/* "TEXT: what libvirt said", by virGetLastError of this thread, with the code that fits; returns -code. */
int error_libvirt(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- cleanup ---- */

static inline void virConnectPtr_closep(virConnectPtr *p)
{
    if (*p)
        libvirt_unref(*p);
}

static inline void virDomainPtr_freep(virDomainPtr *p)
{
    if (*p)
        virDomainFree(*p);
}

#define _cleanup_connect_ _cleanup_(virConnectPtr_closep)
#define _cleanup_domain_ _cleanup_(virDomainPtr_freep)
