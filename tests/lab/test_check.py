"""What `drover check` and `drover doctor` find, each thing made for real: mounts, exports, bridges, firewalls, definitions."""

import os
import signal
import subprocess

import pytest
from checks import assert_goes_on, assert_runs_only_on, check, doctor, document, edited, heavy, wait_for_finding, wait_for_heavy, wait_for_job
from lablib import wait_for

GLUSTER = "/srv/gluster"


# ---- nothing is wrong ----


@pytest.mark.parametrize("disk, format", [("nfs", "raw"), ("iscsi", "raw"), ("gluster", "raw"), ("gluster", "qcow2")])
def test_a_clean_guest_has_no_finding_that_matters(fleet, drover, disk, format):
    fleet.guest_add("web1", on="kvm1", disks=[disk], format=format, nic="br0")
    assert heavy(check(drover, "web1")) == {}


def test_four_disks_and_two_interfaces(fleet, drover, undo):
    for host in fleet.hosts():
        host.bridge_add_beside("br1", "eth2")
        undo(lambda host=host: (host.bridge_remove("br1"), host.run(["ip", "link", "delete", "eth2"])))
    undo(fleet.guests_clear)
    fleet.guest_add("web1", on="kvm1", disks=["nfs", "iscsi", "gluster", "local"], nic="br0", off=True)
    edited(fleet, "web1", ("</devices>", "<interface type='bridge'><source bridge='br1'/><model type='virtio'/></interface></devices>"))
    fleet.node("kvm1").virsh("start", "web1")
    wait_for_heavy(drover, "web1", {"storage-not-shared": "block"})
    assert heavy(check(drover, "web1", "--copy-storage")) == {}
    fleet.node("kvm2").run(["ip", "link", "set", "eth2", "nomaster"])
    found = check(drover, "web1", "--copy-storage")
    assert heavy(found) == {"bridge-segment": "block"} and "br1" in found["bridge-segment"]["subject"]


