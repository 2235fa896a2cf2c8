#include "agent/io/libvirt_session.h"

#include "common/base/memory.h"

#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    KEEPALIVE_S =
        5, /* a libvirtd that says nothing for KEEPALIVE_S * (KEEPALIVE_COUNT + 1) is taken for dead */
    KEEPALIVE_COUNT = 3,
    EVENT_STACK = 256 * 1024,
    MAX_CALLBACKS = 16,
};

struct libvirt_session {
    atomic_int refs; /* the owner's, one for each callback that libvirt holds, one for each post */
    struct loop *loop;
    void (*fn)(void *arg, struct libvirt_session *session, struct libvirt_event *event);
    void (*gone)(void *arg);
    void *arg;
    virConnectPtr conn;
    atomic_bool broken;
    int domain_callbacks[MAX_CALLBACKS], n_domain_callbacks;
    int network_callback, pool_callback;
};

/* ---- libvirt's event loop ---- */

static void silent(void *data, virErrorPtr error)
{
    (void)data;
    (void)error; /* each caller reports its own; libvirt would print it to standard error */
}

static void *run_events(void *arg)
{
    (void)arg;
    for (;;)
        virEventRunDefaultImpl();
    return NULL;
}

static struct error start_error;

static void start_events(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    virSetErrorFunc(NULL, silent);
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
        error_libvirt(&start_error, "libvirt's client library can't be set up");
        return;
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, EVENT_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&thread, &attr, run_events, NULL);
    if (r)
        error_errno(&start_error, r, "cannot start the thread for libvirt's events");
    pthread_attr_destroy(&attr);
}

int libvirt_events_start(struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_events);
    if (start_error.code && err)
        *err = start_error;
    return -(int)start_error.code;
}

/* ---- references ---- */

