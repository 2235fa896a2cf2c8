#include "preflight_cases.h"

#include "common/base/memory.h"

#include <stdlib.h>

void move_init(struct move *m)
{
    *m = (struct move){0};
    fleet_init(&m->fleet);
    made_host(&m->fleet, "kvm1");
    made_host(&m->fleet, "kvm2");
    made_host(&m->fleet, "kvm3");
    m->source = &m->fleet.hosts[0];
    m->destination = &m->fleet.hosts[1];
    m->third = &m->fleet.hosts[2];
    m->from = m->source->report;
    m->to = m->destination->report;
    drover__v1__policy__init(&m->policy);
    struct fleet_guest *guest = made_guest(m->source, "web1", UUID_A);
    m->guest = guest->guest;
    m->in = (struct preflight){
        .fleet = &m->fleet,
        .source = m->source,
        .destination = m->destination,
        .guest = guest,
        .mode = DROVER__V1__MODE__MODE_LIVE,
        .policy = &m->policy,
    };
}

void move_deinit(struct move *m)
{
    findings_deinit(&m->out);
    evidence_deinit(&m->evidence);
    fleet_deinit(&m->fleet);
}

/* Each case spoils one thing, and names the finding that must come of it. */
#define SPOIL(name) static void name(struct move *m)

SPOIL(destination_down)
{
    fleet_session(m->destination, false, 5, "connection refused");
}
SPOIL(source_down)
{
    fleet_session(m->source, false, 5, "connection refused");
}
SPOIL(not_told)
{
    m->destination->synced = false;
}
SPOIL(storage_node)
{
    m->to->hypervisor = false;
}
SPOIL(in_maintenance)
{
    m->destination->maintenance = true;
}
SPOIL(libvirt_down)
{
    m->to->libvirt_up = false;
    made_string(&m->to->libvirt_error, "Failed to connect socket");
}
SPOIL(itself)
{
    m->in.destination = m->source;
}
SPOIL(equal_host_uuids)
{
    made_string(&m->to->host_uuid, m->from->host_uuid);
}
SPOIL(other_agent)
{
    made_string(&m->to->agent_version, "0.0.9");
}
SPOIL(older_libvirt)
{
    m->to->libvirt_version = 8010000;
}
SPOIL(older_qemu)
{
    m->to->qemu_version = 6002000;
}
SPOIL(job_open)
{
    m->in.open_job = 12;
}
SPOIL(held_by_agent)
{
    made_string(&m->guest->transaction, UUID_B);
}
SPOIL(libvirt_job)
{
    m->guest->job = true;
}
SPOIL(paused)
{
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_PAUSED;
}
SPOIL(off_but_live)
{
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}
SPOIL(running_but_definition)
{
    m->in.mode = DROVER__V1__MODE__MODE_DEFINITION;
}
SPOIL(post_copy)
{
    m->in.mode = DROVER__V1__MODE__MODE_POST_COPY;
}
SPOIL(post_copy_allowed)
{
    m->policy.post_copy = true;
    m->in.mode = DROVER__V1__MODE__MODE_AUTO;
}
SPOIL(post_copy_without_userfaultfd)
{
    post_copy_allowed(m);
    m->in.mode = DROVER__V1__MODE__MODE_POST_COPY;
    made_string(&m->to->userfaultfd, "none");
}
SPOIL(maybe_without_userfaultfd)
{
    post_copy_allowed(m);
    made_string(&m->to->userfaultfd, "0");
    made_string(&m->to->qemu_user, "libvirt-qemu");
}
SPOIL(twice)
{
    made_guest(m->third, "web1", UUID_A);
}
SPOIL(defined_elsewhere)
{
    made_guest(m->third, "web1", UUID_A)->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}
SPOIL(remembered)
{
    made_guest(m->third, "web1", UUID_A);
    fleet_session(m->third, false, 5, "lost");
}
static void add_hostdev(Drover__V1__Guest *guest)
{
    guest->hostdevs = xcalloc(1, sizeof(char *));
    guest->hostdevs[guest->n_hostdevs++] = xstrdup("PCI 0000:3b:00.0");
}
SPOIL(passed_device)
{
    add_hostdev(m->guest);
}
SPOIL(with_snapshots)
{
    m->guest->snapshots = 2;
}
SPOIL(with_checkpoints)
{
    m->guest->checkpoints = 1;
}
static void at_rest(struct move *m)
{
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    m->in.mode = DROVER__V1__MODE__MODE_DEFINITION;
}
SPOIL(off_with_device)
{
    at_rest(m);
    add_hostdev(m->guest);
}
SPOIL(saved)
{
    at_rest(m);
    m->guest->managed_save = true;
}
SPOIL(variables)
{
    at_rest(m);
    made_string(&m->guest->nvram, "/var/lib/libvirt/qemu/nvram/web1.fd");
}
SPOIL(same_name)
{
    made_guest(m->destination, "web1", UUID_B);
}
SPOIL(same_uuid)
{
    made_guest(m->destination, "web1", UUID_A)->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}
