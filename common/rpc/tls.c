#include "common/rpc/tls.h"

#include "common/base/memory.h"
#include "common/rpc/peer.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/stat.h>

struct stamp {
    struct timespec mtime;
    ino_t inode;
    off_t size;
};

struct rpc_tls {
    char *ca_file, *cert_file;
    pthread_mutex_t lock; /* guards the rest */
    SSL_CTX *ctx;
    struct stamp ca, cert; /* of the files as last read, good or bad */
    struct error bad;      /* why the files as they are now can't be used; OK when they are in use */
};

struct tls_session {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    bool server, handshaken, established;
    enum rpc_role expect_role;
    char *expect_name, *expect_host, *cert_file;
    struct rpc_peer peer; /* role and name */
};

static struct stamp stamp_of(const char *file)
{
    struct stat st;
    struct stamp s = {0};
    if (stat(file, &st) == 0)
        s = (struct stamp){st.st_mtim, st.st_ino, st.st_size};
    return s;
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
    return a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
           a->inode == b->inode && a->size == b->size;
}

static const char *openssl_reason(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    return text ? text : "unknown error";
}

static int load(const struct rpc_tls *tls, SSL_CTX **ret, struct error *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (!ctx)
        return error_set(err, STATUS_INTERNAL, "OpenSSL cannot start: %s", openssl_reason());
    int r = 0;
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0); /* each handshake checks the certificate again */
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* An intermediate CA may be the only anchor. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (SSL_CTX_load_verify_file(ctx, tls->ca_file) != 1)
        r = error_set(err, STATUS_FAILED_PRECONDITION, "cannot use CA file %s: %s", tls->ca_file,
                      openssl_reason());
    else if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1)
        r = error_set(err, STATUS_FAILED_PRECONDITION, "cannot use the certificate in %s: %s", tls->cert_file,
                      openssl_reason());
    else if (SSL_CTX_use_PrivateKey_file(ctx, tls->cert_file, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(ctx) != 1)
        r = error_set(err, STATUS_FAILED_PRECONDITION,
                      "cannot use the private key in %s: %s; the file must hold the certificate and its key",
                      tls->cert_file, openssl_reason());
    ERR_clear_error();
    if (r < 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    *ret = ctx;
    return 0;
}

static int refresh_locked(struct rpc_tls *tls, struct error *err)
{
    struct stamp ca = stamp_of(tls->ca_file), cert = stamp_of(tls->cert_file);
    if (!tls->ctx || !stamp_same(&ca, &tls->ca) || !stamp_same(&cert, &tls->cert)) {
        SSL_CTX *ctx = NULL;
        tls->ca = ca;
        tls->cert = cert;
        error_clear(&tls->bad);
        if (load(tls, &ctx, &tls->bad) == 0) {
            SSL_CTX_free(tls->ctx);
            tls->ctx = ctx;
        }
    }
    if (tls->bad.code != STATUS_OK && err)
        *err = tls->bad;
    return -(int)tls->bad.code;
}

int rpc_tls_new(const char *ca_file, const char *cert_file, struct rpc_tls **ret, struct error *err)
{
    struct rpc_tls *tls = new0(struct rpc_tls);
    tls->ca_file = xstrdup(ca_file);
    tls->cert_file = xstrdup(cert_file);
    pthread_mutex_init(&tls->lock, NULL);
    int r = refresh_locked(tls, err);
    if (r < 0) {
        rpc_tls_free(tls);
        return r;
    }
    *ret = tls;
    return 0;
}

int rpc_tls_check(struct rpc_tls *tls, struct error *err)
{
    pthread_mutex_lock(&tls->lock);
    int r = refresh_locked(tls, err);
    pthread_mutex_unlock(&tls->lock);
    return r;
}

void rpc_tls_free(struct rpc_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    pthread_mutex_destroy(&tls->lock);
    free(tls->ca_file);
    free(tls->cert_file);
    free(tls);
}

int tls_session_new(struct rpc_tls *tls, const struct tls_expect *expect, struct tls_session **ret,
                    struct error *err)
{
    pthread_mutex_lock(&tls->lock);
    refresh_locked(tls, NULL); /* bad new files: the old ones stay in use, and rpc_tls_check says so */
    SSL *ssl = SSL_new(tls->ctx);
    pthread_mutex_unlock(&tls->lock);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!ssl || !in || !out) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OpenSSL cannot make a session: %s",
                         openssl_reason());
    }
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    struct tls_session *s = new0(struct tls_session);
    s->ssl = ssl;
    s->in = in;
    s->out = out;
    s->cert_file = xstrdup(tls->cert_file);
    s->server = !expect;
    if (expect) {
        s->expect_role = expect->role;
        s->expect_name = xstrdup(expect->name);
        s->expect_host = xstrdup(expect->host);
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
    }
    *ret = s;
    return 0;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s->expect_name);
    free(s->expect_host);
    free(s->cert_file);
    free(s);
}

