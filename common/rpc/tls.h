/* TLS 1.3 by OpenSSL as a filter between memory buffers: no I/O, no threads. */
#pragma once

#include "common/rpc/buffer.h"
#include "common/rpc/rpc.h"

struct tls_session;

struct tls_expect { /* what a client expects of the server; all may be 0 */
    enum rpc_role role;
    const char *name;
    const char *host; /* checked against DNS and IP SANs when no name is expected */
};

/* Reads changed credential files first. `expect` is NULL on the server's side. */
int tls_session_new(struct rpc_tls *tls, const struct tls_expect *expect, struct tls_session **ret,
                    struct error *err);
void tls_session_free(struct tls_session *s);

/* Takes bytes from the wire; appends what they say to `plain` and what must be answered to `wire`. After an error `wire`
 * may hold an alert to be sent. */
int tls_input(struct tls_session *s, const uint8_t *data, size_t len, struct buffer *plain,
              struct buffer *wire, struct error *err);

/* Starts the handshake: the client's first bytes go to `wire`. */
int tls_start(struct tls_session *s, struct buffer *wire, struct error *err);

/* True when the handshake is done and the peer was found good; then fills role and name. */
bool tls_established(const struct tls_session *s, struct rpc_peer *peer);

/* True when the handshake is done, even if the peer was not found good: it may be told so. */
bool tls_can_write(const struct tls_session *s);

int tls_output(struct tls_session *s, const uint8_t *data, size_t len, struct buffer *wire,
               struct error *err);

/* Why the connection that ended in the middle of the handshake did, as far as can be told. */
void tls_explain_end(const struct tls_session *s, struct error *err);
