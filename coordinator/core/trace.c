#include "coordinator/core/trace.h"

#include "common/base/cleanup.h"
#include "common/mapping/mapping.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <stdlib.h>
#include <string.h>

void trace_free(struct trace *t)
{
    free(t->server);
}

/* ---- which host is that? ---- */

/* "tls+tcp://10.0.0.11:7460" has the host 10.0.0.11. */
static bool url_names(const char *url, const char *name)
{
    const char *host = strstr(url, "://");
    size_t n = strlen(name);
    host = host ? host + 3 : url;
    if (*host == '[')
        host++;
    return n && strncmp(host, name, n) == 0 && (host[n] == ':' || host[n] == ']' || host[n] == 0);
}

static bool is_known_as(const struct preflight *in, const struct fleet_host *h, const char *name)
{
    const Drover__V1__Inspection *seen = evidence_inspection(in->evidence, h);
    const Drover__V1__HostFacts *facts = seen ? seen->host : NULL;
    if (!name[0])
        return false;
    if (streq(h->name, name) || url_names(h->agent_url, name) ||
        (h->report && (streq(h->report->migration_address, name) || streq(h->report->hostname, name))))
        return true;
    for (size_t i = 0; facts && i < facts->n_addresses; i++)
        if (streq(facts->addresses[i], name))
            return true;
    for (size_t i = 0; facts && i < facts->n_resolves; i++)
        if (streq(facts->resolves[i], name) && strncmp(name, "127.", 4) != 0 && !streq(name, "::1"))
            return true;
    return facts && streq(facts->hostname, name);
}

const struct fleet_host *host_known_as(const struct preflight *in, const char *name)
{
    for (size_t i = 0; i < in->fleet->n_hosts; i++)
        if (is_known_as(in, &in->fleet->hosts[i], name))
            return &in->fleet->hosts[i];
    return NULL;
}

/* By its name, or by what that stands for at either host. */
static const struct fleet_host *server_host(const struct preflight *in, const char *name)
{
    const struct fleet_host *ends[2] = {in->source, in->destination}, *known = host_known_as(in, name);
    for (unsigned e = 0; e < 2 && !known; e++) {
        const Drover__V1__ResolvedName *n = name_at(in, ends[e], name);
        for (size_t i = 0; n && i < n->n_addresses && !known; i++)
            known = is_loopback(n->addresses[i]) ? ends[e] : host_known_as(in, n->addresses[i]);
    }
    return known;
}

/* ---- names of servers ---- */

/* Of "kvm2", "10.0.0.20:3260", "[fd00::20]:3260", "fd00::20", Lustre's "mgs@tcp": name or address. Owned by the caller. */
static char *name_of(const char *text, size_t n)
{
    const char *bracket = text[0] == '[' ? memchr(text, ']', n) : NULL;
    if (bracket)
        return xasprintf("%.*s", (int)(bracket - text - 1), text + 1);
    const char *colon = memchr(text, ':', n);
    size_t rest = colon ? n - (size_t)(colon - text) - 1 : 0;
    if (colon && !memchr(colon + 1, ':', rest))
        n = (size_t)(colon - text);
    const char *at = memchr(text, '@', n);
    return xasprintf("%.*s", (int)(at ? at - text : (ptrdiff_t)n), text);
}

/* The servers that a mount names, separated by commas: "export1:/srv/nfs", "[fd00::20]:/gv0", "//kvm2/share", sshfs's "user@kvm2:/srv",
 * CephFS's "mon1:6789,mon2:6789:/", and since Linux 5.17 its mon_addr=mon1:6789/mon2:6789 among the options. NULL: it names none.
 * Owned by the caller. */
static char *mount_servers(const Drover__V1__Mount *m)
{
    const char *end = strstr(m->source, ":/"), *monitors = strstr(m->options, "mon_addr=");
    if (strncmp(m->source, "//", 2) == 0)
        return xasprintf("%.*s", (int)strcspn(m->source + 2, "/"), m->source + 2);
    if (monitors) {
        monitors += strlen("mon_addr=");
        char *list = xasprintf("%.*s", (int)strcspn(monitors, ","), monitors);
        for (char *slash = list; (slash = strchr(slash, '/'));)
            *slash = ',';
        return list;
    }
    if (!end)
        return NULL;
    const char *user = strstr(m->fs_type, "sshfs") ? memchr(m->source, '@', (size_t)(end - m->source)) : NULL;
    const char *start = user ? user + 1 : m->source;
    char *list = xasprintf("%.*s", (int)(end - start), start);
    if (streq(m->fs_type, "lustre")) /* "mgs1@tcp:mgs2@tcp:/fs": the second takes over for the first */
        for (char *colon = list; (colon = strchr(colon, ':'));)
            *colon = ',';
    return list;
}

