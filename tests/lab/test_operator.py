"""What an operator does to a guest by hand while Drover moves it: nothing lost, nothing doubled, and the job says so."""

import os
import signal
import subprocess
import sys

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, document, job_state, wait_for_job
from lablib import wait_for
from lablib.kvmhost import LIBVIRT_PORT

LOST_FINISH = f"{os.path.dirname(os.path.realpath(__file__))}/lost-finish"
ENDED = {"done", "failed", "cancelled"}


def order(drover, *options):
    return document(drover("migrate", "web1", "--to", "kvm2", *options, "--detach", "--json"))["jobs"][0]["id"]


def in_transfer(fleet, drover, *options, rate="200mbit", **more):
    """A job whose transfer is on."""
    fleet.guest_add("web1", on="kvm1", memory=128, tick_ms=100, working_set=60, disks=["nfs"], **{"dirty": 5, **more})
    fleet.tick_wait("web1", at_least=10)
    fleet.link("kvm2", rate=rate)
    job = order(drover, *options)
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent", poll=0.05)
    return job


def said(job, words):
    return any(words in entry["text"] for entry in job["log"])


def stopped_before(fleet, drover, node, failpoint):
    """A job that one of its programs holds at a failpoint; and how to let it go on."""
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without Meson's option failpoints")
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"], shareable=True)
    fleet.tick_wait("web1", at_least=3)
    name = "coordinator" if node is fleet.coordinator else "agent"
    armed = fleet.programs.failpoint(node, failpoint, "stop")
    job = order(drover)
    program = node.process(name)
    wait_for(lambda: not os.path.exists(armed) and program.stopped(), 60, failpoint)
    return job, lambda: os.kill(program.pid, signal.SIGCONT)


def test_a_guest_that_is_paused_in_mid_transfer_stays_so_at_the_destination(fleet, drover):
    job = in_transfer(fleet, drover)
    fleet.node("kvm1").virsh("suspend", "web1")
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert "an operator paused it in mid-transfer" in ended["text"] and "virsh resume web1" in ended["todo"], ended
    assert said(ended, "an operator has paused the guest"), ended["log"]
    assert copies(fleet, "web1") == {"kvm2": "paused"}
    fleet.node("kvm2").virsh("resume", "web1")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_a_pause_holds_where_libvirt_itself_hands_the_guest_over(fleet, drover):
    """As it does where post-copy is allowed: it lets the guest run at the destination, whoever had paused it."""
    job = in_transfer(fleet, drover, "--allow", "post-copy,offline")
    fleet.node("kvm1").virsh("suspend", "web1")
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert said(ended, "an operator has paused the guest"), ended["log"]
    assert copies(fleet, "web1") == {"kvm2": "paused"}
    assert "an operator paused it in mid-transfer" in ended["text"] and "virsh resume web1" in ended["todo"], ended


def test_a_guest_that_is_paused_in_mid_transfer_stays_so_at_the_source(fleet, drover):
    """libvirt itself lets it run when the transfer has failed."""
    job = in_transfer(fleet, drover, rate="40mbit")
    fleet.node("kvm1").virsh("suspend", "web1")
    wait_for(lambda: said(job_state(drover, job), "an operator has paused the guest"), 20, "the pause to be noticed")
    drover("cancel", str(job))
    ended = wait_for_job(drover, job, ENDED)
    assert ended["state"] == "cancelled", ended
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "paused"}, 20, "web1 to be paused on kvm1")
    assert "an operator paused it in mid-transfer" in ended["text"] and "virsh resume web1" in ended["todo"], ended
    fleet.node("kvm1").virsh("resume", "web1")
    assert_goes_on(fleet, "web1", "kvm1", repeats=True)


def test_a_pause_is_remembered_by_an_agent_that_is_restarted(fleet, drover):
    job = in_transfer(fleet, drover, rate="80mbit")
    kvm1 = fleet.node("kvm1")
    kvm1.virsh("suspend", "web1")
    wait_for(lambda: said(job_state(drover, job), "an operator has paused the guest"), 20, "the pause to be noticed")
    fleet.programs.agent_stop(kvm1, signal.SIGKILL)
    fleet.programs.agent_start(kvm1)
    ended = wait_for_job(drover, job, ENDED, 90)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert copies(fleet, "web1") == {"kvm2": "paused"}


def test_the_limit_of_a_pause_is_not_an_operators(fleet, drover):
    """What is sent takes longer than the pause that the policy allows, and nothing is cancelled for that."""
    fleet.guest_add("web1", on="kvm1", memory=128, tick_ms=100, working_set=60, dirty=5, disks=["nfs"])
    fleet.tick_wait("web1", at_least=10)
    fleet.link("kvm2", rate="80mbit")
    job = order(drover, "--max-pause", "1s")
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent", poll=0.05)
    fleet.node("kvm1").virsh("suspend", "web1")
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert copies(fleet, "web1") == {"kvm2": "paused"}


