"""Findings about storage, each made for real: servers that are gone or are others, devices, disks to be copied."""

import os
import re
import signal

import pytest
from checks import check, doctor, edited, heavy, wait_for_finding, wait_for_heavy
from lablib import proc, wait_for

GLUSTER, IMAGES = "/srv/gluster", "/var/lib/libvirt/images"


# ---- files ----


def clients(fleet, node):
    """The processes behind a host's GlusterFS mount."""
    return [process.pid for process, words in proc.find(fleet.state.name)
            if words[2] == node.name and os.path.basename(os.readlink(f"/proc/{process.pid}/exe")).startswith("glusterfs")]


def test_storage_that_does_not_answer(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    pids = clients(fleet, fleet.node("kvm2"))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        found = check(drover, "web1")
        assert "block" in heavy(found)["storage-stale"]
        assert "umount -l" in found["storage-stale"]["todo"]
        judged, status = doctor(drover, "kvm2")
        assert (status, heavy(judged["kvm2"])["mount-hangs"]) == (3, "block")
        assert f"umount -l {GLUSTER}" in judged["kvm2"]["mount-hangs"]["todo"]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 30, "the storage to answer again")


def test_storage_that_hangs_uses_nothing_up(fleet, drover):
    """However often it is looked at: guests elsewhere are checked as before, the doctor names the mount, and the agent ends in time."""
    fleet.guest_add("web1", on="kvm1", disks=["gluster"] * 3)
    fleet.guest_add("web2", on="kvm1", disks=["nfs"])
    for guest in ("web1", "web2"):
        wait_for(lambda guest=guest: heavy(check(drover, guest)) == {}, 20, f"the coordinator to know {guest}")
    kvm2 = fleet.node("kvm2")
    pids = clients(fleet, kvm2)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(8):
            assert "storage-stale" in heavy(check(drover, "web1"))
            assert heavy(check(drover, "web2")) == {}
        for _ in range(40):  # more than file systems may hang at once
            judged, status = doctor(drover, "kvm2")
            assert (status, heavy(judged["kvm2"])) == (3, {"mount-hangs": "block"})
        assert fleet.programs.agent_stop(kvm2)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    fleet.programs.agent_start(kvm2)
    fleet.programs.sessions_wait()
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 30, "the storage to answer again")


def test_storage_whose_server_is_gone(fleet, drover):
    """FUSE says ENOTCONN of a mount without its server, as NFS says ESTALE of one whose export was made anew."""
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    gluster = ["gluster", "--mode=script", "volume"]
    fleet.export.run([*gluster, "stop", "gv0", "force"])
    try:
        assert "storage-stale" in heavy(wait_for_finding(drover, "web1", "storage-stale"))
    finally:
        fleet.export.run([*gluster, "start", "gv0"])
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 60, "the storage to be there again")


def test_a_directory_where_nobody_may_write(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["local"])
    kvm1 = fleet.node("kvm1")
    kvm1.run(["chattr", "+i", IMAGES])
    undo(lambda: kvm1.run(["chattr", "-i", IMAGES]))
    found = wait_for_finding(drover, "web1", "storage-unproven")
    assert found["storage-unproven"]["severity"] == "block"
    assert "root_squash" in found["storage-unproven"]["todo"]


