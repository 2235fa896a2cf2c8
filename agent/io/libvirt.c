#include "agent/io/libvirt.h"

#include "agent/io/libvirt_pool.h"
#include "agent/io/libvirt_session.h"
#include "common/base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { BACKOFF_MIN_MS = 200, BACKOFF_MAX_MS = 5000 };

struct libvirt_subscription {
    struct libvirt_subscription *next;
    void (*fn)(void *arg, const struct libvirt_event *event); /* NULL: cancelled during a delivery */
    void *arg;
    struct libvirt *libvirt;
};

struct libvirt {
    atomic_int refs; /* the owner's, and one for each opening and each session */
    struct loop *loop;
    struct workers *workers;
    char *uri;
    bool closed, delivering;
    int64_t since_ms, backoff_ms;
    struct loop_timer *retry;
    struct libvirt_session *session; /* NULL when down */
    struct libvirt_subscription *subscriptions;
    pthread_mutex_t lock; /* guards the two below, which libvirt_ref reads on workers */
    virConnectPtr conn;   /* the session's */
    struct error why;
    struct libvirt_pool *pool; /* NULL: a driver inside of the process, whose connection is lent to all */
};

static void hub_unref(struct libvirt *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    libvirt_pool_close(l->pool);
    pthread_mutex_destroy(&l->lock);
    free(l->uri);
    free(l);
}

/* ---- delivering ---- */

static void sweep(struct libvirt *l)
{
    for (struct libvirt_subscription **p = &l->subscriptions; *p;) {
        struct libvirt_subscription *s = *p;
        if (s->fn) {
            p = &s->next;
            continue;
        }
        *p = s->next;
        free(s);
    }
}

static void deliver(struct libvirt *l, const struct libvirt_event *event)
{
    l->delivering = true;
    for (struct libvirt_subscription *s = l->subscriptions; s; s = s->next)
        if (s->fn)
            s->fn(s->arg, event);
    l->delivering = false;
    sweep(l);
}

struct libvirt_subscription *
libvirt_subscribe(struct libvirt *l, void (*fn)(void *arg, const struct libvirt_event *event), void *arg)
{
    struct libvirt_subscription *s = new0(struct libvirt_subscription);
    *s = (struct libvirt_subscription){.fn = fn, .arg = arg, .libvirt = l};
    struct libvirt_subscription **p = &l->subscriptions;
    while (*p)
        p = &(*p)->next;
    *p = s;
    return s;
}

struct libvirt_subscription *libvirt_unsubscribe(struct libvirt_subscription *s)
{
    if (!s)
        return NULL;
    s->fn = NULL;
    if (!s->libvirt->delivering)
        sweep(s->libvirt);
    return NULL;
}

/* ---- up and down ---- */

static void open_soon(struct libvirt *l);

static void set_conn(struct libvirt *l, virConnectPtr conn, const struct error *why)
{
    pthread_mutex_lock(&l->lock);
    l->conn = conn;
    if (why)
        l->why = *why;
    else
        error_clear(&l->why);
    pthread_mutex_unlock(&l->lock);
}

static void hub_unref_any(void *arg)
{
    hub_unref(arg);
}

static void close_on_worker(void *arg)
{
    libvirt_session_close(arg);
}

/* Deregistering asks libvirtd, which may not answer: not on the loop. */
static void drop_session(struct libvirt *l)
{
    workers_submit(l->workers, close_on_worker, NULL, steal(&l->session));
}

static void on_session(void *arg, struct libvirt_session *session, struct libvirt_event *event)
{
    struct libvirt *l = arg;
    if (l->closed || session != l->session)
        return; /* of a connection that is gone: what it told is read anew */
    if (event->kind != LIBVIRT_DOWN) {
        deliver(l, event);
        return;
    }
    struct error why = *event->why;
    error_prefix(&why, "the connection to libvirt at %s was lost", l->uri);
    set_conn(l, NULL, &why);
    drop_session(l);
    l->since_ms = clock_realtime_ms();
    l->backoff_ms = BACKOFF_MIN_MS;
    deliver(l, &(struct libvirt_event){.kind = LIBVIRT_DOWN, .at_ms = event->at_ms, .why = &why});
    open_soon(l);
}

