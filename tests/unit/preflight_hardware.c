/* Cases of the rules about the virtual machine's hardware and network disks, and of what a host was asked about them and has not told. */
#include "preflight_cases.h"

#include "common/base/memory.h"
#include "made_proof.h"

#include <stdlib.h>
#include <string.h>

#define SPOIL(name) static void name(struct move *m)
#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define KIND(k) DROVER__V1__PROBE_KIND__PROBE_##k

static void append(void *list, size_t *n, void *item)
{
    void ***at = list;
    *at = xrealloc(*at, *n + 1, sizeof(**at));
    (*at)[(*n)++] = item;
}

/* ---- the CPU ---- */

static struct ask *cpu(struct move *m)
{
    made_string(&m->guest->cpu_model, "Skylake-Server");
    made_string(&m->guest->cpu, "<cpu mode='custom'><model>Skylake-Server</model></cpu>");
    move_with_proof(m);
    return made_ask(&m->evidence, m->destination, KIND(CPU_COMPARE), NULL);
}
SPOIL(cpu_lacks)
{
    made_answer(cpu(m), REFUTED, "incompatible", "Host CPU does not provide required features: avx512f");
}
SPOIL(cpu_lacks_at_rest)
{
    cpu_lacks(m);
    m->in.mode = DROVER__V1__MODE__MODE_DEFINITION;
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}
SPOIL(own_cpu_lacks)
{
    made_accelerated(m->from, "kvm", "<cpu mode='custom'><model>Snowridge</model></cpu>", NULL);
    made_string(&m->guest->cpu_mode, "host-passthrough");
    move_with_proof(m);
    struct ask *a = made_ask(&m->evidence, m->destination, KIND(CPU_COMPARE), NULL);
    if (strstr(a->probe->cpu, "Snowridge"))
        made_answer(a, REFUTED, "incompatible", "Host CPU does not provide required features: gfni");
}
SPOIL(cpu_not_compared)
{
    made_answer(cpu(m), UNDECIDED, "failed", "libvirt can't compare the CPU: no emulator");
}

/* ---- huge pages ---- */

static void with_pages(struct move *m, uint64_t size, uint32_t n)
{
    m->guest->hugepages = xcalloc(1, sizeof(m->guest->hugepages[0]));
    m->guest->hugepages[m->guest->n_hugepages++] = size;
    if (!m->in.evidence)
        move_with_proof(m);
    Drover__V1__HostFacts *h = made_inspection(&m->evidence, m->destination)->host;
    Drover__V1__HugePages *p = new0(Drover__V1__HugePages);
    drover__v1__huge_pages__init(p);
    p->page = 2 << 20;
    p->total = p->free = n;
    p->node = -1;
    h->hugepage_default = p->page;
    append(&h->hugepages, &h->n_hugepages, p);
}
SPOIL(few_pages)
{
    with_pages(m, 0, 2047); /* of 2 MiB, for 4 GiB */
}
/* Without asking the host: as it reported, beside what other moves were promised. */
SPOIL(promised_pages)
{
    with_pages(m, 0, 0);
    Drover__V1__HugePages *p = new0(Drover__V1__HugePages);
    drover__v1__huge_pages__init(p);
    p->page = 2 << 20;
    p->total = p->free = 2100;
    p->node = -1;
    append(&m->to->hugepages, &m->to->n_hugepages, p);
    m->to->hugepage_default = p->page;
    m->in.promised.pages_2m = UINT64_C(200) << 20;
    m->in.evidence = NULL;
}
SPOIL(no_such_pages)
{
    with_pages(m, 1 << 30, 4096);
}
SPOIL(few_pages_at_rest)
{
    with_pages(m, 2 << 20, 1);
    m->in.mode = DROVER__V1__MODE__MODE_DEFINITION;
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}

/* ---- limits and features ---- */

SPOIL(too_many_vcpus)
{
    m->policy.vcpu_percent = 150; /* of 16 */
    m->to->vcpus_guests = 23;
}
SPOIL(promised_vcpus)
{
    m->policy.vcpu_percent = 150;
    m->to->vcpus_guests = 20;
    m->in.promised.vcpus = 3;
}
SPOIL(old_libvirt_by_policy)
{
    m->policy.block_older = true;
    m->to->libvirt_version = 8000000;
}
static void with_feature(struct move *m, const char *feature)
{
    append(&m->guest->features, &m->guest->n_features, xstrdup(feature));
}
SPOIL(no_hyperv)
{
    with_feature(m, "hyperv-relaxed");
    made_accelerated(m->from, "kvm", "", (const char *[]){"hyperv", "hyperv-relaxed", NULL});
    made_accelerated(m->to, "kvm", "", (const char *[]){"hyperv", "hyperv-vapic", NULL});
}
SPOIL(no_swtpm)
{
    with_feature(m, "tpm-emulator");
    made_accelerated(m->to, "kvm", "", (const char *[]){"tpm", "tpm-passthrough", NULL});
}
SPOIL(tpm_at_rest)
{
    with_feature(m, "tpm-emulator");
    m->in.mode = DROVER__V1__MODE__MODE_DEFINITION;
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}

