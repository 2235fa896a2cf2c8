/* Rules about who serves the disks: a third system, which serves them to both hosts. */
#include "common/base/cleanup.h"
#include "common/mapping/mapping.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

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

/* Where a disk is served from, as far as it could be traced. */
struct trace {
    const Drover__V1__Disk *disk;
    char *server;                  /* as the mount or the definition names it; "" if neither does. Owned */
    const struct fleet_host *host; /* the host of the fleet that it is; NULL: none */
    const Drover__V1__Export *share;
    bool found;                     /* the nonce was found there */
    bool asked;                     /* somebody was asked for it */
    const Drover__V1__Mount *mount; /* of a file: what holds it; NULL: not known */
};

static void trace_free(struct trace *t)
{
    free(t->server);
}

/* "export1:/srv/nfs", "10.0.0.20:/gv0", "[fd00::20]:/srv/nfs": the server. "" for others. */
static char *server_of(const Drover__V1__Mount *m)
{
    const char *end = m && m->network ? strstr(m->source, ":/") : NULL;
    if (!end)
        return xstrdup("");
    const char *start = m->source;
    size_t n = (size_t)(end - start);
    if (n > 2 && start[0] == '[' && start[n - 1] == ']') {
        start++;
        n -= 2;
    }
    return xasprintf("%.*s", (int)n, start);
}

static bool is_below(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    return n && strncmp(path, directory, n) == 0 &&
           (path[n] == '/' || path[n] == 0 || directory[n - 1] == '/');
}

/* Does this export hold the disk that the definition names by protocol://server/name? */
static bool serves(const Drover__V1__Export *e, const Drover__V1__Disk *d)
{
    const char *name = d->source[0] == '/' ? d->source + 1 : d->source;
    const char *slash = strchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : strlen(name);
    bool whole = strlen(e->name) == n && strncmp(e->name, name, n) == 0;
    if (!streq(e->kind, d->protocol))
        return false;
    if (streq(e->kind, "gluster"))
        return whole;
    if (streq(e->kind, "iscsi"))
        return whole && (!slash || strtoull(slash + 1, NULL, 10) == e->lun);
    _cleanup_free_ char *path = xasprintf("/%s", name);
    return is_below(path, e->name) || (e->pseudo[0] && is_below(path, e->pseudo));
}

static const Drover__V1__Export *export_of(const struct preflight *in, const struct trace *t)
{
    const Drover__V1__Inspection *seen = t->host ? evidence_inspection(in->evidence, t->host) : NULL;
    const struct ask *find =
        t->host
            ? evidence_probe(in->evidence, t->host, DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND, t->disk->target)
            : NULL;
    for (size_t i = 0; seen && i < seen->n_exports; i++) {
        const Drover__V1__Export *e = seen->exports[i];
        if (ask_proven(find) ? streq(e->name, find->result->export_name)
                             : streq(t->disk->type, "network") && serves(e, t->disk))
            return e;
    }
    return NULL;
}

static void trace_nonce(const struct preflight *in, struct trace *t)
{
    for (size_t i = 0; i < in->fleet->n_hosts; i++) {
        const struct fleet_host *h = &in->fleet->hosts[i];
        const struct ask *find =
            evidence_probe(in->evidence, h, DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND, t->disk->target);
        t->asked = t->asked || (find && !ask_unknown(find));
        /* A host that only mounts it finds it in nothing that it exports; of two that do, the one that is not to serve counts. */
        if (!ask_proven(find) || (t->found && h != in->source && h != in->destination))
            continue;
        t->found = true;
        t->host = h;
    }
}

/* "10.0.0.20:3260", "[fd00::20]:3260": the address. Owned by the caller. */
static char *portal_address(const char *portal)
{
    const char *end = strrchr(portal, ':');
    size_t n = end ? (size_t)(end - portal) : strlen(portal);
    if (n > 2 && portal[0] == '[' && portal[n - 1] == ']')
        return xasprintf("%.*s", (int)(n - 2), portal + 1);
    return xasprintf("%.*s", (int)n, portal);
}

/* A portal that listens on every address is told as such. */
static bool has_portal(const Drover__V1__Export *e, const char *address)
{
    bool has = e->n_portals == 0;
    for (size_t i = 0; i < e->n_portals; i++) {
        _cleanup_free_ char *own = portal_address(e->portals[i]);
        has = has || streq(own, address) || streq(own, "0.0.0.0") || streq(own, "::");
    }
    return has;
}

