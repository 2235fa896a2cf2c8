"""Hosts that are emptied, rebooted and filled again one after the other, and hosts that are powered off when they are empty."""

import shlex
import signal
import subprocess

import pytest
from checks import assert_goes_on, assert_runs_only_on, copies, document
from lablib import wait_for

LONG = 400  # seconds for a whole rolling maintenance, here, under sanitizers


@pytest.fixture
def fleet(three_hosts):
    yield three_hosts
    three_hosts.link("kvm1", clear=True)
    for host in three_hosts.hosts():
        three_hosts.drover("maintenance", "off", host.name)


@pytest.fixture
def drover(fleet):
    return fleet.drover


@pytest.fixture
def reboot(fleet, lab):
    """The command that reboots the host it is run for."""
    return f"{shlex.quote(lab)} --fleet {fleet.name} reboot $DROVER_HOST"


def add(fleet, **places):
    for name, host in places.items():
        fleet.guest_add(name, on=host, tick_ms=200, disks=["nfs"])
    for name in places:
        fleet.tick_wait(name, deadline=60)
    wait_for(lambda: all(name in fleet.drover("vms").stdout for name in places), 20, "the coordinator to know the guests")


def hosts(drover):
    return {host["name"]: host for host in document(drover("hosts", "--json"))["hosts"]}


def boots(drover):
    return {name: host["report"]["boot_id"] for name, host in hosts(drover).items()}


def rolling(drover, names, command, *options):
    return drover("maintenance", "--rolling", names, "--exec", command, *options, check=False, timeout=LONG)


def assert_as_before(fleet, **places):
    for name, host in places.items():
        assert_runs_only_on(fleet, name, host)
        assert_goes_on(fleet, name, host)


