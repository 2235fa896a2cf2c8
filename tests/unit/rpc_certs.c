#include "tests/unit/rpc_certs.h"

#include "common/base/memory.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct authority {
    EVP_PKEY *key;
    X509 *cert;
};

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

static X509 *blank(EVP_PKEY *key, const char *name, int from_s, int to_s)
{
    X509 *cert = X509_new();
    uint64_t serial = 0;
    assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), from_s || to_s ? from_s : -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), from_s || to_s ? to_s : 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8, (const unsigned char *)name,
                               -1, -1, 0);
    return cert;
}

struct authority *authority_new(const char *name)
{
    struct authority *a = new0(struct authority);
    a->key = EVP_EC_gen("P-256");
    a->cert = blank(a->key, name, 0, 0);
    X509_set_issuer_name(a->cert, X509_get_subject_name(a->cert));
    extend(a->cert, a->cert, NID_basic_constraints, "critical,CA:TRUE");
    extend(a->cert, a->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    extend(a->cert, a->cert, NID_subject_key_identifier, "hash");
    assert_true(X509_sign(a->cert, a->key, EVP_sha256()) > 0);
    return a;
}

void authority_free(struct authority *a)
{
    EVP_PKEY_free(a->key);
    X509_free(a->cert);
    free(a);
}

static void write_pem(const char *file, X509 *cert, EVP_PKEY *key)
{
    char fresh[256];
    snprintf(fresh, sizeof(fresh), "%s.new", file);
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    if (key)
        assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, file), 0);
}

void authority_write(const struct authority *a, const char *file)
{
    write_pem(file, a->cert, NULL);
}

void certificate_write(const struct authority *a, const struct cert_spec *spec, const char *file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = blank(key, "test", spec->from_s, spec->to_s);
    X509_set_issuer_name(cert, X509_get_subject_name(a->cert));
    extend(cert, a->cert, NID_basic_constraints, "critical,CA:FALSE");
    extend(cert, a->cert, NID_key_usage, "critical,digitalSignature");
    if (spec->eku)
        extend(cert, a->cert, NID_ext_key_usage, spec->eku);
    const char *names[] = {spec->uri, spec->second_uri};
    char san[512] = "";
    for (unsigned i = 0; i < 2; i++)
        if (names[i])
            snprintf(san + strlen(san), sizeof(san) - strlen(san), "%sURI:%s", san[0] ? "," : "", names[i]);
    if (spec->other)
        snprintf(san + strlen(san), sizeof(san) - strlen(san), "%s%s", san[0] ? "," : "", spec->other);
    if (san[0])
        extend(cert, a->cert, NID_subject_alt_name, san);
    assert_true(X509_sign(cert, a->key, EVP_sha256()) > 0);
    write_pem(file, cert, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}