static void take_output(struct tls_session *s, struct buffer *wire)
{
    char *data;
    long n = BIO_get_mem_data(s->out, &data);
    if (n > 0) {
        memcpy(buffer_room(wire, (size_t)n), data, (size_t)n);
        wire->end += (size_t)n;
        (void)BIO_reset(s->out);
    }
}

static int explain_verify(const struct tls_session *s, struct error *err)
{
    long v = SSL_get_verify_result(s->ssl);
    const char *who = s->server ? "the client's" : "the server's", *hint;
    switch (v) {
    case X509_V_ERR_CERT_HAS_EXPIRED: hint = "it has expired: issue a new one with drover pki issue"; break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        hint = "it is not yet valid: compare the clocks of the two machines";
        break;
    case X509_V_ERR_INVALID_PURPOSE: hint = "its extended key usage is for something else"; break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        hint = "it is not signed by the CA that this side trusts: use certificates of one CA on both";
        break;
    default: hint = X509_verify_cert_error_string(v);
    }
    return error_set(err, STATUS_UNAUTHENTICATED, "%s certificate is refused: %s", who, hint);
}

/* A refused own certificate comes back as an alert; for bad_certificate its dates tell more. */
static int explain_alert(const struct tls_session *s, const char *why, struct error *err)
{
    const X509 *own = SSL_get_certificate(s->ssl);
    if (own && X509_cmp_current_time(X509_get0_notBefore(own)) > 0)
        why = "it is not yet valid: compare the clocks of the two machines";
    return error_set(err, STATUS_UNAUTHENTICATED, "the %s refused this program's certificate (%s): %s",
                     s->server ? "client" : "server", s->cert_file, why);
}

static int explain(const struct tls_session *s, struct error *err)
{
    unsigned long e = ERR_peek_error();
    switch (ERR_GET_REASON(e)) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return explain_verify(s, err);
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return error_set(err, STATUS_UNAUTHENTICATED,
                         "the client showed no certificate: give it one with drover pki issue");
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return error_set(err, STATUS_UNAVAILABLE,
                         "the other side does not speak TLS: use tls+tcp:// on both sides");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return error_set(err, STATUS_UNAVAILABLE,
                         "the two sides have no TLS version in common: 1.3 is needed");
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return error_set(err, STATUS_UNAUTHENTICATED, "the server wants a certificate, and %s gave none",
                         s->cert_file);
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return explain_alert(s, "it is not signed by the CA that is trusted there", err);
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        return explain_alert(s, "it has expired: issue a new one with drover pki issue", err);
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        return explain_alert(s, "its extended key usage is for something else", err);
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE: return explain_alert(s, "it is not valid there", err);
    default:
        return error_set(err, STATUS_UNAVAILABLE, "TLS failed: %s",
                         e ? ERR_reason_error_string(e) : "closed");
    }
}