def test_hosts_are_rebooted_one_by_one_across_a_restart_of_the_coordinator(fleet, drover, reboot, tmp_path):
    places = {"web1": "kvm1", "web2": "kvm1", "db1": "kvm2", "app1": "kvm3"}
    add(fleet, **places)
    fleet.guest_add("cold1", on="kvm1", off=True, disks=["nfs"])
    before = boots(drover)
    assert len(set(before.values())) == len(before), "each has its own"
    dry = drover("maintenance", "--rolling", "kvm1,kvm2", "--dry-run", timeout=LONG)
    assert "1. kvm1 can be emptied" in dry.stdout and "2. kvm2 can be emptied" in dry.stdout
    assert copies(fleet, "web1") == {"kvm1": "running"}, "a dry run moves nothing"

    said = tmp_path / "said"
    command = fleet.programs.command(["maintenance", "--rolling", "kvm1,kvm2", "--reboots", "--exec", f"echo goes down; {reboot}"])
    with open(said, "w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=fleet.programs.environment()) as process:
        wait_for(lambda: "has left kvm1" in said.read_text() or " runs on kvm" in said.read_text(), 120, "a first guest to have moved")
        fleet.programs.coordinator_stop(signal.SIGKILL)
        fleet.programs.coordinator_start()
        status = process.wait(LONG)
    text = said.read_text()
    assert status == 0, text
    for line in ("the coordinator is back", "kvm1 is empty: libvirt there has no guest", "kvm1 | goes down", "kvm2 | goes down",
                 "kvm2: is back, and ready: its boot id is another one than before: it was rebooted"):
        assert line in text, text
    assert text.index("kvm1: done") < text.index("kvm2 | goes down"), text
    assert_as_before(fleet, **places)
    assert copies(fleet, "cold1") == {"kvm1": "shut off"}
    after = boots(drover)
    assert {name for name in after if after[name] != before[name]} == {"kvm1", "kvm2"}
    assert not any(host["maintenance"] for host in hosts(drover).values())


def test_two_at_a_time_where_there_is_room(fleet, drover, reboot):
    places = {"web1": "kvm1", "web2": "kvm2", "web3": "kvm3"}
    add(fleet, **places)
    before = boots(drover)
    # kvm1 waits in its command for kvm2 to be in its own: both are empty then.
    meet = "[ $DROVER_HOST != kvm1 ] || timeout 200 sh -c 'until drover hosts | grep -q \"kvm2 .*maintenance\"; do sleep 0.5; done'"
    done = rolling(drover, "kvm1,kvm2,kvm3", f"export DROVER_COORDINATOR=ipc://{fleet.programs.socket}; {meet} && {reboot}", "--reboots",
                   "--parallel", "2")
    assert done.returncode == 0, done.stdout
    assert_as_before(fleet, **places)
    after = boots(drover)
    assert all(after[name] != before[name] for name in ("kvm1", "kvm2", "kvm3"))


def blocks(drover, guest, host):
    findings = document(drover("check", guest, "--to", host, "--json", check=False)).get("findings", [])
    return [finding["id"] for finding in findings if finding["severity"] == "block"]


def test_a_host_that_does_not_come_back_stops_it(fleet, drover, reboot, lab):
    places = {"web1": "kvm1", "db1": "kvm2"}
    add(fleet, **places)
    cut = f"{reboot} && {shlex.quote(lab)} --fleet {fleet.name} link $DROVER_HOST --down"
    stopped = rolling(drover, "kvm1,kvm2", cut, "--reboots", "--back-timeout", "15s")
    assert stopped.returncode == 1, stopped.stdout
    assert "kvm1: STOPPED: it is not back after 15.0 s" in stopped.stdout, stopped.stdout
    assert "drover return kvm1" in stopped.stdout and "To go on: drover maintenance --rolling kvm2 " in stopped.stdout
    assert hosts(drover)["kvm1"]["maintenance"]
    assert_goes_on(fleet, "web1", next(iter(set(copies(fleet, "web1")) - {"kvm1"})))
    assert_as_before(fleet, db1="kvm2")
    # As it was told.
    fleet.link("kvm1", clear=True)
    fleet.programs.sessions_wait(30)
    wait_for(lambda: blocks(drover, "web1", "kvm1") == ["host-maintenance"], 30, "kvm1 to reach the storage again")
    drover("return", "kvm1")
    assert_as_before(fleet, **places)
    went_on = rolling(drover, "kvm2", reboot, "--reboots")
    assert went_on.returncode == 0, went_on.stdout
    assert_as_before(fleet, **places)


def test_a_reboot_that_has_not_begun_is_not_taken_for_one(fleet, drover):
    add(fleet, web1="kvm1")
    stopped = rolling(drover, "kvm1", "true", "--reboots", "--back-timeout", "5s")
    assert stopped.returncode == 1, stopped.stdout
    assert "it still has the boot id that it had before: it was not rebooted yet" in stopped.stdout
    assert fleet.node("kvm1").domains() == {}
    # Without --reboots it says what it saw. It is empty already, and libvirt is asked all the same.
    done = rolling(drover, "kvm1", "true", "--steady", "2s")
    assert done.returncode == 0, done.stdout
    assert "has no guest: its libvirt is asked" in done.stdout and "IT WAS NOT REBOOTED" in done.stdout
    assert_as_before(fleet, web1="kvm1")


def test_a_command_that_fails_stops_it_and_none_runs_where_a_guest_stays(fleet, drover, tmp_path):
    places = {"web1": "kvm1", "db1": "kvm2"}
    add(fleet, **places)
    ran = tmp_path / "ran"
    note = f"echo $DROVER_HOST $DROVER_ADDRESS $DROVER_SITE >>{ran}"
    failed = rolling(drover, "kvm1,kvm2", f"{note}; echo no space left >&2; exit 3")
    assert failed.returncode == 1, failed.stdout
    assert "kvm1 | no space left" in failed.stdout and "the command ended with status 3" in failed.stdout
    assert ran.read_text() == "kvm1 10.77.0.11 lab\n"
    assert_as_before(fleet, db1="kvm2")
    drover("return", "kvm1")
    assert_as_before(fleet, **places)
    # A paused guest can't move: nothing of its host does, and the command is not run.
    fleet.node("kvm1").virsh("suspend", "web1")
    wait_for(lambda: "paused" in drover("vms").stdout, 20, "the coordinator to know that it is paused")
    refused = rolling(drover, "kvm1,kvm2", note)
    assert refused.returncode == 3, refused.stdout
    assert "web1 stays on kvm1" in refused.stdout and "it can't be emptied" in refused.stdout
    assert copies(fleet, "web1") == {"kvm1": "paused"}
    assert not hosts(drover)["kvm1"]["maintenance"]
    assert ran.read_text() == "kvm1 10.77.0.11 lab\n"


def test_what_a_consolidation_empties_is_powered_off(fleet, drover, tmp_path):
    add(fleet, g1="kvm1", g2="kvm2", g3="kvm3")
    off = tmp_path / "off"
    done = drover("consolidate", "--power-off-hook", f"echo $DROVER_HOST >>{off}", timeout=LONG)
    assert "is in maintenance and empty; runs: echo" in done.stdout, done.stdout
    emptied = set(off.read_text().split())
    places = {name: host for name in ("g1", "g2", "g3") for host in copies(fleet, name)}
    assert emptied == {"kvm1", "kvm2", "kvm3"} - set(places.values())
    assert emptied, done.stdout
    for name in emptied:
        assert fleet.node(name).domains() == {}
        assert hosts(drover)[name]["maintenance"]
    assert_as_before(fleet, **places)
