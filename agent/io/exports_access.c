/* Does a host match what an export's configuration says of its clients? */
#include "agent/io/exports.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define YES DROVER__V1__ANSWER__YES
#define NO DROVER__V1__ANSWER__NO
#define UNKNOWN DROVER__V1__ANSWER__ANSWER_UNKNOWN

struct address {
    int family;
    unsigned char bytes[16];
};

static bool parse_address(const char *text, struct address *ret)
{
    struct address a = {.family = AF_INET};
    if (inet_pton(AF_INET, text, a.bytes) != 1) {
        a.family = AF_INET6;
        if (inet_pton(AF_INET6, text, a.bytes) != 1)
            return false;
    }
    *ret = a;
    return true;
}

static bool same_network(const struct address *a, const struct address *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8, size = a->family == AF_INET ? 4 : 16;
    if (a->family != b->family || bits > size * 8 || memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    return rest == 0 || ((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest)) == 0;
}

/* "24" or "255.255.255.0"; -1 if neither. */
static int prefix_bits(const char *text, int family)
{
    char *end;
    unsigned long bits = strtoul(text, &end, 10);
    if (*text && !*end)
        return bits <= (family == AF_INET ? 32u : 128u) ? (int)bits : -1;
    struct address mask;
    int n = 0;
    if (!parse_address(text, &mask) || mask.family != AF_INET)
        return -1;
    while (n < 32 && (mask.bytes[n / 8] & (0x80 >> (n % 8))))
        n++;
    return n;
}

static bool resolves_to(const char *name, const struct address *a)
{
    struct addrinfo hints = {.ai_family = a->family, .ai_socktype = SOCK_STREAM}, *list = NULL;
    bool found = false;
    if (getaddrinfo(name, NULL, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *i = list; i && !found; i = i->ai_next) {
        const void *bytes = a->family == AF_INET
                                ? (const void *)&((struct sockaddr_in *)i->ai_addr)->sin_addr
                                : (const void *)&((struct sockaddr_in6 *)i->ai_addr)->sin6_addr;
        found = memcmp(bytes, a->bytes, a->family == AF_INET ? 4 : 16) == 0;
    }
    freeaddrinfo(list);
    return found;
}

static Drover__V1__Answer match_address(const char *who, const struct address *a, const char *text)
{
    struct address network;
    _cleanup_free_ char *first = xstrdup(who);
    char *slash = strchr(first, '/');
    if (slash)
        *slash = 0;
    if (parse_address(first, &network)) {
        int bits = slash ? prefix_bits(slash + 1, network.family) : network.family == AF_INET ? 32 : 128;
        return bits < 0 ? UNKNOWN : same_network(&network, a, (unsigned)bits) ? YES : NO;
    }
    if (strpbrk(who, "*?["))
        return fnmatch(who, text, 0) == 0 ? YES : NO;
    return resolves_to(who, a) ? YES : NO;
}

/* UNKNOWN: it may match, but that can't be told from here. */
static Drover__V1__Answer match_one(const char *who, const Drover__V1__InspectClient *c)
{
    if (streq(who, "*") || streq(who, "ALL") || streq(who, "0.0.0.0/0"))
        return YES;
    if (strncmp(who, "iqn.", 4) == 0 || strncmp(who, "eui.", 4) == 0 || strncmp(who, "naa.", 4) == 0) {
        for (size_t i = 0; i < c->n_initiators; i++)
            if (strcasecmp(c->initiators[i], who) == 0)
                return YES;
        return c->n_initiators ? NO : UNKNOWN;
    }
    if (who[0] == '@' || strncmp(who, "gss/", 4) == 0)
        return UNKNOWN; /* netgroups and Kerberos */
    if (strcasecmp(who, c->host) == 0)
        return YES;
    Drover__V1__Answer answer = strpbrk(who, "*?[") && fnmatch(who, c->host, FNM_CASEFOLD) == 0 ? YES : NO;
    for (size_t i = 0; i < c->n_addresses && answer != YES; i++) {
        struct address a;
        if (!parse_address(c->addresses[i], &a))
            continue;
        Drover__V1__Answer one = match_address(who, &a, c->addresses[i]);
        answer = one == NO ? answer : one;
    }
    /* A pattern of names ("*.example.com") is for the names that the server's resolver gives the addresses. */
    if (answer == NO && (strpbrk(who, "*?[") || c->n_addresses == 0))
        answer = UNKNOWN;
    return answer;
}

/* Which of several clients that match counts: ganesha takes the first (CLIENT blocks, then the export's own word), the kernel's
 * mountd one host before networks before patterns before netgroups before everybody, glusterd what it rejects. */
static size_t rank(const Drover__V1__Export *x, size_t i)
{
    const char *who = x->clients[i]->who;
    if (streq(x->server, "ganesha"))
        return i;
    if (!streq(x->server, "kernel"))
        return streq(x->clients[i]->options, "auth.reject") ? 0 : 1;
    return streq(who, "*") ? 4 : who[0] == '@' ? 3 : strpbrk(who, "*?[") ? 2 : strchr(who, '/') ? 1 : 0;
}

static bool is_refused(const Drover__V1__ExportClient *c)
{
    return strstr(c->options, "Access_Type=None") || streq(c->options, "auth.reject");
}

static bool same_rights(const Drover__V1__ExportClient *a, const Drover__V1__ExportClient *b)
{
    return is_refused(a) == is_refused(b) && a->write == b->write;
}

static void judge(const Drover__V1__Export *x, const Drover__V1__InspectClient *c,
                  Drover__V1__ExportAccess *a)
{
    const Drover__V1__ExportClient *best = NULL, *maybe = NULL;
    size_t best_rank = SIZE_MAX, maybe_rank = SIZE_MAX;
    for (size_t i = 0; i < x->n_clients; i++) {
        Drover__V1__Answer m = rank(x, i) < best_rank ? match_one(x->clients[i]->who, c) : NO;
        if (m == YES) {
            best = x->clients[i];
            best_rank = rank(x, i);
        } else if (m == UNKNOWN && rank(x, i) < maybe_rank) {
            maybe = x->clients[i];
            maybe_rank = rank(x, i);
        }
    }
    if (best && maybe && maybe_rank < best_rank && !same_rights(best, maybe))
        best = NULL; /* it would count if it matched */
    if (best && is_refused(best)) {
        a->allowed = a->write = NO;
        xml_set(&a->why,
                xasprintf("%s matches %s, which is refused (%s)", c->host, best->who, best->options));
    } else if (best) {
        a->allowed = YES;
        a->write = best->write && !x->read_only ? YES : NO;
        xml_set(&a->why, xasprintf("%s matches %s (%s)", c->host, best->who,
                                   a->write == YES ? "read-write" : "read-only"));
    } else if (maybe) {
        xml_set(&a->why, xasprintf("whether %s is %s can't be told from here", c->host, maybe->who));
    } else {
        a->allowed = a->write = NO;
        xml_set(&a->why, xasprintf("none of the %zu clients in %s is %s", x->n_clients, x->source, c->host));
    }
}

void exports_judge(Drover__V1__Export *x, Drover__V1__InspectClient *const *clients, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Drover__V1__ExportAccess *a = new0(Drover__V1__ExportAccess);
        drover__v1__export_access__init(a);
        xml_set(&a->host, xstrdup(clients[i]->host));
        judge(x, clients[i], a);
        message_append(&x->access, &x->n_access, a);
    }
}

static bool lets_more(const Drover__V1__ExportAccess *a, const Drover__V1__ExportAccess *b)
{
    static const int order[] = {[NO] = 0, [UNKNOWN] = 1, [YES] = 2};
    return order[a->allowed] != order[b->allowed] ? order[a->allowed] > order[b->allowed]
                                                  : order[a->write] > order[b->write];
}

/* Ganesha exports a directory by several names (Pseudo), each to its own clients. By which of them a host has it is not told; what it
 * can do there is proven by the host itself. */
static void share_access(Drover__V1__Export *first, Drover__V1__Export *x)
{
    for (size_t i = 0; i < first->n_access && i < x->n_access; i++)
        if (lets_more(x->access[i], first->access[i])) {
            drover__v1__export_access__free_unpacked(first->access[i], NULL);
            first->access[i] = (Drover__V1__ExportAccess *)message_copy(&x->access[i]->base);
        }
}

void exports_judge_all(struct exports *e, Drover__V1__InspectClient *const *clients, size_t n)
{
    for (size_t i = 0; i < e->n; i++) {
        Drover__V1__Export *x = e->list[i];
        exports_judge(x, clients, n);
        for (size_t k = 0; k < i && streq(x->server, "ganesha"); k++)
            if (streq(e->list[k]->server, x->server) && streq(e->list[k]->path, x->path)) {
                share_access(e->list[k], x);
                break;
            }
    }
}
