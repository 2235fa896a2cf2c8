#include "cli/pki.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#define NOW 1800000000 /* 2027-01-15 */
#define DAY 86400

static const char *const addresses[] = {"10.0.0.11", "fd00::11", "kvm1.example.net"};

static struct pki_leaf leaf(const char *role, const char *name)
{
    return (struct pki_leaf){role, name, addresses, 3, NOW, 825};
}

/* What a TLS library does with a peer's certificate: 0 is X509_V_OK. */
static int verify(X509 *ca, X509 *cert, int purpose, int64_t at)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_CTX_init(ctx, store, cert, NULL);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)at);
    int result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return result;
}

struct made {
    EVP_PKEY *ca_key, *key;
    X509 *ca, *cert;
};

static struct made make(const struct pki_leaf *l)
{
    struct made m = {0};
    assert_int_equal(pki_make_ca("Test CA", NOW, 3650, &m.ca_key, &m.ca, NULL), 0);
    assert_int_equal(pki_make_leaf(m.ca_key, m.ca, l, &m.key, &m.cert, NULL), 0);
    return m;
}

static void unmake(struct made *m)
{
    EVP_PKEY_free(m->ca_key);
    EVP_PKEY_free(m->key);
    X509_free(m->ca);
    X509_free(m->cert);
}

static void a_leaf_verifies_for_its_role_only(void **state)
{
    (void)state;
    static const struct {
        const char *role;
        int as_client, as_server;
    } cases[] = {
        {"agent", X509_V_OK, X509_V_OK},
        {"coordinator", X509_V_OK, X509_V_OK},
        {"operator", X509_V_OK, X509_V_ERR_INVALID_PURPOSE},
    };
    for (size_t i = 0; i < 3; i++) {
        struct pki_leaf l = leaf(cases[i].role, "kvm1");
        struct made m = make(&l);
        assert_int_equal(X509_verify(m.cert, m.ca_key), 1);
        assert_int_equal(verify(m.ca, m.cert, X509_PURPOSE_SSL_CLIENT, NOW), cases[i].as_client);
        assert_int_equal(verify(m.ca, m.cert, X509_PURPOSE_SSL_SERVER, NOW), cases[i].as_server);
        assert_int_equal(X509_check_private_key(m.cert, m.key), 1);
        unmake(&m);
    }
}

static void a_leaf_of_another_ca_does_not_verify(void **state)
{
    (void)state;
    struct pki_leaf l = leaf("agent", "kvm1");
    struct made ours = make(&l), theirs = make(&l);
    assert_int_not_equal(verify(ours.ca, theirs.cert, X509_PURPOSE_SSL_CLIENT, NOW), X509_V_OK);
    /* A key beside a certificate that is not its own is noticed before anything is issued. */
    struct error err;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    assert_int_equal(pki_make_leaf(theirs.ca_key, ours.ca, &l, &key, &cert, &err),
                     -STATUS_FAILED_PRECONDITION);
    assert_null(cert);
    unmake(&ours);
    unmake(&theirs);
}

static void times_hold(void **state)
{
    (void)state;
    struct pki_leaf l = leaf("agent", "kvm1");
    struct made m = make(&l);
    assert_int_equal(pki_until(m.cert), NOW + 825 * DAY);
    assert_int_equal(verify(m.ca, m.cert, X509_PURPOSE_SSL_CLIENT, NOW - 3600),
                     X509_V_ERR_CERT_NOT_YET_VALID);
    assert_int_equal(verify(m.ca, m.cert, X509_PURPOSE_SSL_CLIENT, NOW + 826 * DAY),
                     X509_V_ERR_CERT_HAS_EXPIRED);
    unmake(&m);
    l.days = 36500;
    m = make(&l);
    assert_int_equal(pki_until(m.cert), NOW + 3650 * (int64_t)DAY);
    X509_free(m.cert);
    EVP_PKEY_free(m.key);
    l.from = NOW + 3651 * (int64_t)DAY;
    struct error err;
    m.cert = NULL;
    m.key = NULL;
    assert_int_equal(pki_make_leaf(m.ca_key, m.ca, &l, &m.key, &m.cert, &err), -STATUS_FAILED_PRECONDITION);
    unmake(&m);
}

