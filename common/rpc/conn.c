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
#include "common/rpc/conn.h"

#include "common/base/memory.h"
#include "common/rpc/alarm.h"
#include "common/rpc/tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define READ_BYTES (64 * 1024)
#define WRITE_BYTES (256 * 1024) /* encrypted at a time */
#define HELLO_BYTES 1024         /* a frame may not be larger before the peer is known */
#define DRAIN_MS 500
#define SIGN_OF_LIFE_BYTES 4096 /* of a frame that is not whole yet; less is dripping, not life */

struct conn {
    atomic_uint refs;
    struct conn_config config;
    nng_stream *stream;
    nng_aio *rx, *tx;
    struct alarm *alarm;

    /* The reading thread's alone. */
    struct buffer in;
    uint8_t *raw; /* ciphertext as read; NULL without TLS */
    struct arena arena;
    char arena_memory[2048];
    uint8_t instance[16];
    bool took; /* a whole frame, in this read */

    pthread_mutex_t lock; /* guards what follows, and the TLS session */
    struct buffer out;    /* frames */
    struct buffer wire;   /* being written; ciphertext with TLS */
    unsigned ops, corks;
    bool sending, up, closed, alarm_done;
    bool early;           /* in the TLS handshake: frames wait */
    atomic_bool draining; /* nothing is taken or queued any more; what is queued is written */
    struct error why;
    int64_t started, heard, pinged, drain_until;
    size_t unheard; /* bytes since `heard` */
};

static void on_read(void *arg);
static void on_written(void *arg);
static void on_alarm(void *arg);

struct conn *conn_new(nng_stream *stream, const struct conn_config *config)
{
    struct conn *c = new0(struct conn);
    c->refs = 1;
    c->config = *config;
    c->stream = stream;
    pthread_mutex_init(&c->lock, NULL);
    if (nng_aio_alloc(&c->rx, on_read, c) != 0 || nng_aio_alloc(&c->tx, on_written, c) != 0)
        abort(); /* out of memory */
    c->alarm = alarm_new(on_alarm, c);
    arena_init(&c->arena, c->arena_memory, sizeof(c->arena_memory), config->limits.unpack_bytes);
    if (config->tls)
        c->raw = xcalloc(1, READ_BYTES / 2);
    return c;
}

