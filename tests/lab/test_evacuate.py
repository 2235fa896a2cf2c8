"""Hosts emptied and filled again: three KVM hosts, guests of all kinds, and a coordinator that dies in the middle."""

import contextlib
import os
import signal

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, document, job_state, wait_for_job
from lablib import wait_for

CONFIG = "/etc/drover/coordinator.yaml"
MOVES = ["idle1", "idle2", "idle3", "busy1", "linux1"]
STAYS = {"hopeless1": "pause", "paused1": "paused", "snap1": "snapshot", "local1": "another one", "pin1": "pinned"}
PINNED = "guests:\n  pin1: {pinned: true}\n"


@pytest.fixture
def fleet(three_hosts):
    return three_hosts


@pytest.fixture
def drover(fleet):
    return fleet.drover


def steps(job):
    return {step["guest"]: step for step in job["steps"]}


def where(fleet, guest):
    (host,) = copies(fleet, guest)
    return host


def kill_the_coordinator(fleet):
    fleet.programs.coordinator_stop(signal.SIGKILL)
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()


@pytest.fixture
def pinned(fleet):
    """pin1 is not to be moved, by the operator's wish."""
    own = fleet.programs.coordinator_config()
    fleet.coordinator.write(CONFIG, own + PINNED)
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()
    yield
    fleet.coordinator.write(CONFIG, own)
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()


def test_a_host_of_mixed_guests_is_emptied_and_filled_again(fleet, drover, pinned):
    for name in ("idle1", "idle2", "idle3"):
        fleet.guest_add(name, on="kvm1", tick_ms=200, disks=["nfs"])
    fleet.guest_add("busy1", on="kvm1", tick_ms=200, dirty=4, working_set=8)
    fleet.guest_add("linux1", on="kvm1", kind="linux", nic="br0", disks=["iscsi"])
    fleet.guest_add("hopeless1", on="kvm1", tick_ms=200, memory=128, dirty="max", working_set=64)
    fleet.guest_add("snap1", on="kvm1", tick_ms=200, disks=["gluster"], format="qcow2")
    fleet.node("kvm1").virsh("snapshot-create-as", "snap1", "first", "--disk-only")
    fleet.guest_add("local1", on="kvm1", tick_ms=200, disks=["local"])
    fleet.guest_add("cold1", on="kvm1", off=True, disks=["nfs"])
    fleet.guest_add("paused1", on="kvm1", tick_ms=200)
    fleet.guest_add("pin1", on="kvm1", tick_ms=200, disks=["nfs"])
    for name in [*MOVES, *STAYS]:
        fleet.tick_wait(name, deadline=90)
    fleet.node("kvm1").virsh("suspend", "paused1")

    how = ("--bandwidth", "20MiB/s", "--max-pause", "1s")
    plan = {}

    def hopeless_is_known():
        """A busy host is long in sampling them all, one after the other."""
        dry = drover("evacuate", "kvm1", "--dry-run", "--window", "30m", "--json", *how, check=False)
        assert dry.returncode == 4
        plan.update(steps(document(dry)))
        return plan["hopeless1"]["state"] == "failed"

    wait_for(hopeless_is_known, 120, "a forecast of hopeless1")
    assert "paused" in plan["paused1"]["why"]
    # What is known to be hopeless is no move, as `drover check` says of it.
    assert "policy would cancel" in plan["hopeless1"]["why"], plan["hopeless1"]
    assert copies(fleet, "idle1") == {"kvm1": "running"}, "a dry run moves nothing"

    job = document(drover("evacuate", "kvm1", "--detach", "--json", *how))["id"]

    def one_is_done():
        return any(step["state"] == "done" for step in job_state(drover, job)["steps"])

    wait_for(one_is_done, 60, "a first guest to have moved")
    kill_the_coordinator(fleet)
    ended = wait_for_job(drover, job, {"partly", "done", "failed", "cancelled"}, deadline=150)
    assert ended["state"] == "partly", ended["text"]
    stayed = {step["guest"]: step["why"] for step in ended["steps"] if step["state"] != "done"}
    assert set(stayed) == set(STAYS), "\n".join(f"{guest}: {why}" for guest, why in stayed.items())
    assert "5 guests left there" in ended["text"]
    for name, why in STAYS.items():
        step = steps(ended)[name]
        assert step["state"] == "failed" and why in step["why"] and step["todo"], step
        assert set(copies(fleet, name)) == {"kvm1"}
    for name in MOVES:
        assert where(fleet, name) in ("kvm2", "kvm3")
        assert_runs_only_on(fleet, name, where(fleet, name))
        assert_goes_on(fleet, name, where(fleet, name), repeats=True)  # slow transfers: CONTRIBUTING.md, "set back"
    for name in set(STAYS) - {"paused1"}:
        assert_goes_on(fleet, name, "kvm1", repeats=name == "hopeless1")
    assert copies(fleet, "cold1") in ({"kvm2": "shut off"}, {"kvm3": "shut off"})
    watched = drover("watch", str(job), check=False)
    assert watched.returncode == 4
    assert "snap1 stays on kvm1" in watched.stdout
    assert "pin1 stays on kvm1" in watched.stdout

    # It gets no guests now.
    refused = drover("migrate", "idle1", "--to", "kvm1", check=False)
    assert refused.returncode == 3
    assert "maintenance" in refused.stdout

    drover("return", "kvm1")
    for name in MOVES:
        assert_runs_only_on(fleet, name, "kvm1")
        assert_goes_on(fleet, name, "kvm1")
    assert copies(fleet, "cold1") == {"kvm1": "shut off"}