static void names_are_in_the_certificate(void **state)
{
    (void)state;
    struct pki_leaf l = leaf("agent", "kvm1");
    struct made m = make(&l), other = make(&l);
    _cleanup_free_ char *identity = pki_identity(m.cert), *serial = pki_serial(m.cert),
                        *serial2 = pki_serial(other.cert), *ca = pki_identity(m.ca);
    assert_string_equal(identity, "drover://agent/kvm1");
    assert_null(ca);
    assert_string_not_equal(serial, serial2);
    assert_int_equal(X509_check_ip_asc(m.cert, "10.0.0.11", 0), 1);
    assert_int_equal(X509_check_ip_asc(m.cert, "fd00::11", 0), 1);
    assert_int_equal(X509_check_ip_asc(m.cert, "10.0.0.12", 0), 0);
    assert_int_equal(X509_check_host(m.cert, "kvm1.example.net", 0, 0, NULL), 1);
    assert_int_equal(X509_get_extension_flags(m.cert) & EXFLAG_XKUSAGE, EXFLAG_XKUSAGE);
    assert_int_equal(X509_get_key_usage(m.cert), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_check_ca(m.cert), 0);
    assert_int_equal(X509_check_ca(m.ca), 1);
    assert_non_null(X509_get0_authority_key_id(m.cert));
    assert_non_null(X509_get0_subject_key_id(m.cert));
    unmake(&m);
    unmake(&other);
}

static void bad_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "10.0.0.256",  "kvm1:7460", "a..b",  "-a",     "a-",
                                      "a_b",  "*.net",       "a,URI:x",   "1.2.3", "a b",    "tcp://kvm1",
                                      "a\nb", "kvm\xc3\xbc", ".",         "a.",    "fd00::g"};
    EVP_PKEY *ca_key = NULL, *key = NULL;
    X509 *ca = NULL, *cert = NULL;
    assert_int_equal(pki_make_ca("Test CA", NOW, 3650, &ca_key, &ca, NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pki_leaf l = {"agent", "kvm1", &bad[i], 1, NOW, 1};
        assert_int_equal(pki_make_leaf(ca_key, ca, &l, &key, &cert, NULL), -STATUS_INVALID_ARGUMENT);
    }
    assert_null(cert);
    EVP_PKEY_free(ca_key);
    X509_free(ca);
}

static void subjects_are_checked(void **state)
{
    (void)state;
    _cleanup_free_ char *role = NULL, *name = NULL;
    assert_int_equal(pki_parse_subject("agent/kvm-1.a_b", &role, &name, NULL), 0);
    assert_string_equal(role, "agent");
    assert_string_equal(name, "kvm-1.a_b");
    static const char *const bad[] = {
        "",
        "agent",
        "agent/",
        "/kvm1",
        "root/kvm1",
        "Agent/kvm1",
        "agent/kvm1/x",
        "agent/../x",
        "agent/.x",
        "agent/a b",
        "agent/a,b",
        "agent/kvm\xc3\xbc",
        "agent/0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = {0};
        char *r = NULL, *n = NULL;
        assert_int_equal(pki_parse_subject(bad[i], &r, &n, &err), -STATUS_INVALID_ARGUMENT);
        assert_null(r);
        assert_non_null(strstr(err.text, "expected"));
    }
}

/* ---- the directory ---- */

static int make_dir(void **state)
{
    char *dir = xstrdup("/tmp/drover-pki-XXXXXX");
    assert_non_null(mkdtemp(dir));
    *state = dir;
    return 0;
}

static int remove_dir(void **state)
{
    char *dir = *state;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    int r = rmdir(dir);
    free(dir);
    return r;
}

static unsigned mode_of(const char *dir, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static size_t files_in(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void init_never_overwrites(void **state)
{
    const char *dir = *state;
    struct error err;
    assert_int_equal(pki_init(dir, "Test CA", 3650, NOW, &err), 0);
    assert_int_equal(mode_of(dir, "ca-key.pem"), 0600);
    assert_int_equal(mode_of(dir, "ca.pem"), 0644);
    struct pki_index before, after;
    assert_int_equal(pki_list(dir, &before, &err), 0);
    assert_int_equal(pki_init(dir, "Test CA", 3650, NOW, &err), -STATUS_ALREADY_EXISTS);
    assert_non_null(strstr(err.text, "never overwritten"));
    assert_int_equal(pki_list(dir, &after, &err), 0);
    assert_string_equal(before.ca_serial, after.ca_serial);
    assert_int_equal(files_in(dir), 2);
    pki_index_deinit(&before);
    pki_index_deinit(&after);
}

static void issue_writes_one_private_file_and_records_it(void **state)
{
    const char *dir = *state;
    struct error err;
    struct pki_leaf l = leaf("agent", "kvm1");
    struct pki_issued issued;
    assert_int_equal(pki_issue(dir, &l, NULL, &issued, &err), -STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "drover pki init"));
    assert_int_equal(pki_init(dir, "Test CA", 3650, NOW, &err), 0);
    assert_int_equal(pki_issue(dir, &l, NULL, &issued, &err), 0);
    assert_int_equal(mode_of(dir, "agent-kvm1.pem"), 0600);
    assert_int_equal(files_in(dir), 4);

    FILE *f = fopen(issued.file, "re");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    assert_non_null(key);
    assert_non_null(cert);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);

    struct pki_index index;
    assert_int_equal(pki_list(dir, &index, &err), 0);
    assert_int_equal(index.n_entries, 1);
    assert_string_equal(index.ca_name, "Test CA");
    assert_string_equal(index.entries[0].role, "agent");
    assert_string_equal(index.entries[0].name, "kvm1");
    assert_string_equal(index.entries[0].serial, issued.serial);
    assert_string_equal(index.entries[0].file, issued.file);
    assert_int_equal(index.entries[0].until, NOW + 825 * DAY);
    assert_false(index.entries[0].replaced);
    pki_index_deinit(&index);
    pki_issued_deinit(&issued);
}

