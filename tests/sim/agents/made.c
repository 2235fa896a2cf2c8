#include "tests/sim/agents/made.h"

#include "common/base/memory.h"

#include <stdbool.h>

#define GIB (1ull << 30)

#define TEXT(field, ...) ((field) = xasprintf(__VA_ARGS__))

const char *made_site(unsigned host)
{
    return host % 2 ? "osaka" : "tokyo";
}

static char **texts(unsigned n, const char *what, size_t *ret_n)
{
    char **list = xcalloc(n, sizeof(char *));
    for (unsigned i = 0; i < n; i++)
        list[i] = xasprintf("%s%u", what, i);
    *ret_n = n;
    return list;
}

static void add_cpu(Drover__V1__HostReport *h)
{
    Drover__V1__Cpu *c = h->cpu = new0(Drover__V1__Cpu);
    drover__v1__cpu__init(c);
    TEXT(c->arch, "x86_64");
    TEXT(c->model, "Cascadelake-Server-noTSX");
    TEXT(c->vendor, "Intel");
    c->features = texts(64, "made-feature-", &c->n_features);
    c->sockets = 2;
    c->cores = 16;
    c->threads = 2;
    c->online = 64;
    c->mhz = 2600;
}

static void add_machines(Drover__V1__HostReport *h)
{
    h->n_machines = 40;
    h->machines = xcalloc(h->n_machines, sizeof(h->machines[0]));
    for (size_t i = 0; i < h->n_machines; i++) {
        h->machines[i] = new0(Drover__V1__MachineType);
        drover__v1__machine_type__init(h->machines[i]);
        TEXT(h->machines[i]->name, "pc-%s-%zu.%zu", i % 2 ? "q35" : "i440fx", 4 + i / 12, i % 12);
    }
}

static void add_networks(Drover__V1__HostReport *h)
{
    h->n_bridges = 3;
    h->bridges = xcalloc(h->n_bridges, sizeof(h->bridges[0]));
    for (size_t i = 0; i < h->n_bridges; i++) {
        Drover__V1__Bridge *b = h->bridges[i] = new0(Drover__V1__Bridge);
        drover__v1__bridge__init(b);
        TEXT(b->name, "br%zu", i);
        TEXT(b->kind, "linux");
        b->mtu = 1500;
        b->ports = texts(7, "vnet", &b->n_ports);
    }
    h->n_pools = 1;
    h->pools = xcalloc(1, sizeof(h->pools[0]));
    Drover__V1__StoragePool *p = h->pools[0] = new0(Drover__V1__StoragePool);
    drover__v1__storage_pool__init(p);
    TEXT(p->name, "images");
    TEXT(p->type, "netfs");
    TEXT(p->target_path, "/srv/images");
    p->active = true;
    p->capacity = 64 * GIB << 10;
    p->available = p->capacity / 2;
}

Drover__V1__HostReport *made_host(unsigned number, const char *url, unsigned guests)
{
    Drover__V1__HostReport *h = new0(Drover__V1__HostReport);
    drover__v1__host_report__init(h);
    TEXT(h->name, "kvm%04u", number);
    h->hypervisor = true;
    TEXT(h->agent_version, DROVER_VERSION);
    TEXT(h->instance, "%08u-0000-4000-9000-000000000000", number);
    h->started = h->libvirt_since = 1700000000000;
    h->libvirt_up = true;
    TEXT(h->libvirt_uri, "qemu:///system");
    h->libvirt_version = 9000000;
    h->qemu_version = 7002000;
    TEXT(h->host_uuid, "%08u-0000-4000-a000-000000000000", number);
    TEXT(h->hostname, "kvm%04u.example.net", number);
    add_cpu(h);
    h->memory_total = 512 * GIB;
    h->memory_guests = guests * 4 * GIB;
    h->memory_free = h->memory_total > h->memory_guests ? h->memory_total - h->memory_guests : 0;
    h->vcpus_guests = 2 * guests;
    add_machines(h);
    h->accelerators = texts(1, "kvm", &h->n_accelerators);
    h->accelerators[0][3] = '\0';
    add_networks(h);
    Drover__V1__Listening *l = h->listening = new0(Drover__V1__Listening);
    drover__v1__listening__init(l);
    l->tls = true;
    l->tls_port = 16514;
    l->migration_port_min = 49152;
    l->migration_port_max = 49215;
    TEXT(h->migration_address, "10.%u.%u.1", number / 250, number % 250);
    TEXT(h->libvirt_remote, "qemu+tls://kvm%04u/system", number);
    TEXT(h->agent_url, "%s", url);
    return h;
}

