"""Guests moved by Drover as an operator would: real libvirt daemons, real QEMU, real storage."""

import signal

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, document, job_state, wait_for_job
from lablib import wait_for

DISKS = [("none", "raw"), ("nfs", "raw"), ("nfs", "qcow2"), ("iscsi", "raw"), ("iscsi", "qcow2"), ("gluster", "raw"), ("gluster", "qcow2")]


@pytest.mark.parametrize("disk, format", DISKS)
def test_live_with_each_disk(fleet, drover, disk, format):
    fleet.guest_add("web1", on="kvm1", disks=[disk], format=format, tick_ms=100)
    fleet.tick_wait("web1")
    result = drover("migrate", "web1", "--to", "kvm2")
    assert "web1 now runs on kvm2" in result.stdout
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_there_and_back_without_naming_a_host(fleet, drover):
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"], dirty=5)
    fleet.tick_wait("web1")
    assert "kvm2" in drover("migrate", "web1").stdout
    assert_runs_only_on(fleet, "web1", "kvm2")
    drover("migrate", "kvm2/web1")
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")


def test_the_reported_pause_is_what_the_guest_felt(fleet, drover):
    tick = 0.1
    fleet.guest_add("web1", on="kvm1", tick_ms=int(tick * 1000), disks=["nfs"])
    fleet.tick_wait("web1")
    with fleet.tick_watch("web1") as watch:
        watch.wait(3, host="kvm1")
        drover("migrate", "web1", "--to", "kvm2")
        watch.wait(3, host="kvm2")
        gap, before, after = watch.largest_gap()
    result = document(drover("history", "--json"))["jobs"][0]["result"]
    assert result["pause"] > 0
    assert gap <= result["pause"] / 1000 + 2 * tick, (gap, before, after, result)


def test_several_at_once(fleet, drover):
    for name in ("web1", "web2", "web3"):
        fleet.guest_add(name, on="kvm1", tick_ms=200)
    for name in ("web1", "web2", "web3"):
        fleet.tick_wait(name)
    drover("migrate", "web1", "web2", "web3", "--to", "kvm2")
    for name in ("web1", "web2", "web3"):
        assert_runs_only_on(fleet, name, "kvm2")
        assert_goes_on(fleet, name, "kvm2")


def test_a_linux_guest(fleet, drover):
    fleet.guest_add("linux1", on="kvm1", kind="linux", nic="br0", memory=256, disks=["nfs"])
    fleet.tick_wait("linux1", deadline=90)
    drover("migrate", "linux1", "--to", "kvm2")
    assert_runs_only_on(fleet, "linux1", "kvm2")
    assert_goes_on(fleet, "linux1", "kvm2")


def test_offline_pauses_and_resumes(fleet, drover):
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["iscsi"])
    fleet.tick_wait("web1")
    drover("migrate", "web1", "--to", "kvm2", "--mode", "offline")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_shut_off_guest_moves_its_definition(fleet, drover):
    fleet.guest_add("cold1", on="kvm1", off=True, autostart=True, disks=["nfs"])
    kvm1, kvm2 = fleet.hosts()
    kvm1.virsh("desc", "cold1", "--title", "--config", "--new-desc", "the cold one")
    uuid = kvm1.virsh("domuuid", "cold1")
    drover("migrate", "cold1", "--to", "kvm2")
    assert copies(fleet, "cold1") == {"kvm2": "shut off"}
    assert kvm2.virsh("domuuid", "cold1") == uuid
    assert kvm2.virsh("desc", "cold1", "--title", "--config") == "the cold one"
    assert "Autostart:      enable" in kvm2.virsh("dominfo", "cold1")
    kvm2.virsh("start", "cold1")


