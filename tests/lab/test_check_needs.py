"""What `drover check` finds out about a guest's hardware, its network disks and the choice of a host; `drover storage`, `networks`."""

import re

from checks import check, copies, document, edited, heavy, wait_for_finding, wait_for_heavy, wait_for_job
from conftest import BUILD
from lablib import wait_for

SKYLAKE = "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>Skylake-Server</model></cpu>"


def redefined(fleet, name, change):
    """The guest, shut off, with what change(xml) makes of its definition on kvm1."""
    kvm1 = fleet.node("kvm1")
    kvm1.write("/run/edited.xml", change(kvm1.virsh("dumpxml", "--inactive", name)))
    kvm1.virsh("define", "/run/edited.xml")


def with_cpu(xml):
    return re.sub(r"<cpu .*?</cpu>", SKYLAKE, xml, flags=re.S)


def test_a_cpu_that_the_destination_lacks(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    redefined(fleet, "web1", with_cpu)
    found = wait_for_heavy(drover, "web1", {"cpu-incompatible": "block"})
    assert "avx512f" in found["cpu-incompatible"]["seen"]
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    assert copies(fleet, "web1") == {"kvm1": "shut off"}
    # QEMU leaves out what it can't emulate (check='none'), and libvirt tells the CPU that the guest really got: that one fits.
    fleet.node("kvm1").virsh("start", "web1")
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the CPU of the guest that runs to be compared")


def test_too_little_memory_for_a_guest_that_runs(fleet, drover):
    with open("/proc/meminfo") as meminfo:
        total = int(re.search(r"MemTotal: *(\d+)", meminfo.read())[1])
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    # Nearly all that the machine has, which never is all free; the guest touches little of it.
    edited(fleet, "web1", ("<memory unit='KiB'>65536</memory>", f"<memory unit='KiB'>{(total // 1024 - 128) * 1024}</memory>"))
    fleet.node("kvm1").virsh("start", "web1")
    assert "memory-free" in heavy(wait_for_finding(drover, "web1", "memory-free"))


MANY = """
<disk type='file' device='disk'><driver name='qemu' type='vmdk'/><source file='/srv/gluster/none.vmdk'/><target dev='vda' bus='virtio'/></disk>
<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='none' volume='web1'/><target dev='vdc' bus='virtio'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='web1'>
  <host transport='unix' socket='/run/nbd.sock'/></source><target dev='vdd' bus='virtio'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/><auth username='libvirt'><secret type='ceph' usage='none'/></auth>
  <source protocol='rbd' name='pool/web1'><host name='10.77.0.20'/></source><target dev='vde' bus='virtio'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/>
  <source protocol='rbd' name='pool/web2'/><target dev='vdf' bus='virtio'/></disk>
<interface type='network'><source network='none'/></interface>
<interface type='direct'><source dev='br0' mode='bridge'/></interface>
<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0' bus='0x3b' slot='0' function='1'/></source></hostdev>
<channel type='unix'><source mode='bind' path='/srv/none/web1.sock'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
</devices>"""


def test_many_things_at_once_are_all_told(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)

    def change(xml):
        xml = with_cpu(xml).replace("</devices>", MANY)
        xml = re.sub(r"<vcpu.*?</vcpu>", "<vcpu>200</vcpu>", xml)
        return xml.replace("<os>", "<memoryBacking><hugepages><page size='1' unit='G'/></hugepages></memoryBacking><os>", 1)

    redefined(fleet, "web1", change)
    weights = heavy(wait_for_finding(drover, "web1", "device-path"))
    expected = {
        "cpu-incompatible": "block", "device-path": "block", "disk-format": "warn", "disk-local-socket": "block",
        "disk-unproven": "warn", "host-device-defined": "warn", "hugepages-to-start": "warn", "interface-kind": "warn", "network": "block",
        "server-unnamed": "block", "storage-pool": "block", "vcpus": "warn",
    }  # fmt: skip
    assert {id: weights.get(id) for id in expected} == expected


def test_a_mac_in_use_can_be_accepted_at_both_agents(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], nic="br0", tick_ms=100)
    kvm2 = fleet.node("kvm2")
    (mac,) = re.findall(r"<mac address='(.*?)'", fleet.node("kvm1").virsh("dumpxml", "web1"))
    nic = f"<interface type='bridge'><mac address='{mac}'/><source bridge='br0'/></interface>"
    kvm2.write(
        "/run/other.xml",
        f"<domain type='qemu'><name>other</name><memory>65536</memory><os><type>hvm</type></os><devices>{nic}</devices></domain>",
    )
    kvm2.virsh("create", "--paused", "/run/other.xml")
    try:
        wait_for_heavy(drover, "web1", {"mac-in-use": "block"})
        moved = document(drover("migrate", "web1", "--to", "kvm2", "--accept", "mac-in-use", "--detach", "--json"))
        job = wait_for_job(drover, moved["jobs"][0]["id"], ("done", "failed", "cancelled"))
        assert job["state"] == "done", job
        # The coordinator's, and the destination's agent's own.
        assert [finding["id"] for finding in job["findings"] if finding["accepted"]] == ["mac-in-use", "mac-in-use"]
        assert copies(fleet, "web1") == {"kvm2": "running"}
    finally:
        kvm2.virsh("destroy", "other")