static void close_locked(struct conn *c, const struct error *why)
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
static void flush_locked(struct conn *c)
{
    if (c->sending || c->closed || c->corks)
        return;
    if (buffer_len(&c->out) && !c->early) {
        if (c->config.tls) {
            struct error err;
            size_t n = buffer_len(&c->out) < WRITE_BYTES ? buffer_len(&c->out) : WRITE_BYTES;
            if (tls_output(c->config.tls, c->out.data + c->out.start, n, &c->wire, &err) < 0) {
                close_locked(c, c->draining ? &c->why : &err);
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
static void op_done_unlock(struct conn *c)
{
    bool last = --c->ops == 0;
    bool was_up = c->up;
    pthread_mutex_unlock(&c->lock);
    if (last)
        c->config.ops->closed(c->config.owner, c, was_up, &c->why);
}

static void read_locked(struct conn *c)
{
    nng_iov iov;
    if (c->raw) {
        iov = (nng_iov){c->raw, READ_BYTES / 2};
    } else {
        /* Room for the rest of a frame that has begun, so that a large one is not read in small pieces. */
        size_t room = READ_BYTES / 4;
        int64_t len = frame_length(&c->in, c->up ? c->config.limits.frame_bytes : HELLO_BYTES);
        if (len > 0 && (size_t)len + FRAME_LENGTH_BYTES > buffer_len(&c->in) + room)
            room = (size_t)len + FRAME_LENGTH_BYTES - buffer_len(&c->in);
        iov = (nng_iov){buffer_room(&c->in, room), room};
    }
    nng_aio_set_iov(c->rx, 1, &iov);
    c->ops++;
    nng_stream_recv(c->stream, c->rx);
}

static void send_hello_locked(struct conn *c)
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
        send_hello_locked(c);
    if (c->config.tls && tls_start(c->config.tls, &c->wire, &err) < 0)
        close_locked(c, &err);
    if (!c->closed) {
        flush_locked(c);
        read_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
}

/* What the first bytes look like when the other side means something else. */
static void explain_length(struct conn *c, size_t max, struct error *err)
{
    const uint8_t *p = c->in.data + c->in.start;
    if (!c->up && (p[0] == 0x16 || p[0] == 0x15) && p[1] == 0x03)
        error_set(err, STATUS_UNAVAILABLE,
                  "%s speaks TLS, and this side doesn't: use tls+tcp:// on both sides",
                  c->config.peer.address);
    else if (!c->up)
        error_set(err, STATUS_UNAVAILABLE,
                  "%s doesn't speak Drover's protocol (its first bytes are %02x %02x %02x %02x)",
                  c->config.peer.address, p[0], p[1], p[2], p[3]);
    else
        error_set(err, STATUS_RESOURCE_EXHAUSTED,
                  "%s sent a frame larger than the %zu bytes that are allowed", c->config.peer.address, max);
}

static void heard_locked(struct conn *c)
{
    c->heard = clock_monotonic_ms();
    c->unheard = 0;
}

static int on_hello(struct conn *c, const Drover__V1__Frame *f, struct error *err)
{
    if (f->kind == DROVER__V1__FRAME__KIND__GOAWAY) {
        error_set(err, f->status ? (enum status_code)f->status : STATUS_UNAVAILABLE, "%s: %s",
                  c->config.peer.address, f->text);
        conn_close(c, err);
        return -(int)err->code;
    }
    if (f->kind != DROVER__V1__FRAME__KIND__HELLO)
        return error_set(err, STATUS_UNAVAILABLE, "%s did not begin with HELLO", c->config.peer.address);
    if (f->version != FRAME_VERSION) {
        error_set(err, STATUS_FAILED_PRECONDITION,
                  "protocol version %u met version %d of %s %s: install the same release of Drover on both",
                  f->version, FRAME_VERSION, c->config.server ? "the server" : "this program,",
                  DROVER_VERSION);
        return -(int)err->code;
    }
    if (!c->config.server && f->instance.len != sizeof(c->instance))
        return error_set(err, STATUS_UNAVAILABLE, "%s sent a HELLO without an instance",
                         c->config.peer.address);
    if (!c->config.server)
        memcpy(c->instance, f->instance.data, sizeof(c->instance));
    pthread_mutex_lock(&c->lock);
    if (c->config.server)
        send_hello_locked(c);
    c->up = true;
    heard_locked(c);
    alarm_at(c->alarm, c->heard + c->config.limits.keepalive_ms);
    pthread_mutex_unlock(&c->lock);
    c->config.ops->up(c->config.owner, c);
    return 0;
}

static int on_frame(struct conn *c, const Drover__V1__Frame *f, struct error *err)
{
    if (c->draining)
        return 0;
    if (!c->up)
        return on_hello(c, f, err);
    switch (f->kind) {
    case DROVER__V1__FRAME__KIND__HELLO:
        return error_set(err, STATUS_UNAVAILABLE, "%s sent HELLO twice", c->config.peer.address);
    case DROVER__V1__FRAME__KIND__PONG: return 0;
    case DROVER__V1__FRAME__KIND__PING: {
        Drover__V1__Frame pong = FRAME(PONG);
        return conn_send(c, &pong, NULL, err);
    }
    case DROVER__V1__FRAME__KIND__GOAWAY:
        c->config.ops->frame(c->config.owner, c, f, err);
        conn_close(c, err); /* no goodbye to a goodbye: both would wait for the other */
        return -STATUS_UNAVAILABLE;
    default: return c->config.ops->frame(c->config.owner, c, f, err);
    }
}

/* All whole frames in `in`. */
static int take_frames(struct conn *c, struct error *err)
{
    for (;;) {
        size_t max = c->up ? c->config.limits.frame_bytes : HELLO_BYTES;
        int64_t len = frame_length(&c->in, max);
        if (len == -STATUS_RESOURCE_EXHAUSTED) {
            explain_length(c, max, err);
            return -(int)err->code;
        }
        if (len < 0 || buffer_len(&c->in) < (size_t)len + FRAME_LENGTH_BYTES)
            return 0;
        const Drover__V1__Frame *f = NULL;
        int r = frame_parse(c->in.data + c->in.start + FRAME_LENGTH_BYTES, (size_t)len, &c->arena, &f, err);
        if (r < 0)
            error_prefix(err, "from %s", c->config.peer.address);
        else
            r = on_frame(c, f, err);
        c->took = true;
        arena_clear(&c->arena, c->config.limits.unpack_bytes);
        buffer_take(&c->in, (size_t)len + FRAME_LENGTH_BYTES);
        if (r < 0)
            return r;
    }
}

static int take_ciphertext_locked(struct conn *c, size_t n, struct error *err)
{
    int r = tls_input(c->config.tls, c->raw, n, &c->in, &c->wire, err);
    if (r < 0) {
        error_prefix(err, "%s", c->config.peer.address);
        return r;
    }
    if (c->early && tls_established(c->config.tls, &c->config.peer))
        c->early = false;
    return 0;
}

static void explain_end(struct conn *c, int nng_error, struct error *err)
{
    const char *address = c->config.peer.address;
    if (nng_error != NNG_ECONNSHUT && nng_error != NNG_ECLOSED && nng_error != NNG_ECONNRESET)
        error_set(err, STATUS_UNAVAILABLE, "connection with %s lost: %s", address, nng_strerror(nng_error));
    else if (c->up)
        error_set(err, STATUS_UNAVAILABLE, "%s closed the connection", address);
    else if (c->early)
        tls_explain_end(c->config.tls, err), error_prefix(err, "%s", address);
    else
        error_set(err, STATUS_UNAVAILABLE,
                  "%s closed the connection before its HELLO: is it Drover that listens there, does it "
                  "expect tls+tcp://, "
                  "or has it too many connections?",
                  address);
}

/* The peer is told why it is cut off, where it can understand that, and given the time to read it. */
static void refuse(struct conn *c, const struct error *why)
{
    pthread_mutex_lock(&c->lock);
    if (c->early && c->config.server && tls_can_write(c->config.tls))
        c->early = false;           /* the peer's certificate lacks something: a GOAWAY says what */
    if (c->early && !c->draining) { /* otherwise TLS's own alert does, which may be waiting in `wire` */
        c->draining = true;
        c->why = *why;
        if (c->config.server && c->raw[0] == 0) { /* the length of a frame: a client of ours, without TLS */
            Drover__V1__Frame goaway = FRAME(GOAWAY, .status = STATUS_UNAVAILABLE,
                                             .text = (char *)"the server speaks TLS here: use tls+tcp://");
            frame_append(&c->wire, &goaway, NULL, HELLO_BYTES, NULL);
        }
        c->drain_until = clock_monotonic_ms() + DRAIN_MS;
        alarm_at(c->alarm, c->drain_until);
    }
    bool early = c->early;
    pthread_mutex_unlock(&c->lock);
    if (!early)
        conn_drain(c, why);
}

static void on_read(void *arg)
{
    struct conn *c = arg;
    struct error err = {0};
    int e = nng_aio_result(c->rx);
    size_t n = nng_aio_count(c->rx);
    int r = 0;

    pthread_mutex_lock(&c->lock);
    c->corks++;
    if (e != 0) {
        explain_end(c, e, &err);
        close_locked(c, c->draining ? &c->why : &err);
    } else if (c->draining) {
        c->in.start = c->in.end = 0;
    } else {
        c->unheard += n;
        if (c->unheard >= SIGN_OF_LIFE_BYTES)
            heard_locked(c);
        if (c->raw)
            r = take_ciphertext_locked(c, n, &err);
        else
            c->in.end += n;
    }
    bool go_on = !c->closed && !c->draining;
    pthread_mutex_unlock(&c->lock);

    if (go_on && r == 0)
        r = take_frames(c, &err);
    if (go_on && r < 0)
        refuse(c, &err);
    if (go_on && c->up && c->config.ops->batch)
        c->config.ops->batch(c->config.owner, c);

    pthread_mutex_lock(&c->lock);
    if (c->took)
        heard_locked(c);
    c->took = false;
    c->corks--;
    flush_locked(c);
    if (!c->closed)
        read_locked(c);
    op_done_unlock(c);
}

static void on_written(void *arg)
{
    struct conn *c = arg;
    int e = nng_aio_result(c->tx);
    pthread_mutex_lock(&c->lock);
    c->sending = false;
    if (e != 0) {
        struct error err;
        explain_end(c, e, &err);
        close_locked(c, c->draining ? &c->why : &err);
    } else {
        buffer_take(&c->wire, nng_aio_count(c->tx));
        flush_locked(c);
    }
    op_done_unlock(c);
}

static int64_t keepalive_locked(struct conn *c, int64_t now)
{
    int64_t every = c->config.limits.keepalive_ms;
    if (now - c->heard >= 3 * every) {
        struct error err;
        error_set(&err, STATUS_UNAVAILABLE, "nothing heard from %s for %lld ms, and two pings not answered",
                  c->config.peer.address, (long long)(now - c->heard));
        close_locked(c, &err);
        return INT64_MAX;
    }
    int64_t quiet_since = c->heard > c->pinged ? c->heard : c->pinged;
    if (now - quiet_since >= every) {
        Drover__V1__Frame ping = FRAME(PING);
        frame_append(&c->out, &ping, NULL, c->config.limits.frame_bytes, NULL);
        flush_locked(c);
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
            op_done_unlock(c);
        } else {
            pthread_mutex_unlock(&c->lock);
        }
        return;
    }
    if (c->draining && now >= c->drain_until) {
        close_locked(c, &c->why);
    } else if (c->draining) {
        next = c->drain_until;
    } else if (!c->up) {
        next = c->started + c->config.limits.handshake_ms;
        if (now >= next) {
            struct error err;
            error_set(&err, STATUS_UNAVAILABLE, "%s connected but did not finish the %s within %u ms",
                      c->config.peer.address, c->early ? "TLS handshake" : "exchange of HELLO",
                      c->config.limits.handshake_ms);
            close_locked(c, &err);
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
            close_locked(c, &full);
            if (err)
                *err = full;
        }
        flush_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

void conn_cork(struct conn *c)
{
    pthread_mutex_lock(&c->lock);
    c->corks++;
    pthread_mutex_unlock(&c->lock);
}

void conn_uncork(struct conn *c)
{
    pthread_mutex_lock(&c->lock);
    c->corks--;
    flush_locked(c);
    pthread_mutex_unlock(&c->lock);
}

void conn_close(struct conn *c, const struct error *why)
{
    pthread_mutex_lock(&c->lock);
    close_locked(c, why);
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
        flush_locked(c);
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
    arena_clear(&c->arena, 0);
    free(c->raw);
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
