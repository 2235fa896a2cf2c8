"""Findings about guests, each made for real: what they are, what they have, and what they would find at the destination."""

import re

import pytest
from checks import assert_goes_on, assert_runs_only_on, check, copies, document, edited, heavy, wait_for_finding, wait_for_heavy
from lablib import wait_for

TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>"
SWTPM = "/var/lib/libvirt/swtpm"


# ---- its state, and what it has ----


def test_what_a_guest_that_runs_has(fleet, drover):
    kvm1 = fleet.node("kvm1")
    kvm1.run(["mkdir", "-p", "/srv/given"])
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], format="qcow2", off=True)
    edited(fleet, "web1", ("</devices>", "<filesystem type='mount'><source dir='/srv/given'/><target dir='given'/></filesystem></devices>"))
    kvm1.virsh("start", "web1")
    kvm1.virsh("snapshot-create-as", "web1", "seen", "--disk-only")
    found = wait_for_heavy(drover, "web1", {"host-device": "block", "snapshots": "block"})
    assert "given" in found["host-device"]["subject"]
    fleet.guest_add("web2", on="kvm1", disks=["gluster"], format="qcow2")
    kvm1.virsh("checkpoint-create-as", "web2", "monday")
    wait_for_heavy(drover, "web2", {"checkpoints": "block"})
    fleet.guest_add("web3", on="kvm1")
    kvm1.virsh("suspend", "web3")
    wait_for_heavy(drover, "web3", {"guest-state": "block"})


def test_a_definition_that_names_more_than_the_guest_has(fleet, drover):
    kvm1 = fleet.node("kvm1")
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], nic="br0")
    wait_for_heavy(drover, "web1", {})
    kvm1.virsh("attach-disk", "web1", "/srv/gluster/later.raw", "vdb", "--config", "--subdriver", "raw")
    found = check(drover, "web1")
    assert heavy(found) == {"definition-differs": "warn"}
    assert "disk vdb (/srv/gluster/later.raw)" in found["definition-differs"]["seen"]


def test_what_a_guest_that_is_shut_off_has(fleet, drover):
    kvm1 = fleet.node("kvm1")
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    kvm1.virsh("managedsave", "web1")
    wait_for_heavy(drover, "web1", {"managed-save": "block"})
    fleet.guest_add("web2", on="kvm1", disks=["gluster"], off=True)
    kvm1.write("/srv/code.fd", "x")
    firmware = "<loader readonly='yes' type='pflash'>/srv/code.fd</loader><nvram>/srv/web2.fd</nvram></os>"
    edited(fleet, "web2", ("</os>", firmware))
    assert "firmware-variables" in heavy(wait_for_finding(drover, "web2", "firmware-variables"))


def test_a_transient_disk(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    edited(fleet, "web1", ("bus='ide'/>", "bus='ide'/><transient/>"))
    fleet.node("kvm1").virsh("start", "web1")
    assert "disk-transient" in heavy(wait_for_finding(drover, "web1", "disk-transient"))


def test_a_job_of_libvirts_on_the_guest(fleet, drover):
    fleet.guest_add("web1", on="kvm1", memory=256, dirty=400, working_set=160)
    fleet.tick_wait("web1", at_least=3)
    kvm1 = fleet.node("kvm1")
    fleet.link("kvm2", rate="8mbit")
    address = fleet.node("kvm2").address
    move = kvm1.popen(["virsh", "-q", "migrate", "--live", "--p2p", "web1", f"qemu+tcp://{address}/system", "--migrateuri", f"tcp://{address}"],
                      stderr=-1)
    try:
        assert "libvirt has a job" in wait_for_finding(drover, "kvm1/web1", "guest-busy")["guest-busy"]["seen"]
    finally:
        kvm1.virsh("domjobabort", "web1")
        move.communicate()
    assert kvm1.domains()["web1"] == "running"
    fleet.guest_add("web2", on="kvm1", disks=["nfs"])
    (disk,) = re.findall(r"target dev=.(\w+)", kvm1.virsh("dumpxml", "web2"))
    kvm1.virsh("blockcopy", "web2", disk, "--dest", "/run/copy.img", "--transient-job", "--wait")
    assert "libvirt has a job" in wait_for_finding(drover, "kvm1/web2", "guest-busy")["guest-busy"]["seen"]
    kvm1.virsh("blockjob", "web2", disk, "--abort")
    wait_for(lambda: "guest-busy" not in heavy(check(drover, "kvm1/web2")), 20, "the block job to end")
    kvm1.run(["rm", "/run/copy.img"])


def test_the_same_guest_at_the_destination(fleet, drover, undo):
    kvm1, kvm2 = fleet.hosts()
    fleet.guest_add("web1", on="kvm1")
    kvm2.write("/run/same.xml", kvm1.virsh("dumpxml", "--inactive", "web1"))
    kvm2.virsh("define", "/run/same.xml")
    undo(lambda: kvm2.virsh("undefine", "web1"))
    assert "shut off" in wait_for_finding(drover, "kvm1/web1", "uuid-free")["uuid-free"]["seen"]
    kvm2.virsh("start", "web1")
    undo(lambda: kvm2.virsh("destroy", "web1"))
    assert {"uuid-free", "guest-elsewhere"} <= set(heavy(wait_for_finding(drover, "kvm1/web1", "guest-elsewhere")))


# ---- its TPM ----


@pytest.fixture
def with_tpm(fleet):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], tick_ms=100, off=True)
    edited(fleet, "web1", ("</devices>", TPM))
    fleet.node("kvm1").virsh("start", "web1")
    fleet.tick_wait("web1")