/* ---- paths ---- */

static void with_path(struct move *m, const char *path, bool made)
{
    Drover__V1__DevicePath *p = new0(Drover__V1__DevicePath);
    drover__v1__device_path__init(p);
    made_string(&p->device, "channel org.qemu.guest_agent.0");
    made_string(&p->path, path);
    p->made = made;
    append(&m->guest->paths, &m->guest->n_paths, p);
    move_with_proof(m);
    Drover__V1__Inspection *seen = made_inspection(&m->evidence, m->destination);
    made_string(&seen->paths[seen->n_paths - 1]->kind, "absent");
}
SPOIL(no_socket)
{
    with_path(m, "/run/broker.sock", false);
}
SPOIL(no_directory_for_socket)
{
    with_path(m, "/srv/agents/web1.sock", true);
}

/* ---- network disks ---- */

static Drover__V1__Disk *network_disk(struct move *m, const char *protocol, const char *host)
{
    Drover__V1__Disk *d = made_disk(m->guest, "network", "iqn.2026-01.lab:one/1");
    made_string(&d->target, "vdb");
    made_string(&d->protocol, protocol);
    made_string(&d->source_host, host);
    return d;
}
static struct ask *unit(struct move *m)
{
    network_disk(m, "iscsi", "10.0.0.20");
    move_with_proof(m);
    made_string(&m->third->report->migration_address, "10.0.0.20");
    Drover__V1__Inspection *seen = made_inspection(&m->evidence, m->third);
    Drover__V1__Export *e = new0(Drover__V1__Export);
    drover__v1__export__init(e);
    made_string(&e->kind, "iscsi");
    made_string(&e->name, "iqn.2026-01.lab:one");
    e->lun = 1;
    append(&seen->exports, &seen->n_exports, e);
    return made_ask(&m->evidence, m->destination, KIND(ISCSI_IDENTITY), "vdb");
}
SPOIL(other_unit)
{
    made_string(&unit(m)->result->identity, "serial 6001405a22");
}
/* Two servers of tgt under one name: they call their first unit the same. */
static void unnamed_units(struct move *m, const char *identity)
{
    network_disk(m, "iscsi", "store1");
    move_with_proof(m);
    const struct fleet_host *hosts[2] = {m->source, m->destination};
    for (unsigned i = 0; i < 2; i++)
        made_string(&made_ask(&m->evidence, hosts[i], KIND(ISCSI_IDENTITY), "vdb")->result->identity,
                    identity);
    made_string(&made_inspection(&m->evidence, m->destination)->names[0]->addresses[0], "10.0.0.21");
}
SPOIL(unit_with_the_serial_of_every_tgt)
{
    unnamed_units(m, "serial beaf11");
}
SPOIL(unit_with_the_id_of_every_tgt)
{
    unnamed_units(m, "designator IET     00010001");
}
SPOIL(no_inquiry)
{
    made_answer(unit(m), UNDECIDED, "no-program", "there is no program iscsi-inq");
}
static char **address_of(struct move *m, const struct fleet_host *host)
{
    return &made_inspection(&m->evidence, host)->names[0]->addresses[0];
}
static void at_server(struct move *m, const char *protocol)
{
    network_disk(m, protocol, "store1");
    move_with_proof(m);
}
SPOIL(another_server)
{
    at_server(m, "nbd");
    made_string(address_of(m, m->destination), "10.0.0.21");
}
SPOIL(each_hosts_own_server)
{
    at_server(m, "nbd");
    made_string(address_of(m, m->source), "127.0.0.1");
    made_string(address_of(m, m->destination), "127.0.0.1");
}
SPOIL(local_socket)
{
    network_disk(m, "nbd", "/run/nbd.sock");
}
SPOIL(secret)
{
    made_string(&network_disk(m, "rbd", "mon1")->auth, "libvirt");
}
SPOIL(no_server_named)
{
    made_string(&network_disk(m, "rbd", "")->auth, "libvirt");
}
static void two_servers(struct move *m)
{
    Drover__V1__Disk *d = network_disk(m, "gluster", "store1");
    Drover__V1__DiskHost *h = new0(Drover__V1__DiskHost);
    drover__v1__disk_host__init(h);
    made_string(&h->name, "store2");
    append(&d->more_hosts, &d->n_more_hosts, h);
    move_with_proof(m);
}
SPOIL(no_server_of_media_named)
{
    Drover__V1__Disk *d = network_disk(m, "rbd", "");
    made_string(&d->auth, "libvirt");
    made_string(&d->device, "cdrom");
}
SPOIL(another_second_server)
{
    two_servers(m);
    made_string(&made_inspection(&m->evidence, m->destination)->names[1]->addresses[0], "10.0.0.21");
}
static void with_volume(struct move *m, const char *volume, const char *type, const char *type_there)
{
    made_string(&made_disk(m->guest, "volume", volume)->target, "vdb");
    made_pool(m->from, "luns", type, "/dev/disk/by-path");
    made_pool(m->to, "luns", type_there, "/dev/disk/by-path");
    move_with_proof(m);
}
/* As a host tells of the volume that is a device: the last path that was asked. */
static Drover__V1__PathFacts *volume_at(struct move *m, const struct fleet_host *host, const char *wwid)
{
    Drover__V1__Inspection *seen = made_inspection(&m->evidence, host);
    Drover__V1__PathFacts *p = seen->paths[seen->n_paths - 1];
    made_string(&p->kind, "block");
    p->lun = new0(Drover__V1__Lun);
    drover__v1__lun__init(p->lun);
    made_string(&p->lun->wwid, wwid);
    return p;
}
SPOIL(volume_of_another_unit)
{
    with_volume(m, "luns/unit:0:0:1", "iscsi", "iscsi");
    volume_at(m, m->source, "naa.1");
    volume_at(m, m->destination, "naa.2");
}
SPOIL(volume_that_is_not_there)
{
    with_volume(m, "luns/unit:0:0:1", "iscsi", "iscsi");
    volume_at(m, m->source, "naa.1");
    Drover__V1__PathFacts *p = volume_at(m, m->destination, "naa.1");
    made_string(&p->kind, "absent");
    made_string(&p->error, "no storage vol with matching name 'unit:0:0:1'");
}
SPOIL(volume_of_this_machines_own_group)
{
    with_volume(m, "luns/web1", "logical", "logical");
    volume_at(m, m->source, "");
    volume_at(m, m->destination, "");
}
SPOIL(pool_of_another_kind)
{
    with_volume(m, "luns/web1", "logical", "dir");
}
SPOIL(volume_of_rbd)
{
    with_volume(m, "luns/web1", "rbd", "rbd");
}
SPOIL(read_only_volume_of_rbd)
{
    with_volume(m, "luns/web1", "rbd", "rbd");
    m->guest->disks[m->guest->n_disks - 1]->readonly = true;
}
SPOIL(unknown_protocol)
{
    network_disk(m, "vxhs", "storage7");
}