static struct libvirt_session *ref(struct libvirt_session *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

static void unref(void *arg)
{
    struct libvirt_session *s = arg;
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    s->gone(s->arg);
    free(s);
}

/* ---- events: on libvirt's thread, then on the loop ---- */

struct post {
    struct libvirt_session *session;
    struct libvirt_event event;
    struct error why;
};

static void on_loop(void *arg)
{
    struct post *p = arg;
    p->session->fn(p->session->arg, p->session, &p->event);
    unref(p->session);
    virTypedParamsFree(p->event.params, p->event.n_params);
    free(p->event.name);
    free(p);
}

static struct post *post_new(struct libvirt_session *s, enum libvirt_event_kind kind, virDomainPtr domain)
{
    struct post *p = new0(struct post);
    p->session = ref(s);
    p->event.kind = kind;
    p->event.at_ms = clock_monotonic_ms();
    if (domain) {
        virDomainGetUUIDString(domain, p->event.uuid);
        p->event.name = xstrdup(virDomainGetName(domain));
    }
    return p;
}

static void post_domain(struct libvirt_session *s, enum libvirt_event_kind kind, virDomainPtr domain,
                        int event, int detail)
{
    struct post *p = post_new(s, kind, domain);
    p->event.event = event;
    p->event.detail = detail;
    loop_post(s->loop, on_loop, p);
}

static void on_close(virConnectPtr conn, int reason, void *opaque)
{
    (void)conn;
    struct libvirt_session *s = opaque;
    static const char *const reasons[] = {
        [VIR_CONNECT_CLOSE_REASON_ERROR] = "the socket broke",
        [VIR_CONNECT_CLOSE_REASON_EOF] = "libvirtd has ended or is being restarted",
        [VIR_CONNECT_CLOSE_REASON_KEEPALIVE] = "libvirtd does not answer",
        [VIR_CONNECT_CLOSE_REASON_CLIENT] = "it was closed here",
    };
    bool known = reason >= 0 && (size_t)reason < sizeof(reasons) / sizeof(reasons[0]);
    s->broken = true;
    struct post *p = post_new(s, LIBVIRT_DOWN, NULL);
    error_set(&p->why, STATUS_UNAVAILABLE, "%s", known ? reasons[reason] : "for an unknown reason");
    p->event.why = &p->why;
    loop_post(s->loop, on_loop, p);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *opaque)
{
    (void)conn;
    post_domain(opaque, LIBVIRT_LIFECYCLE, domain, event, detail);
    return 0;
}

static void on_iteration(virConnectPtr conn, virDomainPtr domain, int iteration, void *opaque)
{
    (void)conn;
    post_domain(opaque, LIBVIRT_ITERATION, domain, iteration, 0);
}

/* libvirt's own copy is gone when the callback returns, and its function for copying is not public. */
static void copy_params(struct libvirt_event *e, virTypedParameterPtr params, int n)
{
    int max = 0;
    for (int i = 0; i < n; i++) {
        const virTypedParameter *p = &params[i];
        switch (p->type) {
        case VIR_TYPED_PARAM_INT:
            virTypedParamsAddInt(&e->params, &e->n_params, &max, p->field, p->value.i);
            break;
        case VIR_TYPED_PARAM_UINT:
            virTypedParamsAddUInt(&e->params, &e->n_params, &max, p->field, p->value.ui);
            break;
        case VIR_TYPED_PARAM_LLONG:
            virTypedParamsAddLLong(&e->params, &e->n_params, &max, p->field, p->value.l);
            break;
        case VIR_TYPED_PARAM_ULLONG:
            virTypedParamsAddULLong(&e->params, &e->n_params, &max, p->field, p->value.ul);
            break;
        case VIR_TYPED_PARAM_DOUBLE:
            virTypedParamsAddDouble(&e->params, &e->n_params, &max, p->field, p->value.d);
            break;
        case VIR_TYPED_PARAM_BOOLEAN:
            virTypedParamsAddBoolean(&e->params, &e->n_params, &max, p->field, p->value.b);
            break;
        case VIR_TYPED_PARAM_STRING:
            virTypedParamsAddString(&e->params, &e->n_params, &max, p->field, p->value.s);
            break;
        default: break;
        }
    }
}

static void on_job_completed(virConnectPtr conn, virDomainPtr domain, virTypedParameterPtr params, int n,
                             void *opaque)
{
    (void)conn;
    struct libvirt_session *s = opaque;
    struct post *p = post_new(s, LIBVIRT_JOB_COMPLETED, domain);
    copy_params(&p->event, params, n);
    loop_post(s->loop, on_loop, p);
}

static void on_changed(virConnectPtr conn, virDomainPtr domain, void *opaque)
{
    (void)conn;
    post_domain(opaque, LIBVIRT_CHANGED, domain, 0, 0);
}

static void on_device(virConnectPtr conn, virDomainPtr domain, const char *alias, void *opaque)
{
    (void)alias;
    on_changed(conn, domain, opaque);
}

static void on_balloon(virConnectPtr conn, virDomainPtr domain, unsigned long long actual, void *opaque)
{
    (void)actual;
    on_changed(conn, domain, opaque);
}

static void on_metadata(virConnectPtr conn, virDomainPtr domain, int type, const char *uri, void *opaque)
{
    (void)type;
    (void)uri;
    on_changed(conn, domain, opaque);
}

static void on_media(virConnectPtr conn, virDomainPtr domain, const char *old, const char *new,
                     const char *alias, int reason, void *opaque)
{
    (void)old;
    (void)new;
    (void)alias;
    (void)reason;
    on_changed(conn, domain, opaque);
}

static void on_block_job(virConnectPtr conn, virDomainPtr domain, const char *disk, int type, int status,
                         void *opaque)
{
    (void)disk;
    (void)type;
    (void)status;
    on_changed(conn, domain, opaque);
}

static void on_network(virConnectPtr conn, virNetworkPtr network, int event, int detail, void *opaque)
{
    (void)conn;
    (void)network;
    post_domain(opaque, LIBVIRT_HOST_CHANGED, NULL, event, detail);
}

static void on_pool(virConnectPtr conn, virStoragePoolPtr pool, int event, int detail, void *opaque)
{
    (void)conn;
    (void)pool;
    post_domain(opaque, LIBVIRT_HOST_CHANGED, NULL, event, detail);
}

static const struct {
    int id;
    virConnectDomainEventGenericCallback fn;
} domain_events[] = {
    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
    {VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(on_iteration)},
    {VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed)},
    {VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_changed)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
    {VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon)},
    {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
    {VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_media)},
    {VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job)},
};

