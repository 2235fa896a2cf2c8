"""The source's agent is gone for good, the destination holds a complete paused image: an operator gives it the guest."""

import os
import signal

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, document, job_state, wait_for_job
from conftest import BUILD
from lablib import wait_for

ENDED = {"done", "failed", "cancelled"}


@pytest.fixture
def left(fleet, drover):
    """(job, ...) whose source's agent died when libvirt had handed the guest over, before it could say so to anybody.

    The coordinator waits for its word, or (waits=False) asks for it at once: it was restarted.
    """

    def make(disk, *options, waits=False):
        if not fleet.programs.has_failpoints():
            pytest.skip("the programs were built without Meson's option failpoints")
        fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=[disk])
        fleet.tick_wait("web1")
        kvm1 = fleet.node("kvm1")
        hit = fleet.programs.failpoint(kvm1, "agent.source.FENCED.before_write")
        job = document(drover("migrate", "web1", "--to", "kvm2", *options, "--detach", "--json"))["jobs"][0]["id"]
        wait_for(lambda: not os.path.exists(hit) or job_state(drover, job)["state"] in ENDED, 90, "the failpoint")
        assert job_state(drover, job)["state"] not in ENDED, job_state(drover, job)
        wait_for(lambda: not kvm1.running("agent"), 30, "the end of kvm1's agent")
        wait_for(lambda: copies(fleet, "web1") == {"kvm1": "shut off", "kvm2": "paused"}, 30, "the image at kvm2")
        if not waits:
            fleet.programs.coordinator_stop(signal.SIGKILL)
            fleet.programs.coordinator_start()
        wait_for_job(drover, job, {"in_doubt", "in-doubt"}, 60)
        return job

    return make


def test_the_source_is_off(fleet, drover, left):
    job = str(left("nfs", waits=True))
    plain = drover("job", job, "--resolve", "destination")
    assert "kvm1 is asked to give web1 up" in plain.stdout  # which nobody hears
    assert drover("job", job, "--resolve", "source", "--source-is-off", check=False).returncode == 2
    assert copies(fleet, "web1")["kvm2"] == "paused"
    fenced = drover("job", job, "--resolve", "destination", "--fence", check=False)
    assert fenced.returncode == 3
    assert "only iSCSI targets of tgtd can be closed" in fenced.stderr
    assert copies(fleet, "web1")["kvm2"] == "paused"
    given = drover("job", job, "--resolve", "destination", "--source-is-off")
    assert "kvm2 has web1 and starts it from its disks" in given.stdout
    assert_starts_anew(fleet, drover, job)


def assert_boots_again(fleet):
    with fleet.tick_watch("web1") as watch:
        watch.wait(3, host="kvm2")
    assert fleet.tick_report("web1")["boots"] == 2


def assert_starts_anew(fleet, drover, job):
    """Whatever the image was: the guest boots at kvm2, once, and kvm1 learns of it."""
    wait_for(lambda: copies(fleet, "web1").get("kvm2") == "running", 60, "web1 to run on kvm2")
    wait_for(lambda: "must still learn" in job_state(drover, job)["text"], 30, "the job to wait for kvm1")
    fleet.programs.agent_start(fleet.node("kvm1"))
    ended = wait_for_job(drover, job, {"done", "failed"}, 60)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2")
    assert "started there from its disks" in ended["text"] and "what was only in its memory" in ended["todo"], ended
    assert_runs_only_on(fleet, "web1", "kvm2")  # the definition has gone from kvm1, too
    assert_boots_again(fleet)


def test_the_source_is_off_and_stopped_at_the_switch_over(fleet, drover, left):
    job = str(left("nfs"))
    assert drover("job", job, "--resolve", "source", "--with-memory", check=False).returncode == 2
    given = drover("job", job, "--resolve", "destination", "--source-is-off", "--with-memory")
    assert "runs it in its memory" in given.stdout
    wait_for(lambda: copies(fleet, "web1")["kvm2"] == "running", 30, "web1 to run on kvm2")
    fleet.programs.agent_start(fleet.node("kvm1"))
    ended = wait_for_job(drover, job, {"done", "failed"}, 60)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


