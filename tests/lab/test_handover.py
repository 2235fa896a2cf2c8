"""The agents' half of a migration when something dies or hangs: exactly one running copy, and Drover knows which."""

import os
import signal

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, document, job_state, wait_for_job
from conftest import BUILD
from fault_leftovers import records, steps
from lablib import wait_for

ENDED = {"done", "failed", "cancelled"}


def order(drover):
    return document(drover("migrate", "web1", "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"]


def in_transfer(fleet, drover):
    """A job whose transfer is on and won't end by itself."""
    fleet.guest_add("web1", on="kvm1", memory=256, tick_ms=100, dirty=400, working_set=160, disks=["nfs"])
    fleet.tick_wait("web1", at_least=10)
    fleet.link("kvm2", rate="80mbit")
    job = order(drover)
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    return job


def with_image(fleet, drover):
    """A job of a guest whose image has begun to come in at kvm2."""
    fleet.guest_add("web1", on="kvm1", memory=256, tick_ms=100, dirty=5, disks=["nfs"])
    fleet.tick_wait("web1", at_least=3)
    job = order(drover)
    wait_for(lambda: "web1" in fleet.node("kvm2").domains(), 30, "the image at kvm2", poll=0.005)
    return job


def kill_qemu(host):
    os.kill(int(host.read("/run/libvirt/qemu/web1.pid")), signal.SIGKILL)


def assert_settled(fleet, drover, job, where=None):
    ended = wait_for_job(drover, job, ENDED, 90)
    where = where or ended["runs_on"]
    assert ended["runs_on"] == where
    assert_runs_only_on(fleet, "web1", where)
    assert_goes_on(fleet, "web1", where, repeats=True)
    return ended


@pytest.mark.parametrize("name", ["kvm1", "kvm2"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_ends_in_mid_transfer(fleet, drover, name, number):
    job = in_transfer(fleet, drover)
    fleet.programs.agent_stop(fleet.node(name), number)
    fleet.programs.agent_start(fleet.node(name))
    drover("cancel", str(job), check=False)
    assert_settled(fleet, drover, job, "kvm1")


@pytest.mark.parametrize("name", ["kvm1", "kvm2"])
def test_an_agent_is_killed_near_the_switch_over(fleet, drover, name):
    job = with_image(fleet, drover)
    fleet.programs.agent_stop(fleet.node(name), signal.SIGKILL)
    fleet.programs.agent_start(fleet.node(name))
    assert_settled(fleet, drover, job)


@pytest.mark.parametrize("name", ["kvm1", "kvm2"])
def test_libvirtd_is_killed_in_mid_transfer(fleet, drover, name):
    job = in_transfer(fleet, drover)
    fleet.node(name).libvirtd_stop(signal.SIGKILL)
    fleet.node(name).libvirtd_start()
    ended = assert_settled(fleet, drover, job, "kvm1")
    assert ended["state"] == "failed"


@pytest.mark.parametrize("name", ["kvm1", "kvm2"])
def test_libvirtd_is_killed_near_the_switch_over(fleet, drover, name):
    job = with_image(fleet, drover)
    fleet.node(name).libvirtd_stop(signal.SIGKILL)
    fleet.node(name).libvirtd_start()
    assert_settled(fleet, drover, job)


def test_libvirtd_hangs_in_mid_transfer(fleet, drover):
    """Longer than the agent's keepalive: libvirt's own client crashed when threads shared a connection."""
    job = in_transfer(fleet, drover)
    libvirtd = fleet.node("kvm1").process("libvirtd")
    os.kill(libvirtd.pid, signal.SIGSTOP)
    try:
        drover("cancel", str(job), check=False)
        wait_for(lambda: not document(drover("hosts", "--json"))["hosts"][0]["report"].get("libvirt_up"), 60, "libvirtd to be given up")
    finally:
        os.kill(libvirtd.pid, signal.SIGCONT)
    assert_settled(fleet, drover, job, "kvm1")


def test_the_destination_is_cut_off_before_libvirt_connects(fleet, drover):
    """libvirt itself would try for 2 minutes, and say nothing of the guest meanwhile."""
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without failpoints: meson configure BUILD -Dfailpoints=true")
    fleet.guest_add("web1", on="kvm1", tick_ms=100)
    fleet.tick_wait("web1", at_least=3)
    armed = fleet.programs.failpoint(fleet.coordinator, "coordinator.MIGRATE.source.before_send", "stop")
    job = order(drover)
    coordinator = fleet.coordinator.process("coordinator")
    wait_for(lambda: not os.path.exists(armed) and coordinator.stopped(), 30, "the coordinator to be about to order the transfer")
    fleet.link("kvm2", up=False)
    os.kill(coordinator.pid, signal.SIGCONT)
    wait_for(lambda: job_state(drover, job)["phase"] == "aborting", 60, "the source to be settled while the destination is cut off")
    fleet.link("kvm2", up=True)
    ended = assert_settled(fleet, drover, job, "kvm1")
    assert "libvirt can't be reached" in ended["text"]


def test_the_destinations_qemu_is_killed(fleet, drover):
    job = in_transfer(fleet, drover)
    kill_qemu(fleet.node("kvm2"))
    ended = assert_settled(fleet, drover, job, "kvm1")
    assert ended["state"] == "failed"


def test_the_guest_waits_for_the_destinations_agent(fleet, drover):
    job = with_image(fleet, drover)
    kvm2 = fleet.node("kvm2")
    fleet.programs.agent_stop(kvm2, signal.SIGKILL)
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "shut off", "kvm2": "paused"}, 30, "the source to be done")
    fleet.programs.agent_start(kvm2)
    ended = assert_settled(fleet, drover, job, "kvm2")
    assert ended["state"] == "done"


def test_the_image_dies_before_it_runs(fleet, drover):
    """The memory is lost with it; the disks are not: the guest starts anew at the source."""
    job = with_image(fleet, drover)
    kvm2 = fleet.node("kvm2")
    fleet.programs.agent_stop(kvm2, signal.SIGKILL)
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "shut off", "kvm2": "paused"}, 30, "the source to be done")
    kill_qemu(kvm2)
    fleet.programs.agent_start(kvm2)
    ended = wait_for_job(drover, job, ENDED, 90)
    assert ended["runs_on"] == "kvm1"
    assert_runs_only_on(fleet, "web1", "kvm1")
    with fleet.tick_watch("web1") as watch:
        watch.wait(3, host="kvm1")


