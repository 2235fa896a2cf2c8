/* One connection.
 *
 * The asynchronous contract. nng runs the callbacks of the three aios (read, write, alarm) on its threads; each aio has
 * one operation at a time. `ops` counts operations in flight; it is at least 1 (the alarm) until the connection is closed.
 * - up, frame, batch: on the thread of the read, one at a time, without a lock held.
 * - conn_close, conn_send, conn_drain may be called on any thread, with the owner's locks held: they take only the
 *   connection's own lock and never call back. nng neither: it finishes operations on other threads.
 * - closed: exactly once, when the last operation has come back after a close, so nothing of nng's runs after it.
 *   It runs on a callback of the connection itself, therefore nng's objects are freed later, by conn_deinit.
 * - Ending in nng 1.5.2 races when a stream is closed under its operations (#1543): here operations are cancelled first,
 *   and the stream closed when none is left.
 * - The memory lives while somebody holds a reference, so that a call can be answered on a connection that is gone. */
#include "common/rpc/conn_inside.h"

#include "common/base/memory.h"

static void on_written(void *arg);
static void on_alarm(void *arg);

struct conn *conn_new(nng_stream *stream, const struct conn_config *config)
{
    struct conn *c = new0(struct conn);
    c->refs = 1;
    c->config = *config;
    c->stream = stream;
    pthread_mutex_init(&c->lock, NULL);
    if (nng_aio_alloc(&c->rx, conn_on_read, c) != 0 || nng_aio_alloc(&c->tx, on_written, c) != 0)
        abort(); /* out of memory */
    c->alarm = alarm_new(on_alarm, c);
    arena_init(&c->arena, c->arena_memory, sizeof(c->arena_memory), config->limits.unpack_bytes);
    if (config->tls && !(c->raw = block_alloc(READ_BYTES)))
        abort(); /* out of memory */
    return c;
}

void conn_close_locked(struct conn *c, const struct error *why)
{
    if (c->closed)
        return;
    c->closed = true;
    c->why = *why;
    nng_aio_cancel(c->rx);
    nng_aio_cancel(c->tx);
    alarm_at(c->alarm, 0);
}

/* Writes what is queued, unless a write is in progress: what is queued meanwhile goes together in the next one. */
void conn_flush_locked(struct conn *c)
{
    if (c->sending || c->closed || c->corks)
        return;
    if (buffer_len(&c->own)) { /* before what is encrypted after it */
        size_t n = buffer_len(&c->own);
        memcpy(buffer_room(&c->wire, n), c->own.data + c->own.start, n);
        c->wire.end += n;
        buffer_take(&c->own, n);
    }
    if (buffer_len(&c->out) && !c->early) {
        if (c->config.tls) {
            struct error err;
            size_t n = buffer_len(&c->out) < WRITE_BYTES ? buffer_len(&c->out) : WRITE_BYTES;
            if (tls_output(c->config.tls, c->out.data + c->out.start, n, &c->wire, &err) < 0) {
                conn_close_locked(c, c->draining ? &c->why : &err);
                return;
            }
            buffer_take(&c->out, n);
        } else if (!buffer_len(&c->wire)) {
            struct buffer empty = c->wire;
            c->wire = c->out;
            c->out = empty;
        }
    }
    if (!buffer_len(&c->wire))
        return;
    nng_iov iov = {c->wire.data + c->wire.start, buffer_len(&c->wire)};
    nng_aio_set_iov(c->tx, 1, &iov);
    c->sending = true;
    c->ops++;
    nng_stream_send(c->stream, c->tx);
}

/* Ends an operation that has come back; unlocks. */
void conn_op_done_unlock(struct conn *c)
{
    bool last = --c->ops == 0;
    bool was_up = c->up;
    pthread_mutex_unlock(&c->lock);
    if (last)
        c->config.ops->closed(c->config.owner, c, was_up, &c->why);
}

void conn_hello_locked(struct conn *c)
{
    Drover__V1__Frame hello = FRAME(HELLO, .version = FRAME_VERSION);
    if (c->config.server)
        hello.instance = (ProtobufCBinaryData){16, c->config.instance};
    frame_append(&c->out, &hello, NULL, c->config.limits.frame_bytes, NULL);
}

