#include "coordinator/core/probe_plan.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/backing.h"
#include "coordinator/core/mapping.h"
#include "coordinator/core/text.h"

#include <stdlib.h>
#include <string.h>

Drover__V1__ProbeRequest *probe_request_new(Drover__V1__ProbeKind kind)
{
    Drover__V1__ProbeRequest *q = new0(Drover__V1__ProbeRequest);
    drover__v1__probe_request__init(q);
    q->kind = kind;
    q->wait = PROBE_WAIT_MS;
    q->lease = PROBE_LEASE_MS;
    return q;
}

static Drover__V1__ProbeRequest *path_request(Drover__V1__ProbeKind kind, const char *path)
{
    Drover__V1__ProbeRequest *q = probe_request_new(kind);
    q->path = xstrdup(path);
    return q;
}

bool disk_is_media(const Drover__V1__Disk *d)
{
    return streq(d->device, "cdrom") || streq(d->device, "floppy");
}

bool disk_is_written(const Drover__V1__Disk *d)
{
    return !d->readonly && !disk_is_media(d);
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (streq(*words, word))
            return true;
    return false;
}

const char *disk_server(const Drover__V1__Disk *d, size_t i)
{
    if (!streq(d->type, "network") || !d->source_host[0] || d->source_host[0] == '/')
        return NULL;
    return i == 0 ? d->source_host : i <= d->n_more_hosts ? d->more_hosts[i - 1]->name : NULL;
}

/* Of Ceph's monitors "a\:6789\;[fd00\:\:20]": to QEMU's rbd driver a bare ':' ends an option. */
static void add_monitor(char **text, const char *name, uint32_t port)
{
    bool v6 = strchr(name, ':');
    text_append(text, "\\;", "%s", v6 ? "[" : "");
    for (const char *c = name; *c; c++)
        text_append(text, "", "%s%c", *c == ':' ? "\\" : "", *c);
    text_append(text, "", "%s", v6 ? "]" : "");
    if (port)
        text_append(text, "", "\\:%u", port);
}

static char *rbd_url(const Drover__V1__Disk *d)
{
    _cleanup_free_ char *monitors = NULL;
    if (!d->source_host[0])
        return xasprintf("rbd:%s", d->source);
    add_monitor(&monitors, d->source_host, d->source_port);
    for (size_t i = 0; i < d->n_more_hosts; i++)
        add_monitor(&monitors, d->more_hosts[i]->name, d->more_hosts[i]->port);
    return xasprintf("rbd:%s:mon_host=%s", d->source, monitors);
}

/* QEMU's own names (docs/system/qemu-block-drivers): of iSCSI the IQN and the unit, of others host and name. */
char *disk_url(const Drover__V1__Disk *d)
{
    static const char *const plain[] = {"nbd", "gluster", "http", "https", "ftp", "ftps", NULL};
    _cleanup_free_ char *port = d->source_port ? xasprintf(":%u", d->source_port) : xstrdup("");
    const char *name = d->source[0] == '/' ? d->source + 1 : d->source;
    bool v6 = strchr(d->source_host, ':');
    _cleanup_free_ char *host = xasprintf(v6 ? "[%s]" : "%s", d->source_host);
    if (d->auth[0] || d->source_host[0] == '/')
        return NULL;
    if (streq(d->protocol, "rbd"))
        return rbd_url(d);
    if (!d->source_host[0])
        return NULL;
    if (streq(d->protocol, "nfs"))
        return xasprintf("nfs://%s/%s", host, name); /* libnfs asks the port mapper */
    if (streq(d->protocol, "iscsi"))
        return xasprintf("iscsi://%s%s/%s%s", host, port, name, strchr(name, '/') ? "" : "/0");
    if (is_one_of(d->protocol, plain))
        return xasprintf("%s://%s%s/%s", d->protocol, host, port, name);
    return NULL;
}

/* ---- one probe each ---------------------------------------------------------------------------------------------- */

struct plan {
    struct evidence *out;
    const struct fleet *fleet;
    const struct fleet_host *source, *destination;
};