/* The export that is this unit: at the host that its portal belongs to, or, if none is known by that address, at one that has it. */
static void trace_unit(const struct preflight *in, const struct fleet_host *seen_at, const Drover__V1__Lun *l,
                       struct trace *t)
{
    _cleanup_free_ char *address = portal_address(l->portal);
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
    bool is_end = host && (host == in->source || host == in->destination);
    if (!t->server)
        t->server = xstrdup(address);
    if (host && (!t->host || is_end)) {
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

/* False for disks that no server is to be known of: block devices of another network than iSCSI, file systems on shared disks, what
 * isn't shared. */
static bool trace_disk(const struct preflight *in, size_t i, struct trace *t)
{
    const Drover__V1__Disk *d = in->guest->guest->disks[i];
    *t = (struct trace){.disk = d};
    if (streq(d->type, "network")) {
        t->server = xstrdup(d->source_host);
        t->host = server_host(in, t->server);
        t->asked = t->host && host_exports(t->host) && evidence_inspection(in->evidence, t->host);
        t->share = export_of(in, t);
        return t->server[0];
    }
    const Drover__V1__PathFacts *here_at, *there_at;
    if (block_facts(in, i, &here_at, &there_at)) {
        if (here_at && here_at->lun)
            trace_lun(in, in->source, here_at->lun, 4, t);
        if (there_at && there_at->lun)
            trace_lun(in, in->destination, there_at->lun, 4, t);
        return t->server;
    }
    const struct ask *write =
        evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, d->target);
    const struct ask *read =
        evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, d->target);
    if (!ask_proven(write) || !ask_proven(read))
        return false;
    const Drover__V1__Mount *here = write->result->path ? write->result->path->mount : NULL;
    const Drover__V1__Mount *there = read->result->path ? read->result->path->mount : NULL;
    trace_nonce(in, t);
    t->mount = here && here->network ? here : there;
    t->server = server_of(t->mount);
    if (!t->host)
        t->host = host_known_as(in, t->server);
    t->share = export_of(in, t);
    return t->found || t->server[0];
}

#define each_trace(t)                                                                                        \
    for (size_t i_ = 0; i_ < in->guest->guest->n_disks; i_++)                                                \
        for (bool go_ = trace_disk(in, i_, (t)); go_ || (trace_free(t), false); go_ = false)

/* "kvm2:/srv/brick", "[fd00::2]:/srv/brick", "fd00::2:/srv/brick": the host of the fleet that it is at. */
static const struct fleet_host *brick_host(const struct preflight *in, const char *brick)
{
    const char *end = strstr(brick, ":/");
    size_t n = end ? (size_t)(end - brick) : 0, skip = n > 2 && brick[0] == '[' && brick[n - 1] == ']';
    _cleanup_free_ char *name = xasprintf("%.*s", (int)(n - 2 * skip), brick + skip);
    return server_host(in, name);
}

/* The one of the two hosts that serves it, or has a part of a volume that is spread over several; NULL: neither. */
static const struct fleet_host *own_server(const struct preflight *in, const struct trace *t)
{
    if (t->host == in->source || t->host == in->destination)
        return t->host;
    for (size_t i = 0; t->share && i < t->share->n_bricks; i++) {
        const struct fleet_host *at = brick_host(in, t->share->bricks[i]);
        if (at && (at == in->source || at == in->destination))
            return at;
    }
    return NULL;
}

RULE(export_is_host)
{
    struct trace t;
    each_trace(&t)
    {
        const struct fleet_host *at = own_server(in, &t);
        if (at)
            found(("disk %s", t.disk->target),
                  ("%s itself serves %s%s%s%s", at->name, at == t.host ? "" : "a brick of ", t.disk->source,
                   t.share ? ", from its export " : "", t.share ? t.share->name : ""),
                  ("a third system that serves it to both hosts"),
                  ("put the image on storage that neither %s nor %s exports: else the guest hangs on that "
                   "host for good",
                   in->source->name, in->destination->name));
    }
}

RULE(export_closed)
{
    struct trace t;
    each_trace(&t) for (size_t i = 0; t.share && i < t.share->n_access; i++)
    {
        const Drover__V1__ExportAccess *a = t.share->access[i];
        bool shut = a->allowed == DROVER__V1__ANSWER__NO;
        bool no_write = a->write == DROVER__V1__ANSWER__NO && disk_is_written(t.disk);
        if ((streq(a->host, in->source->name) || streq(a->host, in->destination->name)) && (shut || no_write))
            found(
                ("disk %s", t.disk->target),
                ("%s lets %s %s %s: %s", t.host->name, a->host, shut ? "not use" : "only read", t.share->name,
                 a->why),
                ("the export open to both hosts, read-write"),
                ("add %s to its clients in %s on %s, then export it anew (exportfs -ra, or the target's ACL)",
                 a->host, t.share->source[0] ? t.share->source : "its configuration", t.host->name));
    }
}

