/* What comes in over a connection: TLS's bytes, HELLO, frames; and why it ended. */
#include "common/base/memory.h"
#include "common/rpc/conn_inside.h"

#include <stdio.h>

void conn_read_locked(struct conn *c)
{
    nng_iov iov;
    if (c->raw) {
        iov = (nng_iov){c->raw, READ_BYTES};
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

/* What the first bytes look like when the other side means something else. */
static void explain_length(struct conn *c, size_t max, struct error *err)
{
    static const uint8_t none[FRAME_LENGTH_BYTES];
    const uint8_t *p = c->in.data ? c->in.data + c->in.start : none;
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
        conn_hello_locked(c);
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
    int r = tls_input(c->config.tls, c->raw, n, &c->in, &c->own, err);
    if (r < 0) {
        error_prefix(err, "%s", c->config.peer.address);
        return r;
    }
    if (c->early && tls_established(c->config.tls, &c->config.peer))
        c->early = false;
    return 0;
}

void conn_explain_end(struct conn *c, int nng_error, struct error *err)
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
    if (c->early && !c->draining) { /* otherwise TLS's own alert does, which may be waiting in `own` */
        c->draining = true;
        c->why = *why;
        if (c->config.server && c->raw[0] == 0) { /* the length of a frame: a client of ours, without TLS */
            Drover__V1__Frame goaway = FRAME(GOAWAY, .status = STATUS_UNAVAILABLE,
                                             .text = (char *)"the server speaks TLS here: use tls+tcp://");
            frame_append(&c->own, &goaway, NULL, HELLO_BYTES, NULL);
        }
        c->drain_until = clock_monotonic_ms() + DRAIN_MS;
        alarm_at(c->alarm, c->drain_until);
    }
    bool early = c->early;
    pthread_mutex_unlock(&c->lock);
    if (!early)
        conn_drain(c, why);
}

void conn_on_read(void *arg)
{
    struct conn *c = arg;
    struct error err = {0};
    int e = nng_aio_result(c->rx);
    size_t n = nng_aio_count(c->rx);
    int r = 0;

    pthread_mutex_lock(&c->lock);
    c->corks++;
    if (e != 0) {
        conn_explain_end(c, e, &err);
        conn_close_locked(c, c->draining ? &c->why : &err);
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
    conn_flush_locked(c);
    if (!c->closed)
        conn_read_locked(c);
    conn_op_done_unlock(c);
}