SPOIL(no_remote)
{
    made_string(&m->to->libvirt_remote, "");
}
SPOIL(deaf_tcp)
{
    m->to->listening->tcp = false;
}
SPOIL(deaf_tls)
{
    made_string(&m->to->libvirt_remote, "qemu+tls://kvm2/system");
}
SPOIL(no_address)
{
    made_string(&m->to->migration_address, "");
}
SPOIL(wildcard_address)
{
    made_string(&m->to->migration_address, "0.0.0.0");
}
SPOIL(full)
{
    m->to->memory_free = 4 * GIB;
}
SPOIL(full_but_for_its_qemu) /* PREPARE would refuse it */
{
    m->to->memory_free = 4 * GIB + 4 * GIB / 25;
}
SPOIL(reserved)
{
    m->to->memory_reserved = 45 * GIB;
}
SPOIL(promised)
{
    m->in.promised.memory = 45 * GIB;
}
SPOIL(full_for_later)
{
    at_rest(m);
    m->to->memory_free = GIB;
}
SPOIL(overcommitted)
{
    m->to->memory_guests = 61 * GIB;
}
SPOIL(few_cpus)
{
    m->to->cpu->online = 1;
}
SPOIL(no_kvm)
{
    made_string(&m->to->accelerators[0], "none");
}
SPOIL(no_tcg)
{
    made_string(&m->guest->type, "qemu");
    made_string(&m->to->accelerators[1], "none");
}
SPOIL(other_arch)
{
    made_string(&m->to->cpu->arch, "aarch64");
}
SPOIL(unknown_machine)
{
    made_string(&m->guest->machine, "pc-i440fx-8.0");
}
SPOIL(other_cpu)
{
    made_string(&m->guest->cpu_mode, "host-passthrough");
    made_string(&m->to->cpu->model, "Broadwell");
}
SPOIL(no_bridge)
{
    made_string(&m->guest->interfaces[0]->source, "br9");
}
SPOIL(no_network)
{
    made_string(&m->guest->interfaces[0]->type, "network");
    made_string(&m->guest->interfaces[0]->source, "lab");
}
SPOIL(network_off)
{
    made_string(&m->guest->interfaces[0]->type, "network");
    made_string(&m->guest->interfaces[0]->source, "default");
    m->to->networks[0]->active = false;
}
SPOIL(macvtap)
{
    made_string(&m->guest->interfaces[0]->type, "direct");
}
SPOIL(network_without_bridge)
{
    made_string(&m->guest->interfaces[0]->type, "network");
    made_string(&m->guest->interfaces[0]->source, "default");
}
SPOIL(network_without_bridge_there)
{
    network_without_bridge(m);
    made_string(&m->from->networks[0]->bridge, "br0");
}
SPOIL(tagged)
{
    made_string(&m->guest->interfaces[0]->vlan, "42");
}
static void add_vlan(Drover__V1__HostReport *report, const char *vlan)
{
    Drover__V1__Network *n = report->networks[0];
    made_string(&n->bridge, "br0");
    if (!vlan)
        return;
    n->vlans = xrealloc(n->vlans, n->n_vlans + 1, sizeof(*n->vlans));
    n->vlans[n->n_vlans++] = xstrdup(vlan);
}
SPOIL(tagged_by_the_network)
{
    network_without_bridge(m);
    for (int i = 0; i < 2; i++) {
        add_vlan(i ? m->from : m->to, "web:42");
        add_vlan(i ? m->from : m->to, "7");
    }
}
SPOIL(tagged_by_the_port_group)
{
    tagged_by_the_network(m);
    made_string(&m->guest->interfaces[0]->portgroup, "web");
}
SPOIL(tagged_otherwise)
{
    network_without_bridge(m);
    add_vlan(m->from, "7");
    add_vlan(m->to, NULL);
}
SPOIL(no_pool)
{
    made_disk(m->guest, "volume", "images/web1.qcow2");
}
#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK

