#include "agent/io/host_facts.h"

#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { RESOLVE_MS = 1500, LOOK_MS = 100, MAX_LOOKUPS = 256, FILE_MAX_BYTES = 65536 };

/* ---- operating system ---- */

/* os-release(5): KEY=value, the value may be quoted. */
static char *os_value(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, n) != 0 || line[n] != '=')
            continue;
        const char *v = line + n + 1;
        bool quoted = *v == '"' || *v == '\'';
        return quoted ? strndup(v + 1, strcspn(v + 1, "\"'\n")) : strndup(v, strcspn(v, " \t\r\n"));
    }
    return NULL;
}

/* Enterprise Linux before 7 has no os-release: "Red Hat Enterprise Linux Server release 6.3 (Santiago)", "CentOS release 5.8 (Final)". */
static void os_read_redhat(const char *etc, Drover__V1__HostFacts *f)
{
    _cleanup_free_ char *text = tree_text("%s/redhat-release", etc);
    const char *release = text ? strstr(text, " release ") : NULL;
    if (!release)
        return;
    bool rhel = strncmp(text, "Red Hat Enterprise Linux", strlen("Red Hat Enterprise Linux")) == 0;
    if (rhel || strncmp(text, "CentOS", strlen("CentOS")) == 0)
        xml_set(&f->os_id, xstrdup(rhel ? "rhel" : "centos"));
    release += strlen(" release ");
    xml_set(&f->os_version, strndup(release, strspn(release, "0123456789.")));
    xml_set(&f->os_name, strndup(text, strcspn(text, "\n")));
}

void os_read(const char *etc, Drover__V1__HostFacts *f)
{
    _cleanup_free_ char *path = xasprintf("%s/os-release", etc), *text = tree_load(path, FILE_MAX_BYTES);
    if (text) {
        xml_set(&f->os_id, os_value(text, "ID"));
        xml_set(&f->os_version, os_value(text, "VERSION_ID"));
        xml_set(&f->os_name, os_value(text, "PRETTY_NAME"));
    } else {
        os_read_redhat(etc, f);
    }
    xml_set(&f->machine_id, tree_text("%s/machine-id", etc));
    _cleanup_free_ char *iscsi = tree_text("%s/iscsi/initiatorname.iscsi", etc);
    const char *name = iscsi ? strstr(iscsi, "InitiatorName=") : NULL;
    if (name)
        xml_set(&f->initiator, strndup(name + 14, strcspn(name + 14, " \t\r\n")));
}

char *boot_id_read(const char *procfs)
{
    return tree_text("%s/sys/kernel/random/boot_id", procfs);
}

/* ---- names and addresses ---- */

static void add_address(const struct sockaddr *a, char ***list, size_t *n)
{
    char text[NI_MAXHOST];
    socklen_t size = a->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if ((a->sa_family != AF_INET && a->sa_family != AF_INET6) ||
        getnameinfo(a, size, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
        return;
    for (size_t i = 0; i < *n; i++)
        if (streq((*list)[i], text))
            return;
    message_append_text(list, n, text);
}

static void read_addresses(Drover__V1__HostFacts *f)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK))
            continue;
        if (i->ifa_addr->sa_family == AF_INET6 &&
            IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr))
            continue;
        add_address(i->ifa_addr, &f->addresses, &f->n_addresses);
    }
    freeifaddrs(all);
}

/* Not by getaddrinfo_a(3): a request that is given up while it is worked on crashes or hangs in glibc 2.36. */
struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over, left; /* left: nobody waits any more, and the thread frees it */
    int status;
    int64_t begun_ms;
    struct addrinfo *result;
    char *name;
};

static _Atomic unsigned lookups; /* threads */

static void lookup_free(struct lookup *l)
{
    if (l->result)
        freeaddrinfo(l->result);
    pthread_cond_destroy(&l->ended);
    pthread_mutex_destroy(&l->lock);
    free(l->name);
    free(l);
}

