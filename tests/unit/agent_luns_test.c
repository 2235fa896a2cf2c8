#include "agent/io/adapters.h"
#include "agent/io/luns.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"
#include "tests/unit/message_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- made sysfs: as the kernel has it, class directories hold links into devices ---- */

static void add(const struct made_tree *t, const char *dir, const char *name, const char *text)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    made_tree_add(t, path, text);
}

static void link_class(const struct made_tree *t, const char *class, const char *name, const char *device)
{
    _cleanup_free_ char *at = xasprintf("class/%s/%s", class, name), *to = xasprintf("../../%s", device);
    made_tree_link(t, at, to);
}

/* A SCSI disk at `place` (devices/.../H:C:T:L). */
static void add_disk(const struct made_tree *t, const char *place, const char *name, const char *number,
                     const char *wwid)
{
    _cleanup_free_ char *dir = xasprintf("%s/block/%s", place, name),
                        *by_number = xasprintf("dev/block/%s", number);
    _cleanup_free_ char *to = xasprintf("../../%s", dir), *device = xasprintf("%s/device", dir);
    _cleanup_free_ char *dev = xasprintf("%s\n", number), *id = xasprintf("%s\n", wwid);
    add(t, dir, "size", "2097152\n");
    add(t, dir, "ro", "0\n");
    add(t, dir, "dev", dev);
    add(t, place, "wwid", id);
    add(t, place, "vendor", "LIO-ORG \n");
    add(t, place, "model", "disk1           \n");
    add(t, place, "state", "running\n");
    made_tree_link(t, device, "../..");
    made_tree_link(t, by_number, to);
    link_class(t, "block", name, dir);
}

static void add_fc_host(const struct made_tree *t, const char *device, const char *host, const char *wwpn,
                        const char *symbolic)
{
    _cleanup_free_ char *dir = xasprintf("%s/fc_host/%s", device, host), *name = xasprintf("%s\n", wwpn);
    add(t, dir, "port_name", name);
    add(t, dir, "node_name", "0x20000024ff000001\n");
    add(t, dir, "port_state", "Online\n");
    add(t, dir, "speed", "16 Gbit\n");
    add(t, dir, "fabric_name", "0x100000051e000001\n");
    add(t, dir, "symbolic_name", symbolic);
    link_class(t, "fc_host", host, dir);
}

static void add_fc_port(const struct made_tree *t, const char *device, const char *rport, const char *wwpn,
                        const char *state, const char *roles)
{
    _cleanup_free_ char *dir = xasprintf("%s/%s/fc_remote_ports/%s", device, rport, rport);
    add(t, dir, "port_name", wwpn);
    add(t, dir, "port_state", state);
    add(t, dir, "roles", roles);
    link_class(t, "fc_remote_ports", rport, dir);
}

/* ---- expectations ---- */

struct all {
    Drover__V1__Inspection message;
};

static struct all read_all(const struct made_tree *t)
{
    struct all a = {DROVER__V1__INSPECTION__INIT};
    a.message.n_luns = luns_read(t->root, &a.message.luns);
    a.message.n_adapters = adapters_read(t->root, &a.message.adapters);
    return a;
}

static void all_deinit(struct all *a)
{
    for (size_t i = 0; i < a->message.n_luns; i++)
        drover__v1__lun__free_unpacked(a->message.luns[i], NULL);
    for (size_t i = 0; i < a->message.n_adapters; i++)
        drover__v1__adapter__free_unpacked(a->message.adapters[i], NULL);
    free(a->message.luns);
    free(a->message.adapters);
}

static void expect(const struct made_tree *t, const char *expected)
{
    _cleanup_(all_deinit) struct all a = read_all(t);
    _cleanup_free_ char *text = message_text(&a.message.base);
    assert_string_equal(text, expected);
}

static const Drover__V1__Lun *lun(const struct all *a, const char *name)
{
    for (size_t i = 0; i < a->message.n_luns; i++)
        if (streq(a->message.luns[i]->name, name))
            return a->message.luns[i];
    fail_msg("no LUN %s", name);
    return NULL;
}

/* ---- Fibre Channel ---- */

#define HBA "devices/pci0000:00/0000:00:03.0/host3"