def test_virsh_resume_of_a_guest_that_the_ladder_has_paused(fleet, drover):
    """libvirt lets nobody resume it while the job is on: it waits, and finds the guest gone."""
    fleet.guest_add("web1", on="kvm1", memory=128, tick_ms=100, working_set=60, dirty=5, disks=["nfs"])
    fleet.tick_wait("web1", at_least=10)
    fleet.link("kvm2", rate="80mbit")
    job = order(drover, "--mode", "offline")
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    resumed = fleet.node("kvm1").run(["virsh", "resume", "web1"], check=False)
    assert resumed.returncode != 0, resumed
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_virsh_destroy_at_the_source_in_mid_transfer(fleet, drover):
    """It ran there until then, so nothing newer of it is at the destination: settled without an operator's word."""
    job = in_transfer(fleet, drover, rate="80mbit")
    fleet.node("kvm1").virsh("destroy", "web1")
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("failed", "kvm1"), ended
    assert "is shut off there" in ended["text"], ended
    assert copies(fleet, "web1") == {"kvm1": "shut off"}


def test_virsh_destroy_at_the_destination_in_mid_transfer(fleet, drover):
    job = in_transfer(fleet, drover, rate="80mbit")
    fleet.node("kvm2").virsh("destroy", "web1")
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("failed", "kvm1"), ended
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1", repeats=True)


def test_virsh_resume_at_the_destination_before_it_is_told(fleet, drover):
    """The source has let go, and nobody has said so yet: the guest runs a little sooner."""
    job, go_on = stopped_before(fleet, drover, fleet.node("kvm2"), "agent.destination.OWNER.before_write")
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "shut off", "kvm2": "paused"}, 30, "the source to be done")
    fleet.node("kvm2").virsh("resume", "web1")
    go_on()
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_virsh_destroy_at_the_destination_before_it_is_told(fleet, drover):
    """The memory is lost with the image: the guest starts anew at the source."""
    kvm2 = fleet.node("kvm2")
    fleet.guest_add("web1", on="kvm1", memory=256, tick_ms=100, dirty=5, disks=["nfs"])
    fleet.tick_wait("web1", at_least=3)
    job = order(drover)
    wait_for(lambda: "web1" in kvm2.domains(), 30, "the image at kvm2", poll=0.005)
    fleet.programs.agent_stop(kvm2, signal.SIGKILL)
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "shut off", "kvm2": "paused"}, 30, "the source to be done")
    kvm2.virsh("destroy", "web1")
    fleet.programs.agent_start(kvm2)
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("failed", "kvm1"), ended
    assert "started anew" in ended["text"], ended
    assert_runs_only_on(fleet, "web1", "kvm1")


@pytest.fixture
def lost_finish(fleet, undo):
    """The destination's libvirt has the guest, and the source's does not hear of it: it lets the guest run on."""
    kvm2 = fleet.node("kvm2")
    relay = kvm2.popen([sys.executable, LOST_FINISH, "--relay", kvm2.address], stdout=subprocess.PIPE, text=True)
    undo(relay.kill)
    assert relay.stdout.readline() == "ready\n", "the relay has not started"
    config = kvm2.read("/etc/drover/agent.yaml")

    def through(text):
        kvm2.write("/etc/drover/agent.yaml", text)
        fleet.programs.agent_stop(kvm2)
        fleet.programs.agent_start(kvm2)
        fleet.programs.sessions_wait()

    through(config.replace(kvm2.libvirt_uri(), f"qemu+tcp://{kvm2.address}:{LIBVIRT_PORT + 1}/system"))
    undo(lambda: through(config))


def test_virsh_resume_at_the_destination_of_what_the_source_has_kept(fleet, drover, lost_finish):
    """The dangerous one: two copies run by an operator's deed. The one that was never anybody's guest is ended, and that is said."""
    job, go_on = stopped_before(fleet, drover, fleet.coordinator, "coordinator.ABORT.destination.before_send")
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "running", "kvm2": "paused"}, 30, "the lost Finish")
    fleet.node("kvm2").virsh("resume", "web1")
    assert copies(fleet, "web1") == {"kvm1": "running", "kvm2": "running"}
    go_on()
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("failed", "kvm1"), ended
    assert "a copy of web1 ran on kvm2 as well" in ended["text"], ended
    assert "check the file systems of web1" in ended["todo"], ended
    assert [f["severity"] for f in ended["findings"] if f["id"] == "copy-ended"] == ["warn"]
    assert_runs_only_on(fleet, "web1", "kvm1")


def test_virsh_start_at_the_source_of_what_has_left(fleet, drover):
    """Two copies by an operator's deed: it is named, and nothing of it is taken away; it goes on when that one is ended."""
    job, go_on = stopped_before(fleet, drover, fleet.coordinator, "coordinator.RELEASE.source.before_send")
    kvm1 = fleet.node("kvm1")
    kvm1.virsh("start", "web1")
    go_on()
    wait_for(lambda: "somebody started the guest here again" in job_state(drover, job)["text"], 30, "the second copy to be named")
    assert "web1" in kvm1.domains()
    kvm1.virsh("destroy", "web1")
    ended = wait_for_job(drover, job, ENDED)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert_runs_only_on(fleet, "web1", "kvm2")