const struct fleet_host *trace_brick(const struct preflight *in, const char *brick)
{
    const char *end = strstr(brick, ":/");
    _cleanup_free_ char *name = name_of(brick, end ? (size_t)(end - brick) : 0);
    return server_host(in, name);
}

const struct fleet_host *trace_own_server(const struct preflight *in, const struct trace *t)
{
    if (t->host == in->source || t->host == in->destination)
        return t->host;
    for (size_t i = 0; t->share && i < t->share->n_bricks; i++) {
        const struct fleet_host *at = trace_brick(in, t->share->bricks[i]);
        if (at && (at == in->source || at == in->destination))
            return at;
    }
    return NULL;
}

/* ---- exports ---- */

/* How much of the disk's name, by protocol://server/name, is the name of this export: of several in each other the innermost serves
 * it. 0: it does not. */
static size_t serves(const Drover__V1__Export *e, const Drover__V1__Disk *d)
{
    const char *name = d->source[0] == '/' ? d->source + 1 : d->source;
    const char *slash = strchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : strlen(name);
    bool whole = strlen(e->name) == n && strncmp(e->name, name, n) == 0;
    if (!streq(e->kind, d->protocol) || e->active == DROVER__V1__ANSWER__NO)
        return 0;
    if (streq(e->kind, "gluster"))
        return whole ? n : 0;
    if (streq(e->kind, "iscsi"))
        return whole && (!slash || strtoull(slash + 1, NULL, 10) == e->lun) ? n : 0;
    _cleanup_free_ char *path = xasprintf("/%s", name);
    size_t by_name = mapping_is_below(path, e->name) ? strlen(e->name) : 0;
    size_t by_pseudo = mapping_is_below(path, e->pseudo) ? strlen(e->pseudo) : 0;
    return by_name > by_pseudo ? by_name : by_pseudo;
}

static const Drover__V1__Export *export_of(const struct preflight *in, const struct trace *t)
{
    const Drover__V1__Inspection *seen = t->host ? evidence_inspection(in->evidence, t->host) : NULL;
    const struct ask *find =
        t->host
            ? evidence_probe(in->evidence, t->host, DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND, t->disk->target)
            : NULL;
    const Drover__V1__Export *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; seen && i < seen->n_exports; i++) {
        const Drover__V1__Export *e = seen->exports[i];
        if (ask_proven(find) && streq(e->name, find->result->export_name))
            return e;
        size_t n = !ask_proven(find) && streq(t->disk->type, "network") ? serves(e, t->disk) : 0;
        if (n > longest) {
            longest = n;
            best = e;
        }
    }
    return best;
}

/* ---- traces ---- */

static bool is_end(const struct preflight *in, const struct fleet_host *host)
{
    return host && (host == in->source || host == in->destination);
}

/* Of several servers one that is an end of the move counts, unless the proof's file says who serves it. */
static void add_server(const struct preflight *in, const char *name, struct trace *t)
{
    const struct fleet_host *host = server_host(in, name);
    if (!t->server)
        t->server = xstrdup(name);
    if (!t->found && host && (!t->host || is_end(in, host)))
        t->host = host;
}

static void trace_nonce(const struct preflight *in, struct trace *t)
{
    for (size_t i = 0; i < in->fleet->n_hosts; i++) {
        const struct fleet_host *h = &in->fleet->hosts[i];
        const struct ask *find =
            evidence_probe(in->evidence, h, DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND, t->disk->target);
        t->asked = t->asked || (find && !ask_unknown(find));
        /* A host that only mounts it finds it in nothing that it exports; of two that do, the one that is not to serve counts. */
        if (!ask_proven(find) || (t->found && !is_end(in, h)))
            continue;
        t->found = true;
        t->host = h;
    }
}

/* A portal that listens on every address is told as such. */
static bool has_portal(const Drover__V1__Export *e, const char *address)
{
    bool has = e->n_portals == 0;
    for (size_t i = 0; i < e->n_portals; i++) {
        _cleanup_free_ char *own = name_of(e->portals[i], strlen(e->portals[i]));
        has = has || streq(own, address) || streq(own, "0.0.0.0") || streq(own, "::");
    }
    return has;
}