static void a_disk_behind_an_fc_hba(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    add_fc_host(&t, HBA, "host3", "0x21000024ff000001", "QLE2692 FW:v8.08 DVR:v10.02\n");
    add_fc_port(&t, HBA, "rport-3:0-1", "0x50014380000000aa\n", "Online\n", "FCP Target\n");
    add_fc_port(&t, HBA, "rport-3:0-2", "0x50014380000000bb\n", "Not Present\n", "FCP Target\n");
    add_fc_port(&t, HBA, "rport-3:0-3", "0x21000024ff000009\n", "Online\n", "FCP Initiator\n");
    made_tree_add(&t, "class/fc_transport/target3:0:0/port_name", "0x50014380000000aa\n");
    made_tree_add(&t, "class/scsi_host/host3/proc_name", "qla2xxx\n");
    made_tree_add(&t, "class/scsi_host/host3/vn_port_mac_address", "00:00:00:00:00:00\n");
    add_disk(&t, HBA "/rport-3:0-1/target3:0:0/3:0:0:5", "sda", "8:0",
             "naa.600140500000000000000000000000aa");
    expect(
        &t,
        "luns:\n  name: sda\n  transport: fc\n  wwid: naa.600140500000000000000000000000aa\n  size: "
        "1073741824\n"
        "  host: host3\n  target: 0x50014380000000aa\n  initiator: 0x21000024ff000001\n  lun: 5\n  has_lun: "
        "yes\n"
        "  state: running\n  vendor: LIO-ORG\n  model: disk1\n  number: 8:0\n"
        "adapters:\n  host: host3\n  transport: fc\n  port_name: 0x21000024ff000001\n  node_name: "
        "0x20000024ff000001\n"
        "  state: Online\n  speed: 16 Gbit\n  fabric: 0x100000051e000001\n  targets: 0x50014380000000aa\n");
}

/* Before fc_transport's target directory is there (or with lpfc's older layout), the remote port of the path tells. */
static void the_remote_port_tells_where_the_target_does_not(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    add_fc_host(&t, HBA, "host3", "0x10000090fa000001", "Emulex LPe31000\n");
    add_fc_port(&t, HBA, "rport-3:0-7", "0x50014380000000cc\n", "Online\n", "FCP Target, FCP Initiator\n");
    made_tree_add(&t, "class/scsi_host/host3/protocol", "fc\n");
    add_disk(&t, HBA "/rport-3:0-7/target3:0:2/3:0:2:0", "sdb", "8:16", "naa.5000000000000001");
    _cleanup_(all_deinit) struct all a = read_all(&t);
    assert_string_equal(lun(&a, "sdb")->transport, "fc");
    assert_string_equal(lun(&a, "sdb")->target, "0x50014380000000cc");
    assert_int_equal(a.message.adapters[0]->n_targets, 1);
}

/* ---- FCoE: software over an Ethernet interface; a converged adapter ---- */

static void fcoe_in_software_names_its_interface(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    static const char device[] = "devices/pci0000:00/0000:00:04.0/net/eth2/ctlr_0/host7";
    made_tree_init(&t);
    add_fc_host(&t, device, "host7", "0x2000001b21000007", "fcoe v0.1 over eth2\n");
    add_disk(&t, "devices/pci0000:00/0000:00:04.0/net/eth2/ctlr_0/host7/rport-7:0-0/target7:0:0/7:0:0:1",
             "sdc", "8:32", "naa.6000000000000007");
    _cleanup_(all_deinit) struct all a = read_all(&t);
    assert_string_equal(lun(&a, "sdc")->transport, "fcoe");
    assert_string_equal(a.message.adapters[0]->transport, "fcoe");
    assert_string_equal(a.message.adapters[0]->interface, "eth2");
}

static void fcoe_of_a_converged_adapter_is_known_by_its_driver(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *transport;
    } shapes[] = {
        {"class/scsi_host/host3/protocol", "fcoe\n", "fcoe"},                         /* lpfc */
        {"class/scsi_host/host3/vn_port_mac_address", "0e:fc:00:01:02:03\n", "fcoe"}, /* qla2xxx */
        {"class/scsi_host/host3/proc_name", "fnic\n", "fcoe"},
        {"class/scsi_host/host3/proc_name", "qla2xxx\n", "fc"},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        _cleanup_(made_tree_deinit) struct made_tree t;
        made_tree_init(&t);
        add_fc_host(&t, HBA, "host3", "0x21000024ff000001", "an adapter\n");
        made_tree_add(&t, shapes[i].file, shapes[i].text);
        _cleanup_(all_deinit) struct all a = read_all(&t);
        assert_string_equal(a.message.adapters[0]->transport, shapes[i].transport);
    }
}

