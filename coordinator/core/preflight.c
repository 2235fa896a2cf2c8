#include "coordinator/core/preflight.h"

#include "coordinator/core/rules.h"

#define B DROVER__V1__SEVERITY__BLOCK
#define W DROVER__V1__SEVERITY__WARN
#define I DROVER__V1__SEVERITY__INFO

/* All rules, in the order in which their findings are told. A new one is a line here and a function in a rules_*.c: its
 * id, its weight, when it is asked, what looks, what it means, and whether --accept may override it. */
static const struct rule rules[] = {
    /* The hosts. */
    {"host-up", B, ALWAYS, rule_host_up,
     "A host of the move has no session with its agent. What it has and what runs there is then old news, so "
     "nothing moves.",
     false},
    {"host-told", B, ALWAYS, rule_host_told,
     "An agent has just connected and has not told all its guests yet. It takes a moment.", false},
    {"host-role", B, REPORTS, rule_host_role,
     "Guests only run on hosts whose agent has the role hypervisor; a node that exports storage has not.",
     false},
    {"host-maintenance", B, ALWAYS, rule_host_maintenance,
     "An operator, or an evacuation, has put the destination into maintenance: it gets no guests until "
     "`drover maintenance off`.",
     false},
    {"libvirt-up", B, REPORTS, rule_libvirt_up,
     "The agent runs, but libvirt beside it does not answer. Nothing can be started or moved without it.",
     false},
    {"agent-silent", B, SILENT, rule_agent_silent,
     "The agent is connected and did not answer when it was asked what the host is like and what it can "
     "prove. So nothing tells whether the host is ready.",
     false},
    {"inspection-missing", B, PROBED, rule_inspection_missing,
     "A host was asked about the guest and its paths, and has not told of all in time. What was not looked "
     "at can't be found to be wrong, so nothing moves.",
     false},
    {"host-untold", B, PROBED, rule_host_untold,
     "A host has told what the guest needs there, and not of itself in time: whether it serves the disks by "
     "one of its addresses, and has the huge pages, is then not known.",
     true},
    {"names-untold", B, PROBED, rule_names_untold,
     "Of a network disk, no server's name could be looked up on both hosts: the nameserver does not answer, "
     "or does not know it. Whether they would reach one server is then not known.",
     false},
    {"same-host", B, ALWAYS, rule_same_host, "The destination that was named is the host where the guest is.",
     false},
    {"host-uuid", B, LIBVIRT, rule_host_uuid,
     "libvirt tells hosts apart by a host UUID (from the firmware, or host_uuid in libvirtd.conf) and "
     "refuses to migrate between equal ones.",
     false},
    {"agent-version", W, REPORTS, rule_agent_version,
     "The two agents are of different versions. They talk to each other during a move; one version is what "
     "is tested.",
     false},
    {"libvirt-version", W, LIBVIRT, rule_libvirt_version,
     "The destination's libvirt is older than the source's. It may not know what the newer one wrote into "
     "the guest's definition. The policy's `older_versions: block` makes it forbid the move.",
     false},
    {"qemu-version", W, LIBVIRT, rule_qemu_version,
     "The destination's QEMU is older than the source's. Moving back to an older version is the less tested "
     "direction. The policy's `older_versions: block` makes it forbid the move.",
     false},
    {"release-unsupported", B, PROBED, rule_release_unsupported,
     "Red Hat does not support live migration in this direction between these releases (table 4.1 of its "
     "Virtualization Administration Guide).",
     true},
    {"release-untested", W, PROBED, rule_release_untested,
     "The releases of the two hosts are not in Red Hat's table of supported directions.", false},
    {"release-backward", I, PROBED, rule_release_backward,
     "Red Hat supports this direction with known issues: see the release notes of the destination.", false},
    {"probe-unknown", W, PROBED, rule_probe_unknown,
     "An agent is too old to be asked for proofs, so networks and ports of that host are believed, not seen; "
     "storage stays unproven.",
     false},

    /* The guest. */
    {"guest-busy", B, ALWAYS, rule_guest_busy,
     "Something works on the guest already: a job of Drover, a transaction that its agent holds, or a job of "
     "libvirt.",
     false},
    {"guest-state", B, OWN, rule_guest_state,
     "Guests move while they run, or as a definition while they are shut off; not paused, crashed or asleep.",
     false},
    {"mode-allowed", B, OWN, rule_mode_allowed,
     "Post-copy was asked for, and the policy's allow does not have it.", false},
    {"post-copy-handover", W, MOVING, rule_post_copy_handover,
     "A migration that may go on as post-copy can't start paused: libvirt runs the guest at the "
     "destination. If its last answer is lost before post-copy has begun, stock libvirt runs it at the "
     "source, too, and nothing but a lock on the disk stops the second copy.",
     false},
    {"post-copy-missing", B, REPORTS | MOVING, rule_post_copy_missing,
     "Post-copy was asked for, and the destination's QEMU may not use userfaultfd, by which it waits for "
     "pages: it would refuse the migration. libvirt's packages of some distributions set "
     "vm.unprivileged_userfaultfd for it.",
     true},
    {"post-copy-left-out", W, REPORTS | MOVING, rule_post_copy_missing,
     "The policy allows post-copy, and the destination's QEMU may not use userfaultfd, by which it waits "
     "for pages. The guest moves without post-copy among the rungs of the ladder.",
     false},
    {"guest-elsewhere", B, ALWAYS, rule_guest_elsewhere,
     "The guest is active on another host as well. Its disks are in danger; nothing is made worse by moving "
     "one of the two.",
     false},
    {"guest-remembered", W, ALWAYS, rule_guest_remembered,
     "Another host has a definition of the same guest, or had it when it was last heard of. It must not be "
     "started there.",
     false},
    {"host-device", B, MOVING | OWN, rule_hostdevs,
     "A device of the host was given to the guest. QEMU can't move the state that is in the device.", false},
    {"host-device-defined", W, AT_REST, rule_hostdevs,
     "The definition names a device of the host. At the destination the guest starts only if the same device "
     "is there.",
     false},
    {"snapshots", B, MOVING | OWN, rule_snapshots,
     "libvirt refuses to migrate a running guest that has snapshots.", false},
    {"checkpoints", B, OWN, rule_checkpoints,
     "Backup checkpoints are kept by the libvirt that made them and would be lost by a move.", false},
    {"managed-save", B, AT_REST | OWN, rule_managed_save,
     "The guest's memory is saved on the source (virsh managedsave). Moving just its definition would lose "
     "it.",
     false},
    {"definition-differs", W, PROBED | MOVING, rule_definition_differs,
     "The guest's definition, which goes along, names disks or networks that the guest does not have while "
     "it runs. They were not checked, and its next start at the destination needs them.",
     false},
    {"firmware-variables", B, AT_REST | OWN, rule_nvram,
     "UEFI variables are in a file that only the source has. A running guest takes them along; a definition "
     "does not.",
     false},

    /* What it needs at the destination. */
    {"name-free", B, ALWAYS, rule_name_free,
     "The destination has another guest of the same name. libvirt needs each name once per host.", false},
    {"uuid-free", B, ALWAYS, rule_uuid_free,
     "The destination has a guest of the same UUID already: a stale definition, or a second copy.", false},
    {"listening", B, LIBVIRT | MOVING, rule_listening,
     "The source's libvirt talks to the destination's during a move. The destination's does not listen in "
     "the way that libvirt_remote says.",
     false},
    {"migration-address", B, LIBVIRT | MOVING, rule_migration_address,
     "The guest's memory travels to an address of the destination, and none is known.", false},
    {"migration-listen", B, PROBED | MOVING, rule_listens_elsewhere,
     "qemu.conf's migration_address makes QEMU listen on another address than that to which guests are sent "
     "(migration_address in agent.yaml). The guest's memory would not arrive.",
     false},
    {"migrate-tls-force", B, PROBED | MOVING, rule_tls_forced,
     "qemu.conf's migrate_tls_force makes libvirt refuse each migration from the host that does not use "
     "QEMU's own TLS. Drover's don't.",
     false},
    {"libvirt-auth", W, LIBVIRT | MOVING, rule_libvirt_auth,
     "The destination's libvirt asks for more than TLS's certificates (SASL, say) in the way that "
     "libvirt_remote says. A connection is proven, a login is not.",
     false},
    {"memory-free", B, LIBVIRT | MOVING, rule_memory_free,
     "The destination has less free memory than the guest may use, counting what other moves have been "
     "promised.",
     false},
    {"memory-to-start", W, LIBVIRT | AT_REST, rule_memory_free,
     "The destination has less free memory than the guest needs when it is started there.", false},
    {"memory-overcommit", W, LIBVIRT | MOVING, rule_memory_overcommit,
     "The guests of the destination could then use more memory than it has.", false},
    {"vcpus", W, LIBVIRT, rule_vcpus, "The guest has more vCPUs than the destination has logical CPUs.",
     false},
    {"accelerator", B, LIBVIRT, rule_accelerator,
     "The guest is of type kvm (or qemu), and the destination can't run that type.", false},
    {"arch", B, LIBVIRT, rule_arch, "The destination has another CPU architecture.", false},
    {"machine-type", B, LIBVIRT, rule_machine_type,
     "QEMU's machine type is the guest's board: it keeps it for as long as it runs, and the destination's "
     "QEMU must know it.",
     false},
    {"cpu-model", W, LIBVIRT | MOVING, rule_cpu_model,
     "The guest sees the host's own CPU, and the destination has another one. It may use instructions that "
     "are not there.",
     false},
    {"cpu-incompatible", B, PROBED, rule_cpu_incompatible,
     "The destination's libvirt, asked to compare the guest's CPU (of one that sees the host's own: what "
     "host-model names on the source), finds features missing. A guest that uses one of them there crashes.",
     false},
    {"cpu-unproven", W, PROBED, rule_cpu_unproven,
     "Whether the destination can run the guest's CPU could not be asked of its libvirt.", false},
    {"hypervisor-feature", B, LIBVIRT, rule_hypervisor_feature,
     "The guest is defined with a feature of the hypervisor (Hyper-V enlightenments, vmcoreinfo, a "
     "generation ID, an emulated TPM) that the destination's libvirt says it does not have.",
     false},
    {"tpm-state", B, AT_REST, rule_tpm_state,
     "The guest's emulated TPM keeps its keys in a directory that only the source has. A running guest "
     "takes them along; a definition does not.",
     false},
    {"device-path", B, PROBED, rule_device_path,
     "A device of the guest (a guest agent's channel, a serial port) or its boot names a file or a socket "
     "of the host, and the destination has none at that path, or no directory to make it in. QEMU would not "
     "start there.",
     false},
    {"hugepages", B, LIBVIRT | MOVING, rule_hugepages,
     "The guest's memory is made of huge pages, and the destination has not enough free ones of that size.",
     false},
    {"hugepages-to-start", W, LIBVIRT | AT_REST, rule_hugepages,
     "The destination has fewer free huge pages than the guest needs when it is started there.", false},
    {"vcpu-limit", B, LIBVIRT | MOVING, rule_vcpu_limit,
     "The policy's vcpu_ratio limits the vCPUs of all guests on a host by its logical CPUs, and the move "
     "would exceed it.",
     true},
    {"bridge", B, LIBVIRT, rule_bridges,
     "The destination has no bridge of the name that the guest's interface hangs on.", false},
    {"network", B, LIBVIRT, rule_networks,
     "libvirt at the destination has no such network, or it is not active.", false},
    {"interface-kind", W, ALWAYS, rule_interface_kind,
     "An interface hangs on something that is not checked: macvtap, vhost-user, ..., or a network of "
     "libvirt's "
     "that has no bridge and gives guests such a device.",
     false},
    {"guest-rules", B, ALWAYS, rule_guest_rules,
     "The operator's own rules in coordinator.yaml (groups, guests, labels of hosts) want the guest "
     "elsewhere.",
     true},
    {"mac-in-use", B, ALWAYS, rule_mac_in_use,
     "An active guest at the destination has a MAC address of this one. Switches then send the frames of "
     "both to either.",
     true},
    {"mtu-smaller", B, LIBVIRT, rule_mtu_smaller,
     "The destination's bridge has a smaller MTU: large packets of the guest would be lost silently after "
     "the move.",
     true},
    {"bridge-segment", B, PROBED, rule_bridge_segment,
     "A frame that the source's agent sent on its bridge was not heard on the destination's bridge of that "
     "name: they are different networks, and the guest would be cut off.",
     true},
    {"bridge-unheard", W, PROBED, rule_bridge_unheard,
     "Whether the two bridges are one network could not be tried.", false},
    {"vlan-unproven", W, REPORTS, rule_vlan_unproven,
     "The guest's frames carry a VLAN's tag, and those of the proof do not: bridges that hear each other may "
     "still lack that VLAN between them. Or libvirt's networks of the two hosts give different tags.",
     false},

    /* The ways between the hosts. */
    {"port-range", B, PROBED | MOVING, rule_port_range,
     "The destination's agent could not listen on any port of libvirt's migration range: all are taken, or "
     "the migration address is not one of that host.",
     false},
    {"migration-port", B, PROBED | MOVING, rule_migration_port,
     "The destination's agent listened on a port of the migration range, and the source could not connect to "
     "it: a firewall, or no route. The guest's memory would not arrive.",
     false},
    {"port-unproven", W, PROBED | MOVING, rule_port_unproven,
     "Whether the migration ports can be reached could not be tried.", false},
    {"libvirt-port", B, PROBED | MOVING, rule_libvirt_port,
     "The source could not connect to the destination's libvirt as libvirt itself would: port, TLS name, "
     "certificates.",
     false},
    {"clock-offset", W, PROBED, rule_clock_offset,
     "The clocks of the two hosts differ by more than a second. A guest that takes its time from the host "
     "would see it jump.",
     false},

    /* Its disks. */
    {"storage-pool", B, LIBVIRT, rule_storage_pools,
     "A disk is a volume of a storage pool that the destination's libvirt does not have, that is not active "
     "there, or that is of another type there.",
     false},
    {"volume-unproven", B, ALWAYS, rule_volume_unproven,
     "A disk is a volume that only QEMU reaches (of an rbd, gluster or iscsi-direct pool): agents can't "
     "look whether the pools of the two hosts lead to the same one. Each host's own pool says what that is: "
     "it may be a copy. Of a disk that is only read it warns.",
     false},
    {"storage-not-shared", B, PROBED, rule_storage_not_shared,
     "Both hosts have a directory at the path of the image, or of a file that it is backed by, but not the "
     "same one: a file that the source wrote there did not appear at the destination. The guest would run "
     "on another disk, on a mix of two, or on none.",
     false},
    {"storage-other-path", B, PROBED, rule_storage_other_path,
     "The destination has the same storage, mounted at another path. The guest's definition names the path.",
     false},
    {"storage-missing", B, PROBED, rule_storage_missing,
     "The destination has no directory at the image's path: the storage is not mounted there.", false},
    {"storage-read-only", B, PROBED, rule_storage_read_only,
     "A host can only read where the image lies: a read-only mount or export, or permissions. The guest's "
     "writes would fail.",
     false},
    {"storage-stale", B, PROBED, rule_storage_stale,
     "The storage does not answer on a host: a stale NFS handle, a dead server, a hung mount.", false},
    {"storage-full", B, PROBED, rule_storage_full,
     "There was no room for a file of a few bytes beside the image. The guest stops as soon as its disk must "
     "grow.",
     false},
    {"storage-unproven", B, PROBED, rule_storage_unproven,
     "The proof that both hosts see the same image, and the same files that it is backed by, could not be "
     "carried out. Without it nothing says that the guest finds its disk.",
     false},
    {"block-device-missing", B, PROBED, rule_block_missing,
     "The block device that the disk names is not at the destination: not logged in, not zoned, not mapped, "
     "or named otherwise.",
     false},
    {"block-device-differs", B, PROBED, rule_block_differs,
     "Both hosts have a block device of that name, but its WWID (or target and unit) or its size differs: "
     "another disk. Device names such as /dev/sdb are given in the order of discovery.",
     false},
    {"block-device-read-only", B, PROBED, rule_block_read_only,
     "The destination sees the block device write-protected: by its LUN's mapping, its target's ACL, or by "
     "itself. The guest's writes would fail.",
     false},
    {"block-device-offline", B, PROBED, rule_block_offline,
     "The destination's kernel has the block device, and does not use it: it is offline or blocked.", false},
    {"block-device-unproven", B, PROBED, rule_block_unproven,
     "No identity could be read from the block device on both hosts, so nothing says that it is the same. "
     "Nothing is ever written to a device to find out.",
     false},
    {"volume-units-untold", B, PROBED, rule_volume_units_untold,
     "Both hosts have a logical volume of the same UUID and size, on devices (DRBD, NBD, virtio) that don't "
     "tell who they are. A copy of those devices has that UUID, too.",
     false},
    {"image-unreachable", B, PROBED, rule_image_unreachable,
     "qemu-img at the destination can't open the image, or one that it is backed by. QEMU would fail in the "
     "same way.",
     false},
    {"image-unproven", W, PROBED, rule_image_unproven,
     "Whether a host can open the image, and what that is backed by, could not be tried.", false},
    {"image-differs", B, PROBED, rule_image_differs,
     "Under the same name, the two hosts open images of different size or format, or with other backing "
     "files.",
     false},
    {"unit-differs", B, PROBED, rule_unit_differs,
     "Under the same name, the two hosts reach iSCSI units that say by INQUIRY that they are different ones.",
     false},
    {"unit-unproven", W, PROBED, rule_unit_unproven,
     "An iSCSI unit could not be asked on both hosts who it is (INQUIRY of its serial number), so only its "
     "name says that it is the same.",
     false},
    {"server-differs", B, PROBED, rule_server_differs,
     "The name of a network disk's server stands for other addresses on the two hosts, none of which they "
     "have in common (loopback is each host's own): they would reach two servers.",
     false},
    {"server-unnamed", B, ALWAYS, rule_server_unnamed,
     "A network disk names no server: each host's own configuration (such as /etc/ceph) says which one that "
     "is, and the destination's may lead to a copy of the image. Of a disk that is only read it warns.",
     false},
    {"disk-local-socket", B, ALWAYS, rule_disk_local_socket,
     "A network disk is reached through a UNIX socket: the server behind it runs on the source, and "
     "another one, or none, at the destination.",
     false},
    {"disk-unproven", W, ALWAYS, rule_disk_unproven,
     "Agents can't open this disk to see that both hosts reach the same: it needs a secret that only libvirt "
     "has, or its protocol is not known to Drover.",
     false},
    {"export-is-host", B, PROBED, rule_export_is_host,
     "The storage that holds the disk is exported by one of the two hosts. It must be a third system: a host "
     "that is emptied takes its exports along when it goes down.",
     false},
    {"export-closed", B, PROBED, rule_export_closed,
     "The export node's configuration does not let one of the hosts use the export, or only read it.", false},
    {"export-access-unknown", I, PROBED, rule_export_access_unknown,
     "The export node's configuration names its clients by a netgroup, by Kerberos or by an initiator that "
     "could not be told, so whether it lets a host in is not known.",
     false},
    {"export-not-seen", B, PROBED, rule_export_not_seen,
     "The export node that the disk is mounted from looked for the proof's file in what it exports, and "
     "it was not there. The hosts share the storage, but it is another one that serves it.",
     true},
    {"export-untraced", W, PROBED, rule_export_untraced,
     "The disk could not be traced to an export, target or volume of an export node that has an agent. Both "
     "hosts see the same storage; which third system serves it is not proven. Of what no agent can read who "
     "exports it (Ceph, NBD, SMB, ...) it only informs.",
     false},
    {"copy-storage", I, PROBED, rule_copy_storage,
     "The disk is copied to the destination's own storage, as --copy-storage asks. The old image stays at "
     "the source, renamed.",
     false},
    {"copy-kind", B, PROBED, rule_copy_kind,
     "Only disks that are raw or qcow2 files (or volumes of a pool that is a directory), not shareable and "
     "not encrypted, are copied.",
     false},
    {"copy-target", B, PROBED, rule_copy_target,
     "There is a file already where the copy of the disk would be. Drover never overwrites one.", false},
    {"copy-space", B, PROBED, rule_copy_space,
     "The destination's file system has less room than the disks that are copied there occupy now.", false},
    {"copy-space-later", W, PROBED, rule_copy_space_later,
     "The disks that are copied fit as they are, but the destination's file system could not hold them if "
     "the guest filled them.",
     false},
    {"cache-unsafe", B, LIBVIRT | MOVING, rule_cache_unsafe,
     "With this cache mode and a QEMU older than 4.0 the destination may read stale data from its own cache. "
     "libvirt refuses it as unsafe.",
     false},
    {"cache-mode", W, LIBVIRT | MOVING, rule_cache_mode,
     "The disk goes through the host's page cache. QEMU 4.0 and newer drops the cache at the switch-over, "
     "which is safe but slower; none and directsync need no care.",
     false},
    {"migration-unsafe", B, PROBED | MOVING, rule_migration_unsafe,
     "Both hosts have the image, on a file system that libvirt does not know for a shared one (Lustre, "
     "sshfs, JuiceFS, MooseFS, virtiofs, CephFS by FUSE): it refuses to migrate the guest while it runs. So "
     "it "
     "does with a floppy that the guest may write, on any such or local file system.",
     true},
    {"disk-format", W, ALWAYS, rule_disk_format,
     "QEMU takes over raw and qcow2 images of a running guest with certainty; others (vmdk, qed, ...) are "
     "not made for it.",
     false},
    {"disk-transient", B, MOVING | OWN, rule_disk_transient,
     "What the guest wrote to a transient disk is in an overlay that only the source has; libvirt refuses to "
     "migrate it.",
     false},
    {"disk-shareable", W, ALWAYS, rule_disk_shareable,
     "A shareable disk is opened without QEMU's lock. That is for raw disks with a cluster file system on "
     "them; any other format is ruined by two writers.",
     false},
    {"cdrom-local", B, PROBED, rule_cdrom_local,
     "A CD-ROM or floppy has media in it that the destination does not have at that path. libvirt would not "
     "start the guest there.",
     false},
    {"cdrom-differs", W, PROBED, rule_cdrom_differs,
     "The media file exists on both hosts under the same name and is not the same size.", false},
};

#define N_RULES (sizeof(rules) / sizeof(rules[0]))

const struct rule *preflight_rule(size_t index)
{
    return index < N_RULES ? &rules[index] : NULL;
}

const char *preflight_rule_id(size_t index)
{
    return index < N_RULES ? rules[index].id : NULL;
}

bool preflight_about(size_t index, struct finding_about *ret)
{
    if (index >= N_RULES)
        return false;
    const struct rule *r = &rules[index];
    *ret = (struct finding_about){r->id, r->about, r->severity, r->can_accept};
    return true;
}