/* An event that this libvirt does not know is done without, but for the lifecycle. */
static int subscribe(struct libvirt_session *s, struct error *err)
{
    for (size_t i = 0; i < sizeof(domain_events) / sizeof(domain_events[0]); i++) {
        int id = virConnectDomainEventRegisterAny(s->conn, NULL, domain_events[i].id, domain_events[i].fn,
                                                  ref(s), unref);
        if (id >= 0) {
            s->domain_callbacks[s->n_domain_callbacks++] = id;
            continue;
        }
        unref(s);
        if (i == 0)
            return error_libvirt(err, "libvirt does not give the events of domains");
    }
    s->network_callback = virConnectNetworkEventRegisterAny(
        s->conn, NULL, VIR_NETWORK_EVENT_ID_LIFECYCLE, VIR_NETWORK_EVENT_CALLBACK(on_network), ref(s), unref);
    if (s->network_callback < 0)
        unref(s);
    s->pool_callback =
        virConnectStoragePoolEventRegisterAny(s->conn, NULL, VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
                                              VIR_STORAGE_POOL_EVENT_CALLBACK(on_pool), ref(s), unref);
    if (s->pool_callback < 0)
        unref(s);
    return 0;
}

/* ---- opened and closed ---- */

int libvirt_session_open(struct loop *loop, const char *uri,
                         void (*fn)(void *arg, struct libvirt_session *session, struct libvirt_event *event),
                         void (*gone)(void *arg), void *arg, struct libvirt_session **ret, struct error *err)
{
    struct libvirt_session *s = new0(struct libvirt_session);
    *s = (struct libvirt_session){.refs = 1,
                                  .loop = loop,
                                  .fn = fn,
                                  .gone = gone,
                                  .arg = arg,
                                  .network_callback = -1,
                                  .pool_callback = -1};
    s->conn = virConnectOpen(uri);
    int r = 0;
    if (!s->conn) {
        r = error_libvirt(err, "cannot connect to libvirt at %s", uri);
    } else {
        /* Both do nothing on drivers inside of the process (test:///), which can't break either; they would not
         * free what they are given either, so the callback goes without a reference. libvirt calls it and
         * unregisters it under one lock: it never runs after libvirt_session_close has unregistered it. */
        virConnectSetKeepAlive(s->conn, KEEPALIVE_S, KEEPALIVE_COUNT);
        virConnectRegisterCloseCallback(s->conn, on_close, s, NULL);
        r = subscribe(s, err);
    }
    if (r < 0) {
        libvirt_session_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void libvirt_session_close(struct libvirt_session *s)
{
    if (s->conn) {
        /* Each callback holds the connection, a dead one too. */
        virConnectUnregisterCloseCallback(s->conn, on_close);
        for (int i = 0; i < s->n_domain_callbacks; i++)
            virConnectDomainEventDeregisterAny(s->conn, s->domain_callbacks[i]);
        if (s->network_callback >= 0)
            virConnectNetworkEventDeregisterAny(s->conn, s->network_callback);
        if (s->pool_callback >= 0)
            virConnectStoragePoolEventDeregisterAny(s->conn, s->pool_callback);
        virConnectClose(s->conn);
    }
    unref(s);
}

bool libvirt_session_broken(const struct libvirt_session *s)
{
    return s->broken;
}

virConnectPtr libvirt_session_connection(const struct libvirt_session *s)
{
    return s->conn;
}