def autostart(host, guest="web1"):
    return "Autostart:      enable" in host.virsh("dominfo", guest)


def test_autostart_is_off_while_the_guest_moves_and_back_when_it_stays(fleet, drover):
    fleet.guest_add("web1", on="kvm1", memory=256, tick_ms=100, dirty=400, working_set=160, disks=["nfs"], autostart=True)
    fleet.tick_wait("web1", at_least=10)
    fleet.link("kvm2", rate="80mbit")
    kvm1 = fleet.node("kvm1")
    job = order(drover)
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    assert not autostart(kvm1)
    fleet.programs.agent_stop(kvm1, signal.SIGKILL)  # what is owed is owed by the record
    fleet.programs.agent_start(kvm1)
    drover("cancel", str(job), check=False)
    assert_settled(fleet, drover, job, "kvm1")
    wait_for(lambda: autostart(kvm1), 20, "its autostart to be on again")


@pytest.mark.parametrize("failpoint", ["agent.start_job.before", "agent.deed.autostart_off.after", "agent.deed.autostart_on.before"])
def test_autostart_is_given_back_by_the_next_agent(fleet, drover, failpoint):
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without Meson's option failpoints")
    fleet.guest_add("web1", on="kvm1", memory=256, tick_ms=100, dirty=400, working_set=160, disks=["nfs"], autostart=True)
    fleet.tick_wait("web1", at_least=10)
    fleet.link("kvm2", rate="80mbit")
    kvm1 = fleet.node("kvm1")
    hit = fleet.programs.failpoint(kvm1, failpoint)
    job = order(drover)
    if failpoint == "agent.deed.autostart_on.before":
        wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
        drover("cancel", str(job), check=False)
    wait_for(lambda: not os.path.exists(hit) and not kvm1.running("agent"), 30, "the end of kvm1's agent")
    assert not autostart(kvm1)
    fleet.programs.agent_start(kvm1)
    drover("cancel", str(job), check=False)
    assert_settled(fleet, drover, job, "kvm1")
    wait_for(lambda: autostart(kvm1), 20, "its autostart to be on again")