def test_nothing_is_left_behind(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster", "local"], nic="br0")
    check(drover, "web1")
    kvm1 = fleet.node("kvm1")

    def left():
        return kvm1.run(["find", GLUSTER, "/var/lib/libvirt/images", "-name", ".drover-probe-*"]).stdout.split()

    wait_for(lambda: not left(), 20, "no probe's file to be left")


def test_a_shell_that_goes_away_takes_its_probes_along(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["local"])
    wait_for(lambda: "web1" in drover("vms").stdout, 10, "the coordinator to know web1")
    kvm1 = fleet.node("kvm1")

    def probes():
        return [name for name in os.listdir(kvm1.path("/var/lib/libvirt/images")) if name.startswith(".drover-probe-")]

    programs = fleet.programs

    def killed_in_mid_probe():
        """A check takes some 200 ms, and the file is there for a part of it."""
        shell = subprocess.Popen(programs.command(["check", "web1", "--to", "kvm2"]), env=programs.environment(), stdout=subprocess.DEVNULL)
        while shell.poll() is None:
            if probes():
                shell.kill()
        return shell.returncode == -signal.SIGKILL

    wait_for(killed_in_mid_probe, 60, "a check to be killed while its file is there")
    wait_for(lambda: not probes(), 10, "the probe's file to be removed")
    assert "storage-not-shared" in check(drover, "web1")


# ---- storage ----


def test_look_alike_local_directories(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["local"])
    found = check(drover, "web1")
    assert found["storage-not-shared"]["severity"] == "block"
    assert "kvm2" in found["storage-not-shared"]["seen"]
    refused = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert refused.returncode == 3
    assert "storage-not-shared" in refused.stdout
    assert fleet.node("kvm1").domains()["web1"] == "running"


def test_a_read_only_mount(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    kvm2 = fleet.node("kvm2")
    kvm2.run(["mount", "-o", "remount,bind,ro", GLUSTER])
    undo(lambda: kvm2.run(["mount", "-o", "remount,bind,rw", GLUSTER]))
    assert heavy(check(drover, "web1")) == {"storage-read-only": "block"}


def test_the_same_export_at_another_path(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    kvm2 = fleet.node("kvm2")
    kvm2.run(["mkdir", "-p", "/srv/elsewhere"])
    kvm2.run(["mount", "--bind", GLUSTER, "/srv/elsewhere"])
    kvm2.run(["umount", GLUSTER])
    undo(lambda: kvm2.run(["umount", "/srv/elsewhere"]))
    undo(lambda: kvm2.run(["mount", "--bind", "/srv/elsewhere", GLUSTER]))
    found = check(drover, "web1")
    assert "storage-other-path" in heavy(found)
    assert "/srv/elsewhere" in found["storage-other-path"]["seen"]


def test_a_directory_that_is_not_there(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["local"], off=True)
    kvm1 = fleet.node("kvm1")
    kvm1.run(["mkdir", "-p", "/srv/only-here"])
    kvm1.run(["cp", "/var/lib/libvirt/images/web1-0.raw", "/srv/only-here/"])
    edited(fleet, "web1", ("/var/lib/libvirt/images/", "/srv/only-here/"))
    assert "storage-missing" in heavy(wait_for_finding(drover, "web1", "storage-missing"))


def test_a_full_disk(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["local"], off=True)
    kvm1 = fleet.node("kvm1")
    kvm1.run(["mkdir", "-p", "/srv/full"])
    kvm1.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/srv/full"])
    undo(lambda: kvm1.run(["umount", "/srv/full"]))
    kvm1.run(["dd", "if=/dev/zero", "of=/srv/full/web1-0.raw", "bs=64k"], check=False)
    edited(fleet, "web1", ("/var/lib/libvirt/images/", "/srv/full/"))
    assert "storage-full" in heavy(wait_for_finding(drover, "web1", "storage-full"))


def test_a_backing_file_that_only_the_source_has(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], format="qcow2", off=True)
    kvm1 = fleet.node("kvm1")
    kvm1.run(["qemu-img", "create", "-q", "-f", "raw", "/var/lib/libvirt/images/base.raw", "16M"])
    undo(lambda: kvm1.run(["rm", "/var/lib/libvirt/images/base.raw"]))
    kvm1.run(["qemu-img", "rebase", "-u", "-F", "raw", "-b", "/var/lib/libvirt/images/base.raw", f"{GLUSTER}/web1-0.qcow2"])
    found = check(drover, "web1")
    assert heavy(found) == {"image-unreachable": "block"}
    assert "base.raw" in found["image-unreachable"]["seen"]


def test_cache_writeback(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    edited(fleet, "web1", ("cache='none'", "cache='writeback'"))
    fleet.node("kvm1").virsh("start", "web1")
    wait_for_heavy(drover, "web1", {"cache-mode": "warn"})


def test_a_cdrom_with_local_media(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    fleet.node("kvm1").write("/srv/install.iso", "x" * 4096)
    cdrom = "<disk type='file' device='cdrom'><source file='/srv/install.iso'/><target dev='hdd' bus='ide'/><readonly/></disk>"
    edited(fleet, "web1", ("</devices>", f"{cdrom}</devices>"))
    wait_for_heavy(drover, "web1", {"cdrom-local": "block"})


def test_media_are_looked_at_before_a_long_list_of_firewall_rules(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    fleet.node("kvm1").write("/srv/install.iso", "x" * 4096)
    cdrom = "<disk type='file' device='cdrom'><source file='/srv/install.iso'/><target dev='hdd' bus='ide'/><readonly/></disk>"
    edited(fleet, "web1", ("</devices>", f"{cdrom}</devices>"))
    wait_for_heavy(drover, "web1", {"cdrom-local": "block"})
    kvm2 = fleet.node("kvm2")
    kvm2.write("/run/slow-nft", "#!/bin/sh\nexec sleep 60\n")
    kvm2.run(["chmod", "+x", "/run/slow-nft"])
    kvm2.run(["mount", "--bind", "/run/slow-nft", "/usr/sbin/nft"])
    undo(lambda: kvm2.run(["umount", "/usr/sbin/nft"]))
    found = heavy(check(drover, "web1"))
    assert found["cdrom-local"] == "block" and "inspection-missing" not in found, found


# ---- exports ----


def test_the_export_node_is_one_of_the_hosts(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["nfs"], off=True)
    edited(fleet, "web1", ("10.77.0.20", "10.77.0.12"))
    found = wait_for_finding(drover, "web1", "export-is-host")
    assert "kvm2 itself" in found["export-is-host"]["seen"]
    assert found["export-is-host"]["severity"] == "block"


def test_an_export_closed_to_one_host(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["iscsi"])
    export1 = fleet.node("export1")
    target = ["tgtadm", "--lld", "iscsi", "--mode", "target"]
    (number,) = [
        line.split()[1].rstrip(":") for line in export1.run([*target, "--op", "show"]).stdout.splitlines() if line.startswith("Target") and "web1-0" in line
    ]
    export1.run([*target, "--op", "unbind", "--tid", number, "-I", "ALL"])
    export1.run([*target, "--op", "bind", "--tid", number, "-I", "10.77.0.11"])
    found = check(drover, "web1")
    assert found["export-closed"]["severity"] == "block"
    assert "kvm2" in found["export-closed"]["seen"]
    # Open to the guest's QEMU, wherever that runs, and to nobody else: the probes log in as it does.
    uuid = fleet.node("kvm1").virsh("domuuid", "web1").strip()
    export1.run([*target, "--op", "bind", "--tid", number, "-Q", f"iqn.2008-11.org.linux-kvm:{uuid}"])
    export1.run([*target, "--op", "unbind", "--tid", number, "-I", "10.77.0.11"])
    assert heavy(check(drover, "web1")) == {}


# ---- networks ----


def test_a_bridge_that_is_missing(fleet, drover, undo):
    kvm1 = fleet.node("kvm1")
    kvm1.bridge_add("br7", uplink=False)
    undo(lambda: (fleet.guests_clear(), kvm1.bridge_remove("br7")))
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], nic="br7")
    assert heavy(check(drover, "web1")) == {"bridge": "block"}


@pytest.fixture
def segments(fleet, undo):
    """br7 on both hosts, without an uplink on either: two networks of the same name."""
    for host in fleet.hosts():
        host.bridge_add("br7", uplink=False)
        undo(lambda host=host: host.bridge_remove("br7"))
    undo(fleet.guests_clear)


def test_a_bridge_on_another_segment_can_be_accepted(fleet, drover, segments):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], nic="br7", tick_ms=100)
    fleet.tick_wait("web1")
    wait_for_heavy(drover, "web1", {"bridge-segment": "block"})
    found = check(drover, "web1", "--accept", "bridge-segment")
    assert heavy(found) == {"bridge-segment": "warn"}
    assert found["bridge-segment"]["accepted"]
    refused = drover("migrate", "web1", "--to", "kvm2", "--accept", "storage-not-shared", check=False)
    assert "can't be accepted" in refused.stdout + refused.stderr
    moved = document(drover("migrate", "web1", "--to", "kvm2", "--accept", "bridge-segment", "--detach", "--json"))
    job = wait_for_job(drover, moved["jobs"][0]["id"], ("done", "failed"))
    assert [finding["id"] for finding in job["findings"] if finding["accepted"]] == ["bridge-segment"]
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_a_smaller_mtu(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], nic="br0")
    kvm2 = fleet.node("kvm2")
    kvm2.run(["ip", "link", "set", "br0", "mtu", "1400"])
    undo(lambda: kvm2.run(["ip", "link", "set", "br0", "mtu", "1500"]))
    found = wait_for_heavy(drover, "web1", {"mtu-smaller": "block"})
    assert "1400" in found["mtu-smaller"]["seen"]


