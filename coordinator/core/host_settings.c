#include "coordinator/core/host_settings.h"

#include "common/base/memory.h"

#include <arpa/inet.h>
#include <string.h>

/* One that a file sets; of the others libvirt's default is told. */
static const Drover__V1__Setting *setting(const Drover__V1__Inspection *seen, const char *key)
{
    const Drover__V1__HostFacts *h = seen ? seen->host : NULL;
    for (size_t i = 0; h && i < h->n_settings; i++)
        if (streq(h->settings[i]->key, key) && h->settings[i]->file[0])
            return h->settings[i];
    return NULL;
}

const Drover__V1__Setting *setting_tls_forced(const Drover__V1__Inspection *seen)
{
    const Drover__V1__Setting *s = setting(seen, "migrate_tls_force");
    return s && streq(s->value, "1") ? s : NULL;
}

struct address {
    int family; /* AF_UNSPEC: a name */
    unsigned char bytes[16];
};

/* libvirt takes IPv6 addresses with and without brackets. */
static struct address address_of(const char *text)
{
    char plain[INET6_ADDRSTRLEN] = "";
    size_t n = strlen(text), skip = n > 2 && text[0] == '[' && text[n - 1] == ']';
    struct address a = {.family = AF_UNSPEC};
    if (n - 2 * skip >= sizeof(plain))
        return a;
    memcpy(plain, text + skip, n - 2 * skip);
    if (inet_pton(AF_INET, plain, a.bytes) == 1)
        a.family = AF_INET;
    else if (inet_pton(AF_INET6, plain, a.bytes) == 1)
        a.family = AF_INET6;
    return a;
}

static bool same(const struct address *a, const struct address *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool is_any(const struct address *a)
{
    static const unsigned char zero[16];
    return a->family != AF_UNSPEC && memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

const Drover__V1__Setting *setting_listens_elsewhere(const Drover__V1__Inspection *seen,
                                                     const Drover__V1__HostReport *report)
{
    const Drover__V1__Setting *s = setting(seen, "migration_address");
    struct address own = address_of(report->migration_address), there = address_of(s ? s->value : "");
    bool told = own.family != AF_UNSPEC && there.family != AF_UNSPEC;
    return told && !is_any(&own) && !is_any(&there) && !same(&own, &there) ? s : NULL;
}

static bool names_another(const Drover__V1__Setting *s, const char *own)
{
    if (!s || !s->value[0] || !own[0] || streq(s->value, own))
        return false;
    struct address a = address_of(s->value), b = address_of(own);
    return !is_any(&a) && (a.family == AF_UNSPEC || !same(&a, &b));
}

const Drover__V1__Setting *setting_names_another(const Drover__V1__Inspection *seen,
                                                 const Drover__V1__HostReport *report)
{
    const Drover__V1__Setting *host = setting(seen, "migration_host"),
                              *listen = setting(seen, "migration_address");
    if (names_another(host, report->migration_address))
        return host;
    return names_another(listen, report->migration_address) && !setting_listens_elsewhere(seen, report)
               ? listen
               : NULL;
}

bool remote_is_tls(const Drover__V1__HostReport *report)
{
    const char *uri = report->libvirt_remote;
    return strncmp(uri, "qemu+tls:", 9) == 0 || strncmp(uri, "qemu:", 5) == 0;
}

const char *remote_auth(const Drover__V1__HostReport *report)
{
    const Drover__V1__Listening *l = report->listening;
    bool tcp = strncmp(report->libvirt_remote, "qemu+tcp:", 9) == 0;
    if (!l || (!tcp && !remote_is_tls(report)))
        return NULL;
    const char *auth = tcp ? l->auth_tcp : l->auth_tls;
    return auth[0] && !streq(auth, "none") ? auth : NULL;
}