static void *look_up(void *arg)
{
    struct lookup *l = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *result = NULL;
    int status = getaddrinfo(l->name, NULL, &hints, &result);
    pthread_mutex_lock(&l->lock);
    l->status = status;
    l->result = status ? NULL : result;
    l->over = true;
    bool left = l->left;
    pthread_cond_signal(&l->ended);
    pthread_mutex_unlock(&l->lock);
    if (left)
        lookup_free(l);
    lookups--;
    return NULL;
}

struct lookup *lookup_begin(const char *name)
{
    pthread_condattr_t attr;
    pthread_t thread;
    struct lookup *l = new0(struct lookup);
    l->name = xstrdup(name);
    l->begun_ms = clock_monotonic_ms();
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->ended, &attr);
    pthread_condattr_destroy(&attr);
    if (lookups++ < MAX_LOOKUPS && pthread_create(&thread, NULL, look_up, l) == 0) {
        pthread_detach(thread);
        return l;
    }
    lookups--;
    lookup_free(l);
    return NULL;
}

/* A resolver that hangs must not hold up the other facts. */
void lookup_end(struct lookup *l, const struct limit *limit, char ***ret, size_t *ret_n, char **ret_error)
{
    if (!l) {
        xml_set(ret_error, xstrdup("not looked up: too many names are, and the resolver does not answer"));
        return;
    }
    pthread_mutex_lock(&l->lock);
    while (!l->over && !limit_over(limit)) { /* it may be cancelled, too */
        int64_t left = limit_left_ms(limit), until = clock_monotonic_ms() + (left < LOOK_MS ? left : LOOK_MS);
        struct timespec next = {until / 1000, until % 1000 * 1000000L};
        pthread_cond_timedwait(&l->ended, &l->lock, &next);
    }
    bool over = l->over;
    int64_t begun_ms = l->begun_ms;
    l->left = !over;
    pthread_mutex_unlock(&l->lock);
    if (!over) {
        xml_set(ret_error,
                xasprintf("no answer within %lld ms", (long long)(clock_monotonic_ms() - begun_ms)));
        return;
    }
    if (l->status)
        xml_set(ret_error, xstrdup(gai_strerror(l->status)));
    for (const struct addrinfo *a = l->result; a; a = a->ai_next)
        add_address(a->ai_addr, ret, ret_n);
    lookup_free(l);
}

void host_resolve(const struct limit *limit, const char *name, char ***ret, size_t *ret_n, char **ret_error)
{
    int64_t left = limit_left_ms(limit), most = left < RESOLVE_MS ? left : RESOLVE_MS;
    const struct limit own = {clock_monotonic_ms() + most, limit->cancel_fd};
    lookup_end(lookup_begin(name), &own, ret, ret_n, ret_error);
}

/* ---- huge pages ---- */

static void read_sizes(const char *dir, int node, Drover__V1__HostFacts *f)
{
    char **names;
    size_t n = tree_list(&names, "%s", dir);
    for (size_t i = 0; i < n; i++) {
        unsigned long long kib;
        const char *unit = tree_number(names[i], "hugepages-", &kib);
        if (!unit || !streq(unit, "kB"))
            continue;
        _cleanup_free_ char *total = tree_text("%s/%s/nr_hugepages", dir, names[i]);
        _cleanup_free_ char *unused = tree_text("%s/%s/free_hugepages", dir, names[i]);
        Drover__V1__HugePages *h = new0(Drover__V1__HugePages);
        drover__v1__huge_pages__init(h);
        h->page = kib * 1024;
        h->total = total ? (uint32_t)strtoul(total, NULL, 10) : 0;
        h->free = unused ? (uint32_t)strtoul(unused, NULL, 10) : 0;
        h->node = node;
        message_append(&f->hugepages, &f->n_hugepages, h);
    }
    tree_list_free(names, n);
}

