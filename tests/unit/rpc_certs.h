/* Certificates for tests, made with OpenSSL. */
#pragma once

#include <stdbool.h>

struct cert_spec {
    const char *uri; /* URI SAN; NULL for none */
    const char *second_uri;
    const char *other; /* "DNS:name" or "IP:1.2.3.4"; NULL for none */
    const char *eku;   /* "serverAuth,clientAuth"; NULL for no extended key usage */
    int from_s, to_s;  /* validity, relative to now; 0, 0: from a minute ago for an hour */
};

struct authority;
struct authority *authority_new(const char *name);
void authority_write(const struct authority *a, const char *file);
void authority_free(struct authority *a);

/* One PEM file with a certificate and its key; replaces the file in one step. */
void certificate_write(const struct authority *a, const struct cert_spec *spec, const char *file);