static Drover__V1__Disk *disk(unsigned host, unsigned guest, unsigned number)
{
    Drover__V1__Disk *d = new0(Drover__V1__Disk);
    drover__v1__disk__init(d);
    TEXT(d->target, "vd%c", 'a' + (int)number);
    TEXT(d->device, "disk");
    TEXT(d->type, "file");
    TEXT(d->format, "qcow2");
    TEXT(d->source, "/srv/images/guest-%04u-%02u/disk%u.qcow2", host, guest, number);
    TEXT(d->cache, "none");
    TEXT(d->bus, "virtio");
    return d;
}

Drover__V1__Guest *made_guest(unsigned host, unsigned number)
{
    Drover__V1__Guest *g = new0(Drover__V1__Guest);
    drover__v1__guest__init(g);
    TEXT(g->name, "guest-%04u-%02u", host, number);
    TEXT(g->uuid, "%08u-%04u-4000-8000-000000000000", host, number);
    g->state =
        number % 10 == 9 ? DROVER__V1__GUEST_STATE__GUEST_SHUTOFF : DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    g->memory = g->memory_max = 4 * GIB;
    g->vcpus = 2;
    g->persistent = g->autostart = true;
    TEXT(g->type, "kvm");
    TEXT(g->arch, "x86_64");
    TEXT(g->machine, "pc-i440fx-7.2");
    TEXT(g->cpu_mode, "host-model");
    TEXT(g->cpu_model, "Cascadelake-Server-noTSX");
    TEXT(g->cpu,
         "<cpu mode='custom' match='exact' check='full'><model "
         "fallback='forbid'>Cascadelake-Server-noTSX</model>"
         "<vendor>Intel</vendor><feature policy='require' name='ss'/><feature policy='require' name='vmx'/>"
         "<feature policy='require' name='pdcm'/><feature policy='require' name='hypervisor'/></cpu>");
    g->n_disks = 2;
    g->disks = xcalloc(g->n_disks, sizeof(g->disks[0]));
    for (unsigned i = 0; i < g->n_disks; i++)
        g->disks[i] = disk(host, number, i);
    g->n_interfaces = 1;
    g->interfaces = xcalloc(1, sizeof(g->interfaces[0]));
    Drover__V1__Interface *nic = g->interfaces[0] = new0(Drover__V1__Interface);
    drover__v1__interface__init(nic);
    TEXT(nic->target, "vnet%u", number);
    TEXT(nic->type, "bridge");
    TEXT(nic->source, "br%u", number % 3);
    TEXT(nic->mac, "52:54:00:%02x:%02x:%02x", host >> 8 & 0xff, host & 0xff, number & 0xff);
    TEXT(nic->model, "virtio");
    g->n_paths = 1;
    g->paths = xcalloc(1, sizeof(g->paths[0]));
    Drover__V1__DevicePath *path = g->paths[0] = new0(Drover__V1__DevicePath);
    drover__v1__device_path__init(path);
    TEXT(path->device, "channel org.qemu.guest_agent.0");
    TEXT(path->path, "/var/lib/libvirt/qemu/channel/target/domain-%u/org.qemu.guest_agent.0", number);
    path->made = true;
    return g;
}

static Drover__V1__Usage *usage(uint32_t cpu, uint32_t other, uint64_t memory)
{
    Drover__V1__Usage *u = new0(Drover__V1__Usage);
    drover__v1__usage__init(u);
    u->cpu = cpu;
    u->cpu_other = other;
    u->memory = memory;
    return u;
}

Drover__V1__Measured *made_measured(unsigned host, unsigned guests)
{
    Drover__V1__Measured *m = new0(Drover__V1__Measured);
    drover__v1__measured__init(m);
    m->guests = xcalloc(guests + 1, sizeof(m->guests[0]));
    uint32_t sum = 300;
    for (unsigned i = 0; i < guests; i++) {
        if (i % 10 == 9) /* shut off */
            continue;
        uint32_t cpu = 37 * (host + i) % 500;
        Drover__V1__GuestUsage *g = m->guests[m->n_guests++] = new0(Drover__V1__GuestUsage);
        drover__v1__guest_usage__init(g);
        TEXT(g->guest, "%08u-%04u-4000-8000-000000000000", host, i);
        g->usage = usage(cpu, 0, (1 + i % 4) * GIB);
        sum += cpu;
    }
    m->host = usage(sum, 300, 0);
    return m;
}
