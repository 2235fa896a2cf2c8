"""Moves that no job knows, two coordinators on one fleet, and agents whose state directories are yesterday's."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, doctor, document, job_state, wait_for_job
from conftest import BUILD
from fault_leftovers import records, steps
from lablib import proc, wait_for
from lablib.programs import CLI, COORDINATOR, ETC, STATE, STORE

OPEN = {"PREPARED", "MIGRATING", "FENCED", "OWNER", "ACTIVATED"}
OTHER_STORE = "/run/other-store"
SLOW = {"memory": 64, "dirty": 10, "working_set": 40}  # over 20 Mbit/s it takes long


def open_states(fleet):
    """{host: state of the move that is open there}"""
    return {host.name: state for host in fleet.hosts() for _, _, state in records(host) if state in OPEN}


def lose_the_store(fleet):
    """The coordinator, killed if it is not dead yet, comes back and knows nothing."""
    coordinator = fleet.coordinator
    fleet.programs.coordinator_stop(signal.SIGKILL)
    for name in os.listdir(coordinator.path(STORE)):
        os.unlink(coordinator.path(f"{STORE}/{name}"))
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()


def autostart(host):
    return "Autostart:      enable" in host.virsh("dominfo", "web1")


def seen(drover, id):
    """{host: what the doctor has seen there}"""
    return {host: found[id]["seen"] for host, found in doctor(drover)[0].items() if id in found}


@pytest.fixture
def left(fleet, drover):
    """Leaves a move behind, of which kvm1 and kvm2 say what is expected, and of which the coordinator knows nothing any more."""

    def make(states, at=None, node=None, off=False, slow=False, autostart=False):
        if not fleet.programs.has_failpoints():
            pytest.skip("the programs were built without Meson's option failpoints")
        fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"], off=off, autostart=autostart, **(SLOW if slow else {}))
        if not off:
            fleet.tick_wait("web1")
        if slow:
            fleet.link("kvm2", rate="20mbit")
        where = fleet.node(node) if node else fleet.coordinator
        hit = fleet.programs.failpoint(where, at)
        drover("migrate", "web1", "--to", "kvm2", "--max-pause", "30s", "--detach")
        if at:
            wait_for(lambda: not os.path.exists(hit), 60, f"the failpoint {at}")
            wait_for(lambda: not where.running("agent" if node else "coordinator"), 30, "the end of what it kills")
        wait_for(lambda: open_states(fleet) == states, 60, f"{states}, not {open_states(fleet)}")
        if node:
            fleet.programs.coordinator_stop(signal.SIGKILL)
            fleet.programs.agent_start(where)
        lose_the_store(fleet)
        assert open_states(fleet) == states
        assert set(seen(drover, "guest-held")) == set(states)

    return make


def assert_moves_again(fleet, drover, destination):
    """Nothing holds the guest: it goes where it was to go, or back."""
    assert open_states(fleet) == {}
    assert seen(drover, "guest-held") == {}
    fleet.link("kvm2", clear=True)
    drover("migrate", "web1", "--to", destination, "--max-pause", "30s")
    assert list(copies(fleet, "web1")) == [destination]


def refused(drover, host, *words):
    done = drover("free", "web1", "--on", host, check=False)
    assert done.returncode == 3, done
    for word in (*words, "Nothing was touched"):
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("host", ["kvm1", "kvm2"])
def test_the_source_still_has_it(fleet, drover, left, host):
    left({"kvm1": "PREPARED", "kvm2": "PREPARED"}, "coordinator.transfer.before_write")
    told = seen(drover, "guest-held")
    assert "the source (PREPARED) of a move of web1" in told["kvm1"] and "the destination (PREPARED)" in told["kvm2"], told
    done = drover("free", "web1", "--on", host)
    assert "kvm1 keeps web1; kvm2 holds nothing for web1 any more" in done.stdout, done.stdout
    assert_goes_on(fleet, "web1", "kvm1")
    assert_moves_again(fleet, drover, "kvm2")


def test_the_transfer_is_still_on(fleet, drover, left):
    left({"kvm1": "MIGRATING", "kvm2": "PREPARED"}, slow=True)
    done = drover("free", "web1", "--on", "kvm2")
    assert "kvm1 keeps web1; kvm2 holds nothing for web1 any more" in done.stdout, done.stdout
    wait_for(lambda: copies(fleet, "web1") == {"kvm1": "running"}, 30, "web1 to run on kvm1 only")
    assert_moves_again(fleet, drover, "kvm2")


@pytest.mark.parametrize("off", [False, True])
def test_the_destination_has_it(fleet, drover, left, off):
    left({"kvm1": "FENCED", "kvm2": "ACTIVATED"}, "coordinator.settling.before_write", off=off, autostart=True)
    kvm2, pki = fleet.node("kvm2"), fleet.programs.pki
    transaction = next(name for name, _, state in records(kvm2) if state == "ACTIVATED")
    uuid, generation = steps(kvm2)[transaction]
    late = fleet.coordinator.run([  # of a coordinator that another has replaced: it has no effect at all
        f"{BUILD}/tests/lab/agent_call", f"tls+tcp://{kvm2.address}:7460", f"{pki}/ca.pem", f"{pki}/coordinator-main.pem", "Release", "role=2",
        f"step.transaction={transaction}", f"step.guest={uuid}", f"step.generation={generation}",
    ], check=False)
    assert late.returncode == 1 and "epoch 0 is over" in late.stdout + late.stderr, late
    assert not autostart(kvm2)
    done = drover("free", "web1", "--on", "kvm1")
    assert "kvm1 holds nothing for web1 any more; kvm2 holds nothing for web1 any more" in done.stdout, done.stdout
    assert copies(fleet, "web1") == {"kvm2": "shut off" if off else "running"}
    assert autostart(kvm2)
    if not off:
        assert_goes_on(fleet, "web1", "kvm2")
    assert_moves_again(fleet, drover, "kvm1")


@pytest.mark.parametrize("holds, states, on", [("source", {"kvm1": "FENCED"}, "kvm1"), ("destination", {"kvm2": "ACTIVATED"}, "kvm2")])
def test_the_destination_has_it_and_one_has_forgotten_the_move(fleet, drover, left, holds, states, on):
    left(states, f"agent.{holds}.RELEASED.before_write", node=on)
    done = drover("free", "web1", "--on", on)
    assert f"{on} holds nothing for web1 any more" in done.stdout, done.stdout
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_moves_again(fleet, drover, "kvm1")


def test_a_host_that_is_about_to_tell_is_waited_for(fleet, drover, left):
    left({"kvm1": "FENCED", "kvm2": "ACTIVATED"}, "coordinator.settling.before_write")
    kvm2 = fleet.node("kvm2")
    kvm2.libvirtd_stop()
    wait_for(lambda: "libvirt-up" in doctor(drover)[0]["kvm2"], 20, "the coordinator to know of it")
    with ThreadPoolExecutor(1) as pool:
        freed = pool.submit(drover, "free", "web1", "--on", "kvm2")
        kvm2.libvirtd_start()
        assert "kvm2 holds nothing for web1 any more" in freed.result().stdout
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_moves_again(fleet, drover, "kvm1")


def test_one_host_cant_be_asked(fleet, drover, left):
    """Also while its image is all that is left of the guest's memory: nothing is touched, and then its agent goes on by itself."""
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without Meson's option failpoints")
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"])
    fleet.tick_wait("web1")
    kvm2 = fleet.node("kvm2")
    hit = fleet.programs.failpoint(kvm2, "agent.destination.OWNER.before_write")
    drover("migrate", "web1", "--to", "kvm2", "--detach")
    wait_for(lambda: not os.path.exists(hit) and not kvm2.running("agent"), 60, "the end of kvm2's agent")
    wait_for(lambda: open_states(fleet) == {"kvm1": "FENCED", "kvm2": "PREPARED"}, 30, "kvm1 to have given it up")
    fleet.programs.coordinator_stop(signal.SIGKILL)
    for name in os.listdir(fleet.coordinator.path(STORE)):
        os.unlink(fleet.coordinator.path(f"{STORE}/{name}"))
    fleet.programs.coordinator_start()
    wait_for(lambda: drover("vms", check=False).stdout.count("web1"), 30, "web1 to be known")
    refused(drover, "kvm1", "kvm1: FENCED", "kvm2 can't be asked")
    assert copies(fleet, "web1")["kvm2"] == "paused"
    fleet.programs.agent_start(kvm2)
    wait_for(lambda: open_states(fleet) == {"kvm1": "FENCED", "kvm2": "ACTIVATED"}, 30, "kvm2 to have taken it over")
    fleet.programs.sessions_wait()
    drover("free", "web1", "--on", "kvm1")
    assert_goes_on(fleet, "web1", "kvm2")
    assert_moves_again(fleet, drover, "kvm1")


