#include "common/rpc/server.h"

#include "common/base/memory.h"
#include "common/rpc/defaults.h"
#include "common/rpc/tls.h"

#include <stdio.h>
#include <sys/random.h>

#define REST_MS 100
#define REPORTS 10 /* waiting on the loop at a time; more are only counted */

static void on_up(void *owner, struct conn *conn);
static void on_closed(void *owner, struct conn *conn, bool was_up, const struct error *why);
static const struct conn_ops ops = {.up = on_up, .frame = server_on_frame, .closed = on_closed};

static void bury(struct rpc_server *s)
{
    pthread_mutex_lock(&s->lock);
    struct server_conn *p = s->dead;
    s->dead = NULL;
    pthread_mutex_unlock(&s->lock);
    while (p) {
        struct server_conn *next = p->next_dead;
        conn_deinit(p->conn);
        conn_unref(p->conn);
        free(p);
        p = next;
    }
}

static void on_alarm(void *arg)
{
    struct rpc_server *s = arg;
    bury(s);
    pthread_mutex_lock(&s->lock);
    int64_t next = server_expire_locked(s, clock_monotonic_ms());
    bool notices = s->notices && !s->config.loop;
    pthread_mutex_unlock(&s->lock);
    if (notices)
        server_run_notices(s);
    alarm_at(s->alarm, next);
}

int rpc_server_new(const struct rpc_server_config *config, struct rpc_server **ret, struct error *err)
{
    (void)err;
    struct rpc_server *s = new0(struct rpc_server);
    s->refs = 1;
    s->config = *config;
    limits_fill(&s->config.limits);
    s->ipc_group = xstrdup(config->ipc_group);
    if (getrandom(s->instance, sizeof(s->instance), 0) != sizeof(s->instance))
        abort(); /* can't fail for so few bytes */
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    link_init(&s->conns);
    link_init(&s->all_calls);
    s->for_workers.kind = 1;
    answers_init(&s->answers, s->config.limits.stored_answers, s->config.limits.queued_bytes);
    s->alarm = alarm_new(on_alarm, s);
    *ret = s;
    return 0;
}

void rpc_server_add(struct rpc_server *s, ProtobufCService *service, unsigned roles,
                    enum rpc_dispatch dispatch)
{
    struct service_entry *e = new0(struct service_entry);
    *e = (struct service_entry){service, roles, dispatch};
    if ((dispatch == RPC_ON_WORKER && !s->config.workers) || (dispatch == RPC_ON_LOOP && !s->config.loop))
        abort(); /* a mistake of the program: the configuration lacks what the service needs */
    pthread_mutex_lock(&s->lock);
    s->services = xrealloc(s->services, s->service_count + 1, sizeof(*s->services));
    s->services[s->service_count++] = e;
    pthread_mutex_unlock(&s->lock);
}

struct report {
    struct rpc_server *server;
    struct rpc_peer peer;
    struct error why;
};

static void run_report(void *arg)
{
    struct report *r = arg;
    struct rpc_server *s = r->server;
    pthread_mutex_lock(&s->lock);
    unsigned hidden = --s->refused_posted == 0 ? s->refused_hidden : 0;
    s->refused_hidden -= hidden;
    bool closing = s->closing;
    pthread_mutex_unlock(&s->lock);
    if (hidden)
        error_set(&r->why, r->why.code, "%.400s (and %u more like it)", r->why.text, hidden);
    if (!closing)
        s->config.on_refused(s->config.arg, &r->peer, &r->why);
    server_unref(s);
    free(r);
}

void server_report(struct rpc_server *s, const struct rpc_peer *peer, const struct error *why)
{
    if (!s->config.on_refused || !s->config.loop || s->closing)
        return;
    if (s->refused_posted >= REPORTS) {
        s->refused_hidden++;
        return;
    }
    struct report *r = new0(struct report);
    *r = (struct report){s, *peer, *why};
    s->refused_posted++;
    atomic_fetch_add(&s->refs, 1);
    loop_post(s->config.loop, run_report, r);
}

