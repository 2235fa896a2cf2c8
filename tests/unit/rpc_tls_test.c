/* Mutual TLS: the good case, every wrong combination, roles, rotation. */
#include "tests/unit/rpc_certs.h"
#include "tests/unit/rpc_fixture.h"

#include "common/base/memory.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BOTH "serverAuth,clientAuth"
#define LOCAL "IP:127.0.0.1"
static const struct cert_spec good_server = {.uri = "drover://coordinator/main", .other = LOCAL, .eku = BOTH};
static const struct cert_spec good_client = {.uri = "drover://agent/kvm1", .eku = BOTH};

struct place {
    struct fixture f;
    struct authority *ca, *other;
    struct rpc_tls *server_tls, *client_tls;
    char ca_file[128], server_file[128], client_file[128];
};

static void place_up(struct place *p, const struct cert_spec *server, const struct authority *server_ca)
{
    char dir[] = "/tmp/rpc_tls_test.XXXXXX";
    struct error err;
    *p = (struct place){.ca = authority_new("the CA"), .other = authority_new("another CA")};
    assert_non_null(mkdtemp(dir));
    snprintf(p->ca_file, sizeof(p->ca_file), "%s/ca.pem", dir);
    snprintf(p->server_file, sizeof(p->server_file), "%s/server.pem", dir);
    snprintf(p->client_file, sizeof(p->client_file), "%s/client.pem", dir);
    authority_write(p->ca, p->ca_file);
    certificate_write(server_ca ? server_ca : p->ca, server ? server : &good_server, p->server_file);
    certificate_write(p->ca, &good_client, p->client_file);
    if (rpc_tls_new(p->ca_file, p->server_file, &p->server_tls, &err) < 0)
        fail_msg("%s", err.text);
    if (rpc_tls_new(p->ca_file, p->client_file, &p->client_tls, &err) < 0)
        fail_msg("%s", err.text);
    struct rpc_server_config config = {.tls = p->server_tls};
    fixture_start(&p->f, "tls+tcp", &config);
}

static void place_down(struct place *p)
{
    fixture_stop(&p->f);
    rpc_tls_free(p->server_tls);
    rpc_tls_free(p->client_tls);
    authority_free(p->ca);
    authority_free(p->other);
    unlink(p->ca_file);
    unlink(p->server_file);
    unlink(p->client_file);
    *strrchr(p->ca_file, '/') = 0;
    assert_int_equal(rmdir(p->ca_file), 0);
}

static struct rpc_client *connect_as(struct place *p, struct rpc_client_config config)
{
    config.tls = p->client_tls;
    return fixture_client(&p->f, p->f.url, &config);
}

static void test_good(void **state)
{
    (void)state;
    struct place p;
    struct outcome o;
    place_up(&p, NULL, NULL);
    struct rpc_client_config configs[] = {{.peer_role = RPC_COORDINATOR, .peer_name = "main"},
                                          {.peer_role = RPC_COORDINATOR},
                                          {.peer_name = "main"}};
    for (unsigned i = 0; i < 3; i++) {
        struct rpc_client *c = connect_as(&p, configs[i]);
        outcome_init(&o, &p.f);
        struct rpc_stub stub = ECHO(c, .wait = true);
        say(&stub, "who", 0, &o);
        wait_for(&p.f, o.items + o.ends == 1);
        assert_string_equal(o.why.text, "");
        assert_string_equal(o.text, "1 kvm1");
        outcome_init(&o, &p.f);
        say(&stub, "large", 3 << 20, &o);
        wait_for(&p.f, o.items + o.ends == 1);
        assert_int_equal(o.data_len, 3 << 20);
        outcome_init(&o, &p.f);
        stub.stream = true;
        count(&stub, "", 1000, &o);
        wait_for(&p.f, o.ends == 1);
        assert_int_equal(o.items, 1000);
        fixture_client_free(&p.f, c);
    }
    place_down(&p);
}