/* The export that is this unit: at the host that its portal belongs to, or, if none is known by that address, at one that has it. */
static void trace_unit(const struct preflight *in, const struct fleet_host *seen_at, const Drover__V1__Lun *l,
                       struct trace *t)
{
    _cleanup_free_ char *address = name_of(l->portal, strlen(l->portal));
    const struct fleet_host *host = is_loopback(address) ? seen_at : host_known_as(in, address);
    const Drover__V1__Export *share = NULL;
    for (size_t h = 0; h < in->fleet->n_hosts && !share; h++) {
        const struct fleet_host *at = &in->fleet->hosts[h];
        const Drover__V1__Inspection *seen =
            host && at != host ? NULL : evidence_inspection(in->evidence, at);
        for (size_t i = 0; seen && i < seen->n_exports && !share; i++) {
            const Drover__V1__Export *e = seen->exports[i];
            if (!streq(e->kind, "iscsi") || !streq(e->name, l->target) || e->lun != l->lun ||
                (!host && !has_portal(e, address)))
                continue;
            share = e;
            host = at;
        }
    }
    if (!t->server)
        t->server = xstrdup(address);
    if (host && (!t->host || is_end(in, host))) {
        t->host = host;
        t->share = share;
        t->asked = host_exports(host) && evidence_inspection(in->evidence, host);
    }
}

/* What is below a multipath map or a logical volume has the targets. */
static void trace_lun(const struct preflight *in, const struct fleet_host *seen_at, const Drover__V1__Lun *l,
                      unsigned depth, struct trace *t)
{
    const Drover__V1__Inspection *seen = evidence_inspection(in->evidence, seen_at);
    if (l->target[0] && l->portal[0])
        trace_unit(in, seen_at, l, t);
    for (size_t i = 0; seen && depth && i < l->n_paths; i++)
        for (size_t k = 0; k < seen->n_luns; k++)
            if (streq(seen->luns[k]->name, l->paths[i]))
                trace_lun(in, seen_at, seen->luns[k], depth - 1, t);
}

/* What both hosts told of the device: the disk's, or that of the cluster's file system that the disk is on. False: nothing. */
static bool trace_device(const struct preflight *in, const Drover__V1__PathFacts *here,
                         const Drover__V1__PathFacts *there, struct trace *t)
{
    t->kind = "iscsi";
    if (here && here->lun)
        trace_lun(in, in->source, here->lun, 4, t);
    if (there && there->lun)
        trace_lun(in, in->destination, there->lun, 4, t);
    return (here && here->lun) || (there && there->lun);
}

static bool trace_network(const struct preflight *in, struct trace *t)
{
    const char *name;
    t->kind = t->disk->protocol;
    for (size_t k = 0; (name = disk_server(t->disk, k)); k++)
        add_server(in, name, t);
    t->asked = t->host && host_exports(t->host) && evidence_inspection(in->evidence, t->host);
    t->share = export_of(in, t);
    return t->server;
}

static void trace_mount(const struct preflight *in, struct trace *t)
{
    _cleanup_free_ char *servers = t->mount && t->mount->network ? mount_servers(t->mount) : NULL;
    for (const char *at = servers; at && *at;) {
        size_t n = strcspn(at, ",");
        _cleanup_free_ char *name = name_of(at, n);
        add_server(in, name, t);
        at += n + (at[n] == ',');
    }
}

static bool trace_file(const struct preflight *in, size_t i, struct trace *t)
{
    const Drover__V1__Disk *d = t->disk, *as_there = in->there->disks[i];
    const struct ask *write =
        evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, d->target);
    const struct ask *read =
        evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, d->target);
    if (!ask_proven(write) || !ask_proven(read))
        return false;
    const Drover__V1__Mount *here = write->result->path ? write->result->path->mount : NULL;
    const Drover__V1__Mount *there = read->result->path ? read->result->path->mount : NULL;
    t->mount = here && here->network ? here : there;
    t->kind = t->mount ? t->mount->fs_type : "";
    trace_nonce(in, t);
    if (!t->found && t->mount && t->mount->network && strncmp(t->mount->source, "/dev/", 5) == 0) {
        _cleanup_free_ char *path = disk_path(in->source, d),
                            *path_there = disk_path(in->destination, as_there);
        t->asked = false;
        if (trace_device(in, path ? evidence_path(in->evidence, in->source, path) : NULL,
                         path_there ? evidence_path(in->evidence, in->destination, path_there) : NULL, t))
            return t->server;
        t->kind = t->mount->fs_type;
    }
    trace_mount(in, t);
    t->share = export_of(in, t);
    return t->found || (t->mount && t->mount->network);
}

bool trace_disk(const struct preflight *in, size_t i, struct trace *ret)
{
    const Drover__V1__PathFacts *here, *there;
    *ret = (struct trace){.disk = in->guest->guest->disks[i]};
    bool traced = false;
    if (streq(ret->disk->type, "network"))
        traced = trace_network(in, ret);
    else if (block_facts(in, i, &here, &there))
        traced = trace_device(in, here, there, ret) && ret->server;
    else
        traced = trace_file(in, i, ret);
    if (!ret->server)
        ret->server = xstrdup("");
    return traced;
}