# Two coordinators

class Second:
    """Another coordinator of the same fleet, with a store of its own."""

    def __init__(self, fleet):
        self.programs, self.node = fleet.programs, fleet.coordinator
        self.socket = f"{fleet.state.run}/other.sock"
        own = f"{ETC}/other.yaml"
        lines = [line for line in self.programs.coordinator_config().splitlines() if not line.startswith(("listen:", "store:"))]
        self.node.run(["mkdir", "-p", OTHER_STORE])
        self.node.write(own, "\n".join([f"listen: [ipc://{self.socket}]", f"store: {OTHER_STORE}/coordinator.db", *lines]) + "\n")
        self.node.start("other-coordinator", [self.programs.program(COORDINATOR), "--config", own])
        self.node.expect("other-coordinator", lambda: os.path.exists(self.socket), 20, f"its socket {self.socket}")

    def drover(self, *arguments, check=True):
        command = [self.programs.program(CLI), "--coordinator", f"ipc://{self.socket}", *arguments]
        return proc.run(command, check, 120, None, self.programs.environment())

    def up(self):
        return {row["name"] for row in document(self.drover("hosts", "--json"))["hosts"] if row.get("up")}

    def stop(self):
        self.node.stop("other-coordinator")


def test_a_newer_coordinator_takes_over(fleet, drover, undo):
    """At once, at every host, whether it has given an order there or not. The older one says so, and what it had begun is freed by a word."""
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"], **SLOW)
    fleet.tick_wait("web1")
    fleet.link("kvm2", rate="20mbit")
    job = document(drover("migrate", "web1", "--to", "kvm2", "--max-pause", "30s", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 40, "the first pass")
    second = Second(fleet)
    undo(second.stop)
    everyone = {node.name for node in fleet.agents()}
    wait_for(lambda: second.up() == everyone, 30, "the second coordinator to know the fleet")

    def older_knows():
        rows = document(drover("hosts", "--json"))["hosts"]
        return all(not row.get("up") and "has taken over" in row.get("why", "") for row in rows)

    wait_for(older_knows, 20, "the older one to say of every host that it was replaced")
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    assert drover("free", "web1", "--on", "kvm1", check=False).returncode == 3
    assert job_state(drover, job)["state"] not in {"done", "failed", "cancelled"}
    assert set(seen(second.drover, "guest-held")) == {"kvm1", "kvm2"}
    freed = second.drover("free", "web1", "--on", "kvm1")
    assert "kvm1 keeps web1; kvm2 holds nothing for web1 any more" in freed.stdout, freed.stdout
    fleet.link("kvm2", clear=True)
    second.drover("migrate", "web1", "--to", "kvm2", "--max-pause", "30s")
    assert_runs_only_on(fleet, "web1", "kvm2")
    # Started again it is the newer one, and its job ends by what the hosts say: its guest was kept, and has moved since.
    second.stop()
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()
    ended = wait_for_job(drover, job, {"done", "failed", "cancelled"}, 60)
    assert ended["state"] == "failed", ended
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert open_states(fleet) == {}


def test_the_older_one_takes_its_job_back(fleet, drover, undo):
    """It was replaced by mistake: the other is stopped, and it is started again."""
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"], **SLOW)
    fleet.tick_wait("web1")
    fleet.link("kvm2", rate="20mbit")
    job = document(drover("migrate", "web1", "--to", "kvm2", "--max-pause", "30s", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 40, "the first pass")
    second = Second(fleet)
    undo(second.stop)
    wait_for(lambda: {"kvm1", "kvm2"} <= second.up(), 30, "the second coordinator to know the hosts")
    second.stop()
    fleet.link("kvm2", clear=True)
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()
    wait_for_job(drover, job, {"done", "failed"}, 60)
    assert len(copies(fleet, "web1")) == 1
    assert "running" in copies(fleet, "web1").values()
    assert open_states(fleet) == {}


# Yesterday's state directory

YESTERDAY = "/run/yesterday"


def copy_state(fleet, node):
    fleet.programs.agent_stop(node)
    shutil.copytree(node.path(STATE), node.path(YESTERDAY))
    fleet.programs.agent_start(node)
    fleet.programs.sessions_wait()


def restore_state(fleet, node):
    """Over whatever the agent knew, while it is down."""
    fleet.programs.agent_stop(node, signal.SIGKILL)
    for name in os.listdir(node.path(STATE)):
        path = node.path(f"{STATE}/{name}")
        (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
    shutil.copytree(node.path(YESTERDAY), node.path(STATE), dirs_exist_ok=True)
    fleet.programs.agent_start(node)


@pytest.fixture
def yesterdays(fleet, undo):
    """The node, whose state directory as it was before all that follows can be restored."""

    def make(name):
        node = fleet.node(name)
        undo(lambda: shutil.rmtree(node.path(YESTERDAY), ignore_errors=True))
        copy_state(fleet, node)
        return node

    return make


@pytest.mark.parametrize("side", ["kvm1", "kvm2"])
def test_yesterdays_state_while_a_migration_is_open(fleet, drover, yesterdays, side):
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"], **SLOW)
    fleet.tick_wait("web1")
    node = yesterdays(side)
    fleet.link("kvm2", rate="20mbit")
    job = document(drover("migrate", "web1", "--to", "kvm2", "--max-pause", "30s", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 40, "the first pass")
    restore_state(fleet, node)
    fleet.link("kvm2", clear=True)
    seen = wait_for_job(drover, job, {"done", "failed", "in_doubt", "in-doubt"}, 90)
    if "doubt" in seen["state"]:
        assert seen["text"] and seen["todo"], seen
        seen = wait_for_job(drover, job, {"done", "failed"}, 90)
    assert list(copies(fleet, "web1").values()).count("running") == 1, copies(fleet, "web1")
    assert_runs_only_on(fleet, "web1", seen["runs_on"])
    assert open_states(fleet) == {}


def test_a_full_state_disk_takes_no_move(fleet, drover, undo):
    """The agent has no room to write down how it goes on; once it has, its ballast is laid and the move begins."""
    kvm2 = fleet.node("kvm2")

    def agent_anew(*command):
        fleet.programs.agent_stop(kvm2)
        kvm2.run(list(command))
        fleet.programs.agent_start(kvm2)
        fleet.programs.sessions_wait()

    fleet.guest_add("web1", on="kvm1", disks=["nfs"], off=True)
    undo(lambda: agent_anew("umount", STATE))
    agent_anew("mount", "-t", "tmpfs", "-o", "size=900k,mode=700", "drover-lab", STATE)
    refused = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert refused.returncode == 3 and "state-full" in refused.stdout + refused.stderr, refused
    kvm2.run(["mount", "-o", "remount,size=4m", STATE])
    drover("migrate", "web1", "--to", "kvm2")
    assert copies(fleet, "web1") == {"kvm2": "shut off"}
    assert os.path.getsize(kvm2.path(f"{STATE}/records-ballast")) == 1 << 20


@pytest.mark.parametrize("side", ["kvm1", "kvm2"])
def test_yesterdays_state_after_a_migration(fleet, drover, yesterdays, side):
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"])
    fleet.tick_wait("web1")
    node = yesterdays(side)
    drover("migrate", "web1", "--to", "kvm2")
    restore_state(fleet, node)
    fleet.programs.sessions_wait()
    assert_runs_only_on(fleet, "web1", "kvm2")
    drover("migrate", "web1", "--to", "kvm1")
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")
    assert open_states(fleet) == {}
