/* One connection, either side: bytes in and out over an nng stream, TLS when asked for, HELLO, keepalive, frames. */
#pragma once

#include "common/base/error.h"
#include "common/rpc/frame.h"
#include "common/rpc/rpc.h"

#include <nng/nng.h>

struct conn;
struct tls_session;

struct conn_ops {
    /* HELLO has come from the other side: conn_peer and conn_instance hold. */
    void (*up)(void *owner, struct conn *conn);
    /* A frame other than HELLO, PING, PONG; it is valid during the call. An error given closes the connection. */
    int (*frame)(void *owner, struct conn *conn, const Drover__V1__Frame *frame, struct error *err);
    /* After the last frame of one read. May be NULL. */
    void (*batch)(void *owner, struct conn *conn);
    /* Once, the last. `was_up`: HELLO had come. Then the owner calls conn_deinit (not here) and conn_unref. */
    void (*closed)(void *owner, struct conn *conn, bool was_up, const struct error *why);
};

struct conn_config {
    const struct conn_ops *ops;
    void *owner;
    struct rpc_limits limits; /* no zeros */
    bool server;
    uint8_t instance[16];    /* of the server, for its HELLO */
    struct tls_session *tls; /* taken; NULL for none */
    struct rpc_peer peer;    /* role and name are overwritten from the certificate when there is TLS */
};

/* Takes the stream. Nothing happens before conn_start. */
struct conn *conn_new(nng_stream *stream, const struct conn_config *config);
void conn_start(struct conn *conn);

/* Appends a frame and writes it as soon as possible. UNAVAILABLE: closed. RESOURCE_EXHAUSTED: this frame is too large
 * (the connection goes on), or the other side doesn't read (the connection ends). */
int conn_send(struct conn *conn, const Drover__V1__Frame *frame, const ProtobufCMessage *body,
              struct error *err);

/* Ends it: `closed` comes later, on an nng thread. */
void conn_close(struct conn *conn, const struct error *why);

/* Ends it after what is queued and a GOAWAY with `why` were written, at the latest after half a second. */
void conn_drain(struct conn *conn, const struct error *why);

const struct rpc_peer *conn_peer(const struct conn *conn);
const uint8_t *conn_instance(const struct conn *conn);

/* Frees what nng holds; after `closed` only, and not on a callback of this connection. The rest goes with the last
 * reference. */
void conn_deinit(struct conn *conn);
struct conn *conn_ref(struct conn *conn);
void conn_unref(struct conn *conn);