/* ---- iSCSI: in software; offloaded to an adapter, IPv6 ---- */

static void add_session(const struct made_tree *t, const char *host, const char *session,
                        const char *connection, const char *target, const char *address)
{
    _cleanup_free_ char *dir = xasprintf("%s/%s/iscsi_session/%s", host, session, session);
    _cleanup_free_ char *conn =
        xasprintf("%s/%s/%s/iscsi_connection/%s", host, session, connection, connection);
    add(t, dir, "targetname", target);
    add(t, dir, "state", "LOGGED_IN\n");
    add(t, conn, "persistent_address", address);
    add(t, conn, "persistent_port", "3260\n");
    link_class(t, "iscsi_session", session, dir);
    link_class(t, "iscsi_connection", connection, conn);
}

static void a_disk_of_an_iscsi_session(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "devices/platform/host4/iscsi_host/host4/initiatorname", "(null)\n");
    link_class(&t, "iscsi_host", "host4", "devices/platform/host4/iscsi_host/host4");
    add_session(&t, "devices/platform/host4", "session1", "connection1:0", "iqn.2026-01.lab:disk\n",
                "10.0.0.20\n");
    add_session(&t, "devices/platform/host5", "session12", "connection12:0", "iqn.2026-01.lab:other\n",
                "10.0.0.21\n");
    made_tree_add(&t, "devices/platform/host4/session1/iscsi_session/session1/initiatorname",
                  "iqn.1994-05.com.redhat:kvm1\n");
    add_disk(&t, "devices/platform/host4/session1/target4:0:0/4:0:0:1", "sdd", "8:48",
             "t10.IET     00010001");
    _cleanup_(all_deinit) struct all a = read_all(&t);
    const Drover__V1__Lun *l = lun(&a, "sdd");
    assert_string_equal(l->transport, "iscsi");
    assert_string_equal(l->target, "iqn.2026-01.lab:disk");
    assert_string_equal(l->portal, "10.0.0.20:3260");
    assert_string_equal(l->initiator, "iqn.1994-05.com.redhat:kvm1");
    assert_int_equal(l->lun, 1);
    assert_int_equal(a.message.n_adapters, 1);
    assert_int_equal(a.message.adapters[0]->n_targets, 1);
    assert_string_equal(a.message.adapters[0]->targets[0], "iqn.2026-01.lab:disk");
    assert_string_equal(a.message.adapters[0]->state, "LOGGED_IN");
}

static void iscsi_offloaded_to_an_adapter(void **state)
{
    (void)state;
    static const char device[] = "devices/pci0000:00/0000:00:05.0/host6";
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "devices/pci0000:00/0000:00:05.0/host6/iscsi_host/host6/initiatorname",
                  "iqn.2000-04.com.qlogic:hba\n");
    made_tree_add(&t, "devices/pci0000:00/0000:00:05.0/host6/iscsi_host/host6/netdev", "eth5\n");
    link_class(&t, "iscsi_host", "host6", "devices/pci0000:00/0000:00:05.0/host6/iscsi_host/host6");
    add_session(&t, device, "session3", "connection3:0", "iqn.2026-01.lab:six\n", "fd00::20\n");
    add_disk(&t, "devices/pci0000:00/0000:00:05.0/host6/session3/target6:0:0/6:0:0:4", "sde", "8:64",
             "naa.6000000000000006");
    _cleanup_(all_deinit) struct all a = read_all(&t);
    assert_string_equal(lun(&a, "sde")->portal, "[fd00::20]:3260");
    assert_string_equal(lun(&a, "sde")->initiator, "iqn.2000-04.com.qlogic:hba");
    assert_string_equal(a.message.adapters[0]->interface, "eth5");
}

/* ---- SRP: over InfiniBand; IBM's virtual one, without GIDs ---- */