void conn_start(struct conn *c)
{
    struct error err;
    pthread_mutex_lock(&c->lock);
    c->started = c->heard = clock_monotonic_ms();
    c->ops++;
    alarm_at(c->alarm, c->started + c->config.limits.handshake_ms);
    c->early = c->config.tls != NULL;
    if (!c->config.server)
        conn_hello_locked(c);
    if (c->config.tls && tls_start(c->config.tls, &c->own, &err) < 0)
        conn_close_locked(c, &err);
    if (!c->closed) {
        conn_flush_locked(c);
        conn_read_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
}

static void on_written(void *arg)
{
    struct conn *c = arg;
    int e = nng_aio_result(c->tx);
    pthread_mutex_lock(&c->lock);
    c->sending = false;
    if (e != 0) {
        struct error err;
        conn_explain_end(c, e, &err);
        conn_close_locked(c, c->draining ? &c->why : &err);
    } else {
        buffer_take(&c->wire, nng_aio_count(c->tx));
        conn_flush_locked(c);
    }
    conn_op_done_unlock(c);
}

static int64_t keepalive_locked(struct conn *c, int64_t now)
{
    int64_t every = c->config.limits.keepalive_ms;
    if (now - c->heard >= 3 * every) {
        struct error err;
        error_set(&err, STATUS_UNAVAILABLE, "nothing heard from %s for %lld ms, and two pings not answered",
                  c->config.peer.address, (long long)(now - c->heard));
        conn_close_locked(c, &err);
        return INT64_MAX;
    }
    int64_t quiet_since = c->heard > c->pinged ? c->heard : c->pinged;
    if (now - quiet_since >= every) {
        Drover__V1__Frame ping = FRAME(PING);
        frame_append(&c->out, &ping, NULL, c->config.limits.frame_bytes, NULL);
        conn_flush_locked(c);
        c->pinged = quiet_since = now;
    }
    return quiet_since + every;
}

static void on_alarm(void *arg)
{
    struct conn *c = arg;
    int64_t now = clock_monotonic_ms(), next = INT64_MAX;
    pthread_mutex_lock(&c->lock);
    if (c->closed) {
        if (!c->alarm_done) {
            c->alarm_done = true;
            conn_op_done_unlock(c);
        } else {
            pthread_mutex_unlock(&c->lock);
        }
        return;
    }
    if (c->draining && now >= c->drain_until) {
        conn_close_locked(c, &c->why);
    } else if (c->draining) {
        next = c->drain_until;
    } else if (!c->up) {
        next = c->started + c->config.limits.handshake_ms;
        if (now >= next) {
            struct error err;
            error_set(&err, STATUS_UNAVAILABLE, "%s connected but did not finish the %s within %u ms",
                      c->config.peer.address, c->early ? "TLS handshake" : "exchange of HELLO",
                      c->config.limits.handshake_ms);
            conn_close_locked(c, &err);
        }
    } else {
        next = keepalive_locked(c, now);
    }
    alarm_at(c->alarm, next);
    pthread_mutex_unlock(&c->lock);
}

int conn_send(struct conn *c, const Drover__V1__Frame *frame, const ProtobufCMessage *body, struct error *err)
{
    int r;
    pthread_mutex_lock(&c->lock);
    if (c->closed || c->draining) {
        r = error_set(err, STATUS_UNAVAILABLE, "connection with %s is closed", c->config.peer.address);
    } else {
        r = frame_append(&c->out, frame, body, c->config.limits.frame_bytes, err);
        if (r == 0 && buffer_len(&c->out) + buffer_len(&c->wire) >
                          (size_t)c->config.limits.queued_bytes + c->config.limits.frame_bytes) {
            struct error full;
            r = error_set(&full, STATUS_RESOURCE_EXHAUSTED,
                          "%s does not read: more than %u bytes wait to be written", c->config.peer.address,
                          c->config.limits.queued_bytes);
            conn_close_locked(c, &full);
            if (err)
                *err = full;
        }
        conn_flush_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

void conn_close(struct conn *c, const struct error *why)
{
    pthread_mutex_lock(&c->lock);
    conn_close_locked(c, why);
    pthread_mutex_unlock(&c->lock);
}

void conn_drain(struct conn *c, const struct error *why)
{
    Drover__V1__Frame goaway = FRAME(GOAWAY, .status = why->code, .text = (char *)why->text);
    pthread_mutex_lock(&c->lock);
    if (!c->closed && !c->draining) {
        frame_append(&c->out, &goaway, NULL, c->config.limits.frame_bytes, NULL);
        c->draining = true;
        c->why = *why;
        c->drain_until = clock_monotonic_ms() + DRAIN_MS;
        alarm_at(c->alarm, c->drain_until);
        conn_flush_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
}

const struct rpc_peer *conn_peer(const struct conn *c)
{
    return &c->config.peer;
}

const uint8_t *conn_instance(const struct conn *c)
{
    return c->instance;
}

void conn_deinit(struct conn *c)
{
    alarm_stop(c->alarm);
    nng_aio_stop(c->rx);
    nng_aio_stop(c->tx);
    nng_stream_close(c->stream);
    nng_stream_free(c->stream);
    nng_aio_free(c->rx);
    nng_aio_free(c->tx);
    alarm_free(c->alarm);
    pthread_mutex_lock(&c->lock);
    tls_session_free(c->config.tls);
    c->config.tls = NULL;
    buffer_free(&c->in);
    buffer_free(&c->out);
    buffer_free(&c->wire);
    buffer_free(&c->own);
    arena_clear(&c->arena, 0);
    block_free(c->raw, READ_BYTES);
    c->raw = NULL;
    pthread_mutex_unlock(&c->lock);
}

struct conn *conn_ref(struct conn *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void conn_unref(struct conn *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
}