char *userfaultfd_read(const char *procfs)
{
    char *value = tree_text("%s/sys/vm/unprivileged_userfaultfd", procfs);
    if (value)
        return value;
    _cleanup_free_ char *release = tree_text("%s/sys/kernel/osrelease", procfs);
    char *end = NULL;
    unsigned long major = release ? strtoul(release, &end, 10) : 0;
    unsigned long minor = end && *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    bool newer = major > 5 || (major == 5 && minor >= 2);
    return newer ? xstrdup("none") : NULL; /* the setting came with Linux 5.2 */
}

void hugepages_read(const char *sysfs, const char *procfs, Drover__V1__HostFacts *f)
{
    char **nodes;
    _cleanup_free_ char *memory = xasprintf("%s/meminfo", procfs), *text = tree_load(memory, FILE_MAX_BYTES);
    const char *size = text ? strstr(text, "Hugepagesize:") : NULL;
    if (size)
        f->hugepage_default = strtoull(size + strlen("Hugepagesize:"), NULL, 10) * 1024;
    _cleanup_free_ char *all = xasprintf("%s/kernel/mm/hugepages", sysfs);
    read_sizes(all, -1, f);
    size_t n = tree_list(&nodes, "%s/devices/system/node", sysfs);
    for (size_t i = 0; i < n; i++) {
        unsigned long long node;
        _cleanup_free_ char *dir = xasprintf("%s/devices/system/node/%s/hugepages", sysfs, nodes[i]);
        if (tree_number(nodes[i], "node", &node) && node <= INT_MAX)
            read_sizes(dir, (int)node, f);
    }
    tree_list_free(nodes, n);
}

/* ---- all ---- */

static void read_certificates(const struct agent_config *c, Drover__V1__HostFacts *f)
{
    static const char *const files[][2] = {{"/etc/pki/CA/cacert.pem", "libvirt-ca"},
                                           {"/etc/pki/libvirt/servercert.pem", "libvirt-server"},
                                           {"/etc/pki/libvirt/clientcert.pem", "libvirt-client"},
                                           {"/etc/pki/qemu/ca-cert.pem", "qemu-ca"},
                                           {"/etc/pki/qemu/server-cert.pem", "qemu-server"},
                                           {"/etc/pki/qemu/client-cert.pem", "qemu-client"}};
    if (c->tls_cert)
        certificate_read(c->tls_cert, "drover", f);
    if (c->tls_ca)
        certificate_read(c->tls_ca, "drover-ca", f);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        certificate_read(files[i][0], files[i][1], f);
}

struct firewall { /* nft takes half of all the time, so the rest is read meanwhile */
    const struct limit *limit;
    Drover__V1__HostFacts *facts; /* of which it sets what is the firewall's */
};

static void *read_firewall(void *arg)
{
    const struct firewall *w = arg;
    firewall_read(w->limit, "/proc/net/ip_tables_names", w->facts);
    return NULL;
}

Drover__V1__HostFacts *host_facts_read(const struct limit *limit, const struct agent_config *config,
                                       Drover__V1__Inspection *r)
{
    char name[HOST_NAME_MAX + 1] = "";
    struct utsname system;
    Drover__V1__HostFacts *f = new0(Drover__V1__HostFacts);
    drover__v1__host_facts__init(f);
    struct firewall firewall = {limit, f};
    pthread_t thread;
    bool beside = pthread_create(&thread, NULL, read_firewall, &firewall) == 0;
    if (gethostname(name, sizeof(name)) < 0)
        message_append(&r->errors, &r->n_errors, xasprintf("cannot read the host name: %s", strerror(errno)));
    xml_set(&f->hostname, xstrdup(name));
    if (uname(&system) == 0)
        xml_set(&f->kernel, xstrdup(system.release));
    os_read("/etc", f);
    read_addresses(f);
    host_resolve(limit, f->hostname, &f->resolves, &f->n_resolves, &f->resolve_error);
    hugepages_read("/sys", "/proc", f);
    read_certificates(config, f);
    if (config->hypervisor)
        settings_read("/etc/libvirt", f);
    services_read(limit, "/run", "/proc", f);
    if (beside)
        pthread_join(thread, NULL);
    else
        read_firewall(&firewall);
    return f;
}