def test_a_server_that_squashes_root_lets_the_owner_prove(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    kvm1, kvm2 = fleet.hosts()
    kvm1.run(["sh", "-c", f"mkdir {GLUSTER}/own && mv {GLUSTER}/web1-0.raw {GLUSTER}/own && chown -R 64055:64055 {GLUSTER}/own && chmod 711 {GLUSTER}/own"])
    edited(fleet, "web1", (f"{GLUSTER}/web1", f"{GLUSTER}/own/web1"))
    gluster = ["gluster", "--mode=script", "volume"]
    fleet.export.run([*gluster, "set", "gv0", "server.root-squash", "on"])

    def back():
        fleet.export.run([*gluster, "reset", "gv0", "server.root-squash"])
        wait_for(lambda: kvm1.run(["rm", "-rf", f"{GLUSTER}/own"], check=False).returncode == 0, 30, "root to be root again")

    undo(back)
    for host in (kvm1, kvm2):
        squashed = ["sh", "-c", f"! touch {GLUSTER}/own/x"]
        wait_for(lambda host=host: host.run(squashed, check=False).returncode == 0, 30, "root to be squashed")
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the owner to prove it")


@pytest.mark.parametrize("off", [True, False])
def test_a_backing_file_of_each_hosts_own(fleet, drover, undo, off):
    """The overlay is shared, and what it is backed by has the same name and size on both hosts, and is two files."""
    kvm1, kvm2 = fleet.hosts()
    base = f"{IMAGES}/base.raw"
    for host in (kvm1, kvm2):
        host.run(["qemu-img", "create", "-q", "-f", "raw", base, "16M"])
        undo(lambda host=host: host.run(["rm", base]))
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], format="qcow2", off=True)
    undo(fleet.guests_clear)
    kvm1.run(["qemu-img", "rebase", "-u", "-F", "raw", "-b", base, f"{GLUSTER}/web1-0.qcow2"])
    if not off:
        kvm1.virsh("start", "web1")
        wait_for(lambda: "running" in drover("vms").stdout, 20, "the coordinator to know that web1 runs")
    found = wait_for_heavy(drover, "web1", {"storage-not-shared": "block"})
    assert base in found["storage-not-shared"]["subject"]
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    # On storage that both share, in a directory of its own, it is proven there.
    kvm1.run(["mkdir", "-p", f"{GLUSTER}/golden"])
    undo(lambda: kvm1.run(["rm", "-rf", f"{GLUSTER}/golden"]))
    if off:
        kvm1.run(["cp", base, f"{GLUSTER}/golden/"])
        kvm1.run(["qemu-img", "rebase", "-u", "-F", "raw", "-b", "golden/base.raw", f"{GLUSTER}/web1-0.qcow2"])
        wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "kvm2 to see the new header, and the file to be proven")


def test_a_read_only_disk_of_each_hosts_own(fleet, drover):
    """Two files of one name and size: what is in them counts."""
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    kvm1, kvm2 = fleet.hosts()
    kvm1.write("/srv/seed.raw", "x" * 4096)
    kvm2.write("/srv/seed.raw", "y" * 4096)
    disk = "<disk type='file' device='disk'><source file='/srv/seed.raw'/><target dev='vdb' bus='virtio'/><readonly/></disk>"
    edited(fleet, "web1", ("</devices>", f"{disk}</devices>"))
    wait_for_heavy(drover, "web1", {"storage-not-shared": "block"})
    assert "storage-not-shared" in check(drover, "web1", "--copy-storage")
    kvm2.write("/srv/seed.raw", "x" * 4096)
    assert heavy(check(drover, "web1")) == {}


# ---- block devices ----


@pytest.fixture
def with_device(fleet):
    """A guest, shut off, on /srv/lun: a device node that only kvm1 has."""
    kvm1 = fleet.node("kvm1")
    kvm1.run(["mknod", "/srv/lun", "b", "7", "0"])
    fleet.guest_add("web1", on="kvm1", disks=["local"], off=True)
    edited(fleet, "web1", ("<disk type='file'", "<disk type='block'"), (f"file='{IMAGES}/web1-0.raw'", "dev='/srv/lun'"))
    yield
    for host in fleet.hosts():
        host.run(["rm", "-f", "/srv/lun"])