static void plan_nonce(const struct plan *p, const char *key, const char *here, const char *there)
{
    unsigned g = p->out->groups;
    evidence_add(p->out, p->source, key, g, 0, path_request(DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, here),
                 NULL);
    evidence_add(p->out, p->destination, key, g, 1,
                 path_request(DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, there), NULL);
    for (size_t i = 0; i < p->fleet->n_hosts; i++) {
        const struct fleet_host *h = &p->fleet->hosts[i];
        if (host_exports(h) && h->up)
            evidence_add(p->out, h, key, g, 1, probe_request_new(DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND),
                         NULL);
    }
    evidence_add(p->out, p->source, key, g, 2, probe_request_new(DROVER__V1__PROBE_KIND__PROBE_NONCE_REMOVE),
                 NULL)
        ->farewell = true;
}

/* `paths`: at the source and at the destination; NULL: `url` at both. */
static void plan_image(const struct plan *p, const char *key, char *const *paths, const char *url,
                       const char *format, const char *initiator)
{
    unsigned g = p->out->groups;
    const struct fleet_host *hosts[2] = {p->source, p->destination};
    for (unsigned i = 0; i < 2; i++) {
        Drover__V1__ProbeRequest *q = probe_request_new(DROVER__V1__PROBE_KIND__PROBE_IMAGE);
        if (paths)
            q->path = xstrdup(paths[i]);
        if (url)
            q->url = xstrdup(url);
        if (format[0])
            q->format = xstrdup(format);
        if (initiator)
            q->initiator = xstrdup(initiator);
        evidence_add(p->out, hosts[i], key, g, 0, q, NULL);
    }
}

static void plan_hash(const struct plan *p, const char *key, const char *here, const char *there)
{
    unsigned g = p->out->groups;
    evidence_add(p->out, p->source, key, g, 0, path_request(DROVER__V1__PROBE_KIND__PROBE_IMAGE_HASH, here),
                 NULL);
    evidence_add(p->out, p->destination, key, g, 0,
                 path_request(DROVER__V1__PROBE_KIND__PROBE_IMAGE_HASH, there), NULL);
}

static void plan_disk(const struct plan *p, const Drover__V1__Guest *guest, const Drover__V1__Disk *d,
                      const Drover__V1__Disk *as_there)
{
    _cleanup_free_ char *here = disk_path(p->source, d), *there = disk_path(p->destination, as_there);
    _cleanup_free_ char *url = streq(d->type, "network") ? disk_url(d) : NULL;
    _cleanup_free_ char *initiator = disk_initiator(guest, d);
    if (here && there && !disk_is_media(d))
        plan_nonce(p, d->target, here, there);
    if (here && there && !disk_is_media(d) && d->readonly)
        plan_hash(p, d->target, here, there);
    if (here && there)
        plan_image(p, d->target, (char *const[]){here, there}, NULL, d->format, NULL);
    else if (url)
        plan_image(p, d->target, NULL, url, d->format, initiator);
    plan_backing(p->out, d, as_there);
}

char *bridges_key(const Drover__V1__Bridge *here, const Drover__V1__Bridge *there)
{
    return xasprintf("%s to %s", here->name, there->name);
}

static void plan_bridge(const struct plan *p, const Drover__V1__Interface *nic,
                        const Drover__V1__Interface *as_there)
{
    const Drover__V1__Bridge *here = interface_bridge(p->source, nic),
                             *there = interface_bridge(p->destination, as_there);
    if (!here || !there)
        return;
    _cleanup_free_ char *key = bridges_key(here, there);
    if (evidence_probe(p->out, p->source, DROVER__V1__PROBE_KIND__PROBE_LAYER2_SEND, key))
        return;
    unsigned g = p->out->groups;
    Drover__V1__ProbeRequest *listen = probe_request_new(DROVER__V1__PROBE_KIND__PROBE_LAYER2_LISTEN);
    listen->bridge = xstrdup(there->name);
    Drover__V1__ProbeRequest *send = probe_request_new(DROVER__V1__PROBE_KIND__PROBE_LAYER2_SEND);
    send->bridge = xstrdup(here->name);
    evidence_add(p->out, p->destination, key, g, 0, listen, NULL);
    evidence_add(p->out, p->source, key, g, 0, send, NULL);
}

