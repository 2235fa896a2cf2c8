/* Who is at the other end, and where: URLs, certificates, local users. */
#pragma once

#include "common/rpc/rpc.h"

#include <nng/nng.h>
#include <openssl/x509.h>

enum url_kind { URL_IPC, URL_TCP, URL_TLS };

struct url {
    enum url_kind kind;
    char nng[512];  /* what nng dials or listens on: ipc://..., tcp://... */
    char host[256]; /* "" for ipc:// */
};

/* INVALID_ARGUMENT names what is wrong. */
int url_parse(const char *text, struct url *ret, struct error *err);

const char *peer_role_name(unsigned role); /* "agent", "nobody"... */

/* Exactly one URI SAN, drover://ROLE/NAME. `side` is for the text. */
int peer_from_certificate(X509 *cert, const char *side, struct rpc_peer *ret, struct error *err);

/* On ipc://: root, this program's own user and members of `group` (may be NULL) are operators; others nobody. */
void peer_from_ipc(nng_stream *stream, const char *group, struct rpc_peer *ret);

/* "10.0.0.11:43210", "[fe80::1]:80", "ipc" */
void peer_address(nng_stream *stream, char *buf, size_t size);

/* The roles in a mask: "coordinator or operator". */
void peer_roles_text(unsigned roles, char *buf, size_t size);
