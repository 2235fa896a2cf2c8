#include "agent/io/libvirt_port.h"

#include "agent/io/ports.h"
#include "agent/io/probe_say.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <string.h>

#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define PROVEN DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN

enum { TCP_PORT = 16509, TLS_PORT = 16514 };

bool libvirt_url_parse(const char *url, struct libvirt_url *ret)
{
    struct libvirt_url u = {0};
    const char *rest = strstr(url, "://"), *plus = strchr(url, '+');
    if (!rest || (plus && plus > rest))
        return false;
    /* Without a transport, a URL that names a host means TLS. */
    size_t n = plus ? (size_t)(rest - plus - 1) : 0;
    if (plus && !(n == 3 && (strncmp(plus + 1, "tcp", 3) == 0 || strncmp(plus + 1, "tls", 3) == 0)))
        return false;
    u.tls = !plus || strncmp(plus + 1, "tls", 3) == 0;
    rest += 3;
    const char *end = rest + strcspn(rest, "/?#"), *at = memchr(rest, '@', (size_t)(end - rest));
    if (at)
        rest = at + 1;
    bool bracket = *rest == '[';
    const char *stop = bracket ? memchr(rest, ']', (size_t)(end - rest)) : rest + strcspn(rest, ":/?#");
    rest += bracket;
    if (!stop || stop <= rest || (size_t)(stop - rest) >= sizeof(u.host))
        return false;
    memcpy(u.host, rest, (size_t)(stop - rest));
    stop += bracket;
    u.port = u.tls ? TLS_PORT : TCP_PORT;
    if (*stop == ':') {
        char *after;
        unsigned long port = strtoul(stop + 1, &after, 10);
        if (after != end || port == 0 || port > 65535)
            return false;
        u.port = (uint32_t)port;
    } else if (stop != end) {
        return false;
    }
    *ret = u;
    return true;
}

/* ---- TLS ---- */

struct session {
    SSL_CTX *ctx;
    SSL *ssl;
};

static void session_deinit(struct session *s)
{
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
}

static bool load(struct session *s, const char *pki, Drover__V1__ProbeResult *r)
{
    _cleanup_free_ char *ca = xasprintf("%s/CA/cacert.pem", pki),
                        *cert = xasprintf("%s/libvirt/clientcert.pem", pki);
    _cleanup_free_ char *key = xasprintf("%s/libvirt/private/clientkey.pem", pki);
    s->ctx = SSL_CTX_new(TLS_client_method());
    const char *bad = !s->ctx                                                           ? "OpenSSL"
                      : SSL_CTX_load_verify_locations(s->ctx, ca, NULL) != 1            ? ca
                      : SSL_CTX_use_certificate_chain_file(s->ctx, cert) != 1           ? cert
                      : SSL_CTX_use_PrivateKey_file(s->ctx, key, SSL_FILETYPE_PEM) != 1 ? key
                                                                                        : NULL;
    s->ssl = bad ? NULL : SSL_new(s->ctx);
    if (!s->ssl) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        probe_say(r, UNDECIDED, "tls-credentials",
                  "cannot use libvirt's certificates for outgoing connections: %s: %s", bad ? bad : "OpenSSL",
                  why ? why : "unknown");
        return false;
    }
    return true;
}

static void say_untrusted(long why, const struct libvirt_url *u, Drover__V1__ProbeResult *r)
{
    const char *reason = "tls-untrusted";
    if (why == X509_V_ERR_CERT_HAS_EXPIRED || why == X509_V_ERR_CERT_NOT_YET_VALID)
        reason = "tls-expired";
    else if (why == X509_V_ERR_HOSTNAME_MISMATCH || why == X509_V_ERR_IP_ADDRESS_MISMATCH)
        reason = "tls-name";
    probe_say(r, REFUTED, reason, "the certificate of %s port %u: %s", u->host, u->port,
              X509_verify_cert_error_string(why));
}

/* 1: done, 0: the limit is over, -1: refused. */
static int advance(const struct limit *limit, SSL *ssl, int fd, int (*step)(SSL *ssl))
{
    for (;;) {
        ERR_clear_error();
        int n = step(ssl), why = SSL_get_error(ssl, n);
        if (n > 0)
            return 1;
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return -1;
        if (!limit_poll(limit, fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, -1))
            return 0;
    }
}

/* libvirt's own first byte after the handshake: 1 when it has found our certificate good (src/rpc/virnettlscontext.c and
 * virnetclient.c), else it hangs up; with TLS 1.3 only this tells. */
static int read_verdict(SSL *ssl)
{
    char byte;
    return SSL_read(ssl, &byte, 1);
}

static void handshake(const struct limit *limit, struct session *s, int fd, const struct libvirt_url *u,
                      Drover__V1__ProbeResult *r)
{
    unsigned char address[16];
    bool is_address = inet_pton(AF_INET, u->host, address) == 1 || inet_pton(AF_INET6, u->host, address) == 1;
    SSL_set_fd(s->ssl, fd);
    SSL_set_verify(s->ssl, SSL_VERIFY_PEER, NULL);
    if (is_address) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), u->host);
    } else {
        SSL_set_tlsext_host_name(s->ssl, u->host);
        SSL_set1_host(s->ssl, u->host);
    }
    int n = advance(limit, s->ssl, fd, SSL_connect);
    long why = SSL_get_verify_result(s->ssl);
    if (n < 0 && why != X509_V_OK) {
        say_untrusted(why, u, r);
        return;
    }
    if (n > 0)
        n = advance(limit, s->ssl, fd, read_verdict);
    if (n > 0)
        probe_say(r, PROVEN, "",
                  "libvirt at %s port %u took the certificate of this host, and its own is good", u->host,
                  u->port);
    else if (n == 0)
        probe_say(r, REFUTED, "timeout",
                  "%s port %u took the connection, but did not finish the TLS handshake", u->host, u->port);
    else
        probe_say(r, REFUTED, "tls-refused",
                  "%s port %u ended the TLS handshake: it did not take the certificate of this host", u->host,
                  u->port);
}

void libvirt_port_connect(const struct limit *limit, const char *pki, const char *from, const char *url,
                          Drover__V1__ProbeResult *r)
{
    struct libvirt_url u;
    if (!libvirt_url_parse(url, &u)) {
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_NOT_APPLICABLE, "", "%s is no TCP port of libvirt's",
                  url);
        return;
    }
    _cleanup_(session_deinit) struct session s = {0};
    if (u.tls && !load(&s, pki, r))
        return;
    _cleanup_close_ int fd = port_dial(limit, from, u.host, u.port, r);
    if (fd < 0)
        return;
    if (u.tls)
        handshake(limit, &s, fd, &u, r);
    else
        probe_say(r, PROVEN, "", "connected to libvirt at %s port %u from %s", u.host, u.port, r->address);
}