static void on_up(void *owner, struct conn *conn)
{
    struct server_conn *p = owner;
    struct rpc_server *s = p->server;
    const struct rpc_peer *peer = conn_peer(conn);
    char key[sizeof(((struct account *)0)->key)];
    if (peer->role == RPC_ANYBODY) {
        snprintf(key, sizeof(key), "%s", peer->address);
        char *colon = strrchr(key, ':');
        if (colon)
            *colon = 0;
    } else {
        snprintf(key, sizeof(key), "%s/%s", peer_role_name(peer->role), peer->name);
    }
    pthread_mutex_lock(&s->lock);
    struct account *a = s->accounts;
    while (a && !streq(a->key, key))
        a = a->next;
    if (!a) {
        a = new0(struct account);
        memcpy(a->key, key, sizeof(key));
        a->next = s->accounts;
        s->accounts = a;
    }
    p->account = a;
    pthread_mutex_unlock(&s->lock);
}

static void on_closed(void *owner, struct conn *conn, bool was_up, const struct error *why)
{
    struct server_conn *p = owner;
    struct rpc_server *s = p->server;
    pthread_mutex_lock(&s->lock);
    server_detach_locked(p);
    if (!was_up)
        server_report(s, conn_peer(conn), why);
    link_remove(&p->link);
    p->listener->connections--;
    p->next_dead = s->dead;
    s->dead = p;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    alarm_at(s->alarm, 0);
}

static void admit(struct listener *l, nng_stream *stream)
{
    struct rpc_server *s = l->server;
    struct conn_config config = {.ops = &ops, .limits = s->config.limits, .server = true};
    memcpy(config.instance, s->instance, sizeof(config.instance));
    peer_address(stream, config.peer.address, sizeof(config.peer.address));
    pthread_mutex_lock(&s->lock);
    bool full = l->connections >= s->config.limits.connections || s->closing;
    if (!full)
        l->connections++;
    pthread_mutex_unlock(&s->lock);
    struct error err;
    if (full)
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "%u connections are open, the limit of this listener",
                  s->config.limits.connections);
    if (!full && l->url.kind == URL_TLS && tls_session_new(s->config.tls, NULL, &config.tls, &err) < 0) {
        pthread_mutex_lock(&s->lock);
        l->connections--;
        pthread_mutex_unlock(&s->lock);
        full = true;
    }
    if (full) {
        pthread_mutex_lock(&s->lock);
        server_report(s, &config.peer, &err);
        pthread_mutex_unlock(&s->lock);
        nng_stream_close(stream);
        nng_stream_free(stream);
        return;
    }
    if (l->url.kind == URL_IPC)
        peer_from_ipc(stream, s->ipc_group, &config.peer);
    else
        config.peer.role = l->url.kind == URL_TCP ? RPC_ANYBODY : RPC_NOBODY;
    struct server_conn *p = new0(struct server_conn);
    p->server = s;
    p->listener = l;
    config.owner = p;
    p->conn = conn_new(stream, &config);
    pthread_mutex_lock(&s->lock);
    link_append(&s->conns, &p->link);
    pthread_mutex_unlock(&s->lock);
    conn_start(p->conn);
}

static void on_accepted(void *arg)
{
    struct listener *l = arg;
    int e = nng_aio_result(l->aio);
    if (e == NNG_ECANCELED || e == NNG_ECLOSED)
        return;
    if (e == 0 && !l->resting)
        admit(l, nng_aio_get_output(l->aio, 0));
    if (e == 0 || e == NNG_ECONNABORTED || e == NNG_ECONNRESET || e == NNG_EAGAIN) {
        l->resting = false;
        nng_stream_listener_accept(l->listener, l->aio);
    } else {
        l->resting = true; /* out of descriptors or memory: clients wait in the kernel's queue meanwhile */
        nng_sleep_aio(REST_MS, l->aio);
    }
}

static void listener_free(struct listener *l)
{
    if (l->aio)
        nng_aio_stop(l->aio);
    if (l->listener) {
        nng_stream_listener_close(l->listener);
        nng_stream_listener_free(l->listener);
    }
    if (l->aio)
        nng_aio_free(l->aio);
    free(l);
}