@pytest.mark.parametrize("failpoint", [
    "agent.destination.OWNER.after_write", "agent.deed.end.before", "agent.deed.end.after", "agent.deed.start.before",
    "agent.deed.start.after", "agent.ACTIVATE.before_answer",
])
def test_the_destinations_agent_dies_as_it_starts_the_guest_anew(fleet, drover, left, failpoint):
    job = str(left("nfs"))
    kvm2 = fleet.node("kvm2")
    hit = fleet.programs.failpoint(kvm2, failpoint)
    drover("job", job, "--resolve", "destination", "--source-is-off")
    wait_for(lambda: not os.path.exists(hit) and not kvm2.running("agent"), 30, "the end of kvm2's agent")
    fleet.programs.agent_start(kvm2)
    assert_starts_anew(fleet, drover, job)


def test_the_coordinator_dies_as_it_gives_the_guest_away(fleet, drover, left):
    job = str(left("nfs"))
    hit = fleet.programs.failpoint(fleet.coordinator, "coordinator.ACTIVATE.destination.after_send")
    drover("--timeout", "5s", "job", job, "--resolve", "destination", "--source-is-off", check=False)  # which nobody answers any more
    wait_for(lambda: not os.path.exists(hit) and not fleet.coordinator.running("coordinator"), 30, "the end of the coordinator")
    fleet.programs.coordinator_start()
    assert_starts_anew(fleet, drover, job)


def test_an_operator_says_that_it_is_the_destinations(fleet, drover, left):
    """The source's agent is back, and no libvirt knows why the guest is off: the word is the operator's, the memory stays unsaid."""
    job = str(left("nfs"))
    kvm1 = fleet.node("kvm1")
    kvm1.libvirtd_stop(signal.SIGKILL)  # which forgets why
    kvm1.libvirtd_start()
    fleet.programs.agent_start(kvm1)
    wait_for(lambda: "nothing says that it migrated" in job_state(drover, job)["text"], 60, "kvm1 to say that it can't tell")
    drover("job", job, "--resolve", "destination")
    ended = wait_for_job(drover, job, {"done", "failed"}, 60)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2"), ended
    assert "started there from its disks" in ended["text"], ended
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_boots_again(fleet)


