#include "cli/pki.h"
#include "common/base/memory.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

/* Clocks of a fleet differ a little; a new certificate must hold on all of them at once. */
#define BACKDATE_SECONDS 600

static int openssl_failed(struct error *err, const char *what)
{
    char text[200] = "no reason given";
    unsigned long e = ERR_get_error();
    if (e)
        ERR_error_string_n(e, text, sizeof(text));
    ERR_clear_error();
    return error_set(err, STATUS_INTERNAL, "%s: OpenSSL says: %s", what, text);
}

static bool name_ok(const char *name)
{
    size_t length = strlen(name);
    if (length < 1 || length > 63 || !isalnum((unsigned char)name[0]))
        return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p >= 128 || (!isalnum((unsigned char)*p) && !strchr("._-", *p)))
            return false;
    return true;
}

int pki_parse_subject(const char *text, char **ret_role, char **ret_name, struct error *err)
{
    static const char *const roles[] = {"agent", "coordinator", "operator"};
    const char *slash = strchr(text, '/');
    if (!slash)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "'%s' is no ROLE/NAME; expected for example agent/kvm1 or operator/oncall", text);
    size_t length = (size_t)(slash - text);
    const char *role = NULL;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strlen(roles[i]) == length && memcmp(roles[i], text, length) == 0)
            role = roles[i];
    if (!role)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "'%.*s' is no role; expected agent, coordinator or operator", (int)length, text);
    if (!name_ok(slash + 1))
        return error_set(
            err, STATUS_INVALID_ARGUMENT,
            "'%s' can't be a name; expected 1 to 63 letters, digits, dots, dashes and underscores, "
            "the first a letter or a digit",
            slash + 1);
    *ret_role = xstrdup(role);
    *ret_name = xstrdup(slash + 1);
    return 0;
}

static bool dns_name_ok(const char *name)
{
    size_t length = strlen(name), label = 0;
    if (length < 1 || length > 253)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c == '.') {
            if (label == 0 || name[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        if ((unsigned char)c >= 128 || (!isalnum((unsigned char)c) && c != '-') || (c == '-' && label == 0) ||
            ++label > 63)
            return false;
    }
    return label > 0 && name[length - 1] != '-';
}

/* The SAN as OpenSSL's configuration language would have it, e.g. "URI:drover://agent/kvm1,IP:10.0.0.11". No part can
 * hold a comma: all of them were checked. */
static int alternative_names(const struct pki_leaf *leaf, char **ret, struct error *err)
{
    char *text = xasprintf("URI:drover://%s/%s", leaf->role, leaf->name);
    for (size_t i = 0; i < leaf->n_addresses; i++) {
        const char *address = leaf->addresses[i];
        unsigned char binary[16];
        bool ip = inet_pton(AF_INET, address, binary) == 1 || inet_pton(AF_INET6, address, binary) == 1;
        /* What looks like an IPv4 address but is none ("10.0.0.256") is no DNS name, either. */
        if (!ip && (!dns_name_ok(address) || strspn(address, "0123456789.") == strlen(address))) {
            free(text);
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "address '%s' is neither an IP address nor a DNS name; expected for example 10.0.0.11 "
                "or kvm1.example.net (no port, no URL)",
                address);
        }
        char *longer = xasprintf("%s,%s:%s", text, ip ? "IP" : "DNS", address);
        free(text);
        text = longer;
    }
    *ret = text;
    return 0;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}

static bool set_serial(X509 *cert)
{
    /* RFC 5280: positive, at most 20 octets; 126 random bits never meet twice. */
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok;
}

static bool add_name(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) ==
           1;
}

static bool set_times(X509 *cert, int64_t from, int64_t until)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)until);
}

int pki_make_ca(const char *name, int64_t from, long days, EVP_PKEY **ret_key, X509 **ret_cert,
                struct error *err)
{
    if (strlen(name) < 1 || strlen(name) > 64)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the CA's name has %zu bytes; expected 1 to 64",
                         strlen(name));
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    _cleanup_(X509_freep) X509 *cert = X509_new();
    if (!key || !cert || !X509_set_version(cert, X509_VERSION_3) || !set_serial(cert) ||
        !set_times(cert, from - BACKDATE_SECONDS, from + (int64_t)days * 86400) ||
        !X509_set_pubkey(cert, key) || !add_name(X509_get_subject_name(cert), "CN", name) ||
        !X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
        !add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(cert, cert, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, cert, NID_authority_key_identifier, "keyid:always") ||
        !X509_sign(cert, key, EVP_sha256()))
        return openssl_failed(err, "cannot make a CA");
    *ret_key = steal(&key);
    *ret_cert = steal(&cert);
    return 0;
}

int pki_make_leaf(EVP_PKEY *ca_key, X509 *ca_cert, const struct pki_leaf *leaf, EVP_PKEY **ret_key,
                  X509 **ret_cert, struct error *err)
{
    _cleanup_free_ char *names = NULL;
    int r = alternative_names(leaf, &names, err);
    if (r < 0)
        return r;
    if (X509_check_private_key(ca_cert, ca_key) != 1) {
        ERR_clear_error();
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "the CA's key does not belong to the CA's certificate; put the right pair together");
    }
    int64_t until = leaf->from + (int64_t)leaf->days * 86400, ca_until = pki_until(ca_cert);
    if (until > ca_until)
        until = ca_until;
    if (until <= leaf->from)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "the CA's certificate ends before this one would begin; make a new CA (drover pki init)");
    /* Agents and coordinators both listen and call; an operator only calls. */
    bool listens = strcmp(leaf->role, "operator") != 0;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    _cleanup_(X509_freep) X509 *cert = X509_new();
    if (!key || !cert || !X509_set_version(cert, X509_VERSION_3) || !set_serial(cert) ||
        !set_times(cert, leaf->from - BACKDATE_SECONDS, until) || !X509_set_pubkey(cert, key) ||
        !add_name(X509_get_subject_name(cert), "OU", leaf->role) ||
        !add_name(X509_get_subject_name(cert), "CN", leaf->name) ||
        !X509_set_issuer_name(cert, X509_get_subject_name(ca_cert)) ||
        !add_extension(cert, ca_cert, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(cert, ca_cert, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(cert, ca_cert, NID_ext_key_usage, listens ? "serverAuth,clientAuth" : "clientAuth") ||
        !add_extension(cert, ca_cert, NID_subject_alt_name, names) ||
        !add_extension(cert, ca_cert, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, ca_cert, NID_authority_key_identifier, "keyid:always") ||
        !X509_sign(cert, ca_key, EVP_sha256()))
        return openssl_failed(err, "cannot make a certificate");
    *ret_key = steal(&key);
    *ret_cert = steal(&cert);
    return 0;
}

char *pki_identity(X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char *found = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        const char *text = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        int length = ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (length > 9 && !memchr(text, 0, (size_t)length) && memcmp(text, "drover://", 9) == 0)
            found = xasprintf("%.*s", length, text);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int64_t pki_from(const X509 *cert)
{
    return seconds_of(X509_get0_notBefore(cert));
}

int64_t pki_until(const X509 *cert)
{
    return seconds_of(X509_get0_notAfter(cert));
}

char *pki_serial(X509 *cert)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    char *copy = xstrdup(hex ? hex : "?");
    OPENSSL_free(hex);
    BN_free(number);
    return copy;
}