/* `from` tries the ports that a transfer to `to` needs. */
static void plan_ports(struct evidence *out, const struct fleet_host *from, const struct fleet_host *to)
{
    unsigned g = out->groups;
    const Drover__V1__HostReport *r = to->report;
    Drover__V1__ProbeRequest *connect = probe_request_new(DROVER__V1__PROBE_KIND__PROBE_PORT_CONNECT);
    if (r->migration_address[0])
        connect->address = xstrdup(r->migration_address);
    evidence_add(out, to, to->name, g, 0, probe_request_new(DROVER__V1__PROBE_KIND__PROBE_PORT_OPEN), NULL);
    evidence_add(out, from, to->name, g, 1, connect, NULL);
    evidence_add(out, to, to->name, g, 2, probe_request_new(DROVER__V1__PROBE_KIND__PROBE_PORT_CLOSE), NULL)
        ->farewell = true;
    if (!r->libvirt_remote[0])
        return;
    Drover__V1__ProbeRequest *libvirt = probe_request_new(DROVER__V1__PROBE_KIND__PROBE_LIBVIRT_CONNECT);
    libvirt->url = xstrdup(r->libvirt_remote);
    evidence_add(out, from, to->name, g + 1, 0, libvirt, NULL);
}

static void plan_clock(struct evidence *out, const struct fleet_host *host)
{
    evidence_add(out, host, "", out->groups, 0, probe_request_new(DROVER__V1__PROBE_KIND__PROBE_CLOCK), NULL);
}

static Drover__V1__InspectRequest *inspect_new(void)
{
    Drover__V1__InspectRequest *q = new0(Drover__V1__InspectRequest);
    drover__v1__inspect_request__init(q);
    return q;
}

/* Each path once; takes it over. */
static void add_path(Drover__V1__InspectRequest *q, char *path)
{
    for (size_t i = 0; path && i < q->n_paths; i++)
        if (streq(q->paths[i], path)) {
            free(path);
            return;
        }
    if (!path)
        return;
    q->paths = xrealloc(q->paths, q->n_paths + 1, sizeof(q->paths[0]));
    q->paths[q->n_paths++] = path;
}

/* After all that no rule may be without. Of what is too much no fact is told: then the rules that need it have none. */
static void add_backing(Drover__V1__InspectRequest *q, const Drover__V1__Guest *guest)
{
    for (size_t d = 0; d < guest->n_disks; d++)
        for (size_t b = 0; b < guest->disks[d]->n_backing && q->n_paths < INSPECT_PATHS; b++)
            if (guest->disks[d]->backing[b][0] == '/')
                add_path(q, xstrdup(guest->disks[d]->backing[b]));
}

static void add_volume(Drover__V1__InspectRequest *q, const char *volume)
{
    q->pool_volumes = xrealloc(q->pool_volumes, q->n_pool_volumes + 1, sizeof(q->pool_volumes[0]));
    q->pool_volumes[q->n_pool_volumes++] = xstrdup(volume);
}

/* Each name once. */
static void add_servers(Drover__V1__InspectRequest *q, const Drover__V1__Disk *d)
{
    const char *name;
    for (size_t i = 0; (name = disk_server(d, i)); i++) {
        bool known = false;
        for (size_t k = 0; k < q->n_names && !known; k++)
            known = streq(q->names[k], name);
        if (known)
            continue;
        q->names = xrealloc(q->names, q->n_names + 1, sizeof(q->names[0]));
        q->names[q->n_names++] = xstrdup(name);
    }
}