def test_the_source_is_shut_out_at_the_storage(fleet, drover, left):
    job = str(left("iscsi"))
    kvm1, kvm2, export1 = fleet.node("kvm1"), fleet.node("kvm2"), fleet.node("export1")
    fleet.programs.failpoint(fleet.coordinator, "coordinator.activating.before_write")  # it has closed them, and not given web1 away
    drover("--timeout", "20s", "job", job, "--resolve", "destination", "--fence", check=False)
    wait_for(lambda: not fleet.coordinator.running("coordinator"), 30, "the end of the coordinator")
    fleet.programs.coordinator_start()
    log = f"{fleet.coordinator.run_dir}/log/coordinator.log"
    told = f"the disks of web1 are closed to kvm1, and job {job} has not given it to kvm2"
    wait_for(lambda: told in open(log, errors="replace").read(), 30, "the log to tell what is closed")
    wait_for_job(drover, job, {"in_doubt", "in-doubt"}, 60)
    listed = drover("job", job, "--resolve", "destination", "--fence")
    assert "closed to kvm1" in listed.stdout
    wait_for(lambda: copies(fleet, "web1")["kvm2"] == "running", 30, "web1 to run on kvm2")
    targets = export1.run(["tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"]).stdout
    assert "ALL" not in targets
    assert kvm2.address in targets
    url = f"iscsi://{export1.address}/iqn.2026-01.lab.drover:web1-0/1"
    assert kvm1.run(["qemu-img", "info", url], check=False).returncode != 0
    # A storage server that was started again, or an operator, opens it: it is closed again.
    number = targets.split("Target ")[1].split(":")[0]
    export1.run(["tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "bind", "--tid", number, "--initiator-address", "ALL"])
    wait_for(lambda: "ALL" not in export1.run(["tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"]).stdout, 30, "it to be closed again")
    assert document(drover("fence", "list", "--json"))["fences"][0]["source"] == "kvm1"
    pki = fleet.programs.pki  # a coordinator that another has replaced does not open it
    older = [f"{BUILD}/tests/lab/agent_call", f"tls+tcp://{export1.address}:7460", f"{pki}/ca.pem", f"{pki}/coordinator-main.pem"]
    transaction = document(drover("fence", "list", "--json"))["fences"][0]["transaction"]
    refused = fleet.coordinator.run([*older, "OpenStorage", f"transaction={transaction}"], check=False)
    assert refused.returncode == 1 and "is over" in refused.stdout + refused.stderr, refused
    assert len(document(drover("fence", "list", "--json"))["fences"]) == 1
    refused = drover("fence", "release", "kvm1", check=False)
    assert refused.returncode == 3
    assert "its agent can't be asked" in refused.stderr
    fleet.programs.agent_start(kvm1)
    ended = wait_for_job(drover, job, {"done", "failed"}, 60)
    assert (ended["state"], ended["runs_on"]) == ("done", "kvm2")
    released = drover("fence", "release", "kvm1")
    assert "1 target is open to kvm1 again" in released.stdout
    assert "ALL" in export1.run(["tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"]).stdout
    assert document(drover("fence", "list", "--json")).get("fences", []) == []
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_boots_again(fleet)


def test_what_came_with_its_disks_goes_on_in_its_memory(fleet, drover, left):
    """They are as old as the image."""
    job = str(left("local", "--copy-storage"))
    given = drover("job", job, "--resolve", "destination", "--source-is-off")
    assert "runs it in its memory" in given.stdout
    wait_for(lambda: copies(fleet, "web1")["kvm2"] == "running", 30, "web1 to run on kvm2")
    fleet.programs.agent_start(fleet.node("kvm1"))
    assert wait_for_job(drover, job, {"done", "failed"}, 60)["state"] == "done"
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


@pytest.mark.parametrize("failpoint", ["agent.destination.OWNER.before_write", "agent.destination.OWNER.after_write", "agent.ACTIVATE.before_answer"])
def test_the_destination_is_off(fleet, drover, failpoint):
    """The source has given the guest up: it is taken back, and a destination that comes back all the same forgets it."""
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without Meson's option failpoints")
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"])
    fleet.tick_wait("web1")
    kvm2 = fleet.node("kvm2")
    hit = fleet.programs.failpoint(kvm2, failpoint)
    job = str(document(drover("migrate", "web1", "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"])
    wait_for(lambda: not os.path.exists(hit) and not kvm2.running("agent"), 60, "the end of kvm2's agent")
    wait_for(lambda: copies(fleet, "web1").get("kvm1") == "shut off", 30, "web1 to have left kvm1")
    kvm2.libvirtd_stop(signal.SIGKILL)
    os.kill(int(kvm2.read("/run/libvirt/qemu/web1.pid")), signal.SIGKILL)
    wait_for_job(drover, job, {"in_doubt", "in-doubt"}, 60)
    assert drover("job", job, "--resolve", "source", check=False).returncode == 3
    assert "--destination-is-off" in job_state(drover, job)["todo"]
    taken = drover("job", job, "--resolve", "source", "--destination-is-off")
    assert "web1 is started from its disks on kvm1" in taken.stdout
    with fleet.tick_watch("web1") as watch:
        watch.wait(3, host="kvm1")
    assert drover("job", job, "--resolve", "destination", "--source-is-off", check=False).returncode == 3
    kvm2.libvirtd_start()
    fleet.programs.agent_start(kvm2)
    ended = wait_for_job(drover, job, {"done", "failed"}, 60)
    assert (ended["state"], ended["runs_on"]) == ("failed", "kvm1"), ended
    assert_runs_only_on(fleet, "web1", "kvm1")  # the definition has gone from kvm2, too
    assert fleet.tick_report("web1")["boots"] == 2