/* What the chain's verification leaves open: the explicit key usage, who it is, and whether that is who was meant. */
static int check_peer(struct tls_session *s, struct error *err)
{
    const char *side = s->server ? "client" : "server", *usage = s->server ? "clientAuth" : "serverAuth";
    uint32_t wanted = s->server ? XKU_SSL_CLIENT : XKU_SSL_SERVER;
    X509 *cert = SSL_get1_peer_certificate(s->ssl);
    if (!cert || SSL_get_verify_result(s->ssl) != X509_V_OK) {
        X509_free(cert);
        return error_set(err, STATUS_UNAUTHENTICATED, "the %s showed no certificate that can be verified",
                         side);
    }
    int r = 0;
    if (!(X509_get_extension_flags(cert) & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(cert) & wanted)) {
        r = error_set(err, STATUS_UNAUTHENTICATED,
                      "the %s's certificate has no extended key usage %s: issue it with drover pki issue",
                      side, usage);
    } else {
        r = peer_from_certificate(cert, side, &s->peer, err);
    }
    if (r == 0 && !s->server) {
        if (s->expect_role && s->peer.role != s->expect_role)
            r = error_set(err, STATUS_UNAUTHENTICATED,
                          "the server is the %s %s, and a certificate of role %s is expected",
                          peer_role_name(s->peer.role), s->peer.name, peer_role_name(s->expect_role));
        else if (s->expect_name && !streq(s->expect_name, s->peer.name))
            r = error_set(
                err, STATUS_UNAUTHENTICATED,
                "the server's certificate is for the name %s, and %s is expected: is the address right?",
                s->peer.name, s->expect_name);
        else if (!s->expect_name && s->expect_host &&
                 X509_check_host(cert, s->expect_host, 0, 0, NULL) != 1 &&
                 X509_check_ip_asc(cert, s->expect_host, 0) != 1)
            r = error_set(
                err, STATUS_UNAUTHENTICATED,
                "the certificate of %s %s does not name the host %s: issue it with that DNS name or address",
                peer_role_name(s->peer.role), s->peer.name, s->expect_host);
    }
    X509_free(cert);
    return r;
}

static int handshake(struct tls_session *s, struct error *err)
{
    ERR_clear_error();
    int r = SSL_do_handshake(s->ssl);
    if (r != 1) {
        int e = SSL_get_error(s->ssl, r);
        return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : explain(s, err);
    }
    s->handshaken = true;
    r = check_peer(s, err);
    s->established = r == 0;
    return r;
}

int tls_start(struct tls_session *s, struct buffer *wire, struct error *err)
{
    int r = s->server ? 0 : handshake(s, err);
    take_output(s, wire);
    return r;
}

int tls_input(struct tls_session *s, const uint8_t *data, size_t len, struct buffer *plain,
              struct buffer *wire, struct error *err)
{
    int r = 0;
    if (BIO_write(s->in, data, (int)len) != (int)len)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OpenSSL cannot take %zu bytes", len);
    if (!s->handshaken)
        r = handshake(s, err);
    while (r == 0 && s->established) {
        size_t n = 0;
        ERR_clear_error();
        if (SSL_read_ex(s->ssl, buffer_room(plain, 16384), 16384, &n) == 1) {
            plain->end += n;
            continue;
        }
        int e = SSL_get_error(s->ssl, 0);
        if (e == SSL_ERROR_ZERO_RETURN)
            r = error_set(err, STATUS_UNAVAILABLE, "the other side ended the TLS session");
        else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
            r = explain(s, err);
        break;
    }
    take_output(s, wire);
    return r;
}

bool tls_established(const struct tls_session *s, struct rpc_peer *peer)
{
    if (s->established) {
        peer->role = s->peer.role;
        memcpy(peer->name, s->peer.name, sizeof(peer->name));
    }
    return s->established;
}

bool tls_can_write(const struct tls_session *s)
{
    return s->handshaken;
}

int tls_output(struct tls_session *s, const uint8_t *data, size_t len, struct buffer *wire, struct error *err)
{
    size_t n = 0;
    ERR_clear_error();
    if (len && SSL_write_ex(s->ssl, data, len, &n) != 1)
        return explain(s, err);
    take_output(s, wire);
    return 0;
}

void tls_explain_end(const struct tls_session *s, struct error *err)
{
    if (s->server)
        error_set(err, STATUS_UNAVAILABLE, "the client hung up in the TLS handshake");
    else
        error_set(err, STATUS_UNAVAILABLE,
                  "the server hung up in the TLS handshake: does it expect tls+tcp://, or has it too many "
                  "connections?");
}
