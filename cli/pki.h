/* Certificates for the fleet: one CA, and leaves whose URI SAN drover://ROLE/NAME says who may do what.
 * pki_make_* only make them, the rest keeps them in a directory:
 *   ca.pem       the CA's certificate, for every host
 *   ca-key.pem   its key (0600); needed to issue only, so the directory may live on a machine that is mostly off
 *   issued       one line per certificate: serial, ROLE/NAME, valid from, valid until, file; tab-separated */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(X509 *, X509_free);

struct pki_leaf {
    const char *role; /* "agent", "coordinator", "operator" */
    const char *name;
    const char *const *addresses; /* IP addresses and DNS names */
    size_t n_addresses;
    int64_t from; /* seconds since 1970 */
    long days;
};

/* "agent/kvm1" -> role and name (freed by the caller); INVALID_ARGUMENT says what a name may look like. */
int pki_parse_subject(const char *text, char **ret_role, char **ret_name, struct error *err);

int pki_make_ca(const char *name, int64_t from, long days, EVP_PKEY **ret_key, X509 **ret_cert,
                struct error *err);

/* The leaf never outlives the CA: its end is the earlier of both. */
int pki_make_leaf(EVP_PKEY *ca_key, X509 *ca_cert, const struct pki_leaf *leaf, EVP_PKEY **ret_key,
                  X509 **ret_cert, struct error *err);

/* The URI SAN of a certificate, "drover://agent/kvm1", or NULL; freed by the caller. */
char *pki_identity(X509 *cert);
int64_t pki_from(const X509 *cert);  /* seconds since 1970 */
int64_t pki_until(const X509 *cert); /* seconds since 1970 */
char *pki_serial(X509 *cert);        /* hexadecimal; freed by the caller */

/* ---- the directory ---- */

/* Makes the directory, the CA and its key. ALREADY_EXISTS if there is one: nothing is overwritten. */
int pki_init(const char *dir, const char *name, long days, int64_t now, struct error *err);

struct pki_issued {
    char *file;
    char *serial;
    int64_t until;
};
void pki_issued_deinit(struct pki_issued *issued);

/* Issues, records, and writes key and certificate in one PEM file (0600, atomically); `out` NULL: DIR/ROLE-NAME.pem.
 * An existing file is replaced only if it holds a certificate for the same role and name (a renewal). */
int pki_issue(const char *dir, const struct pki_leaf *leaf, const char *out, struct pki_issued *ret,
              struct error *err);

struct pki_entry {
    char *role, *name, *serial, *file;
    int64_t from, until; /* seconds since 1970 */
    bool replaced;       /* a later one for the same role and name exists */
};

struct pki_index {
    char *ca_name, *ca_serial, *ca_file;
    int64_t ca_from, ca_until;
    struct pki_entry *entries;
    size_t n_entries;
};

int pki_list(const char *dir, struct pki_index *ret, struct error *err);
void pki_index_deinit(struct pki_index *index);