def test_a_source_that_boots_does_not_start_what_it_gave_away(fleet, drover):
    """Its host loses its power right after the source's agent has let the guest run at the destination."""
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without Meson's option failpoints")
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"], autostart=True)
    fleet.tick_wait("web1", at_least=3)
    kvm1, kvm2 = fleet.hosts()
    hit = fleet.programs.failpoint(kvm1, "agent.mesh.ACTIVATE.after_send")
    job = order(drover)
    wait_for(lambda: not os.path.exists(hit) and not kvm1.running("agent"), 30, "the end of kvm1's agent")
    wait_for(lambda: copies(fleet, "web1").get("kvm2") == "running", 30, "web1 to run on kvm2")
    fleet.reboot("kvm1")
    ended = assert_settled(fleet, drover, job, "kvm2")
    assert ended["state"] == "done"
    assert autostart(kvm2)


def test_a_source_that_boots_in_mid_transfer_says_that_it_did_not_start_the_guest(fleet, drover):
    fleet.guest_add("web1", on="kvm1", memory=256, tick_ms=100, dirty=400, working_set=160, disks=["nfs"], autostart=True)
    fleet.tick_wait("web1", at_least=10)
    fleet.link("kvm2", rate="80mbit")
    kvm1 = fleet.node("kvm1")
    job = order(drover)
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    fleet.reboot("kvm1")
    wait_for(lambda: job_state(drover, job)["state"] in {"in_doubt", "in-doubt"} | ENDED, 60, "the job to be in doubt, or over")
    if job_state(drover, job)["state"] not in ENDED:
        drover("job", str(job), "--resolve", "source")
    ended = wait_for_job(drover, job, ENDED, 60)
    assert copies(fleet, "web1") == {"kvm1": "shut off"}
    assert any("autostart was off while it moved" in line["text"] for line in ended["log"]), ended
    assert autostart(kvm1)
    kvm1.virsh("start", "web1")


def test_what_was_shut_down_at_the_destination_is_not_started_from_older_disks(fleet, drover):
    """Its disks were copied, and the destination's agent died before it could write down that the guest runs."""
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without Meson's option failpoints")
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["local"])
    fleet.tick_wait("web1", at_least=3)
    kvm2 = fleet.node("kvm2")
    hit = fleet.programs.failpoint(kvm2, "agent.destination.ACTIVATED.before_write")
    job = document(drover("migrate", "web1", "--to", "kvm2", "--copy-storage", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: not os.path.exists(hit) and not kvm2.running("agent"), 60, "the end of kvm2's agent")
    with fleet.tick_watch("web1") as watch:
        watch.wait(3, host="kvm2")
    kvm2.virsh("destroy", "web1")
    fleet.programs.agent_start(kvm2)
    ended = wait_for_job(drover, job, ENDED, 60)
    assert copies(fleet, "web1") == {"kvm2": "shut off"}, ended
    assert "has ended since" in ended["text"], ended
    kvm2.virsh("start", "web1")


def test_only_the_source_hands_over(fleet, drover):
    """Any agent has a certificate, and only that of the move's source is obeyed."""
    fleet.guest_add("web1", on="kvm1", tick_ms=100, memory=64, dirty=10, working_set=40, disks=["nfs"])
    fleet.tick_wait("web1")
    fleet.link("kvm2", rate="20mbit")
    kvm2, pki = fleet.node("kvm2"), fleet.programs.pki
    job = document(drover("migrate", "web1", "--to", "kvm2", "--max-pause", "30s", "--detach", "--json"))["jobs"][0]["id"]
    prepared = wait_for(lambda: [name for name, _, state in records(kvm2) if state == "PREPARED"], 30, "kvm2 to be prepared")
    transaction, (guest, generation) = prepared[0], steps(kvm2)[prepared[0]]

    def activate(sender):
        step = (f"step.transaction={transaction}", f"step.guest={guest}", f"step.generation={generation}")
        command = [f"{BUILD}/tests/lab/agent_call", f"tls+tcp://{kvm2.address}:7460", f"{pki}/ca.pem", f"{pki}/agent-{sender}.pem"]
        return fleet.node(sender).run([*command, "Peer.Activate", *step], check=False)

    other = activate("export1")
    assert other.returncode == 1 and "the source of transaction" in other.stderr and "export1" in other.stderr, other
    own = activate("kvm1")
    assert own.returncode == 0 and "the image is not complete" in own.stdout, own
    assert copies(fleet, "web1")["kvm1"] == "running"
    fleet.link("kvm2", clear=True)
    wait_for_job(drover, job, {"done", "failed"}, 60)
    assert_runs_only_on(fleet, "web1", "kvm2")