int rpc_server_listen(struct rpc_server *s, const char *url, struct error *err)
{
    struct listener *l = new0(struct listener);
    l->server = s;
    int port = 0, r = url_parse(url, &l->url, err), e = 0;
    if (r == 0 && l->url.kind == URL_TLS && !s->config.tls)
        r = error_set(err, STATUS_INVALID_ARGUMENT,
                      "%s: no certificate is configured (tls: {ca: ..., cert: ...})", url);
    if (r == 0 && ((e = nng_stream_listener_alloc(&l->listener, l->url.nng)) != 0 ||
                   (e = nng_aio_alloc(&l->aio, on_accepted, l)) != 0))
        r = error_set(err, STATUS_INVALID_ARGUMENT, "%s: %s", url, nng_strerror(e));
    if (r == 0 &&
        l->url.kind == URL_IPC) /* who may call is decided by uid and group, not by the file's mode */
        nng_stream_listener_set_int(l->listener, NNG_OPT_IPC_PERMISSIONS, 0666);
    if (r == 0 && l->url.kind != URL_IPC) /* as the client's */
        nng_stream_listener_set_bool(l->listener, NNG_OPT_TCP_NODELAY, true);
    if (r == 0 && (e = nng_stream_listener_listen(l->listener)) != 0)
        r = error_set(err, e == NNG_EADDRINUSE ? STATUS_ALREADY_EXISTS : STATUS_UNAVAILABLE,
                      "cannot listen on %s: %s%s", url, nng_strerror(e),
                      e == NNG_EADDRINUSE ? "; does another program, or this one already, listen there?"
                                          : "");
    if (r < 0) {
        listener_free(l);
        return r;
    }
    snprintf(l->text, sizeof(l->text), "%s", url);
    if (l->url.kind != URL_IPC &&
        nng_stream_listener_get_int(l->listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0)
        snprintf(strrchr(l->text, ':'), 8, ":%d", port);
    s->listeners = xrealloc(s->listeners, s->listener_count + 1, sizeof(struct listener *));
    s->listeners[s->listener_count++] = l;
    nng_stream_listener_accept(l->listener, l->aio);
    return 0;
}

const char *rpc_server_url(const struct rpc_server *s, unsigned index)
{
    return index < s->listener_count ? s->listeners[index]->text : NULL;
}

void server_unref(struct rpc_server *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    while (s->accounts) {
        struct account *a = s->accounts;
        s->accounts = a->next;
        free(a);
    }
    for (unsigned i = 0; i < s->service_count; i++)
        free(s->services[i]);
    free(s->services);
    answers_deinit(&s->answers);
    idmap_deinit(&s->calls);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->ipc_group);
    free(s);
}

void rpc_server_free(struct rpc_server *s)
{
    if (!s)
        return;
    struct error why;
    error_set(&why, STATUS_UNAVAILABLE, "the server is shutting down");
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->listener_count; i++)
        nng_aio_stop(s->listeners[i]->aio);

    pthread_mutex_lock(&s->lock);
    list_for_each(l, next, &s->all_calls)
    {
        struct rpc_call *call = container_of(l, struct rpc_call, link);
        if (call->at)
            call_send_end(call->at->conn, &call->node.id, 0, why.code, why.text, (ProtobufCBinaryData){0});
        call_cancel_locked(call);
    }
    list_for_each(l, next, &s->conns) conn_drain(container_of(l, struct server_conn, link)->conn, &why);
    pthread_mutex_unlock(&s->lock);
    server_drop_waiting(s);
    server_run_notices(s);

    pthread_mutex_lock(&s->lock);
    while (s->running || !link_alone(&s->conns))
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    alarm_stop(s->alarm);
    bury(s);
    alarm_free(s->alarm);
    s->alarm = NULL;
    for (unsigned i = 0; i < s->listener_count; i++)
        listener_free(s->listeners[i]);
    free(s->listeners);
    s->listener_count = 0;

    /* What handlers still hold dies when they end it; all else now. */
    pthread_mutex_lock(&s->lock);
    struct link *head = &s->all_calls;
    while (!link_alone(head)) {
        struct rpc_call *call = container_of(head->next, struct rpc_call, link);
        stream_drop_locked(call);
        call_unlist_locked(call);
        pthread_mutex_unlock(&s->lock);
        rpc_call_unref(call);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    server_unref(s);
}