/* ---- an inspection that is not whole: all the rest is proven ---- */

static struct ask *inspected(struct move *m, const struct fleet_host *host)
{
    move_seen(m, host);
    return &m->evidence.asks[evidence_inspect(&m->evidence, host) - m->evidence.asks];
}
SPOIL(not_inspected)
{
    made_silence(inspected(m, m->destination), STATUS_DEADLINE_EXCEEDED, "kvm2 gave no answer in 3 s");
}
SPOIL(guest_untold)
{
    Drover__V1__Inspection *seen = move_seen(m, m->source);
    drover__v1__guest_now__free_unpacked(seen->guest, NULL);
    seen->guest = NULL;
    seen->errors = xcalloc(1, sizeof(char *));
    seen->errors[seen->n_errors++] = xstrdup("cannot connect to libvirt");
}
static void with_media(struct move *m)
{
    Drover__V1__Disk *d = made_disk(m->guest, "file", "/var/lib/iso/install.iso");
    made_string(&d->target, "hdc");
    made_string(&d->device, "cdrom");
}
SPOIL(media_untold)
{
    with_media(m);
    Drover__V1__Inspection *seen = move_seen(m, m->destination);
    drover__v1__path_facts__free_unpacked(seen->paths[--seen->n_paths], NULL);
}
SPOIL(media_on_storage_that_hangs)
{
    with_media(m);
    Drover__V1__PathFacts *p = move_seen(m, m->destination)->paths[1];
    drover__v1__mount__free_unpacked(p->mount, NULL);
    p->mount = NULL;
    made_string(&p->kind, "");
    made_string(&p->error, "its file system has not answered for 7 s");
}
SPOIL(server_untold)
{
    at_server(m, "nbd");
    Drover__V1__Inspection *seen = move_seen(m, m->destination);
    drover__v1__resolved_name__free_unpacked(seen->names[--seen->n_names], NULL);
}
SPOIL(resolver_down)
{
    at_server(m, "nbd");
    Drover__V1__ResolvedName *n = move_seen(m, m->destination)->names[0];
    free(n->addresses[--n->n_addresses]);
    made_string(&n->error, "no answer within 1500 ms");
}
static void unresolved(Drover__V1__ResolvedName *n)
{
    free(n->addresses[--n->n_addresses]);
    made_string(&n->error, "no answer within 5000 ms");
}
SPOIL(each_host_knows_another_server)
{
    two_servers(m);
    unresolved(made_inspection(&m->evidence, m->source)->names[1]);
    unresolved(made_inspection(&m->evidence, m->destination)->names[0]);
}
SPOIL(host_untold)
{
    Drover__V1__Inspection *seen = move_seen(m, m->destination);
    drover__v1__host_facts__free_unpacked(seen->host, NULL);
    seen->host = NULL;
}

