/* The client's one connection: made at once, remade when lost; and the events that its user is told. */
#include "common/rpc/client.h"

#include "common/base/memory.h"
#include "common/rpc/defaults.h"
#include "common/rpc/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static void on_up(void *owner, struct conn *conn);
static void on_batch(void *owner, struct conn *conn);
static void on_closed(void *owner, struct conn *conn, bool was_up, const struct error *why);
static const struct conn_ops ops = {on_up, client_on_frame, on_batch, on_closed};

void client_push_locked(struct rpc_client *c, struct event *e)
{
    e->next = NULL;
    *c->events_end = e;
    c->events_end = &e->next;
}

static struct event *pop(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    struct event *e = c->events;
    if (e) {
        c->events = e->next;
        if (!c->events)
            c->events_end = &c->events;
    } else {
        c->running = false;
    }
    pthread_mutex_unlock(&c->lock);
    return e;
}

static void run_event(struct rpc_client *c, struct event *e)
{
    if (e->call) {
        client_run_event(c, e);
        return;
    }
    c->config.on_state(c->config.arg, e->up, e->why);
    free(e->why);
    free(e);
}

#define EVENT_BATCH 128 /* run before the loop gets to its other work */

static void run_posted(void *arg)
{
    struct rpc_client *c = arg;
    struct event *e;
    pthread_mutex_lock(&c->lock);
    c->posted = false;
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < EVENT_BATCH && (e = pop(c)); i++)
        run_event(c, e);
    client_wake(c, false);
    client_unref(c);
}

void client_wake(struct rpc_client *c, bool here)
{
    pthread_mutex_lock(&c->lock);
    if (!c->events || (c->config.loop ? c->posted : c->running)) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    if (c->config.loop) {
        c->posted = true;
        atomic_fetch_add(&c->refs, 1);
        pthread_mutex_unlock(&c->lock);
        loop_post(c->config.loop, run_posted, c);
    } else if (here) {
        c->running = true;
        pthread_mutex_unlock(&c->lock);
        for (struct event *e; (e = pop(c));)
            run_event(c, e);
    } else {
        pthread_mutex_unlock(&c->lock);
        alarm_at(c->alarm, 0);
    }
}

static void tell_locked(struct rpc_client *c, bool up, const struct error *why)
{
    bool news = up || c->up || !c->told || !streq(why->text, c->why.text);
    c->up = up;
    c->told = true;
    if (why)
        c->why = *why;
    if (!news || !c->config.on_state || c->closing)
        return;
    struct event *e = new0(struct event);
    e->up = up;
    if (why) {
        e->why = new0(struct error);
        *e->why = *why;
    }
    client_push_locked(c, e);
}

/* Exponential, with a quarter of chance in it so that a fleet doesn't come back in step. */
static void retry_later_locked(struct rpc_client *c)
{
    uint32_t chance = 0;
    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
        chance = 0;
    c->retry_at = clock_monotonic_ms() + c->backoff - chance % (c->backoff / 4 + 1);
    c->backoff = c->backoff * 2 < c->config.backoff_max_ms ? c->backoff * 2 : c->config.backoff_max_ms;
    alarm_at(c->alarm, c->retry_at);
}

static void on_up(void *owner, struct conn *conn)
{
    struct rpc_client *c = owner;
    pthread_mutex_lock(&c->lock);
    bool restarted = c->has_instance && memcmp(c->instance, conn_instance(conn), sizeof(c->instance)) != 0;
    memcpy(c->instance, conn_instance(conn), sizeof(c->instance));
    c->has_instance = true;
    c->backoff = c->config.backoff_min_ms;
    if (!c->closing) {
        tell_locked(c, true, NULL);
        client_connected_locked(c, restarted);
    }
    pthread_mutex_unlock(&c->lock);
}

static void on_batch(void *owner, struct conn *conn)
{
    (void)conn;
    client_wake(owner, true);
}