const struct spoiled preflight_cases[] = {
    {destination_down, "host-up", "connection refused", MORE, B},
    {source_down, "host-up", "connection refused", MORE, B},
    {not_told, "host-told", "not told", MORE, B},
    {storage_node, "host-role", "hypervisor", ONLY, B},
    {in_maintenance, "host-maintenance", "in maintenance", MORE, B},
    {libvirt_down, "libvirt-up", "Failed to connect socket", ONLY, B},
    {itself, "same-host", "already", MORE, B},
    {equal_host_uuids, "host-uuid", "kvm1", JOINED, B},
    {other_agent, "agent-version", "0.0.9", JOINED, W},
    {older_libvirt, "libvirt-version", "8.10.0", JOINED, W},
    {older_qemu, "qemu-version", "6.2.0", JOINED, W},
    {job_open, "guest-busy", "job 12", JOINED, B},
    {held_by_agent, "guest-busy", UUID_B, JOINED, B},
    {libvirt_job, "guest-busy", "libvirt", JOINED, B},
    {paused, "guest-state", "paused", JOINED, B},
    {off_but_live, "guest-state", "shut off", MORE, B},
    {running_but_definition, "guest-state", "running", MORE, B},
    {post_copy, "mode-allowed", "post-copy", JOINED, B},
    {post_copy_allowed, "post-copy-handover", "no lock", MORE, W},
    {post_copy_without_userfaultfd, "post-copy-missing", "no userfaultfd", MORE, B},
    {maybe_without_userfaultfd, "post-copy-left-out", "unprivileged_userfaultfd is 0", MORE, W},
    {twice, "guest-elsewhere", "kvm3", MORE, B},
    {defined_elsewhere, "guest-remembered", "kvm3", MORE, W},
    {remembered, "guest-remembered", "kvm3", MORE, W},
    {passed_device, "host-device", "3b:00.0", JOINED, B},
    {off_with_device, "host-device-defined", "3b:00.0", MORE, W},
    {with_snapshots, "snapshots", "2 snapshots", JOINED, B},
    {with_checkpoints, "checkpoints", "1 checkpoint", JOINED, B},
    {saved, "managed-save", "kvm1", MORE, B},
    {variables, "firmware-variables", "web1.fd", MORE, B},
    {same_name, "name-free", UUID_B, MORE, B},
    {same_uuid, "uuid-free", "UUID already: web1", JOINED, B},
    {no_remote, "listening", "no way", MORE, B},
    {deaf_tcp, "listening", "TCP", MORE, B},
    {deaf_tls, "listening", "TLS", MORE, B},
    {no_address, "migration-address", "no address", JOINED, B},
    {wildcard_address, "migration-address", "0.0.0.0", JOINED, B},
    {full, "memory-free", "4096 MiB", JOINED, B},
    {full_but_for_its_qemu, "memory-free", "4259 MiB", JOINED, B},
    {reserved, "memory-free", "beside", JOINED, B},
    {promised, "memory-free", "beside", JOINED, B},
    {full_for_later, "memory-to-start", "1024 MiB", MORE, W},
    {overcommitted, "memory-overcommit", "66560 MiB", JOINED, W},
    {few_cpus, "vcpus", "1 logical", JOINED, W},
    {no_kvm, "accelerator", "tcg", MORE, B},
    {no_tcg, "accelerator", "kvm", MORE, B},
    {other_arch, "arch", "aarch64", MORE, B},
    {unknown_machine, "machine-type", "pc-i440fx-8.0", JOINED, B},
    {other_cpu, "cpu-model", "Broadwell", JOINED, W},
    {no_bridge, "bridge", "br9", MORE, B},
    {no_network, "network", "lab", MORE, B},
    {network_off, "network", "default", MORE, B},
    {macvtap, "interface-kind", "direct", MORE, W},
    {network_without_bridge, "interface-kind", "no bridge on kvm1 and kvm2", MORE, W},
    {network_without_bridge_there, "interface-kind", "no bridge on kvm2,", MORE, W},
    {tagged, "vlan-unproven", "in VLAN 42", JOINED, W},
    {tagged_by_the_network, "vlan-unproven", "in VLAN 7", ONLY, W},
    {tagged_by_the_port_group, "vlan-unproven", "in VLAN 42", ONLY, W},
    {tagged_otherwise, "vlan-unproven", "kvm1 puts it into VLAN 7, and network default of kvm2 into none",
     ONLY, W},
    {no_pool, "storage-pool", "images", JOINED, B},
};
const size_t n_preflight_cases = sizeof(preflight_cases) / sizeof(preflight_cases[0]);