/* Of hosts that log in or ask by a name that can't be judged from the export node's configuration. */
RULE(export_access_unknown)
{
    struct trace t;
    each_trace(&t) for (size_t i = 0; t.share && i < t.share->n_access; i++)
    {
        const Drover__V1__ExportAccess *a = t.share->access[i];
        if (a->allowed == DROVER__V1__ANSWER__ANSWER_UNKNOWN &&
            (streq(a->host, in->source->name) || streq(a->host, in->destination->name)))
            found(
                ("disk %s", t.disk->target), ("%s, on %s: %s", t.share->name, t.host->name, a->why),
                ("a client that can be told from the configuration: an address, a network, an initiator's "
                 "IQN"),
                ("see there that %s may read and write it (showmount -e, getent netgroup, the target's ACL)",
                 a->host));
    }
}

/* ---- an export node that should have seen it ---- */

/* Is it what that mount is of? Bind mounts and automounters keep the server's name for the source. */
static bool is_mounted(const Drover__V1__Export *e, const Drover__V1__Mount *m)
{
    const char *colon = strstr(m->source, ":/");
    bool gluster = streq(e->kind, "gluster") && strstr(m->fs_type, "glusterfs");
    if (!colon || e->active == DROVER__V1__ANSWER__NO)
        return false;
    if (gluster)
        return mapping_is_below(colon + 2, e->name);
    return streq(e->kind, "nfs") && strncmp(m->fs_type, "nfs", 3) == 0 &&
           (is_below(colon + 1, e->name) || (e->pseudo[0] && is_below(colon + 1, e->pseudo)));
}

/* It was asked, answered, and did not find the nonce in all that it exports. */
static bool looked_in_vain(const struct preflight *in, const struct fleet_host *host, const struct trace *t)
{
    return host && ask_refuted(evidence_probe(in->evidence, host, DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND,
                                              t->disk->target));
}

/* The export that the server says is mounted, and that does not hold the image; NULL: there is none, or it can't be told. */
static const Drover__V1__Export *unseen_export(const struct preflight *in, const struct trace *t)
{
    const Drover__V1__Inspection *seen = t->host ? evidence_inspection(in->evidence, t->host) : NULL;
    const Drover__V1__Export *unseen = NULL;
    if (t->found || !t->mount || !t->server[0] || !looked_in_vain(in, t->host, t))
        return NULL;
    for (size_t i = 0; seen && i < seen->n_exports && !unseen; i++)
        if (is_mounted(seen->exports[i], t->mount))
            unseen = seen->exports[i];
    /* A file lies on some bricks of a volume only: all of them must have been looked at. */
    for (size_t i = 0; unseen && i < unseen->n_bricks; i++)
        if (!looked_in_vain(in, brick_host(in, unseen->bricks[i]), t))
            return NULL;
    return unseen;
}

RULE(export_not_seen)
{
    struct trace t;
    each_trace(&t)
    {
        const Drover__V1__Export *e = unseen_export(in, &t);
        if (e && !own_server(in, &t))
            found(
                ("disk %s", t.disk->target),
                ("%s exports %s, which holds %s by its mount, and did not see there what %s wrote beside it",
                 t.host->name, e->name, t.disk->source, in->source->name),
                ("the file seen in the exported directory"),
                ("see which server the hosts really reach as %s (findmnt -T %s, getent ahosts), and what is "
                 "mounted on %s at %s; if it is this export nevertheless, --accept export-not-seen",
                 t.server, t.disk->source, t.host->name, e->path));
    }
}

RULE(export_untraced)
{
    struct trace t;
    each_trace(&t)
    {
        if (t.found || t.share || own_server(in, &t) || unseen_export(in, &t))
            continue;
        const struct ask *asked = t.host ? evidence_inspect(in->evidence, t.host) : NULL;
        if (ask_unknown(asked))
            continue;
        bool silent = t.host && evidence_silent(in->evidence, t.host);
        for (size_t h = 0; h < in->fleet->n_hosts && !t.host && !silent; h++)
            silent = evidence_silent(in->evidence, &in->fleet->hosts[h]);
        if (silent)
            found(("disk %s", t.disk->target),
                  ("%s serves %s; the agent of %s did not answer in time",
                   t.server[0] ? t.server : "another host", t.disk->source,
                   t.host ? t.host->name : "an export node"),
                  ("the export found at the export node"),
                  ("see that agent's log there (journalctl -u drover-agent), then check again"));
        else if (t.asked)
            found(("disk %s", t.disk->target),
                  ("%s, which serves %s, knows no export that holds it",
                   t.host ? t.host->name : "no export node, though one was asked for what", t.disk->source),
                  ("the export found at the export node"),
                  ("compare what is exported there (exportfs -v, targetcli ls, gluster volume info) with "
                   "where the "
                   "image lies"));
        else
            found(("disk %s", t.disk->target),
                  ("%s serves %s; no agent of the fleet runs there", t.server, t.disk->source),
                  ("an agent with the role storage on the export node, to prove that it is a third system"),
                  ("install drover-agent there with roles: [storage], and add it to hosts in "
                   "coordinator.yaml"));
    }
}