static void test_roles(void **state)
{
    (void)state;
    struct place p;
    struct outcome o;
    place_up(&p, NULL, NULL);
    certificate_write(p.ca, &(struct cert_spec){.uri = "drover://operator/oncall", .eku = BOTH},
                      p.client_file);
    struct rpc_client *c = connect_as(&p, (struct rpc_client_config){0});
    outcome_init(&o, &p.f);
    struct rpc_stub stub = ECHO(c, .wait = true);
    say(&stub, "who", 0, &o);
    wait_for(&p.f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_PERMISSION_DENIED);
    assert_non_null(strstr(o.why.text, "oncall"));
    assert_non_null(strstr(o.why.text, "agent or coordinator"));
    assert_int_equal(p.f.begun, 0);
    struct rpc_stub quick = QUICK(c, .wait = true); /* this service is for operators, too */
    say(&quick, "who", 0, &o);
    wait_for(&p.f, o.items == 1);
    assert_string_equal(o.text, "4 oncall");
    fixture_client_free(&p.f, c);
    place_down(&p);
}

struct wrong {
    const char *what;
    struct cert_spec server, client;
    bool other_server_ca, other_client_ca;
    struct rpc_client_config expect;
    enum status_code code;
    const char *client_says, *server_says; /* parts of the texts; NULL: not looked at */
};

static const struct wrong wrongs[] = {
    {"client of another CA", .other_client_ca = true, .code = STATUS_UNAUTHENTICATED,
     .client_says = "not signed by the CA", .server_says = "not signed by the CA"},
    {"server of another CA", .other_server_ca = true, .code = STATUS_UNAUTHENTICATED,
     .client_says = "not signed by the CA", .server_says = "not signed by the CA"},
    {"expired client", .client = {.uri = "drover://agent/kvm1", .eku = BOTH, .from_s = -7200, .to_s = -3600},
     .code = STATUS_UNAUTHENTICATED, .client_says = "expired", .server_says = "expired"},
    {"expired server",
     .server = {.uri = "drover://coordinator/main", .eku = BOTH, .from_s = -7200, .to_s = -3600},
     .code = STATUS_UNAUTHENTICATED, .client_says = "expired", .server_says = "expired"},
    {"client not yet valid",
     .client = {.uri = "drover://agent/kvm1", .eku = BOTH, .from_s = 3600, .to_s = 7200},
     .code = STATUS_UNAUTHENTICATED, .client_says = "not yet valid", .server_says = "not yet valid"},
    {"server not yet valid",
     .server = {.uri = "drover://coordinator/main", .eku = BOTH, .from_s = 3600, .to_s = 7200},
     .code = STATUS_UNAUTHENTICATED, .client_says = "not yet valid", .server_says = "not yet valid"},
    {"client without extended key usage", .client = {.uri = "drover://agent/kvm1"},
     .code = STATUS_UNAUTHENTICATED, .client_says = "no extended key usage clientAuth",
     .server_says = "no extended key usage clientAuth"},
    {"server without extended key usage", .server = {.uri = "drover://coordinator/main", .other = LOCAL},
     .code = STATUS_UNAUTHENTICATED, .client_says = "no extended key usage serverAuth"},
    {"client with a server's key usage", .client = {.uri = "drover://agent/kvm1", .eku = "serverAuth"},
     .code = STATUS_UNAUTHENTICATED, .client_says = "extended key usage",
     .server_says = "extended key usage"},
    {"server with a client's key usage",
     .server = {.uri = "drover://coordinator/main", .other = LOCAL, .eku = "clientAuth"},
     .code = STATUS_UNAUTHENTICATED, .client_says = "extended key usage"},
    {"client without a name", .client = {.eku = BOTH}, .code = STATUS_UNAUTHENTICATED,
     .client_says = "exactly one URI SAN", .server_says = "exactly one URI SAN"},
    {"client with two names",
     .client = {.uri = "drover://agent/kvm1", .second_uri = "drover://operator/x", .eku = BOTH},
     .code = STATUS_UNAUTHENTICATED, .client_says = "it has 2"},
    {"client of an unknown role", .client = {.uri = "drover://king/kvm1", .eku = BOTH},
     .code = STATUS_UNAUTHENTICATED, .client_says = "drover://king/kvm1"},
    {"client with a path for a name", .client = {.uri = "drover://agent/../x", .eku = BOTH},
     .code = STATUS_UNAUTHENTICATED, .client_says = "exactly one URI SAN"},
    {"server of the wrong role", .expect = {.peer_role = RPC_AGENT, .peer_name = "main"},
     .code = STATUS_UNAUTHENTICATED, .client_says = "role agent is expected"},
    {"server of the wrong name", .expect = {.peer_role = RPC_COORDINATOR, .peer_name = "second"},
     .code = STATUS_UNAUTHENTICATED, .client_says = "second is expected"},
    {"server that does not name its host",
     .server = {.uri = "drover://coordinator/main", .other = "IP:10.0.0.1", .eku = BOTH},
     .code = STATUS_UNAUTHENTICATED, .client_says = "does not name the host 127.0.0.1"},
};