def test_block_devices(fleet, drover, with_device, undo):
    kvm1, kvm2 = fleet.hosts()
    assert "block-device-missing" in heavy(wait_for_finding(drover, "web1", "block-device-missing"))
    kvm2.run(["mknod", "/srv/lun", "b", "7", "0"])
    found = check(drover, "web1")
    assert heavy(found) == {"block-device-unproven": "block"}
    assert "without a WWID" in found["block-device-unproven"]["seen"]
    # This kernel has no SCSI: what sysfs would say of a disk is made, all else is as it is.
    for host, wwid in ((kvm1, "naa.6001405aaaa"), (kvm2, "naa.6001405bbbb")):
        for directory in ("class", "dev"):
            host.run(["mount", "-t", "tmpfs", "tmpfs", f"/sys/{directory}/block"])
            undo(lambda host=host, directory=directory: host.run(["umount", f"/sys/{directory}/block"]))
        host.write("/sys/class/block/sdz/device/wwid", wwid + "\n")
        host.run(["ln", "-s", "../../class/block/sdz", "/sys/dev/block/7:0"])
    found = check(drover, "web1")
    assert heavy(found) == {"block-device-differs": "block"}
    assert "naa.6001405bbbb on kvm2" in found["block-device-differs"]["seen"]
    kvm2.write("/sys/class/block/sdz/device/wwid", "naa.6001405aaaa\n")
    kvm1.write("/sys/class/block/sdz/size", "2048\n")
    kvm2.write("/sys/class/block/sdz/size", "1024\n")
    found = check(drover, "web1")
    assert heavy(found) == {"block-device-differs": "block"} and "524288 on kvm2" in found["block-device-differs"]["seen"]
    kvm2.write("/sys/class/block/sdz/size", "2048\n")
    kvm2.write("/sys/class/block/sdz/ro", "1\n")
    assert heavy(check(drover, "web1")) == {"block-device-read-only": "block"}
    kvm2.write("/sys/class/block/sdz/ro", "0\n")
    assert heavy(check(drover, "web1")) == {}
    # As a SCSI disk: its place, host:channel:target:LUN, is in its path.
    kvm2.run(["mv", "/sys/class/block/sdz", "/sys/class/block/real"])
    kvm2.run(["mkdir", "-p", "/sys/class/block/host7/7:0:0:1"])
    kvm2.run(["mv", "/sys/class/block/real", "/sys/class/block/host7/7:0:0:1/sdz"])
    kvm2.run(["ln", "-s", "host7/7:0:0:1/sdz", "/sys/class/block/sdz"])
    kvm2.write("/sys/class/block/sdz/device/state", "offline\n")
    assert heavy(check(drover, "web1")) == {"block-device-offline": "block"}
    kvm2.write("/sys/class/block/sdz/device/state", "running\n")
    assert heavy(check(drover, "web1")) == {}


# ---- network disks ----


def renamed_server(fleet, guest, server):
    """The guest's disk names its server, and each host resolves the name by itself."""
    edited(fleet, guest, (f"<host name='{fleet.export.address}'", f"<host name='{server}'"))


def resolve(undo, host, name, address):
    before = host.read("/etc/hosts")
    host.write("/etc/hosts", f"{before}{address} {name}\n")
    undo(lambda: host.write("/etc/hosts", before))


def test_one_name_for_two_iscsi_servers(fleet, drover, undo):
    """kvm2 comes to another server under the name that the definition has: target and unit are called the same there."""
    fleet.guest_add("web1", on="kvm1", disks=["iscsi"], off=True)
    kvm1, kvm2 = fleet.hosts()
    renamed_server(fleet, "web1", "store1")
    resolve(undo, kvm1, "store1", fleet.export.address)
    resolve(undo, kvm2, "store1", kvm2.address)
    (name,) = re.findall(r"<source protocol='iscsi' name='(.*)/1'", kvm1.virsh("dumpxml", "web1"))
    kvm2.run(["mkdir", "-p", "/run/tgtd"])
    kvm2.start("tgtd", ["tgtd", "-f", "--iscsi", f"portal={kvm2.address}:3260"])
    undo(lambda: kvm2.stop("tgtd"))

    def tgtadm(mode, operation, *more):
        kvm2.run(["tgtadm", "--lld", "iscsi", "--mode", mode, "--op", operation, "--tid", "1", *more])

    kvm2.expect("tgtd", lambda: kvm2.run(["tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"], check=False).returncode == 0, 20, "tgtd")
    kvm2.run(["truncate", "-s", "16M", "/run/other.raw"])
    tgtadm("target", "new", "--targetname", name)
    tgtadm("logicalunit", "new", "--lun", "1", "--backing-store", "/run/other.raw")
    tgtadm("target", "bind", "--initiator-address", "ALL")
    # By default tgt names its units by their numbers: that is no proof.
    found = wait_for_finding(drover, "web1", "server-differs")
    assert heavy(found)["server-differs"] == "block"
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    tgtadm("logicalunit", "update", "--lun", "1", "--params", "scsi_sn=elsewhere")
    found = wait_for_finding(drover, "web1", "unit-differs")
    assert heavy(found)["unit-differs"] == "block"
    assert "serial elsewhere on kvm2" in found["unit-differs"]["seen"]
    assert "image-differs" not in found
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    tgtadm("logicalunit", "delete", "--lun", "1")
    kvm2.run(["truncate", "-s", "8M", "/run/other.raw"])
    tgtadm("logicalunit", "new", "--lun", "1", "--backing-store", "/run/other.raw")
    assert "image-differs" in heavy(check(drover, "web1"))


