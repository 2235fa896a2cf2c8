"""Post-copy, where the policy allows it: the guest runs on while its memory follows, and a cut link takes nothing away."""

import os
import signal
import subprocess
import sys

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, document, job_state, wait_for_job
from lablib import wait_for
from lablib.kvmhost import LIBVIRT_PORT

TICK = 0.1
QEMU_CONF = "/etc/libvirt/qemu.conf"
SETTING = "/proc/sys/vm/unprivileged_userfaultfd"


def guest(fleet):
    """One that no pre-copy can move over its link."""
    fleet.guest_add("web1", on="kvm1", memory=160, tick_ms=int(TICK * 1000), working_set=120, dirty="max")
    fleet.tick_wait("web1", at_least=20, deadline=60)
    fleet.link("kvm2", rate="200mbit")


def test_it_needs_the_policys_word(fleet, drover):
    fleet.guest_add("web1", on="kvm1", tick_ms=int(TICK * 1000))
    refused = drover("migrate", "web1", "--to", "kvm2", "--mode", "post-copy", check=False)
    assert refused.returncode == 3
    assert "mode-allowed" in refused.stdout + refused.stderr


def test_a_hopeless_guest_goes_over_without_a_long_pause(fleet, drover):
    guest(fleet)
    drover("check", "web1", "--to", "kvm2", "--refresh")  # samples it, and measures the link as it is now
    with fleet.tick_watch("web1") as watch:
        watch.wait(3, host="kvm1")
        drover("migrate", "web1", "--to", "kvm2", "--allow", "post-copy")
        watch.wait(3, host="kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    job = job_state(drover, document(drover("history", "--json"))["jobs"][0]["id"])
    told = job["forecast"]
    assert told["way"] == "post-copy" and told["allowed"], told
    assert job["result"]["post_copy"] and job["result"]["faults"] > 0, job["result"]
    assert job["result"]["pause"] < 1000 < told["time"], (job["result"], told)
    assert "post-copy with" in drover("job", str(job["id"])).stdout
    assert "waits for pages" in drover("job", str(job["id"]), "--explain").stdout


def test_without_userfaultfd_it_is_no_rung(fleet, drover, undo):
    """The agent judges by qemu.conf and the kernel; libvirtd goes on as it was started."""
    with open(SETTING) as file:
        if file.read().strip() != "0":
            pytest.skip(f"{SETTING} lets every user have it on this machine")
    kvm2 = fleet.node("kvm2")
    before = kvm2.read(QEMU_CONF)

    def agent_reads(text):
        kvm2.write(QEMU_CONF, text)
        fleet.programs.agent_stop(kvm2)
        fleet.programs.agent_start(kvm2)
        fleet.programs.sessions_wait()

    undo(lambda: agent_reads(before))
    agent_reads(before.replace('user = "root"', 'user = "libvirt-qemu"'))
    guest(fleet)
    refused = drover("migrate", "web1", "--to", "kvm2", "--mode", "post-copy", "--allow", "post-copy", check=False)
    assert refused.returncode == 3 and "post-copy-missing" in refused.stdout + refused.stderr, refused
    moved = drover("migrate", "web1", "--to", "kvm2", "--allow", "post-copy,offline", "--max-pause", "30s")
    assert "post-copy-left-out" in moved.stdout and "vm.unprivileged_userfaultfd is 0 on kvm2" in moved.stdout, moved.stdout
    assert "may go on as post-copy" not in moved.stdout
    assert not document(drover("history", "--json"))["jobs"][0]["result"]["post_copy"]
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_a_link_cut_in_post_copy_is_waited_out(fleet, drover):
    guest(fleet)
    started = drover("migrate", "web1", "--to", "kvm2", "--mode", "post-copy", "--allow", "post-copy", "--bandwidth", "20MiB/s", "--detach", "--json")
    job = document(started)["jobs"][0]["id"]

    def progress():
        return job_state(drover, job).get("progress", {})

    wait_for(lambda: progress().get("post_copy"), 60, "post-copy", poll=0.1)
    kvm1 = fleet.node("kvm1")
    assert kvm1.virsh("migrate-getspeed", "web1", "--postcopy") == "20"
    fleet.link("kvm2", up=False)
    kvm1.virsh("domjobabort", "web1", "--postcopy")  # else it takes libvirt half a minute to see that the path is gone
    wait_for(lambda: progress().get("broken"), 60, "the broken stream to be seen", poll=0.1)
    refused = drover("cancel", str(job), check=False)
    assert refused.returncode == 3 and "too late to cancel" in refused.stdout + refused.stderr, refused
    fleet.programs.agent_stop(kvm1, signal.SIGKILL)
    fleet.programs.agent_start(kvm1)
    assert copies(fleet, "web1") in ({"kvm1": "paused", "kvm2": state} for state in ("running", "paused"))  # paused: kvm2 has seen it, too
    fleet.link("kvm2", up=True)
    assert wait_for_job(drover, job, {"done", "failed", "cancelled"}, 120)["state"] == "done"
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


@pytest.mark.parametrize("died", ["kvm1", "kvm2"])
def test_a_qemu_that_dies_in_post_copy_takes_the_guests_memory_along(fleet, drover, died):
    """A part of it was on either host. Its disks are whole: an operator's word ends the job, and it can be started from them."""
    guest(fleet)
    started = drover("migrate", "web1", "--to", "kvm2", "--mode", "post-copy", "--allow", "post-copy", "--bandwidth", "20MiB/s", "--detach", "--json")
    job = str(document(started)["jobs"][0]["id"])
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("post_copy"), 60, "post-copy", poll=0.1)
    left = {"kvm1": "kvm2", "kvm2": "kvm1"}[died]
    os.kill(int(fleet.node(died).read("/run/libvirt/qemu/web1.pid")), signal.SIGKILL)
    told = wait_for_job(drover, job, {"in_doubt", "in-doubt"}, 60)
    assert "neither is stopped" in told["text"] or "nothing says that it migrated" in told["text"], told
    assert "end what is left of it (virsh destroy)" in told["todo"] or died == "kvm1", told
    if "web1" in fleet.node(left).domains():
        fleet.node(left).virsh("destroy", "web1")  # a part of its memory
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "shut off"}, 30, "both halves to be gone")
    wait_for(lambda: "nothing says that it migrated" in job_state(drover, job)["text"], 60, "kvm1 to say that its QEMU may have died")
    wait_for(lambda: drover("job", job, "--resolve", "source", check=False).returncode == 0, 30, "the word to be taken")
    ended = wait_for_job(drover, job, {"done", "failed"}, 60)
    assert (ended["state"], ended["runs_on"]) == ("failed", "kvm1"), ended
    assert copies(fleet, "web1") == {"kvm1": "shut off"}
    kvm1 = fleet.node("kvm1")
    kvm1.libvirtd_stop(signal.SIGKILL)  # libvirt 9.0 holds it for the migration until it is restarted, and starts or undefines it only then
    kvm1.libvirtd_start()
    kvm1.virsh("start", "web1")
    assert copies(fleet, "web1") == {"kvm1": "running"}