def test_snapshots_of_a_shut_off_guest_go_with_it(fleet, drover):
    fleet.guest_add("cold1", on="kvm1", off=True, disks=["gluster"], format="qcow2")
    kvm1, kvm2 = fleet.hosts()
    kvm1.virsh("snapshot-create-as", "cold1", "first")
    kvm1.virsh("snapshot-create-as", "cold1", "second")
    drover("migrate", "cold1", "--to", "kvm2")
    assert kvm2.virsh("snapshot-list", "cold1", "--name").split() == ["first", "second"]
    assert kvm2.virsh("snapshot-current", "cold1", "--name") == "second"
    assert kvm2.virsh("snapshot-parent", "cold1", "second") == "first"
    assert copies(fleet, "cold1") == {"kvm2": "shut off"}


def test_snapshots_of_a_running_guest_are_refused(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], format="qcow2")
    fleet.tick_wait("web1")
    fleet.node("kvm1").virsh("snapshot-create-as", "web1", "first", "--disk-only")
    refused = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert refused.returncode == 3
    assert "snapshot" in refused.stdout + refused.stderr
    assert_runs_only_on(fleet, "web1", "kvm1")


def test_what_the_definition_keeps(fleet, drover):
    fleet.guest_add("web1", on="kvm1", autostart=True, disks=["nfs"])
    fleet.tick_wait("web1")
    kvm1, kvm2 = fleet.hosts()
    kvm1.virsh("desc", "web1", "--title", "--config", "--live", "--new-desc", "the first web server")
    kvm1.virsh("metadata", "web1", "http://example.org/app", "--config", "--live", "--key", "app", "--set", "<owner>web team</owner>")
    drover("migrate", "web1", "--to", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert kvm2.virsh("desc", "web1", "--title", "--config") == "the first web server"
    assert "web team" in kvm2.virsh("metadata", "web1", "http://example.org/app", "--config")
    assert "Autostart:      enable" in kvm2.virsh("dominfo", "web1")


def test_a_transient_guest_stays_transient(fleet, drover):
    fleet.guest_add("gone1", on="kvm1", transient=True, tick_ms=100, disks=["nfs"])
    fleet.tick_wait("gone1")
    drover("migrate", "gone1", "--to", "kvm2")
    assert copies(fleet, "gone1") == {"kvm2": "running"}
    assert "Persistent:     no" in fleet.node("kvm2").virsh("dominfo", "gone1")
    assert_goes_on(fleet, "gone1", "kvm2")


def slow_guest(fleet, name="web1", **more):
    """A guest whose transfer takes many seconds: it has rewritten its memory, and the link is slow."""
    fleet.guest_add(name, on="kvm1", memory=256, tick_ms=100, dirty=400, working_set=160, **more)
    fleet.tick_wait(name, at_least=10)
    fleet.link("kvm2", rate="80mbit")


def test_cancel_leaves_the_guest_at_the_source(fleet, drover):
    slow_guest(fleet, disks=["none"])
    job = document(drover("migrate", "web1", "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    said = drover("cancel", str(job))
    assert said.stdout.strip()
    ended = wait_for_job(drover, job, {"cancelled"})
    assert ended["runs_on"] == "kvm1"
    assert drover("watch", str(job), check=False).returncode == 1
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")
    # and it can still be moved
    fleet.link("kvm2", clear=True)
    drover("migrate", "web1", "--to", "kvm2", "--mode", "offline")
    assert_runs_only_on(fleet, "web1", "kvm2")


def test_a_second_migration_of_one_guest_is_refused(fleet, drover):
    slow_guest(fleet)
    job = document(drover("migrate", "web1", "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"]
    second = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert second.returncode == 3
    assert f"{job}" in second.stdout + second.stderr
    drover("cancel", str(job))
    wait_for_job(drover, job, {"cancelled"})
    assert_runs_only_on(fleet, "web1", "kvm1")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["migrate", "nobody", "--to", "kvm2"], ["nobody"]),
        (["migrate", "web1", "--to", "kvm9"], ["kvm9", "kvm2"]),
        (["migrate", "web1", "--to", "kvm1"], ["kvm1", "already"]),
        (["check", "web1", "--to", "export1"], ["export1"]),
    ],
)
def test_refusals_say_what_was_seen(fleet, drover, arguments, words):
    fleet.guest_add("web1", on="kvm1")
    wait_for(lambda: "web1" in drover("vms").stdout, 10, "the coordinator to know web1")
    refused = drover(*arguments, check=False)
    assert refused.returncode == 3, refused
    for word in words:
        assert word in refused.stdout + refused.stderr
    assert_runs_only_on(fleet, "web1", "kvm1")


@pytest.mark.parametrize("same", ["name", "uuid"])
def test_a_duplicate_at_the_destination_is_refused(fleet, drover, same):
    fleet.guest_add("web1", on="kvm1")
    fleet.tick_wait("web1")
    kvm1, kvm2 = fleet.hosts()
    uuid = kvm1.virsh("domuuid", "web1")
    name = "web1" if same == "name" else "other"
    line = f"<uuid>{uuid}</uuid>" if same == "uuid" else ""
    kvm2.write("/tmp/other.xml", f"<domain type='qemu'><name>{name}</name>{line}<memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>")
    kvm2.virsh("define", "/tmp/other.xml")
    try:
        wait_for(lambda: name in drover("vms", "--host", "kvm2").stdout, 10, "the coordinator to know it")
        refused = drover("migrate", "kvm1/web1", "--to", "kvm2", check=False)
        assert refused.returncode == 3
        assert name in refused.stdout + refused.stderr
        assert kvm1.domains()["web1"] == "running"
        assert kvm2.domains() == {name: "shut off"}
    finally:
        kvm2.virsh("undefine", name)


def test_destination_agent_down_before_the_start(fleet, drover):
    fleet.guest_add("web1", on="kvm1")
    fleet.tick_wait("web1")
    fleet.programs.agent_stop(fleet.node("kvm2"))
    wait_for(lambda: "down" in drover("hosts").stdout, 20, "kvm2 to be seen down")
    refused = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert refused.returncode == 3
    assert "kvm2" in refused.stdout + refused.stderr
    assert_runs_only_on(fleet, "web1", "kvm1")
    fleet.programs.agent_start(fleet.node("kvm2"))
    fleet.programs.sessions_wait()
    drover("migrate", "web1", "--to", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")


def test_history_outlives_the_coordinator(fleet, drover):
    fleet.guest_add("web1", on="kvm1")
    fleet.tick_wait("web1")
    drover("migrate", "web1", "--to", "kvm2")
    before = document(drover("history", "--json"))["jobs"]
    fleet.programs.coordinator_stop(signal.SIGKILL)
    assert drover("hosts", "--timeout", "2s", check=False).returncode == 5
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()
    assert document(drover("history", "--json"))["jobs"] == before


def test_agent_and_libvirtd_come_back(fleet, drover):
    kvm1 = fleet.node("kvm1")
    fleet.guest_add("web1", on="kvm1")
    fleet.tick_wait("web1")
    fleet.programs.agent_stop(kvm1, signal.SIGKILL)
    fleet.programs.agent_start(kvm1)
    fleet.programs.sessions_wait()
    kvm1.libvirtd_stop(signal.SIGKILL)
    wait_for(lambda: not host(drover, "kvm1")["report"].get("libvirt_up"), 20, "libvirtd to be seen down")
    assert host(drover, "kvm1")["report"]["libvirt_error"]
    kvm1.libvirtd_start()
    wait_for(lambda: host(drover, "kvm1")["report"].get("libvirt_up"), 20, "libvirtd to be seen up")
    drover("migrate", "web1", "--to", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")


def host(drover, name):
    return next(h for h in document(drover("hosts", "--json"))["hosts"] if h["name"] == name)


def test_a_restarted_coordinator_settles_what_it_was_doing(fleet, drover):
    slow_guest(fleet)
    job = document(drover("migrate", "web1", "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    fleet.programs.coordinator_stop(signal.SIGKILL)
    fleet.programs.coordinator_start()
    ended = wait_for_job(drover, job, {"done", "failed", "cancelled"}, 90)
    assert_runs_only_on(fleet, "web1", ended["runs_on"])
    assert_goes_on(fleet, "web1", ended["runs_on"], repeats=True)