@pytest.fixture
def close_ports(fleet, undo):
    """close_ports(verdict, ports): by nft in kvm2."""
    kvm2 = fleet.node("kvm2")

    def close(verdict, ports):
        rules = f"table inet closed {{\nchain in {{\ntype filter hook input priority 0;\ntcp dport {ports} {verdict}\n}}\n}}\n"
        kvm2.run(["nft", "-f", "-"], input=rules)
        undo(lambda: kvm2.run(["nft", "delete", "table", "inet", "closed"]))

    return close


@pytest.mark.parametrize("verdict", ["reject with tcp reset", "drop"])
def test_closed_migration_ports(fleet, drover, close_ports, verdict):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    close_ports(verdict, "49152-49215")
    found = check(drover, "web1")
    assert heavy(found) == {"migration-port": "block"}
    assert "49152-49215" in found["migration-port"]["todo"]


def test_libvirts_port_is_closed(fleet, drover, close_ports):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    close_ports("reject with tcp reset", "16509")
    assert heavy(check(drover, "web1")) == {"libvirt-port": "block"}


# ---- guests ----


def test_a_name_that_is_taken(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    kvm2 = fleet.node("kvm2")
    kvm2.write("/run/other.xml", "<domain type='qemu'><name>web1</name><memory>65536</memory><os><type>hvm</type></os></domain>")
    kvm2.virsh("define", "/run/other.xml")
    undo(lambda: kvm2.virsh("undefine", "web1"))
    assert "name-free" in wait_for_finding(drover, "kvm1/web1", "name-free")


def test_too_little_memory(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    edited(fleet, "web1", ("<memory unit='KiB'>65536</memory>", "<memory unit='TiB'>4</memory>"))
    assert "memory-to-start" in heavy(wait_for_finding(drover, "web1", "memory-to-start"))


# ---- doctor ----


def test_the_doctor_finds_healthy_hosts_ready(fleet, drover):
    found, status = doctor(drover)
    assert set(found) == {"kvm1", "kvm2", "export1"}
    assert {host: heavy(findings) for host, findings in found.items()} == {"kvm1": {}, "kvm2": {}, "export1": {}}
    assert status == 0


def test_the_doctor_finds_closed_ports_and_says_how_to_open_them(fleet, drover, close_ports):
    close_ports("reject with tcp reset", "{ 16509, 49152-49215 }")
    found, status = doctor(drover)
    assert status == 3
    assert heavy(found["kvm2"]) == {"libvirt-port": "block", "migration-port": "block"}
    assert "nft insert rule inet closed in tcp dport 49152-49215 accept" in found["kvm2"]["migration-port"]["todo"]
    assert heavy(found["kvm1"]) == {}
    found, status = doctor(drover, "kvm1")
    assert (list(found), status) == (["kvm1"], 0)


def test_the_doctor_finds_libvirt_down(fleet, drover):
    fleet.node("kvm2").libvirtd_stop()

    def seen():
        found, status = doctor(drover, "kvm2")
        return status == 3 and "libvirt-up" in found["kvm2"]

    wait_for(seen, 20, "the doctor to find libvirt down")


def test_the_doctor_finds_an_agent_that_is_away(fleet, drover):
    fleet.programs.agent_stop(fleet.node("kvm2"))

    def seen():
        found, status = doctor(drover)
        return status == 3 and "host-up" in found["kvm2"]

    wait_for(seen, 20, "the doctor to find the agent away")