/* Both hosts first; the export nodes then know whom they are asked about. */
static void plan_inspections(const struct plan *p, const Drover__V1__Guest *guest,
                             const Drover__V1__Guest *as_there)
{
    unsigned g = p->out->groups;
    const struct fleet_host *hosts[2] = {p->source, p->destination};
    for (unsigned i = 0; i < 2; i++) {
        Drover__V1__InspectRequest *q = inspect_new();
        q->host = q->mounts = true;
        if (i == 0)
            q->guest = xstrdup(guest->uuid);
        for (size_t d = 0; d < guest->n_disks; d++) {
            const Drover__V1__Disk *disk = i ? as_there->disks[d] : guest->disks[d];
            bool block = streq(disk->type, "block") && disk->source[0] == '/';
            const Drover__V1__StoragePool *pool = disk_pool(hosts[i], disk);
            q->luns = q->luns || block || (pool && pool_has_devices(pool)); /* that it is made of */
            if (pool && pool_has_devices(pool))
                add_volume(q, disk->source);
            add_servers(q, disk);
            add_path(q, block ? xstrdup(disk->source) : disk_path(hosts[i], disk));
        }
        for (size_t d = 0; i == 1 && d < as_there->n_paths; d++)
            add_path(q, device_path_there(as_there->paths[d]));
        if (i == 1)
            add_backing(q, as_there);
        evidence_add(p->out, hosts[i], "", g, 0, NULL, q);
    }
    bool served = false;
    for (size_t d = 0; d < guest->n_disks; d++)
        served = served || guest->disks[d]->source[0];
    for (size_t i = 0; i < p->fleet->n_hosts; i++) {
        const struct fleet_host *h = &p->fleet->hosts[i];
        if (!served || !host_exports(h) || !h->up)
            continue;
        Drover__V1__InspectRequest *q = inspect_new();
        q->exports = q->host = true;
        q->mounts = h == p->source || h == p->destination; /* the last inspection of a host is looked at */
        q->luns = q->mounts;
        evidence_add(p->out, h, "exports", g, 1, NULL, q);
    }
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

const Drover__V1__Network *interface_network(const struct fleet_host *host, const Drover__V1__Interface *nic)
{
    const Drover__V1__HostReport *r = host->report;
    for (size_t i = 0; r && i < r->n_networks && streq(nic->type, "network"); i++)
        if (streq(r->networks[i]->name, nic->source))
            return r->networks[i];
    return NULL;
}

const Drover__V1__Bridge *interface_bridge(const struct fleet_host *host, const Drover__V1__Interface *nic)
{
    const Drover__V1__HostReport *r = host->report;
    const Drover__V1__Network *network = interface_network(host, nic);
    const char *name = streq(nic->type, "bridge") ? nic->source : network ? network->bridge : NULL;
    for (size_t i = 0; r && name && i < r->n_bridges; i++)
        if (streq(r->bridges[i]->name, name))
            return r->bridges[i];
    return NULL;
}

void plan_check(struct evidence *out, const struct fleet *fleet, const struct fleet_host *source,
                const struct fleet_host *destination, const Drover__V1__Guest *guest, Drover__V1__Mode mode)
{
    const struct plan p = {out, fleet, source, destination};
    if (source == destination || !source->up || !destination->up || !source->report || !destination->report)
        return;
    out->source = source;
    out->destination = destination;
    Drover__V1__Mapping *mapping = mapping_between(fleet->mappings, source, destination);
    Drover__V1__Guest *there = mapping_guest(mapping, guest);
    plan_inspections(&p, guest, there);
    for (size_t i = 0; i < guest->n_disks; i++)
        plan_disk(&p, guest, guest->disks[i], there->disks[i]);
    for (size_t i = 0; i < guest->n_interfaces; i++)
        plan_bridge(&p, guest->interfaces[i], there->interfaces[i]);
    drover__v1__guest__free_unpacked(there, NULL);
    drover__v1__mapping__free_unpacked(mapping, NULL);
    if (mode != DROVER__V1__MODE__MODE_DEFINITION)
        plan_ports(out, source, destination);
    plan_needs(out, source, destination, guest, mode);
    plan_clock(out, source);
    plan_clock(out, destination);
}

void plan_doctor(struct evidence *out, const struct fleet_host *host, const struct fleet_host *peer)
{
    if (!host->up || !host->report)
        return;
    evidence_add(out, host, "", out->groups, 0, NULL, inspect_new());
    plan_clock(out, host);
    if (peer && host->report->hypervisor)
        plan_ports(out, peer, host);
}

void plan_storage(struct evidence *out, const struct fleet_host *host)
{
    if (!host->up || !host->report)
        return;
    Drover__V1__InspectRequest *q = inspect_new();
    q->mounts = q->luns = q->volumes = true;
    q->exports = host_exports(host);
    evidence_add(out, host, "", out->groups, 0, NULL, q);
}