static void test_wrong(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        const struct wrong *w = &wrongs[i];
        struct place p;
        struct authority *stranger = authority_new("a stranger");
        struct outcome o;
        place_up(&p, w->server.eku || w->server.uri ? &w->server : NULL,
                 w->other_server_ca ? stranger : NULL);
        bool own = w->client.eku || w->client.uri;
        certificate_write(w->other_client_ca ? stranger : p.ca, own ? &w->client : &good_client,
                          p.client_file);
        struct rpc_client *c = connect_as(&p, w->expect);
        outcome_init(&o, &p.f);
        wait_for(&p.f, p.f.downs >= 1);
        assert_false(rpc_client_up(c));
        if (p.f.down.code != w->code || !strstr(p.f.down.text, w->client_says))
            fail_msg("%s: the client says %s: %s", w->what, status_name(p.f.down.code), p.f.down.text);
        wait_for(&p.f, p.f.refused >= 1);
        if (w->server_says && !strstr(p.f.refusal.text, w->server_says))
            fail_msg("%s: the server says %s", w->what, p.f.refusal.text);
        struct rpc_stub stub = QUICK(c);
        say(&stub, "who", 0, &o);
        wait_for(&p.f, o.ends == 1);
        assert_int_equal(o.why.code, STATUS_UNAVAILABLE);
        assert_int_equal(p.f.begun, 0);
        fixture_client_free(&p.f, c);
        place_down(&p);
        authority_free(stranger);
    }
}

/* A client of OpenSSL's own that shows no certificate. */
static void test_no_certificate(void **state)
{
    (void)state;
    struct place p;
    place_up(&p, NULL, NULL);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    BIO *bio = BIO_new_connect(strstr(p.f.url, "://") + 3);
    SSL *ssl = SSL_new(ctx);
    assert_int_equal(BIO_do_connect(bio), 1);
    SSL_set_bio(ssl, bio, bio);
    char byte;
    assert_int_equal(SSL_connect(ssl), 1); /* in TLS 1.3 the client learns only when it reads */
    assert_true(SSL_read(ssl, &byte, 1) <= 0);
    wait_for(&p.f, p.f.refused == 1);
    assert_int_equal(p.f.refusal.code, STATUS_UNAUTHENTICATED);
    assert_non_null(strstr(p.f.refusal.text, "showed no certificate"));
    SSL_free(ssl);
    bio = BIO_new_connect(strstr(p.f.url, "://") + 3); /* TLS 1.2 is refused */
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    ssl = SSL_new(ctx);
    assert_int_equal(BIO_do_connect(bio), 1);
    SSL_set_bio(ssl, bio, bio);
    assert_true(SSL_connect(ssl) <= 0);
    wait_for(&p.f, p.f.refused == 2);
    assert_non_null(strstr(p.f.refusal.text, "1.3 is needed"));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    place_down(&p);
}

