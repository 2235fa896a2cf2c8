"""What hosts and guests use, measured by the agents, and spread by it."""

import json
import os

import pytest
from checks import assert_goes_on, assert_runs_only_on, document
from lablib import wait_for

OWN = "/run/own-stat"
BUSY, IDLE = ("busy1", "busy2"), ("idle1", "idle2", "idle3")


@pytest.fixture
def measured(fleet, drover):
    """Each host's /proc/stat tells of that host alone, as on hosts that are machines of their own."""
    script = os.path.join(os.path.dirname(os.path.realpath(__file__)), "own_stat")
    for host in fleet.hosts():
        host.write(OWN, "")
        host.start("own-stat", ["/usr/bin/python3", script, OWN])
        wait_for(lambda host=host: host.read(OWN), 20, f"what {host.name} uses")
        host.run(["mount", "--bind", OWN, "/proc/stat"])
        fleet.programs.agent_stop(host)
        fleet.programs.agent_start(host)
    fleet.programs.sessions_wait()
    yield
    for host in fleet.hosts():
        host.run(["umount", "/proc/stat"])
        host.stop("own-stat")


def guests(drover):
    return {status["guest"]["name"]: status for status in document(drover("vms", "--json"))["guests"]}


def where(drover):
    return {name: status["host"] for name, status in guests(drover).items()}


def cpu(drover, name):
    return guests(drover)[name].get("usage", {}).get("cpu")


def test_busy_guests_are_spread_and_then_left_alone(fleet, drover, measured):
    for name in BUSY:
        fleet.guest_add(name, on="kvm1", tick_ms=200, dirty=30000, working_set=1, disks=["nfs"])
    for name in IDLE:
        fleet.guest_add(name, on="kvm1", tick_ms=200, disks=["nfs"])
    wait_for(lambda: set(where(drover)) >= {*BUSY, *IDLE}, 20, "the coordinator to know the guests")

    def all_is_measured():
        hosts = document(drover("hosts", "--json"))["hosts"]
        return all("usage" in host for host in hosts) and all(cpu(drover, name) is not None for name in (*BUSY, *IDLE))

    wait_for(all_is_measured, 120, "the load to be measured")
    loads = {name: cpu(drover, name) for name in (*BUSY, *IDLE)}
    assert min(loads[name] for name in BUSY) > 2 * max(loads[name] for name in IDLE), loads
    assert all(guests(drover)[name]["usage"]["memory"] > 1 << 20 for name in BUSY)
    rows = {line.split()[0]: line for line in drover("hosts").stdout.splitlines()}
    assert "%" in rows["kvm1"] and "%" in rows["kvm2"], rows

    def spread():
        drover("balance", check=False)  # again where other work on this machine hid the guests' at first
        return {where(drover)[name] for name in BUSY} == {"kvm1", "kvm2"}

    wait_for(spread, 90, "the busy ones to be spread", poll=2)
    after = where(drover)
    for name in (*BUSY, *IDLE):
        assert_runs_only_on(fleet, name, after[name])
        assert_goes_on(fleet, name, after[name])
    # What was measured of a guest is known at its new place at once, or soon again.
    assert all(cpu(drover, name) is not None for name in BUSY)

    again = drover("balance")
    assert "nothing to gain" in again.stdout, again.stdout
    assert "left where they are, because they moved within the last 30 min" in again.stdout
    assert where(drover) == after
    assert json.loads(drover("balance", "--dry-run", "--json").stdout)["steps"] == []
