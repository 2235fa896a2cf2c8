#include "common/rpc/peer.h"

#include "common/base/memory.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <grp.h>
#include <openssl/x509v3.h>
#include <pwd.h>
#include <string.h>

static const struct {
    enum rpc_role role;
    const char *name;
} roles[] = {{RPC_AGENT, "agent"}, {RPC_COORDINATOR, "coordinator"}, {RPC_OPERATOR, "operator"}};
#define ROLES (sizeof(roles) / sizeof(roles[0]))

const char *peer_role_name(unsigned role)
{
    for (unsigned i = 0; i < ROLES; i++)
        if (roles[i].role == role)
            return roles[i].name;
    return role == RPC_ANYBODY ? "anybody" : "nobody";
}

void peer_roles_text(unsigned mask, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    for (unsigned i = 0; i < ROLES && n < size; i++)
        if (mask & roles[i].role)
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? " or " : "", roles[i].name);
}

int url_parse(const char *text, struct url *ret, struct error *err)
{
    struct url u = {0};
    const char *rest;
    if (strncmp(text, "ipc://", 6) == 0) {
        u.kind = URL_IPC;
        rest = text + 6;
        if (rest[0] != '/' || strlen(rest) > 107)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "%s: an absolute path of at most 107 bytes must follow ipc://", text);
        snprintf(u.nng, sizeof(u.nng), "%s", text);
        *ret = u;
        return 0;
    }
    if (strncmp(text, "tls+tcp://", 10) == 0) {
        u.kind = URL_TLS;
        rest = text + 10;
    } else if (strncmp(text, "tcp://", 6) == 0) {
        u.kind = URL_TCP;
        rest = text + 6;
    } else {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s: a URL starts with ipc:///path, tls+tcp://host:port or tcp://host:port", text);
    }
    const char *colon = strrchr(rest, ':');
    char *end = NULL;
    unsigned long port = colon && isdigit((unsigned char)colon[1]) ? strtoul(colon + 1, &end, 10) : 65536;
    if (!end || *end || port > 65535 || colon - rest >= (int)sizeof(u.host))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s: host:port is expected, with a port from 0 to 65535", text);
    size_t n = (size_t)(colon - rest);
    if (n >= 2 && rest[0] == '[' && rest[n - 1] == ']')
        memcpy(u.host, rest + 1, n - 2);
    else
        memcpy(u.host, rest, n);
    snprintf(u.nng, sizeof(u.nng), "tcp://%s", rest);
    *ret = u;
    return 0;
}

static bool name_valid(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof(((struct rpc_peer *)0)->name))
        return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-@", *c))
            return false;
    return true;
}

static bool parse_san(const char *uri, struct rpc_peer *ret)
{
    for (unsigned i = 0; i < ROLES; i++) {
        char prefix[32];
        size_t n = (size_t)snprintf(prefix, sizeof(prefix), "drover://%s/", roles[i].name);
        if (strncmp(uri, prefix, n) == 0 && name_valid(uri + n)) {
            ret->role = roles[i].role;
            snprintf(ret->name, sizeof(ret->name), "%s", uri + n);
            return true;
        }
    }
    return false;
}

int peer_from_certificate(X509 *cert, const char *side, struct rpc_peer *ret, struct error *err)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    unsigned uris = 0, good = 0;
    struct rpc_peer peer = *ret;
    char seen[128] = "no URI";
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_URI)
            continue;
        uris++;
        const char *uri = (const char *)ASN1_STRING_get0_data(n->d.uniformResourceIdentifier);
        int len = ASN1_STRING_length(n->d.uniformResourceIdentifier);
        snprintf(seen, sizeof(seen), "%.*s", len, uri);
        if (len > 0 && (size_t)len < sizeof(seen) && strlen(uri) == (size_t)len && parse_san(uri, &peer))
            good++;
    }
    GENERAL_NAMES_free(names);
    if (uris != 1 || good != 1) {
        for (char *c = seen; *c; c++)
            if (!isprint((unsigned char)*c))
                *c = '?';
        return error_set(err, STATUS_UNAUTHENTICATED,
                         "the %s's certificate must have exactly one URI SAN "
                         "drover://agent|coordinator|operator/NAME; it has "
                         "%u (%s): issue it with drover pki issue",
                         side, uris, seen);
    }
    *ret = peer;
    return 0;
}

static bool user_in_group(uid_t uid, gid_t gid, const char *group)
{
    char group_buf[16384], user_buf[4096];
    struct group g, *found = NULL;
    struct passwd p, *user = NULL;
    if (!group || getgrnam_r(group, &g, group_buf, sizeof(group_buf), &found) != 0 || !found)
        return false;
    gid_t wanted = g.gr_gid;
    if (gid == wanted)
        return true;
    if (getpwuid_r(uid, &p, user_buf, sizeof(user_buf), &user) != 0 || !user)
        return false;
    gid_t groups[256];
    int count = 256;
    if (getgrouplist(p.pw_name, p.pw_gid, groups, &count) < 0)
        count = 256;
    for (int i = 0; i < count; i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

void peer_from_ipc(nng_stream *stream, const char *group, struct rpc_peer *ret)
{
    uint64_t uid = UINT64_MAX, gid = UINT64_MAX;
    ret->role = RPC_NOBODY;
    snprintf(ret->name, sizeof(ret->name), "unknown uid");
    if (nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_UID, &uid) != 0)
        return;
    nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_GID, &gid);
    snprintf(ret->name, sizeof(ret->name), "uid %llu", (unsigned long long)uid);
    if (uid == 0 || uid == geteuid() || user_in_group((uid_t)uid, (gid_t)gid, group))
        ret->role = RPC_OPERATOR;
}

void peer_address(nng_stream *stream, char *buf, size_t size)
{
    nng_sockaddr sa;
    char host[INET6_ADDRSTRLEN] = "?";
    if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &sa) != 0) {
        snprintf(buf, size, "unknown address");
    } else if (sa.s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &sa.s_in.sa_addr, host, sizeof(host));
        snprintf(buf, size, "%s:%u", host, ntohs(sa.s_in.sa_port));
    } else if (sa.s_family == NNG_AF_INET6) {
        inet_ntop(AF_INET6, sa.s_in6.sa_addr, host, sizeof(host));
        snprintf(buf, size, "[%s]:%u", host, ntohs(sa.s_in6.sa_port));
    } else {
        snprintf(buf, size, "ipc");
    }
}
