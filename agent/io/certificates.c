/* When certificates end, and whose they are. */
#include "agent/io/host_facts.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

static void x509_drop(X509 **x)
{
    X509_free(*x);
}

static char *name_text(const X509_NAME *name)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *data = NULL;
    long n = 0;
    if (out && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
        n = BIO_get_mem_data(out, &data);
    char *text = n > 0 ? strndup(data, (size_t)n) : NULL;
    BIO_free(out);
    return text;
}

static uint64_t moment(const ASN1_TIME *t)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    time_t seconds = timegm(&tm);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

static void put_names(const X509 *x, Drover__V1__Certificate *c)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        char address[INET6_ADDRSTRLEN];
        if (g->type == GEN_DNS || g->type == GEN_URI) {
            const ASN1_IA5STRING *s = g->d.ia5;
            char *text = strndup((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
            message_append(&c->names, &c->n_names, text);
        } else if (g->type == GEN_IPADD) {
            int size = ASN1_STRING_length(g->d.iPAddress);
            if ((size == 4 || size == 16) &&
                inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(g->d.iPAddress), address,
                          sizeof(address)))
                message_append_text(&c->names, &c->n_names, address);
        }
    }
    GENERAL_NAMES_free(names);
}

void certificate_read(const char *path, const char *purpose, Drover__V1__HostFacts *f)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    if (!file && (errno == ENOENT || errno == ENOTDIR))
        return;
    Drover__V1__Certificate *c = new0(Drover__V1__Certificate);
    drover__v1__certificate__init(c);
    message_append(&f->certificates, &f->n_certificates, c);
    xml_set(&c->path, xstrdup(path));
    xml_set(&c->purpose, xstrdup(purpose));
    if (!file) {
        xml_set(&c->error, xasprintf("cannot read %s: %s", path, strerror(errno)));
        return;
    }
    _cleanup_(x509_drop) X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
    if (!x) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        xml_set(&c->error, xasprintf("%s holds no certificate: %s", path, why ? why : "nothing in PEM form"));
        ERR_clear_error();
        return;
    }
    xml_set(&c->subject, name_text(X509_get_subject_name(x)));
    xml_set(&c->issuer, name_text(X509_get_issuer_name(x)));
    c->not_before = moment(X509_get0_notBefore(x));
    c->not_after = moment(X509_get0_notAfter(x));
    put_names(x, c);
}