static void a_disk_of_an_srp_target(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "class/srp_host/host8", NULL);
    made_tree_add(&t, "class/scsi_host/host8/sgid", "fe80:0000:0000:0000:0002:c903:0000:0001\n");
    made_tree_add(&t, "class/scsi_host/host8/local_ib_device", "mlx5_0\n");
    made_tree_add(&t, "class/srp_remote_ports/port-8:1/port_id",
                  "00:02:c9:03:00:00:00:02:00:02:c9:03:00:00:00:03\n");
    made_tree_add(&t, "class/srp_remote_ports/port-8:1/state", "running\n");
    made_tree_add(&t, "class/srp_remote_ports/port-81:1/port_id", "ff:ff\n");
    add_disk(&t, "devices/pci0000:00/0000:00:06.0/infiniband_srp/srp-mlx5_0-1/host8/target8:0:0/8:0:0:2",
             "sdf", "8:80", "naa.6000000000000008");
    _cleanup_(all_deinit) struct all a = read_all(&t);
    const Drover__V1__Lun *l = lun(&a, "sdf");
    assert_string_equal(l->transport, "srp");
    assert_string_equal(l->target, "00:02:c9:03:00:00:00:02:00:02:c9:03:00:00:00:03");
    assert_string_equal(l->initiator, "fe80:0000:0000:0000:0002:c903:0000:0001");
    assert_int_equal(l->lun, 2);
    assert_string_equal(a.message.adapters[0]->interface, "mlx5_0");
    assert_int_equal(a.message.adapters[0]->n_targets, 1);
}

static void srp_without_gids(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "class/srp_host/host0", NULL);
    made_tree_add(&t, "class/srp_remote_ports/port-0:0/port_id",
                  "30:00:00:00:00:00:00:00:00:00:00:00:00:00:00:02\n");
    add_disk(&t, "devices/vio/30000002/host0/target0:0:1/0:0:1:9079256848778919936", "sdg", "8:96",
             "naa.6000000000000009");
    _cleanup_(all_deinit) struct all a = read_all(&t);
    assert_string_equal(lun(&a, "sdg")->transport, "srp");
    assert_true(lun(&a, "sdg")->lun == 9079256848778919936u); /* LUNs of more than one level */
    assert_string_equal(lun(&a, "sdg")->initiator, "");
}

/* ---- device mapper ---- */

static void add_map(const struct made_tree *t, const char *name, const char *number, const char *uuid,
                    const char *map)
{
    _cleanup_free_ char *dir = xasprintf("devices/virtual/block/%s", name),
                        *at = xasprintf("dev/block/%s", number);
    _cleanup_free_ char *to = xasprintf("../../%s", dir), *dev = xasprintf("%s\n", number);
    add(t, dir, "size", "2097152\n");
    add(t, dir, "ro", "1\n");
    add(t, dir, "dev", dev);
    add(t, dir, "dm/uuid", uuid);
    add(t, dir, "dm/name", map);
    link_class(t, "block", name, dir);
    made_tree_link(t, at, to);
}

static void a_multipath_map_has_its_paths_and_the_wwid_of_its_disks(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    add_map(&t, "dm-3", "253:3", "mpath-3600140500000000000000000000000aa\n", "mpatha\n");
    made_tree_add(&t, "devices/virtual/block/dm-3/slaves/sda", NULL);
    made_tree_add(&t, "devices/virtual/block/dm-3/slaves/sdb", NULL);
    expect(&t, "luns:\n  name: dm-3\n  transport: multipath\n  wwid: naa.600140500000000000000000000000aa\n"
               "  size: 1073741824\n  read_only: yes\n  map: mpatha\n  paths: sda\n  paths: sdb\n  links: "
               "/dev/mapper/mpatha\n"
               "  number: 253:3\n");
}

