#include "coordinator_made.h"

#include "common/base/memory.h"

#include <stdlib.h>

void made_string(char **field, const char *value)
{
    if (*field != (char *)protobuf_c_empty_string)
        free(*field);
    *field = xstrdup(value);
}

/* Adds a pointer to an array of a message. */
#define add(array, count, item)                                                                              \
    do {                                                                                                     \
        (array) = xrealloc((array), (count) + 1, sizeof((array)[0]));                                        \
        (array)[(count)++] = (item);                                                                         \
    } while (0)

Drover__V1__StoragePool *made_pool(Drover__V1__HostReport *report, const char *name, const char *type,
                                   const char *path)
{
    Drover__V1__StoragePool *pool = new0(Drover__V1__StoragePool);
    drover__v1__storage_pool__init(pool);
    made_string(&pool->name, name);
    made_string(&pool->type, type);
    made_string(&pool->target_path, path);
    pool->active = true;
    add(report->pools, report->n_pools, pool);
    return pool;
}

void made_accelerated(Drover__V1__HostReport *report, const char *accelerator, const char *cpu,
                      const char *const *features)
{
    Drover__V1__Accelerated *a = new0(Drover__V1__Accelerated);
    drover__v1__accelerated__init(a);
    made_string(&a->accelerator, accelerator);
    made_string(&a->cpu, cpu);
    for (; features && *features; features++)
        add(a->features, a->n_features, xstrdup(*features));
    add(report->accelerated, report->n_accelerated, a);
}

struct fleet_host *made_host(struct fleet *fleet, const char *name)
{
    char *url = xasprintf("tcp://%s:7460", name);
    struct fleet_host *h = fleet_add_host(fleet, name, "tokyo", url);
    free(url);
    Drover__V1__HostReport *r = new0(Drover__V1__HostReport);
    drover__v1__host_report__init(r);
    made_string(&r->name, name);
    made_string(&r->agent_version, "0.1.0");
    made_string(&r->libvirt_uri, "qemu:///system");
    made_string(&r->host_uuid, name);
    made_string(&r->migration_address, "10.0.0.1");
    made_string(&r->libvirt_remote, "qemu+tcp://10.0.0.1/system");
    r->hypervisor = r->libvirt_up = true;
    r->libvirt_version = 9000000;
    r->qemu_version = 7002000;
    r->memory_total = 64 * GIB;
    r->memory_free = 48 * GIB;
    r->cpu = new0(Drover__V1__Cpu);
    drover__v1__cpu__init(r->cpu);
    made_string(&r->cpu->arch, "x86_64");
    made_string(&r->cpu->model, "Skylake-Server");
    made_string(&r->cpu->vendor, "Intel");
    r->cpu->online = 16;
    add(r->accelerators, r->n_accelerators, xstrdup("kvm"));
    add(r->accelerators, r->n_accelerators, xstrdup("tcg"));
    Drover__V1__MachineType *machine = new0(Drover__V1__MachineType);
    drover__v1__machine_type__init(machine);
    made_string(&machine->name, "pc");
    made_string(&machine->canonical, "pc-i440fx-7.2");
    add(r->machines, r->n_machines, machine);
    Drover__V1__Bridge *bridge = new0(Drover__V1__Bridge);
    drover__v1__bridge__init(bridge);
    made_string(&bridge->name, "br0");
    add(r->bridges, r->n_bridges, bridge);
    Drover__V1__Network *network = new0(Drover__V1__Network);
    drover__v1__network__init(network);
    made_string(&network->name, "default");
    network->active = true;
    add(r->networks, r->n_networks, network);
    r->listening = new0(Drover__V1__Listening);
    drover__v1__listening__init(r->listening);
    r->listening->tcp = true;
    h->report = r;
    fleet_session(h, true, 1000, NULL);
    h->synced = h->told = true;
    return h;
}

Drover__V1__Disk *made_disk(Drover__V1__Guest *guest, const char *type, const char *source)
{
    Drover__V1__Disk *disk = new0(Drover__V1__Disk);
    drover__v1__disk__init(disk);
    made_string(&disk->target, "vda");
    made_string(&disk->device, "disk");
    made_string(&disk->type, type);
    made_string(&disk->source, source);
    add(guest->disks, guest->n_disks, disk);
    return disk;
}

struct fleet_guest *made_guest(struct fleet_host *host, const char *name, const char *uuid)
{
    Drover__V1__Guest *g = new0(Drover__V1__Guest);
    drover__v1__guest__init(g);
    made_string(&g->name, name);
    made_string(&g->uuid, uuid);
    made_string(&g->type, "kvm");
    made_string(&g->arch, "x86_64");
    made_string(&g->machine, "pc-i440fx-7.2");
    g->state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    g->memory = g->memory_max = 4 * GIB;
    g->vcpus = 2;
    g->persistent = true;
    made_disk(g, "network", "nfs/web1.qcow2");
    Drover__V1__Interface *nic = new0(Drover__V1__Interface);
    drover__v1__interface__init(nic);
    made_string(&nic->type, "bridge");
    made_string(&nic->source, "br0");
    made_string(&nic->mac, "52:54:00:00:00:01");
    add(g->interfaces, g->n_interfaces, nic);

    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.guest = g;
    fleet_event(host, &event);
    drover__v1__guest__free_unpacked(g, NULL);
    return &host->guests[host->n_guests - 1];
}