static void on_closed(void *owner, struct conn *conn, bool was_up, const struct error *why)
{
    struct rpc_client *c = owner;
    (void)was_up;
    pthread_mutex_lock(&c->lock);
    c->conn = NULL;
    c->dead = conn;
    if (!c->closing) {
        tell_locked(c, false, why);
        client_lost_locked(c, why);
        retry_later_locked(c);
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    alarm_at(c->alarm, 0);
}

static int make_conn(struct rpc_client *c, nng_stream *stream, struct conn **ret, struct error *err)
{
    struct conn_config config = {.ops = &ops, .owner = c, .limits = c->config.limits};
    struct tls_expect expect = {c->config.peer_role, c->peer_name, c->url.host};
    config.peer.role = c->config.peer_role;
    snprintf(config.peer.address, sizeof(config.peer.address), "%.127s", c->text);
    if (c->url.kind == URL_TLS) {
        int r = tls_session_new(c->config.tls, &expect, &config.tls, err);
        if (r < 0)
            return r;
    }
    *ret = conn_new(stream, &config);
    return 0;
}

static void on_dialed(void *arg)
{
    struct rpc_client *c = arg;
    int e = nng_aio_result(c->dial);
    struct conn *conn = NULL;
    struct error err;
    if (e != 0) {
        error_set(&err, STATUS_UNAVAILABLE, "cannot connect to %s: %s", c->text, nng_strerror(e));
    } else {
        nng_stream *stream = nng_aio_get_output(c->dial, 0);
        if (make_conn(c, stream, &conn, &err) < 0) {
            nng_stream_close(stream);
            nng_stream_free(stream);
        }
    }
    pthread_mutex_lock(&c->lock);
    c->dialing = false;
    if (conn) {
        c->conn = conn;
        conn_start(conn); /* also while closing: rpc_client_free ends it as any other */
    } else if (!c->closing) {
        tell_locked(c, false, &err);
        retry_later_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
    client_wake(c, true);
}

static void bury(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    struct conn *dead = c->dead;
    c->dead = NULL;
    pthread_mutex_unlock(&c->lock);
    if (dead) {
        conn_deinit(dead);
        conn_unref(dead);
    }
}

static void on_alarm(void *arg)
{
    struct rpc_client *c = arg;
    bury(c);
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&c->lock);
    int64_t next = client_expire_locked(c, now);
    if (!c->conn && !c->dialing && !c->dead && !c->closing) {
        if (now >= c->retry_at) {
            c->dialing = true;
            nng_stream_dialer_dial(c->dialer, c->dial);
        } else if (c->retry_at < next) {
            next = c->retry_at;
        }
    }
    pthread_mutex_unlock(&c->lock);
    alarm_at(c->alarm, next);
    client_wake(c, true);
}

int rpc_client_new(const struct rpc_client_config *config, struct rpc_client **ret, struct error *err)
{
    struct url url;
    int e, r = url_parse(config->url, &url, err);
    if (r < 0)
        return r;
    if (url.kind == URL_TLS && !config->tls)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s: no certificate is configured (tls: {ca: ..., cert: ...})", config->url);
    struct rpc_client *c = new0(struct rpc_client);
    c->refs = 1;
    c->config = *config;
    limits_fill(&c->config.limits);
    if (!c->config.backoff_min_ms)
        c->config.backoff_min_ms = 200;
    if (!c->config.backoff_max_ms)
        c->config.backoff_max_ms = 5000;
    c->backoff = c->config.backoff_min_ms;
    c->url = url;
    c->text = xstrdup(config->url);
    c->peer_name = xstrdup(config->peer_name);
    c->config.url = c->text;
    c->config.peer_name = c->peer_name;
    if (getrandom(c->id, sizeof(c->id), 0) != sizeof(c->id))
        abort(); /* can't fail for so few bytes */
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    link_init(&c->all_calls);
    c->events_end = &c->events;
    error_set(&c->why, STATUS_UNAVAILABLE, "connecting to %s", c->text);
    if ((e = nng_stream_dialer_alloc(&c->dialer, url.nng)) != 0) {
        client_unref(c);
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: %s", config->url, nng_strerror(e));
    }
    if (url.kind != URL_IPC) /* a bare stream is made without: the second of two messages would wait 40 ms */
        nng_stream_dialer_set_bool(c->dialer, NNG_OPT_TCP_NODELAY, true);
    if (nng_aio_alloc(&c->dial, on_dialed, c) != 0)
        abort(); /* out of memory */
    nng_aio_set_timeout(c->dial, (nng_duration)c->config.limits.handshake_ms);
    c->alarm = alarm_new(on_alarm, c);
    *ret = c;
    alarm_at(c->alarm, 0);
    return 0;
}

bool rpc_client_up(const struct rpc_client *client)
{
    struct rpc_client *c = (struct rpc_client *)client; /* only its lock is changed */
    pthread_mutex_lock(&c->lock);
    bool up = c->up;
    pthread_mutex_unlock(&c->lock);
    return up;
}

void client_unref(struct rpc_client *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    idmap_deinit(&c->calls);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c->text);
    free(c->peer_name);
    free(c);
}

void rpc_client_free(struct rpc_client *c)
{
    if (!c)
        return;
    struct error bye;
    error_set(&bye, STATUS_CANCELLED, "the client ends");
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_mutex_unlock(&c->lock);
    nng_aio_stop(c->dial);
    alarm_stop(c->alarm);

    pthread_mutex_lock(&c->lock);
    if (c->conn && c->up)
        conn_drain(c->conn, &bye); /* the server cancels what it still does for this client */
    else if (c->conn)
        conn_close(c->conn, &bye);
    while (c->conn)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
    bury(c);

    pthread_mutex_lock(&c->lock);
    struct link *head = &c->all_calls;
    while (!link_alone(head))
        client_finish_locked(container_of(head->next, struct client_call, link), &bye, NULL);
    c->up = false;
    pthread_mutex_unlock(&c->lock);
    for (struct event *e; (e = pop(c));)
        run_event(c, e);
    nng_stream_dialer_close(c->dialer);
    nng_stream_dialer_free(c->dialer);
    nng_aio_free(c->dial);
    alarm_free(c->alarm);
    client_unref(c);
}