def states(node):
    return node.run(["ls", SWTPM], check=False).stdout.split()


def test_a_tpm_goes_with_the_guest_that_runs_and_not_with_its_definition(fleet, drover, with_tpm):
    kvm1, kvm2 = fleet.hosts()
    uuid = kvm1.virsh("domuuid", "web1")
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "nothing to stand against the guest that runs")
    file = f"{SWTPM}/{uuid}/tpm2/tpm2-00.permall"
    keys = kvm1.run(["sha256sum", file]).stdout.split()[0]
    drover("migrate", "web1", "--to", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    assert "<tpm " in kvm2.virsh("dumpxml", "--inactive", "web1")
    assert (states(kvm1), states(kvm2)) == ([], [uuid])
    assert kvm2.run(["sha256sum", file]).stdout.split()[0] == keys
    drover("migrate", "web1", "--to", "kvm1")
    kvm1.virsh("destroy", "web1")
    found = wait_for_heavy(drover, "web1", {"tpm-state": "block"})
    assert f"{SWTPM}/{uuid}" in found["tpm-state"]["seen"]
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    assert states(kvm1) == [uuid]


def test_a_destination_without_swtpm(fleet, drover, with_tpm, undo):
    kvm2 = fleet.node("kvm2")
    kvm2.write("/run/not-a-program", "")
    kvm2.run(["mount", "--bind", "/run/not-a-program", "/usr/bin/swtpm"])
    undo(kvm2.libvirtd_start)
    undo(lambda: kvm2.run(["umount", "/usr/bin/swtpm"]))
    undo(kvm2.libvirtd_stop)
    kvm2.libvirtd_stop()
    kvm2.libvirtd_start()
    wait_for_heavy(drover, "web1", {"hypervisor-feature": "block"})
    assert "install swtpm" in check(drover, "web1")["hypervisor-feature"]["todo"]
    assert copies(fleet, "web1") == {"kvm1": "running"}


# ---- what it would find there ----


def test_a_cpu_that_no_libvirt_knows(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    edited(fleet, "web1", ("qemu64</model>", "Nonsense-v1</model>"))
    assert "cpu-unproven" in heavy(wait_for_finding(drover, "web1", "cpu-unproven"))


def test_guests_that_could_use_more_memory_than_there_is(fleet, drover):
    kvm1, kvm2 = fleet.hosts()
    with open("/proc/meminfo") as meminfo:
        half = int(meminfo.readline().split()[1]) // 1024 // 2
    for name, host in (("web1", kvm1), ("web2", kvm2)):
        # Of half the memory each touches little.
        fleet.guest_add(name, on=host.name, memory=half + 64)
    assert "memory-overcommit" in heavy(wait_for_finding(drover, "web1", "memory-overcommit"))


def test_other_media_under_the_same_name(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    for host, size in zip(fleet.hosts(), (4096, 8192)):
        host.write("/srv/media.iso", "x" * size)
        undo(lambda host=host: host.run(["rm", "/srv/media.iso"]))
    cdrom = "<disk type='file' device='cdrom'><source file='/srv/media.iso'/><target dev='hdd' bus='ide'/><readonly/></disk>"
    edited(fleet, "web1", ("</devices>", f"{cdrom}</devices>"))
    wait_for_heavy(drover, "web1", {"cdrom-differs": "warn"})


def test_post_copy_needs_a_lock(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["iscsi"])
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    assert heavy(check(drover, "web1", "--mode", "post-copy")) == {"mode-allowed": "block"}
    reply = document(drover("migrate", "web1", "--to", "kvm2", "--mode", "post-copy", "--allow", "post-copy", "--dry-run", "--json"))
    (found,) = [finding for finding in reply["possible"][0]["findings"] if finding["id"] == "post-copy-handover"]
    assert found["severity"] == "warn" and "hda" in found["subject"]