static void test_plain_meets_tls(void **state)
{
    (void)state;
    struct place p;
    char url[160];
    place_up(&p, NULL, NULL);
    snprintf(url, sizeof(url), "%s", strstr(p.f.url, "tcp://"));
    struct rpc_client *c = fixture_client(&p.f, url, NULL);
    wait_for(&p.f, p.f.downs >= 1 && p.f.refused >= 1);
    assert_non_null(strstr(p.f.down.text, "speaks TLS here: use tls+tcp"));
    assert_non_null(strstr(p.f.refusal.text, "does not speak TLS"));
    fixture_client_free(&p.f, c);

    struct rpc_server *plain = NULL;
    struct rpc_server_config config = {.loop = p.f.loop};
    assert_int_equal(rpc_server_new(&config, &plain, NULL), 0);
    assert_int_equal(rpc_server_listen(plain, "tcp://127.0.0.1:0", NULL), 0);
    snprintf(url, sizeof(url), "tls+%s", rpc_server_url(plain, 0));
    p.f.downs = 0;
    struct rpc_client_config client = {.tls = p.client_tls};
    c = fixture_client(&p.f, url, &client);
    wait_for(&p.f, p.f.downs >= 1);
    assert_non_null(strstr(p.f.down.text, "TLS"));
    fixture_client_free(&p.f, c);
    rpc_server_free(plain);
    place_down(&p);
}

/* Connects anew, and says how it went. */
static bool try_connect(struct place *p)
{
    p->f.ups = p->f.downs = 0;
    struct rpc_client *c =
        connect_as(p, (struct rpc_client_config){.backoff_min_ms = 60000, .backoff_max_ms = 60000});
    wait_for(&p->f, p->f.ups + p->f.downs >= 1);
    bool up = rpc_client_up(c);
    fixture_client_free(&p->f, c);
    return up;
}

static void test_rotation(void **state)
{
    (void)state;
    struct place p;
    struct error err;
    place_up(&p, NULL, NULL);
    struct rpc_client *old = connect_as(&p, (struct rpc_client_config){0});
    wait_for(&p.f, p.f.ups == 1);

    certificate_write(p.other, &good_server, p.server_file); /* the server's moves to the other CA */
    assert_false(try_connect(&p));
    authority_write(p.other, p.ca_file); /* so does the CA; the client's still is of the first */
    assert_false(try_connect(&p));
    certificate_write(p.other, &good_client, p.client_file);
    assert_true(try_connect(&p));
    assert_int_equal(rpc_tls_check(p.server_tls, &err), 0);

    FILE *f = fopen(p.server_file, "w"); /* a bad file: the old certificate stays in use, and that is said */
    assert_non_null(f);
    fputs("-----BEGIN NOTHING-----\n", f);
    fclose(f);
    assert_true(try_connect(&p));
    assert_int_equal(rpc_tls_check(p.server_tls, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, p.server_file));
    certificate_write(p.other, &good_server, p.server_file);
    assert_int_equal(rpc_tls_check(p.server_tls, &err), 0);
    assert_true(try_connect(&p));

    struct outcome o; /* the connection that was there before all this goes on */
    outcome_init(&o, &p.f);
    struct rpc_stub stub = ECHO(old);
    say(&stub, "echo", 9, &o);
    wait_for(&p.f, o.items == 1);
    fixture_client_free(&p.f, old);
    place_down(&p);
}

static void test_files(void **state)
{
    (void)state;
    struct place p;
    struct rpc_tls *tls = NULL;
    struct error err;
    place_up(&p, NULL, NULL);
    assert_int_equal(rpc_tls_new("/nonexistent/ca.pem", p.server_file, &tls, &err),
                     -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
    assert_int_equal(rpc_tls_new(p.ca_file, p.ca_file, &tls, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "private key"));
    struct rpc_client_config config = {.url = p.f.url, .loop = p.f.loop};
    struct rpc_client *c = NULL;
    assert_int_equal(rpc_client_new(&config, &c, &err), -STATUS_INVALID_ARGUMENT);
    place_down(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_no_certificate),
        cmocka_unit_test(test_plain_meets_tls),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