def test_a_host_that_lacks_the_storage_is_passed_over(fleet, drover):
    fleet.guest_add("web1", on="kvm1", tick_ms=200, disks=["gluster"])
    fleet.tick_wait("web1")

    def planned():
        return steps(document(drover("evacuate", "kvm1", "--dry-run", "--json")))["web1"]

    wait_for(lambda: "web1" in drover("vms").stdout, 20, "the coordinator to know web1")
    first = planned()["to"]
    other = {"kvm2": "kvm3", "kvm3": "kvm2"}[first]
    lacks = fleet.node(first)
    lacks.run(["mount", "-t", "tmpfs", "tmpfs", "/srv/gluster"])
    try:
        # No false alarm, and the reason is told.
        step = planned()
        assert step["to"] == other, step
        assert any(f"not to {first}" in note and "storage-not-shared" in note for note in step["notes"]), step
        assert drover("drill", "kvm1").returncode == 0
        ended = document(drover("evacuate", "kvm1", "--json"))
        assert ended["state"] == "done", ended["text"]
        assert_runs_only_on(fleet, "web1", other)
        assert_goes_on(fleet, "web1", other)
    finally:
        lacks.run(["umount", "/srv/gluster"])


IMAGES = "/var/lib/libvirt/images"


@pytest.fixture
def images(fleet):
    """The hosts' own directories of images, emptied in the end."""
    yield
    fleet.guests_clear()
    for host in fleet.hosts():
        host.run(["find", IMAGES, "-type", "f", "-delete"])