def test_every_port_of_the_range_is_taken(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    kvm2 = fleet.node("kvm2")
    before = kvm2.read("/etc/libvirt/qemu.conf")
    kvm2.write("/etc/libvirt/qemu.conf", f"{before}\nmigration_port_min = 49300\nmigration_port_max = 49300\n")
    undo(lambda: kvm2.write("/etc/libvirt/qemu.conf", before))
    listener = kvm2.popen(
        ["/usr/bin/python3", "-c", "import socket, sys\ns = socket.create_server(('', 49300))\nprint(flush=True)\nsys.stdin.read()"],
        stdin=-1, stdout=-1,
    )  # fmt: skip
    undo(lambda: (listener.stdin.close(), listener.wait()))
    listener.stdout.readline()
    assert heavy(check(drover, "web1")) == {"port-range": "block"}


# ---- where to ----


def test_the_next_best_host_is_tried(small_fleets):
    """kvm1 and one of the others share /srv/shared; the third, which is tried first, has a directory of its own there."""
    fleet = small_fleets("three", hosts=3, programs=BUILD)
    shared = f"/run/drover-lab/{fleet.name}/shared"
    for host in fleet.hosts():
        host.run(["mkdir", "-p", "/srv/shared", shared])
    for name in ("kvm1", "kvm3"):
        fleet.node(name).run(["mount", "--bind", shared, "/srv/shared"])
    fleet.guest_add("web1", on="kvm1", disks=["local"], off=True)
    kvm1 = fleet.node("kvm1")
    kvm1.run(["cp", "/var/lib/libvirt/images/web1-0.raw", "/srv/shared/"])
    edited(fleet, "web1", ("/var/lib/libvirt/images/", "/srv/shared/"))
    shares, has_not = "kvm3", "kvm2"

    def next_best_chosen():
        nonlocal shares, has_not
        reply = document(fleet.drover("migrate", "web1", "--dry-run", "--json", check=False))
        choice = (reply.get("possible") or [{}])[0]  # none until the coordinator knows web1
        if f"{has_not} can't: storage-not-shared" in choice.get("why", ""):
            return choice["destination"] == shares
        if choice.get("destination") == shares:
            # It came first: both report the memory of one machine, at different moments. So the other one shares.
            fleet.node(shares).run(["umount", "/srv/shared"])
            shares, has_not = has_not, shares
            fleet.node(shares).run(["mount", "--bind", shared, "/srv/shared"])
        return False

    wait_for(next_best_chosen, 60, "the host without the share to be tried first, and the other one to be chosen")
    fleet.node(shares).run(["umount", "/srv/shared"])
    refused = fleet.drover("migrate", "web1", check=False)
    assert refused.returncode == 3
    for host in ("kvm2", "kvm3"):
        assert f"{host}" in refused.stdout, refused.stdout
    assert kvm1.domains()["web1"] == "shut off"


# ---- what there is ----


def test_storage_and_networks_of_each_host(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster", "iscsi"], nic="br0")

    def ports():
        hosts = {host["host"]: host for host in document(drover("networks", "--json"))["hosts"]}
        (bridge,) = [bridge for bridge in hosts["kvm1"]["bridges"] if bridge["name"] == "br0"]
        return [port for port in bridge["ports"] if port.get("guest") == "web1"]

    wait_for(ports, 20, "web1's tap on br0")
    assert ports()[0]["name"].startswith("vnet")
    assert "(web1)" in drover("networks", "kvm1").stdout
    storage = {host["host"]: host for host in document(drover("storage", "--json"))["hosts"]}
    exports = {export["kind"] for export in storage["export1"]["inspection"]["exports"]}
    assert exports == {"nfs", "iscsi", "gluster"}
    assert any(mount["target"] == "/srv/gluster" for mount in storage["kvm1"]["inspection"]["mounts"])
    text = drover("storage").stdout
    assert "fuse.glusterfs" in text and "iscsi export" in text
    assert drover("storage", "kvm9", check=False).returncode == 1