static void a_multipath_map_of_another_kind_of_name_and_a_logical_volume(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    add_map(&t, "dm-0", "253:0", "mpath-1IET_00010001\n", "1IET_00010001\n");
    add_map(&t, "dm-1", "253:1", "LVM-abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ012345\n",
            "vg0-web1\n");
    add_map(&t, "dm-2", "253:2", "mpath-20024ff0000000001\n", "eui\n");
    add_map(&t, "dm-3", "253:3", "part12-mpath-20024ff0000000001\n", "eui-part12\n");
    add_map(&t, "dm-4", "253:4", "partition-x\n", "another kind\n");
    made_tree_add(&t, "devices/virtual/block/dm-1/slaves/dm-0", NULL);
    _cleanup_(all_deinit) struct all a = read_all(&t);
    assert_string_equal(lun(&a, "dm-0")->wwid, "1IET_00010001");
    assert_string_equal(lun(&a, "dm-1")->transport, "other");
    assert_string_equal(lun(&a, "dm-1")->wwid,
                        "LVM-abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ012345");
    assert_string_equal(lun(&a, "dm-1")->paths[0], "dm-0");
    assert_string_equal(lun(&a, "dm-2")->wwid, "eui.0024ff0000000001");
    assert_string_equal(lun(&a, "dm-3")->wwid, "eui.0024ff0000000001");
    assert_int_equal(lun(&a, "dm-3")->partition, 12);
    assert_string_equal(lun(&a, "dm-4")->wwid, "");
}

/* Volume dm-1 on a partition of sdd; dm-2 on dm-3, encrypted, on the map dm-4, and on sdd once more. */
static void a_logical_volume_tells_the_units_that_it_lies_on(void **state)
{
    (void)state;
    static const char place[] = "devices/platform/host4/session1/target4:0:0/4:0:0:1";
    static const char part[] = "devices/platform/host4/session1/target4:0:0/4:0:0:1/block/sdd/sdd1";
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    add_disk(&t, place, "sdd", "8:48", "naa.9");
    add(&t, part, "partition", "1\n");
    link_class(&t, "block", "sdd1", part);
    add_map(&t, "dm-1", "253:1", "LVM-a\n", "vg-a\n");
    add_map(&t, "dm-2", "253:2", "LVM-b\n", "vg-b\n");
    add_map(&t, "dm-3", "253:3", "CRYPT-LUKS2-1\n", "luks\n");
    add_map(&t, "dm-4", "253:4", "mpath-36001405000000000000000000000000a\n", "mpatha\n");
    add_map(&t, "dm-5", "253:5", "LVM-c\n", "vg-c\n");
    made_tree_add(&t, "devices/virtual/block/dm-1/slaves/sdd1", NULL);
    made_tree_add(&t, "devices/virtual/block/dm-2/slaves/sdd", NULL);
    made_tree_add(&t, "devices/virtual/block/dm-2/slaves/dm-3", NULL);
    made_tree_add(&t, "devices/virtual/block/dm-3/slaves/dm-4", NULL);
    _cleanup_(all_deinit) struct all a = read_all(&t);
    assert_int_equal(lun(&a, "dm-1")->n_units, 1);
    assert_string_equal(lun(&a, "dm-1")->units[0], "naa.9");
    assert_int_equal(lun(&a, "dm-2")->n_units, 2);
    assert_string_equal(lun(&a, "dm-2")->units[0], "naa.6001405000000000000000000000000a");
    assert_string_equal(lun(&a, "dm-2")->units[1], "naa.9");
    assert_int_equal(lun(&a, "dm-5")->n_units, 0); /* on nothing that is known */
    assert_int_equal(lun(&a, "dm-4")->n_units, 0);
}

/* tgt calls its first unit alike at every server: where it is reached tells. What is reached through loopback is each host's own. */
static void a_map_of_units_without_a_wwid_of_their_own_tells_their_places(void **state)
{
    (void)state;
    static const char *const addresses[] = {"10.0.0.20\n", "127.0.0.1\n"};
    for (size_t i = 0; i < 2; i++) {
        _cleanup_(made_tree_deinit) struct made_tree t;
        made_tree_init(&t);
        add_session(&t, "devices/platform/host4", "session1", "connection1:0", "iqn.2026-01.lab:disk\n",
                    addresses[i]);
        add_disk(&t, "devices/platform/host4/session1/target4:0:0/4:0:0:1", "sdd", "8:48",
                 "naa.60000000000000000e00000000010001");
        add_map(&t, "dm-0", "253:0", "mpath-360000000000000000e00000000010001\n", "mpatha\n");
        made_tree_add(&t, "devices/virtual/block/dm-0/slaves/sdd", NULL);
        _cleanup_(all_deinit) struct all a = read_all(&t);
        assert_int_equal(lun(&a, "dm-0")->n_units, i ? 0 : 1);
        if (!i)
            assert_string_equal(lun(&a, "dm-0")->units[0], "iqn.2026-01.lab:disk 1 at 10.0.0.20:3260");
    }
}

