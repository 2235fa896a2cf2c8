#include "agent/io/libvirt_pool.h"

#include "agent/io/libvirt.h"
#include "common/base/memory.h"

#include <pthread.h>
#include <string.h>

enum { IDLE_MAX = 4, KEEPALIVE_S = 5, KEEPALIVE_N = 3 };

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

virConnectPtr libvirt_pool_take(struct libvirt_pool *p, struct error *err)
{
    virConnectPtr conn = take_idle(p);
    if (!conn) {
        conn = virConnectOpen(p->uri);
        if (!conn) {
            error_libvirt(err, "cannot connect to libvirt at %s", p->uri);
            return NULL;
        }
        virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_N);
    }
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