def test_guests_with_disks_of_their_own_go_and_come_back(fleet, drover, images):
    fleet.guest_add("live1", on="kvm1", disks=["local"], tick_ms=200)
    fleet.guest_add("off1", on="kvm1", disks=["local"], format="qcow2", off=True)
    kvm1 = fleet.node("kvm1")
    kvm1.run(["qemu-io", "-c", "write -q -P 0x5a 1M 8M", f"{IMAGES}/off1-0.qcow2"])
    fleet.tick_wait("live1")
    wait_for(lambda: "off1" in drover("vms").stdout, 20, "the coordinator to know the guests")
    moved = document(drover("evacuate", "kvm1", "--copy-storage", "--json"))
    assert moved["state"] == "done" and {step["state"] for step in moved["steps"]} == {"done"}, moved
    assert kvm1.domains() == {} and where(fleet, "live1") != "kvm1" and where(fleet, "off1") != "kvm1"
    assert_goes_on(fleet, "live1", where(fleet, "live1"))
    fleet.node(where(fleet, "off1")).run(["qemu-io", "-c", "read -q -P 0x5a 1M 8M", f"{IMAGES}/off1-0.qcow2"])
    back = document(drover("return", "kvm1", "--copy-storage", "--json"))
    assert back["state"] == "done", back
    assert_runs_only_on(fleet, "live1", "kvm1")
    assert_goes_on(fleet, "live1", "kvm1")
    assert copies(fleet, "off1") == {"kvm1": "shut off"}
    kvm1.run(["qemu-io", "-c", "read -q -P 0x5a 1M 8M", f"{IMAGES}/off1-0.qcow2"])


def test_an_image_that_a_guest_of_a_third_host_names_keeps_its_name(fleet, drover, images):
    """It may be the same file: neither end of the move sees that host's guests."""
    kvm1, kvm3 = fleet.node("kvm1"), fleet.node("kvm3")
    fleet.guest_add("base1", on="kvm1", disks=["local"], off=True)
    fleet.guest_add("clone1", on="kvm3", disks=["local"], format="qcow2", off=True)
    xml = kvm3.virsh("dumpxml", "--inactive", "clone1")
    assert xml.count(f"{IMAGES}/clone1-0.qcow2'/>") == 1, xml
    backing = f"<backingStore type='file'><format type='raw'/><source file='{IMAGES}/base1-0.raw'/><backingStore/></backingStore>"
    kvm3.write("/run/clone1.xml", xml.replace("clone1-0.qcow2'/>", f"clone1-0.qcow2'/>{backing}"))
    kvm3.virsh("define", "/run/clone1.xml")
    assert "base1-0.raw" in kvm3.virsh("dumpxml", "--inactive", "clone1")
    wait_for(lambda: {"base1", "clone1"} <= set(drover("vms").stdout.split()), 20, "the coordinator to know the guests")
    job = document(drover("migrate", "base1", "--to", "kvm2", "--copy-storage", "--detach", "--json"))["jobs"][0]["id"]
    ended = wait_for_job(drover, job, {"done", "failed"})
    assert ended["state"] == "done" and ended["left"] == [f"{IMAGES}/base1-0.raw"], ended
    assert kvm1.run(["ls", IMAGES]).stdout.split() == ["base1-0.raw"]


def test_empty_is_said_after_libvirt_says_so_and_who_comes_and_goes_is_noticed(fleet, drover):
    for name in ("web1", "web2", "web3", "gone1"):
        fleet.guest_add(name, on="kvm1", tick_ms=200)
        fleet.tick_wait(name)
    job = document(drover("evacuate", "kvm1", "--detach", "--json"))["id"]
    drover("pause", str(job))
    fleet.guest_add("late1", on="kvm1", tick_ms=200)
    fleet.tick_wait("late1")
    wait_for(lambda: "late1" in steps(job_state(drover, job)), 30, "the new guest to be noticed")
    # One that was waiting is ended by its owner.
    if steps(job_state(drover, job))["gone1"]["state"] == "waiting":
        fleet.node("kvm1").virsh("destroy", "gone1")
        fleet.node("kvm1").virsh("undefine", "gone1")
        wait_for(lambda: steps(job_state(drover, job))["gone1"]["state"] == "skipped", 30, "it to be missed")
        assert "not on kvm1 any more" in steps(job_state(drover, job))["gone1"]["why"]
    # Nothing new starts, across a restart.
    wait_for(lambda: not any(s["state"] == "running" for s in job_state(drover, job)["steps"]), 60, "running moves to end")
    kill_the_coordinator(fleet)
    assert job_state(drover, job)["phase"] == "paused"
    assert steps(job_state(drover, job))["late1"]["state"] == "waiting"
    drover("resume", str(job))
    ended = wait_for_job(drover, job, {"done", "partly", "failed"})
    assert ended["state"] == "done", ended["text"]
    assert "kvm1 is empty: libvirt there has no guest" in ended["text"]
    assert fleet.node("kvm1").domains() == {}
    for name in ("web1", "web2", "web3", "late1"):
        assert_goes_on(fleet, name, where(fleet, name))