def test_one_name_for_two_nfs_servers(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["nfs"], off=True)
    kvm1, kvm2 = fleet.hosts()
    renamed_server(fleet, "web1", "store1")
    for host in (kvm1, kvm2):
        resolve(undo, host, "store1", fleet.export.address)
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the name to be one server's")
    kvm2.write("/etc/hosts", kvm2.read("/etc/hosts").replace(f"{fleet.export.address} store1", "10.77.0.5 store1"))
    found = check(drover, "web1")
    assert heavy(found)["server-differs"] == "block"
    assert f"store1 is {fleet.export.address} on kvm1, and 10.77.0.5 on kvm2" in found["server-differs"]["seen"]


def hidden(undo, host, *programs):
    host.write("/run/not-a-program", "")
    for program in programs:
        host.run(["mount", "--bind", "/run/not-a-program", program])
        undo(lambda program=program: host.run(["umount", program]))


def test_a_host_without_the_tools(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["iscsi"])
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    hidden(undo, fleet.node("kvm2"), "/usr/bin/iscsi-inq")
    found = check(drover, "web1")
    assert heavy(found) == {"unit-unproven": "warn"}
    assert "install libiscsi-bin" in found["unit-unproven"]["todo"]
    hidden(undo, fleet.node("kvm2"), "/usr/bin/qemu-img")
    found = check(drover, "web1")
    assert heavy(found)["image-unproven"] == "warn"
    assert "install qemu-utils" in found["image-unproven"]["todo"]


def test_an_nfs_export_closed_to_one_host(fleet, drover, undo):
    """ganesha itself refuses the host; and of a netgroup nobody can tell who is in it."""
    fleet.guest_add("web1", on="kvm1", disks=["nfs"], off=True)
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    export1, conf = fleet.export, "/etc/ganesha/ganesha.conf"
    before = export1.read(conf)

    def exported(text):
        export1.write(conf, text)
        export1.process("ganesha").kill(signal.SIGHUP)

    undo(lambda: (exported(before), wait_for(lambda: heavy(check(drover, "web1")) == {}, 60, "the export to be open again"), fleet.guests_clear()))
    for_kvm1 = "Access_Type = None;\n\tCLIENT { Clients = 10.77.0.11; Access_Type = RW; }"
    exported(before.replace("Access_Type = RW;", for_kvm1))
    wait_for(lambda: heavy(check(drover, "web1")) == {"export-closed": "block", "image-unreachable": "block"}, 60, "ganesha to refuse kvm2")
    found = check(drover, "web1")
    assert "export1 lets kvm2 not use /srv/nfs" in found["export-closed"]["seen"]
    assert "kvm2 can't open it" in found["image-unreachable"]["seen"]
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    export1.write(conf, before.replace("Access_Type = RW;", for_kvm1.replace("10.77.0.11", "10.77.0.11, @hosts")))
    found = check(drover, "web1")
    assert "export-closed" not in found and found["export-access-unknown"]["severity"] == "info"
    assert "whether kvm2 is @hosts" in found["export-access-unknown"]["seen"]


def test_an_export_node_that_does_not_see_the_file(fleet, drover, undo):
    """Its volume has another directory, says glusterd's own record of it, than the one that the hosts' mounts come from."""
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    export1 = fleet.export
    export1.run(["mkdir", "-p", "/srv/other"])
    (brick,) = export1.run(["sh", "-c", "ls /var/lib/glusterd/vols/gv0/bricks/*"]).stdout.split()
    before = export1.read(brick)
    undo(lambda: export1.write(brick, before))
    export1.write(brick, re.sub(r"(?m)^path=.*$", "path=/srv/other", before))
    found = check(drover, "web1")
    assert heavy(found) == {"export-not-seen": "block"}
    assert "export1 exports gv0" in found["export-not-seen"]["seen"]
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    assert heavy(check(drover, "web1", "--accept", "export-not-seen")) == {"export-not-seen": "warn"}


def test_a_brick_at_the_destination(fleet, drover, undo):
    """kvm2 has no role but hypervisor, and part of the volume."""
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    export1 = fleet.export
    added = "/var/lib/glusterd/vols/gv0/bricks/kvm2:-srv-brick"
    undo(lambda: export1.run(["rm", "-f", added]))
    export1.write(added, "uuid=11111111-2222-3333-4444-555555555555\nhostname=10.77.0.12\npath=/srv/brick\n")
    found = check(drover, "web1")
    assert heavy(found) == {"export-is-host": "block"}
    assert "kvm2 itself serves a brick of" in found["export-is-host"]["seen"]