#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK

const struct spoiled preflight_hardware[] = {
    {cpu_lacks, "cpu-incompatible", "avx512f", ONLY, B},
    {cpu_lacks_at_rest, "cpu-incompatible", "avx512f", ONLY, B},
    {own_cpu_lacks, "cpu-incompatible", "gfni", ONLY, B},
    {cpu_not_compared, "cpu-unproven", "no emulator", ONLY, W},
    {few_pages, "hugepages", "2047 of its 2047", ONLY, B},
    {promised_pages, "hugepages", "2000 of its 2100 huge pages of 2048 KiB are free beside", ONLY, B},
    {no_such_pages, "hugepages", "0 of its 0 huge pages of 1048576 KiB", ONLY, B},
    {few_pages_at_rest, "hugepages-to-start", "1 of its 1", ONLY, W},
    {too_many_vcpus, "vcpu-limit", "25 vCPUs then, on 16", ONLY, B},
    {promised_vcpus, "vcpu-limit", "25 vCPUs then, on 16", ONLY, B},
    {old_libvirt_by_policy, "libvirt-version", "8.0.0", ONLY, B},
    {no_hyperv, "hypervisor-feature", "hyperv-relaxed", ONLY, B},
    {no_swtpm, "hypervisor-feature", "tpm-emulator", ONLY, B},
    {tpm_at_rest, "tpm-state", "swtpm", ONLY, B},
    {no_socket, "device-path", "/run/broker.sock", ONLY, B},
    {no_directory_for_socket, "device-path", "no /srv/agents", ONLY, B},
    {other_unit, "unit-differs", "serial 6001405a22 on kvm2", ONLY, B},
    {unit_with_the_serial_of_every_tgt, "server-differs", "10.0.0.21 on kvm2", MORE, B},
    {unit_with_the_id_of_every_tgt, "server-differs", "10.0.0.21 on kvm2", MORE, B},
    {no_inquiry, "unit-unproven", "iscsi-inq", ONLY, W},
    {another_server, "server-differs", "store1 is 10.0.0.20 on kvm1, and 10.0.0.21 on kvm2", MORE, B},
    {each_hosts_own_server, "server-differs", "127.0.0.1 on kvm2", MORE, B},
    {local_socket, "disk-local-socket", "/run/nbd.sock", ONLY, B},
    {another_second_server, "server-differs", "store2 is 10.0.0.20 on kvm1", MORE, B},
    {secret, "disk-unproven", "the secret of libvirt", ONLY, W},
    {no_server_named, "server-unnamed", "of rbd, with no <host>", ONLY, B},
    {no_server_of_media_named, "server-unnamed", "of rbd, with no <host>", ONLY, W},
    {volume_of_another_unit, "block-device-differs", "naa.2 on kvm2", ONLY, B},
    {volume_that_is_not_there, "block-device-missing", "no storage vol", ONLY, B},
    {volume_of_this_machines_own_group, "block-device-unproven", "luns/web1", ONLY, B},
    {pool_of_another_kind, "storage-pool", "of kvm2 is of type dir, and that of kvm1 of type logical", ONLY,
     B},
    {volume_of_rbd, "volume-unproven", "pool of type rbd", ONLY, B},
    {read_only_volume_of_rbd, "volume-unproven", "pool of type rbd", ONLY, W},
    {not_inspected, "inspection-missing", "in 3 s", ONLY, B},
    {guest_untold, "inspection-missing", "the guest (cannot connect", ONLY, B},
    {media_untold, "inspection-missing", "install.iso", ONLY, B},
    {media_on_storage_that_hangs, "inspection-missing", "install.iso (its file system", ONLY, B},
    {server_untold, "names-untold", "store1", MORE, B},
    {resolver_down, "names-untold", "store1 (no answer within", MORE, B},
    {each_host_knows_another_server, "names-untold", "store2 (no answer within", MORE, B},
    {host_untold, "host-untold", "not of itself", ONLY, B},
    {unknown_protocol, "disk-unproven", "vxhs of storage7", ONLY, W},
};
const size_t n_preflight_hardware = sizeof(preflight_hardware) / sizeof(preflight_hardware[0]);