static void issue_replaces_only_its_own(void **state)
{
    const char *dir = *state;
    struct error err;
    struct pki_leaf l = leaf("agent", "kvm1"), other = leaf("agent", "kvm2");
    struct pki_issued first, second, third;
    _cleanup_free_ char *out = xasprintf("%s/cert.pem", dir);
    assert_int_equal(pki_init(dir, "Test CA", 3650, NOW, &err), 0);
    assert_int_equal(pki_issue(dir, &l, out, &first, &err), 0);
    assert_int_equal(pki_issue(dir, &other, out, &third, &err), -STATUS_ALREADY_EXISTS);
    assert_non_null(strstr(err.text, "drover://agent/kvm2 (drover://agent/kvm1)"));
    assert_int_equal(mode_of(dir, "cert.pem"), 0600);
    assert_int_equal(chmod(out, 0640), 0); /* for a group: a renewal must not lock it out */
    if (geteuid() == 0)
        assert_int_equal(chown(out, 4711, 4712), 0);
    assert_int_equal(pki_issue(dir, &l, out, &second, &err), 0);
    assert_string_not_equal(first.serial, second.serial);
    assert_int_equal(mode_of(dir, "cert.pem"), 0640);
    struct stat st;
    assert_int_equal(stat(out, &st), 0);
    assert_true(geteuid() != 0 || (st.st_uid == 4711 && st.st_gid == 4712));

    struct pki_index index;
    assert_int_equal(pki_list(dir, &index, &err), 0);
    assert_int_equal(index.n_entries, 2);
    assert_true(index.entries[0].replaced);
    assert_false(index.entries[1].replaced);
    pki_index_deinit(&index);
    pki_issued_deinit(&first);
    pki_issued_deinit(&second);

    put(out, "somebody's notes\n");
    assert_int_equal(pki_issue(dir, &l, out, &third, &err), -STATUS_ALREADY_EXISTS);
    assert_int_equal(unlink(out), 0);
    assert_int_equal(symlink("/nonexistent/target", out), 0);
    assert_int_equal(pki_issue(dir, &l, out, &third, &err), -STATUS_ALREADY_EXISTS);
    assert_int_equal(pki_issue(dir, &l, "/nonexistent/x.pem", &third, &err), -STATUS_NOT_FOUND);
}

static void damaged_files_are_named(void **state)
{
    const char *dir = *state;
    struct error err;
    struct pki_leaf l = leaf("agent", "kvm1");
    struct pki_issued issued;
    struct pki_index index;
    assert_int_equal(pki_init(dir, "Test CA", 3650, NOW, &err), 0);
    _cleanup_free_ char *key = xasprintf("%s/ca-key.pem", dir), *list = xasprintf("%s/issued", dir),
                        *cert = xasprintf("%s/ca.pem", dir);
    put(list, "0A\tagent/kvm1\t2027-01-15T08:00:00Z\t2029-04-20T08:00:00Z\t/etc/a b.pem\nrubbish\n");
    assert_int_equal(pki_list(dir, &index, &err), -STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "issued:2 "));
    put(key, "-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----\n");
    assert_int_equal(pki_issue(dir, &l, NULL, &issued, &err), -STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "ca-key.pem holds no private key"));
    put(cert, "");
    assert_int_equal(pki_issue(dir, &l, NULL, &issued, &err), -STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "ca.pem holds no certificate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_verifies_for_its_role_only),
        cmocka_unit_test(a_leaf_of_another_ca_does_not_verify),
        cmocka_unit_test(times_hold),
        cmocka_unit_test(names_are_in_the_certificate),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(subjects_are_checked),
        cmocka_unit_test_setup_teardown(init_never_overwrites, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(issue_writes_one_private_file_and_records_it, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(issue_replaces_only_its_own, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(damaged_files_are_named, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