struct opening {
    struct libvirt *hub;
    struct libvirt_session *session;
    struct error err;
};

static void open_on_worker(void *arg)
{
    struct opening *o = arg;
    struct libvirt *l = o->hub;
    atomic_fetch_add(&l->refs, 1);
    libvirt_session_open(l->loop, l->uri, on_session, hub_unref_any, l, &o->session, &o->err);
}

static void opened(void *arg)
{
    struct opening *o = arg;
    struct libvirt *l = o->hub;
    if (o->session && (l->closed || libvirt_session_broken(o->session))) {
        libvirt_session_close(steal(&o->session));
        error_set(&o->err, STATUS_UNAVAILABLE, "libvirt at %s hung up at once", l->uri);
    }
    if (l->closed) {
        /* Nobody wants to know any more. */
    } else if (!o->session) {
        bool first = !streq(l->why.text, o->err.text);
        set_conn(l, NULL, &o->err);
        if (first)
            deliver(l, &(struct libvirt_event){
                           .kind = LIBVIRT_DOWN, .at_ms = clock_monotonic_ms(), .why = &o->err});
        open_soon(l);
    } else {
        l->session = o->session;
        l->since_ms = clock_realtime_ms();
        l->backoff_ms = BACKOFF_MIN_MS;
        set_conn(l, libvirt_session_connection(o->session), NULL);
        deliver(l, &(struct libvirt_event){.kind = LIBVIRT_UP, .at_ms = clock_monotonic_ms()});
    }
    hub_unref(l);
    free(o);
}

static void open_now(void *arg)
{
    struct libvirt *l = arg;
    l->retry = NULL;
    struct opening *o = new0(struct opening);
    o->hub = l;
    atomic_fetch_add(&l->refs, 1);
    workers_submit(l->workers, open_on_worker, opened, o);
}

static void open_soon(struct libvirt *l)
{
    l->retry = loop_timer_start(l->loop, l->backoff_ms, open_now, l);
    l->backoff_ms = l->backoff_ms * 2 < BACKOFF_MAX_MS ? l->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* ---- made and freed ---- */

int libvirt_new(struct loop *loop, struct workers *workers, const char *uri, struct libvirt **ret,
                struct error *err)
{
    int r = libvirt_events_start(err);
    if (r < 0)
        return r;
    struct libvirt *l = new0(struct libvirt);
    l->refs = 1;
    l->loop = loop;
    l->workers = workers;
    l->uri = xstrdup(uri);
    l->pool = strncmp(uri, "test:", 5) == 0 ? NULL : libvirt_pool_new(uri);
    l->since_ms = clock_realtime_ms();
    l->backoff_ms = BACKOFF_MIN_MS;
    pthread_mutex_init(&l->lock, NULL);
    error_set(&l->why, STATUS_UNAVAILABLE, "libvirt at %s is being connected to", uri);
    open_now(l);
    *ret = l;
    return 0;
}

void libvirt_close(struct libvirt *l)
{
    l->closed = true;
    l->retry = loop_timer_cancel(l->retry);
    for (struct libvirt_subscription *s = l->subscriptions; s; s = s->next)
        s->fn = NULL;
    sweep(l);
    set_conn(l, NULL, &(struct error){STATUS_UNAVAILABLE, "the agent is stopping"});
    if (l->session)
        drop_session(l);
}

void libvirt_free(struct libvirt *l)
{
    if (l)
        hub_unref(l);
}

virConnectPtr libvirt_ref(struct libvirt *l, struct error *err)
{
    pthread_mutex_lock(&l->lock);
    virConnectPtr conn = l->conn;
    if (conn && !l->pool)
        virConnectRef(conn);
    else if (!conn && err)
        *err = l->why;
    pthread_mutex_unlock(&l->lock);
    return conn && l->pool ? libvirt_pool_take(l->pool, err) : conn;
}

void libvirt_unref(virConnectPtr conn)
{
    libvirt_pool_put(conn);
}

bool libvirt_up(const struct libvirt *l, int64_t *ret_since_ms, struct error *ret_why)
{
    /* `why` and `session` only change on the loop, which is where we are. */
    if (ret_since_ms)
        *ret_since_ms = l->since_ms;
    if (ret_why && !l->session)
        *ret_why = l->why;
    return l->session;
}
