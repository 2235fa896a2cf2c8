#include "agent/io/ports.h"

#include "agent/io/probe_say.h"
#include "agent/io/tcp_table.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define PROVEN DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN

static void free_addresses(struct addrinfo **list)
{
    if (*list)
        freeaddrinfo(*list);
}

#define _cleanup_addresses_ _cleanup_(free_addresses)

static bool resolve(const char *address, int flags, struct addrinfo **ret, Drover__V1__ProbeResult *r)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    int e = getaddrinfo(*address ? address : NULL, NULL, &hints, ret);
    if (e == 0)
        return true;
    probe_say(r, UNDECIDED, "no-address", "cannot resolve \"%s\": %s", address, gai_strerror(e));
    return false;
}

static void set_port(struct sockaddr *a, uint32_t port)
{
    if (a->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
}

static char *show(const struct sockaddr *a, socklen_t length)
{
    char host[NI_MAXHOST];
    if (getnameinfo(a, length, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
        return xstrdup("?");
    return xstrdup(host);
}

/* ---- listening ---- */

static int try_listen(const struct addrinfo *at, uint32_t port)
{
    _cleanup_close_ int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return -errno;
    /* As QEMU does: connections of earlier migrations in TIME_WAIT are in nobody's way. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    set_port(at->ai_addr, port);
    if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, 4) < 0)
        return -errno;
    return steal_fd(&fd);
}

struct range {
    uint32_t min, max;
    bool *taken;
};

static void take_port(void *arg, unsigned port)
{
    struct range *range = arg;
    if (port >= range->min && port <= range->max)
        range->taken[port - range->min] = true;
}

/* How many ports of the range somebody listens on, on any address. */
static uint32_t count_listened(const char *proc, uint32_t min, uint32_t max)
{
    _cleanup_free_ bool *taken = xcalloc(max - min + 1, sizeof(*taken));
    struct range range = {min, max, taken};
    uint32_t n = 0;
    tcp_listeners(proc, take_port, &range);
    for (uint32_t i = 0; i <= max - min; i++)
        n += taken[i];
    return n;
}

enum { PORTS = 65536 };

/* By port_reserve: the program that will listen there does not yet, and a probe that sat there would answer in its place. */
static pthread_mutex_t reserved_lock = PTHREAD_MUTEX_INITIALIZER;
static bool reserved[PORTS];

static int open_free(const char *proc, const char *address, uint32_t min, uint32_t max,
                     Drover__V1__ProbeResult *r)
{
    _cleanup_addresses_ struct addrinfo *at = NULL;
    if (!resolve(address, AI_PASSIVE, &at, r))
        return -1;
    xml_set(&r->address, show(at->ai_addr, at->ai_addrlen));
    r->ports_total = max - min + 1;
    r->ports_taken = count_listened(proc, min, max);
    /* From the top: libvirt takes ports from the bottom, looks whether one is free, and has QEMU listen on it a moment later; a
     * probe that sat there meanwhile would make a migration fail. */
    for (uint32_t port = max; port >= min; port--) {
        if (port < PORTS && reserved[port])
            continue;
        int fd = try_listen(at, port);
        if (fd >= 0) {
            r->port = port;
            probe_say(r, PROVEN, "", "listens on %s port %u; %u of %u ports are taken", r->address, r->port,
                      r->ports_taken, r->ports_total);
            return fd;
        }
        if (fd == -EADDRINUSE)
            continue;
        bool foreign = fd == -EADDRNOTAVAIL;
        probe_say(r, foreign ? REFUTED : UNDECIDED, foreign ? "no-address" : "failed",
                  "cannot listen on %s port %u: %s%s", address, port, strerror(-fd),
                  foreign ? "; the migration address must be one of this host" : "");
        return -1;
    }
    r->ports_taken = r->ports_total;
    probe_say(r, REFUTED, "range-full", "all ports %u to %u of %s are taken", min, max, r->address);
    return -1;
}

int port_open(const char *proc, const char *address, uint32_t min, uint32_t max, Drover__V1__ProbeResult *r)
{
    pthread_mutex_lock(&reserved_lock);
    int fd = open_free(proc, address, min, max, r);
    pthread_mutex_unlock(&reserved_lock);
    return fd;
}

/* ---- for another program, which listens a moment later ---- */

uint32_t port_reserve(const char *proc, const char *address, uint32_t min, uint32_t max,
                      Drover__V1__ProbeResult *r)
{
    pthread_mutex_lock(&reserved_lock);
    int fd = open_free(proc, address, min, max, r);
    uint32_t port = fd < 0 ? 0 : r->port;
    reserved[port] = port != 0;
    if (fd >= 0)
        close(fd);
    pthread_mutex_unlock(&reserved_lock);
    return port;
}

void port_give_back(uint32_t port)
{
    pthread_mutex_lock(&reserved_lock);
    reserved[port] = false;
    pthread_mutex_unlock(&reserved_lock);
}

/* ---- connecting ---- */

static const char *reason_of(int why)
{
    switch (why) {
    case ECONNREFUSED: return "refused";
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EACCES:
    case EPERM: return "unreachable"; /* also how a firewall that rejects is seen */
    case ETIMEDOUT: return "timeout";
    case EADDRNOTAVAIL: return "no-address";
    default: return "failed";
    }
}

/* 0, or an errno. */
static int connect_one(const struct limit *limit, const struct addrinfo *from, const struct addrinfo *to,
                       int *ret_fd)
{
    _cleanup_close_ int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (from && bind(fd, from->ai_addr, from->ai_addrlen) < 0)
        return errno;
    int why = 0;
    socklen_t size = sizeof(why);
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
        if (errno != EINPROGRESS)
            return errno;
        if (!limit_poll(limit, fd, POLLOUT, -1))
            return ETIMEDOUT;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size) < 0)
            return errno;
    }
    if (why == 0) {
        *ret_fd = steal_fd(&fd);
    }
    return why;
}

static const struct addrinfo *of_family(const struct addrinfo *list, int family)
{
    while (list && list->ai_family != family)
        list = list->ai_next;
    return list;
}

int port_dial(const struct limit *limit, const char *from, const char *address, uint32_t port,
              Drover__V1__ProbeResult *r)
{
    _cleanup_addresses_ struct addrinfo *to = NULL, *local = NULL;
    int why = EAFNOSUPPORT, fd = -1;
    if (!resolve(address, 0, &to, r) || (*from && !resolve(from, AI_PASSIVE, &local, r)))
        return -1;
    for (const struct addrinfo *a = to; a && fd < 0; a = a->ai_next) {
        const struct addrinfo *mine = of_family(local, a->ai_family);
        if (local && !mine)
            continue;
        set_port(a->ai_addr, port);
        why = connect_one(limit, mine, a, &fd);
    }
    if (fd < 0) {
        /* An address that this host doesn't have says nothing about the other one. */
        probe_say(r, why == EADDRNOTAVAIL || why == EAFNOSUPPORT ? UNDECIDED : REFUTED, reason_of(why),
                  "cannot connect to %s port %u%s%s: %s%s", address, port, *from ? " from " : "", from,
                  strerror(why), why == ETIMEDOUT ? "; a firewall that drops looks like this" : "");
        return -1;
    }
    struct sockaddr_storage mine;
    socklen_t size = sizeof(mine);
    if (getsockname(fd, (struct sockaddr *)&mine, &size) == 0)
        xml_set(&r->address, show((struct sockaddr *)&mine, size));
    return fd;
}

void port_connect(const struct limit *limit, const char *from, const char *address, uint32_t port,
                  const char *nonce, Drover__V1__ProbeResult *r)
{
    _cleanup_close_ int fd = port_dial(limit, from, address, port, r);
    if (fd < 0)
        return;
    char expected[PORT_GREETING_MAX], got[PORT_GREETING_MAX] = "";
    size_t n = 0, want = (size_t)snprintf(expected, sizeof(expected), PORT_GREETING, nonce);
    for (ssize_t k = 1; *nonce && n < want && k > 0 && limit_poll(limit, fd, POLLIN, -1);) {
        k = read(fd, got + n, want - n);
        n += k > 0 ? (size_t)k : 0;
    }
    if (!*nonce || (n == want && memcmp(got, expected, n) == 0))
        probe_say(r, PROVEN, "", "connected to %s port %u from %s", address, port, r->address);
    else if (n == 0 && limit_over(limit))
        probe_say(r, REFUTED, "timeout", "%s port %u took the connection but said nothing", address, port);
    else
        probe_say(r, REFUTED, "wrong-peer", "what answers at %s port %u is not the agent that listens there",
                  address, port);
}
