/* What the files of rules share. A rule looks at the facts and calls found() for each thing that is not as it must be. */
#pragma once

#include "common/base/memory.h"
#include "coordinator/core/preflight.h"
#include "coordinator/core/text.h"

#include <stdlib.h>

/* When a rule is asked. */
enum {
    ALWAYS = 0,
    REPORTS = 1 << 0, /* only when both hosts have reported */
    LIBVIRT =
        1
        << 1, /* only when both are up, and hypervisors whose libvirt answers: else their reports are old or lack it */
    MOVING = 1 << 2,  /* only when the guest's memory moves */
    AT_REST = 1 << 3, /* only when just its definition moves */
    PROBED =
        1
        << 4, /* only when the agents were asked (struct preflight.evidence), and both of the hosts answered */
    SILENT = 1 << 5, /* only when they were asked, and one of the hosts did not */
    OWN = 1 << 6,    /* of the guest itself, wherever it goes (struct preflight.own) */
};

struct rule {
    const char *id; /* stable: operators and scripts know it */
    Drover__V1__Severity severity;
    unsigned when;
    void (*look)(const struct preflight *in, const struct rule *rule, struct findings *out);
    const char *about; /* for `drover check --explain`: what it means, and why it matters */
    bool can_accept;   /* --accept may override it: the guest's data is in no danger */
};

/* The table's, in its order (preflight.c); NULL behind the last. */
const struct rule *preflight_rule(size_t index);

#define RULE(name) void rule_##name(const struct preflight *in, const struct rule *rule, struct findings *out)

/* Each argument is a parenthesised format with its values: found(("bridge %s", name), ("not there"), (...), (...)). */
#define found(subject, seen, expected, todo)                                                                 \
    finding_add(out, rule->id, rule->severity, xasprintf subject, xasprintf seen, xasprintf expected,        \
                xasprintf todo)

/* The same about a disk; of one that the guest only reads, or media, no data is lost: that warns. */
#define found_of_disk(disk, subject, seen, expected, todo)                                                   \
    finding_add(out, rule->id, disk_is_written(disk) ? rule->severity : DROVER__V1__SEVERITY__WARN,          \
                xasprintf subject, xasprintf seen, xasprintf expected, xasprintf todo)

/* Marks the findings of this destination's storage for which another destination may do (rules_proof.c). */
void storage_mark_elsewhere(const struct preflight *in, struct findings *out);

RULE(host_up);
RULE(host_told);
RULE(host_role);
RULE(host_maintenance);
RULE(libvirt_up);
RULE(agent_silent);
RULE(inspection_missing);
RULE(host_untold);
RULE(names_untold);
RULE(same_host);
RULE(host_uuid);
RULE(agent_version);
RULE(libvirt_version);
RULE(qemu_version);
RULE(listening);
RULE(migration_address);
RULE(tls_forced);
RULE(listens_elsewhere);
RULE(libvirt_auth);
RULE(memory_free);
RULE(memory_overcommit);
RULE(vcpus);
RULE(accelerator);
RULE(arch);
RULE(machine_type);
RULE(cpu_model);
RULE(cpu_incompatible);
RULE(cpu_unproven);
RULE(hugepages);
RULE(vcpu_limit);
RULE(hypervisor_feature);
RULE(tpm_state);
RULE(device_path);
RULE(bridges);
RULE(networks);
RULE(interface_kind);
RULE(storage_pools);
RULE(volume_unproven);

RULE(guest_busy);
RULE(guest_state);
RULE(mode_allowed);
RULE(post_copy_handover);
RULE(post_copy_missing);
RULE(name_free);
RULE(uuid_free);
RULE(guest_elsewhere);
RULE(guest_remembered);
RULE(hostdevs);
RULE(snapshots);
RULE(checkpoints);
RULE(managed_save);
RULE(definition_differs);
RULE(nvram);

RULE(storage_not_shared);
RULE(storage_other_path);
RULE(storage_missing);
RULE(storage_read_only);
RULE(storage_stale);
RULE(storage_full);
RULE(storage_unproven);
RULE(block_missing);
RULE(block_differs);
RULE(block_read_only);
RULE(block_offline);
RULE(block_unproven);
RULE(volume_units_untold);
RULE(export_is_host);
RULE(export_closed);
RULE(export_access_unknown);
RULE(export_not_seen);
RULE(export_untraced);
RULE(image_unreachable);
RULE(image_unproven);
RULE(image_differs);
RULE(unit_differs);
RULE(unit_unproven);
RULE(server_differs);
RULE(server_unnamed);
RULE(disk_local_socket);
RULE(disk_unproven);
RULE(copy_storage);
RULE(copy_kind);
RULE(copy_target);
RULE(copy_space);
RULE(copy_space_later);
RULE(cache_unsafe);
RULE(cache_mode);
RULE(migration_unsafe);
RULE(disk_format);
RULE(disk_transient);
RULE(disk_shareable);
RULE(cdrom_local);
RULE(cdrom_differs);

RULE(probe_unknown);
RULE(bridge_segment);
RULE(bridge_unheard);
RULE(vlan_unproven);
RULE(mtu_smaller);
RULE(mac_in_use);
RULE(guest_rules);
RULE(port_range);
RULE(migration_port);
RULE(port_unproven);
RULE(libvirt_port);
RULE(clock_offset);
RULE(release_unsupported);
RULE(release_untested);
RULE(release_backward);

/* The nonce beside the disk's image was written by the source and read by the destination. */
bool storage_proven(const struct preflight *in, const Drover__V1__Disk *disk);

/* The host of the fleet that has this name or address; NULL if none is known by it. */
const struct fleet_host *host_known_as(const struct preflight *in, const char *name);

/* What a server's name stands for at that host; NULL: nothing, or nobody asked. */
const Drover__V1__ResolvedName *name_at(const struct preflight *in, const struct fleet_host *host,
                                        const char *name);
/* It is one of a disk's servers, none of which both hosts resolve. */
bool server_unresolved(const struct preflight *in, const char *name);
bool is_loopback(const char *address);

/* What both hosts told of disk `i` of the guest, if it is a block device (false: it is none); NULL where nothing was told. */
bool block_facts(const struct preflight *in, size_t i, const Drover__V1__PathFacts **ret_here,
                 const Drover__V1__PathFacts **ret_there);

/* By WWID, or target and unit. */
enum lun_identity { SAME_LUN, OTHER_LUN, LUN_NOT_TOLD };
enum lun_identity luns_compare(const Drover__V1__Lun *a, const Drover__V1__Lun *b);

/* The destination's libvirt said that it can run the guest's CPU. */
bool cpu_proven(const struct preflight *in);

/* It is a file that the destination can write a copy of into the directory of the same path (after mapping), and does not share:
 * with --copy-storage it is copied. `disk` is one of the guest's at the source. */
bool storage_is_local(const struct preflight *in, const Drover__V1__Disk *disk);