/* Machines made from one image: a local disk that is known by its model only, one that has no name. */
static void a_logical_volume_on_a_disk_without_a_name_tells_none(void **state)
{
    (void)state;
    static const char *const wwids[] = {"t10.ATA     QEMU HARDDISK   QM00001", ""};
    for (size_t i = 0; i < 2; i++) {
        _cleanup_(made_tree_deinit) struct made_tree t;
        made_tree_init(&t);
        add_disk(&t, "devices/pci0000:00/ata1/host0/target0:0:0/0:0:0:0", "sda", "8:0", wwids[i]);
        add_disk(&t, "devices/pci0000:00/ata2/host1/target1:0:0/1:0:0:0", "sdb", "8:16", "naa.2");
        add_map(&t, "dm-1", "253:1", "LVM-a\n", "vg-a\n");
        made_tree_add(&t, "devices/virtual/block/dm-1/slaves/sda", NULL);
        made_tree_add(&t, "devices/virtual/block/dm-1/slaves/sdb", NULL);
        _cleanup_(all_deinit) struct all a = read_all(&t);
        assert_int_equal(lun(&a, "dm-1")->n_units, 0);
    }
}

static void a_number_leads_to_the_device_and_a_partition_to_its_disk(void **state)
{
    (void)state;
    static const char place[] = "devices/platform/host4/session1/target4:0:0/4:0:0:1";
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    add_disk(&t, place, "sdd", "8:48", "naa.1");
    static const char part[] = "devices/platform/host4/session1/target4:0:0/4:0:0:1/block/sdd/sdd1";
    add(&t, part, "partition", "1\n");
    add(&t, part, "size", "2048\n");
    add(&t, part, "ro", "1\n");
    made_tree_link(&t, "dev/block/8:49",
                   "../../devices/platform/host4/session1/target4:0:0/4:0:0:1/block/sdd/sdd1");
    static const char *const numbers[] = {"8:48", "8:49"};
    for (size_t i = 0; i < 2; i++) {
        Drover__V1__Lun *l = luns_by_number(t.root, numbers[i]);
        assert_non_null(l);
        assert_string_equal(l->name, "sdd");
        assert_string_equal(l->wwid, "naa.1");
        assert_int_equal(l->partition, i);
        assert_int_equal(l->size, i ? 2048 * 512 : 2097152 * 512);
        assert_int_equal(l->read_only, i);
        drover__v1__lun__free_unpacked(l, NULL);
    }
    assert_null(luns_by_number(t.root, "9:9"));
}

static void a_host_without_storage_networks(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    expect(&t, "");
    made_tree_add(&t, "class/block/loop0/size", "0\n");
    made_tree_add(&t, "class/block/sr0/size", "0\n");
    made_tree_add(&t, "class/block/vda1/partition", "1\n");
    made_tree_link(&t, "class/block/gone", "../../devices/gone");
    made_tree_add(&t, "class/block/vda/size", "many\n");
    expect(&t, "luns:\n  name: vda\n  transport: other\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_behind_an_fc_hba),
        cmocka_unit_test(the_remote_port_tells_where_the_target_does_not),
        cmocka_unit_test(fcoe_in_software_names_its_interface),
        cmocka_unit_test(fcoe_of_a_converged_adapter_is_known_by_its_driver),
        cmocka_unit_test(a_disk_of_an_iscsi_session),
        cmocka_unit_test(iscsi_offloaded_to_an_adapter),
        cmocka_unit_test(a_disk_of_an_srp_target),
        cmocka_unit_test(srp_without_gids),
        cmocka_unit_test(a_multipath_map_has_its_paths_and_the_wwid_of_its_disks),
        cmocka_unit_test(a_multipath_map_of_another_kind_of_name_and_a_logical_volume),
        cmocka_unit_test(a_logical_volume_tells_the_units_that_it_lies_on),
        cmocka_unit_test(a_map_of_units_without_a_wwid_of_their_own_tells_their_places),
        cmocka_unit_test(a_logical_volume_on_a_disk_without_a_name_tells_none),
        cmocka_unit_test(a_number_leads_to_the_device_and_a_partition_to_its_disk),
        cmocka_unit_test(a_host_without_storage_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