def test_a_file_system_that_libvirt_does_not_take_for_shared(fleet, drover, undo):
    """Both hosts have it, as the nonce proves; libvirt goes by the file system's type."""
    kvm1, kvm2 = fleet.hosts()
    shared = f"/run/drover-lab/{fleet.name}/shared"
    for host in (kvm1, kvm2):
        host.run(["mkdir", "-p", "/srv/shared", shared])
        host.run(["mount", "--bind", shared, "/srv/shared"])
        undo(lambda host=host: host.run(["umount", "/srv/shared"]))
    fleet.guest_add("web1", on="kvm1", disks=["local"], off=True)
    undo(fleet.guests_clear)
    kvm1.run(["cp", f"{IMAGES}/web1-0.raw", "/srv/shared/"])
    undo(lambda: kvm1.run(["rm", "/srv/shared/web1-0.raw"]))
    edited(fleet, "web1", (f"{IMAGES}/", "/srv/shared/"))
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the definition alone to be free to move")
    kvm1.virsh("start", "web1")
    wait_for_heavy(drover, "web1", {"migration-unsafe": "block"})
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    refused = kvm1.run(["virsh", "migrate", "--live", "web1", f"qemu+tcp://{kvm2.address}/system"], check=False)
    assert "without shared storage is unsafe" in refused.stderr, refused


def test_an_export_of_a_machine_without_an_agent(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["nfs"], off=True)
    renamed_server(fleet, "web1", "10.77.0.5")
    found = wait_for_heavy(drover, "web1", {"export-untraced": "warn", "image-unreachable": "block"})
    assert "roles: [storage]" in found["export-untraced"]["todo"]


# ---- copies ----


def test_disks_that_can_and_cant_be_copied(fleet, drover, undo):
    kvm2 = fleet.node("kvm2")
    fleet.guest_add("web1", on="kvm1", disks=["local"], size=64)
    wait_for(lambda: "storage-not-shared" in check(drover, "web1"), 20, "the coordinator to know web1")
    found = check(drover, "web1", "--copy-storage")
    assert heavy(found) == {} and found["copy-storage"]["severity"] == "info"
    kvm2.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", IMAGES])
    undo(lambda: kvm2.run(["umount", IMAGES]))
    assert heavy(check(drover, "web1", "--copy-storage")) == {"copy-space-later": "warn"}
    fleet.guest_add("web2", on="kvm1", disks=["local"], shareable=True)
    wait_for(lambda: "storage-not-shared" in check(drover, "web2"), 20, "the coordinator to know web2")
    found = check(drover, "web2", "--copy-storage")
    assert "shareable" in found["copy-kind"]["seen"] and found["copy-kind"]["severity"] == "block"


# ---- what an export node has ----


def test_an_export_node_that_exports_nothing(fleet, drover, undo):
    kvm2 = fleet.node("kvm2")
    before = kvm2.read("/etc/drover/agent.yaml")
    kvm2.write("/etc/drover/agent.yaml", before.replace("roles: [hypervisor]", "roles: [hypervisor, storage]"))
    undo(lambda: (fleet.programs.agent_stop(kvm2), kvm2.write("/etc/drover/agent.yaml", before), fleet.programs.agent_start(kvm2)))
    fleet.programs.agent_stop(kvm2)
    fleet.programs.agent_start(kvm2)
    fleet.programs.sessions_wait()
    found, status = doctor(drover, "kvm2")
    assert (status, heavy(found["kvm2"])) == (0, {"nothing-exported": "warn"})


def test_media_mounted_read_only(fleet, drover, undo):
    kvm2 = fleet.node("kvm2")
    kvm2.run(["mount", "-o", "remount,bind,ro", GLUSTER])
    undo(lambda: kvm2.run(["mount", "-o", "remount,bind,rw", GLUSTER]))
    wait_for(lambda: "mount-read-only" in doctor(drover, "kvm2")[0]["kvm2"], 20, "the mount to be told")
    found, status = doctor(drover, "kvm2")
    assert (status, found["kvm2"]["mount-read-only"]["severity"]) == (0, "info")