def test_a_destination_that_dies_in_mid_transfer_holds_up_nothing(fleet, drover):
    """Its guest is safe at the source, and goes elsewhere; what it holds is cleared away when it is back, however late."""
    fleet.guest_add("web1", on="kvm1", tick_ms=200, memory=128, dirty=2, working_set=64)
    fleet.tick_wait("web1")
    plan = document(drover("evacuate", "kvm1", "--bandwidth", "4MiB/s", "--detach", "--json"))["id"]
    wait_for(lambda: steps(job_state(drover, plan))["web1"]["state"] == "running", 60, "the move to run")
    wait_for(lambda: copies(fleet, "web1").keys() > {"kvm1"}, 60, "the image")
    step = steps(job_state(drover, plan))["web1"]
    dead, job = fleet.node(step["to"]), step["job"]
    fleet.programs.agent_stop(dead, signal.SIGKILL)
    dead.libvirtd_stop(signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # it may have ended with its libvirt
        os.kill(int(dead.read("/run/libvirt/qemu/web1.pid")), signal.SIGKILL)
    ended = wait_for_job(drover, plan, {"done", "partly", "failed"}, 300)  # a host that is away is waited for first
    assert ended["state"] == "done", ended
    (other,) = {"kvm2", "kvm3"} - {dead.name}
    assert steps(ended)["web1"]["to"] == other, ended
    left = job_state(drover, job)
    assert "doubt" in left["state"] and f"{dead.name} must still give back" in left["text"], left
    dead.libvirtd_start()
    fleet.programs.agent_start(dead)
    assert wait_for_job(drover, job, {"done", "failed"}, 60)["state"] == "failed"
    assert_runs_only_on(fleet, "web1", other)
    with fleet.tick_watch("web1") as watch:  # transfers over so slow a link set a TCG guest back: CONTRIBUTING.md
        watch.wait(3, host=other)
    drover("maintenance", "off", "kvm1")


@pytest.mark.parametrize("now", [True, False])
def test_a_cancelled_plan_leaves_each_guest_on_one_host(fleet, drover, now):
    for name in ("web1", "web2", "web3"):
        fleet.guest_add(name, on="kvm1", tick_ms=200, memory=128, dirty=2 if now else 0, working_set=64)
        fleet.tick_wait(name)
    job = document(drover("evacuate", "kvm1", "--bandwidth", "4MiB/s", "--detach", "--json"))["id"]
    wait_for(lambda: any(s["job"] and s["state"] == "running" for s in job_state(drover, job)["steps"]), 60, "a move to run")
    running = {name for name, step in steps(job_state(drover, job)).items() if step["state"] == "running"}
    drover("cancel", str(job), *(["--now"] if now else []))
    ended = wait_for_job(drover, job, {"cancelled", "done", "partly", "failed"}, deadline=120)
    assert ended["state"] == "cancelled", ended["text"]
    for name, step in steps(ended).items():
        if name in running and not now:
            assert step["state"] == "done" and where(fleet, name) != "kvm1", "what runs goes on to its end"
        else:
            assert step["state"] == "skipped" and step["todo"] and where(fleet, name) == "kvm1", step
    for name in ("web1", "web2", "web3"):
        assert_goes_on(fleet, name, where(fleet, name), repeats=True)
    drover("maintenance", "off", "kvm1")
