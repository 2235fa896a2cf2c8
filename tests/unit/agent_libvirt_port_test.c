/* The probe of libvirt's TLS port, against a server that behaves as libvirt's: a certificate, a demand for one, and a byte 1 when it has
 * found the client's good. */
#include "agent/io/libvirt_port.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"
#include "tests/unit/rpc_certs.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { FAR_MS = 60000 };

struct server {
    int fd;
    uint16_t port;
    SSL_CTX *ctx;
};

static void server_init(struct server *s, const char *ca, const char *cert)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(s->fd, 4), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &size), 0);
    s->port = ntohs(at.sin_port);
    s->ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(s->ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(s->ctx, cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_load_verify_locations(s->ctx, ca, NULL), 1);
    SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    int peer = accept(s->fd, NULL, NULL);
    SSL *ssl = SSL_new(s->ctx);
    SSL_set_fd(ssl, peer);
    if (SSL_accept(ssl) == 1)
        SSL_write(ssl, "\1", 1);
    SSL_free(ssl);
    close(peer);
    return NULL;
}

struct pki {
    struct made_tree t;
    struct authority *good, *other;
    char *dir, *ca, *other_ca, *client, *server;
};

static void pki_init(struct pki *p)
{
    static const struct cert_spec client = {.other = "DNS:kvm1", .eku = "clientAuth"};
    made_tree_init(&p->t);
    made_tree_add(&p->t, "pki/CA", NULL);
    made_tree_add(&p->t, "pki/libvirt/private", NULL);
    p->good = authority_new("CA of the hosts");
    p->other = authority_new("another CA");
    p->dir = xasprintf("%s/pki", p->t.root);
    p->ca = xasprintf("%s/CA/cacert.pem", p->dir);
    p->other_ca = xasprintf("%s/other.pem", p->t.root);
    p->client = xasprintf("%s/libvirt/clientcert.pem", p->dir);
    p->server = xasprintf("%s/server.pem", p->t.root);
    _cleanup_free_ char *key = xasprintf("%s/libvirt/private/clientkey.pem", p->dir);
    authority_write(p->good, p->ca);
    authority_write(p->other, p->other_ca);
    certificate_write(p->good, &client, p->client);
    assert_int_equal(link(p->client, key), 0); /* one file holds both */
}

static void pki_deinit(struct pki *p)
{
    authority_free(p->good);
    authority_free(p->other);
    free(p->dir);
    free(p->ca);
    free(p->other_ca);
    free(p->client);
    free(p->server);
    made_tree_deinit(&p->t);
}

/* What the probe says of a server with this certificate that trusts that CA. */
static void expect(const struct pki *p, const struct authority *issuer, const struct cert_spec *spec,
                   const char *servers_ca, Drover__V1__ProbeOutcome outcome, const char *reason)
{
    struct server s;
    pthread_t thread;
    certificate_write(issuer, spec, p->server);
    server_init(&s, servers_ca, p->server);
    assert_int_equal(pthread_create(&thread, NULL, serve, &s), 0);
    struct limit limit = {clock_monotonic_ms() + FAR_MS, -1};
    _cleanup_free_ char *url = xasprintf("qemu+tls://127.0.0.1:%u/system", s.port);
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    libvirt_port_connect(&limit, p->dir, "", url, r);
    pthread_join(thread, NULL);
    if (r->outcome != outcome || !streq(r->reason, reason))
        fail_msg("%s (%s), expected %s", r->reason, r->seen, reason);
    drover__v1__probe_result__free_unpacked(r, NULL);
    SSL_CTX_free(s.ctx);
    close(s.fd);
}

#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED

static void certificates_of_both_sides_are_judged(void **state)
{
    (void)state;
    static const struct cert_spec right = {.other = "IP:127.0.0.1", .eku = "serverAuth"};
    static const struct cert_spec name = {.other = "IP:10.0.0.99", .eku = "serverAuth"};
    static const struct cert_spec old = {
        .other = "IP:127.0.0.1", .eku = "serverAuth", .from_s = -7200, .to_s = -3600};
    static const struct cert_spec early = {
        .other = "IP:127.0.0.1", .eku = "serverAuth", .from_s = 3600, .to_s = 7200};
    _cleanup_(pki_deinit) struct pki p;
    pki_init(&p);
    expect(&p, p.good, &right, p.ca, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
    expect(&p, p.good, &name, p.ca, REFUTED, "tls-name");
    expect(&p, p.good, &old, p.ca, REFUTED, "tls-expired");
    expect(&p, p.good, &early, p.ca, REFUTED, "tls-expired");
    expect(&p, p.other, &right, p.ca, REFUTED, "tls-untrusted");
    expect(&p, p.good, &right, p.other_ca, REFUTED, "tls-refused");
}

static void a_server_that_says_nothing_takes_no_longer_than_the_limit(void **state)
{
    (void)state;
    static const struct cert_spec right = {.other = "IP:127.0.0.1", .eku = "serverAuth"};
    _cleanup_(pki_deinit) struct pki p;
    struct server s;
    pki_init(&p);
    certificate_write(p.good, &right, p.server);
    server_init(&s, p.ca, p.server);
    struct limit limit = {clock_monotonic_ms() + 150, -1};
    _cleanup_free_ char *url = xasprintf("qemu+tls://127.0.0.1:%u/system", s.port);
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    libvirt_port_connect(&limit, p.dir, "", url, r);
    assert_string_equal(r->reason, "timeout");
    assert_int_equal(r->outcome, REFUTED);
    drover__v1__probe_result__free_unpacked(r, NULL);
    SSL_CTX_free(s.ctx);
    close(s.fd);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_of_both_sides_are_judged),
        cmocka_unit_test(a_server_that_says_nothing_takes_no_longer_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
