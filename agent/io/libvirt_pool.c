#include "agent/io/libvirt_pool.h"

#include "agent/io/libvirt.h"
#include "common/base/memory.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { IDLE_MAX = 4, KEEPALIVE_S = 5, KEEPALIVE_N = 3, OPEN_S = 5 };

struct lent {
    struct lent *next;
    virConnectPtr conn;
    struct libvirt_pool *pool;
};

struct libvirt_pool {
    unsigned refs; /* the owner's, and one for each that is lent */
    bool closed;
    char *uri;
    virConnectPtr idle[IDLE_MAX];
    unsigned n_idle;
    unsigned hanging; /* openings that nobody waits for any more */
};

/* Of all pools: a connection that comes back does not say whose it is. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lent *lent;

struct libvirt_pool *libvirt_pool_new(const char *uri)
{
    struct libvirt_pool *p = new0(struct libvirt_pool);
    p->refs = 1;
    p->uri = xstrdup(uri);
    return p;
}

static void unref_locked(struct libvirt_pool *p)
{
    if (--p->refs > 0)
        return;
    free(p->uri);
    free(p);
}

void libvirt_pool_close(struct libvirt_pool *p)
{
    if (!p)
        return;
    virConnectPtr idle[IDLE_MAX];
    pthread_mutex_lock(&lock);
    unsigned n = p->n_idle;
    memcpy(idle, p->idle, sizeof(idle));
    p->n_idle = 0;
    p->closed = true;
    unref_locked(p);
    pthread_mutex_unlock(&lock);
    while (n)
        virConnectClose(idle[--n]);
}

static virConnectPtr take_idle(struct libvirt_pool *p)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        virConnectPtr conn = p->n_idle ? p->idle[--p->n_idle] : NULL;
        pthread_mutex_unlock(&lock);
        if (!conn || virConnectIsAlive(conn) == 1)
            return conn;
        virConnectClose(conn); /* libvirtd has been restarted */
    }
}

/* A libvirtd that hangs accepts a connection and never answers on it; only the connection's own keepalive would notice. */
struct opening {
    struct libvirt_pool *pool;
    pthread_cond_t ready;
    bool back, left; /* the thread is; nobody waits */
    virConnectPtr conn;
    struct error why;
};

static void opening_end_locked(struct opening *o)
{
    unref_locked(o->pool);
    pthread_cond_destroy(&o->ready);
    free(o);
}

static void *open_thread(void *arg)
{
    struct opening *o = arg;
    virConnectPtr conn = virConnectOpen(o->pool->uri);
    if (conn)
        virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_N);
    else
        error_libvirt(&o->why, "cannot connect to libvirt at %s", o->pool->uri);
    pthread_mutex_lock(&lock);
    bool left = o->left;
    if (left) {
        o->pool->hanging--;
        opening_end_locked(o);
    } else {
        o->conn = conn;
        o->back = true;
        pthread_cond_signal(&o->ready);
    }
    pthread_mutex_unlock(&lock);
    if (left && conn)
        virConnectClose(conn);
    return NULL;
}

static virConnectPtr open_new(struct libvirt_pool *p, struct error *err)
{
    struct opening *o = new0(struct opening);
    pthread_t thread;
    struct timespec until;
    pthread_condattr_t attr; /* the clock may be set meanwhile */
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&o->ready, &attr);
    pthread_condattr_destroy(&attr);
    o->pool = p;
    pthread_mutex_lock(&lock);
    p->refs++;
    bool hangs = p->hanging > 0;
    if (hangs || pthread_create(&thread, NULL, open_thread, o) != 0) {
        opening_end_locked(o);
        pthread_mutex_unlock(&lock);
        error_set(err, STATUS_UNAVAILABLE,
                  hangs ? "libvirt at %s does not answer to a new connection"
                        : "no thread to connect to libvirt at %s",
                  p->uri);
        return NULL;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += OPEN_S;
    while (!o->back && pthread_cond_timedwait(&o->ready, &lock, &until) == 0)
        ;
    virConnectPtr conn = o->conn;
    struct error why = o->why;
    bool back = o->back;
    if (back) {
        opening_end_locked(o);
    } else {
        error_set(&why, STATUS_UNAVAILABLE, "libvirt at %s did not answer within %d s", p->uri, OPEN_S);
        o->left = true;
        p->hanging++;
    }
    pthread_mutex_unlock(&lock);
    /* Not left to end by itself: what libvirt keeps for each thread would look like a leak to who exits right now. */
    if (back)
        pthread_join(thread, NULL);
    else
        pthread_detach(thread);
    if (!conn && err)
        *err = why;
    return conn;
}

virConnectPtr libvirt_pool_take(struct libvirt_pool *p, struct error *err)
{
    virConnectPtr conn = take_idle(p);
    if (!conn)
        conn = open_new(p, err);
    if (!conn)
        return NULL;
    struct lent *l = new0(struct lent);
    l->conn = conn;
    l->pool = p;
    pthread_mutex_lock(&lock);
    p->refs++;
    l->next = lent;
    lent = l;
    pthread_mutex_unlock(&lock);
    return conn;
}

void libvirt_pool_put(virConnectPtr conn)
{
    bool alive = virConnectIsAlive(conn) == 1, keep = false;
    pthread_mutex_lock(&lock);
    for (struct lent **l = &lent; *l; l = &(*l)->next)
        if ((*l)->conn == conn) {
            struct lent *found = *l;
            struct libvirt_pool *p = found->pool;
            keep = alive && !p->closed && p->n_idle < IDLE_MAX;
            if (keep)
                p->idle[p->n_idle++] = conn;
            *l = found->next;
            free(found);
            unref_locked(p);
            break;
        }
    pthread_mutex_unlock(&lock);
    if (!keep)
        virConnectClose(conn);
}