@pytest.fixture
def finish_unanswered(fleet):
    """The relay between the two libvirtds: it says "dropped" when Finish has run the guest at kvm2, and keeps the answer back."""
    kvm2 = fleet.node("kvm2")
    relay = kvm2.popen(
        [sys.executable, f"{os.path.dirname(os.path.realpath(__file__))}/lost-finish", "--relay", kvm2.address, "--hold"],
        stdout=subprocess.PIPE, text=True,
    )
    assert relay.stdout.readline() == "ready\n"
    config = kvm2.read("/etc/drover/agent.yaml")
    kvm2.write("/etc/drover/agent.yaml", config.replace(kvm2.libvirt_uri(), f"qemu+tcp://{kvm2.address}:{LIBVIRT_PORT + 1}/system"))
    fleet.programs.agent_stop(kvm2)
    fleet.programs.agent_start(kvm2)
    fleet.programs.sessions_wait()
    yield relay
    kvm2.write("/etc/drover/agent.yaml", config)
    relay.kill()
    relay.wait()
    fleet.programs.agent_stop(kvm2)
    fleet.programs.agent_start(kvm2)


def test_a_guest_that_libvirtd_left_paused_is_not_resumed_beside_the_other(fleet, drover, finish_unanswered):
    fleet.guest_add("web1", on="kvm1", memory=64, tick_ms=int(TICK * 1000), disks=["nfs"])
    fleet.tick_wait("web1")
    kvm1 = fleet.node("kvm1")
    started = drover("migrate", "web1", "--to", "kvm2", "--mode", "post-copy", "--allow", "post-copy", "--detach", "--json")
    job = str(document(started)["jobs"][0]["id"])
    assert finish_unanswered.stdout.readline() == "dropped\n"
    kvm1.libvirtd_stop(signal.SIGKILL)
    kvm1.libvirtd_start()
    wait_for_job(drover, job, {"in_doubt", "in-doubt"}, 60)
    assert copies(fleet, "web1") == {"kvm1": "paused", "kvm2": "running"}
    assert "may have let it run at the destination" in job_state(drover, job)["text"]
    refused = drover("job", job, "--resolve", "source", check=False)
    assert refused.returncode == 3 and "libvirt on kvm2 says that web1 is there" in refused.stderr, refused
    kvm1.virsh("destroy", "web1")
    wait_for(lambda: "nothing says that it migrated" in job_state(drover, job)["text"], 30, "kvm1 to be asked again")
    drover("job", job, "--resolve", "destination")
    assert wait_for_job(drover, job, {"done", "failed"}, 60)["state"] == "done"
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")

