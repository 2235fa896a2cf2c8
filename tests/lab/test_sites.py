"""Guests moved between two sites that share nothing, and spread over hosts, or gathered on few."""

import pytest
from checks import assert_goes_on, assert_runs_only_on, document
from lablib import wait_for
from lablib.links import GUESTS

IMAGES, OSAKA = "/var/lib/libvirt/images", "/srv/osaka"
MAPPINGS = f"""
mappings:
  - from: tokyo
    to: osaka
    both: true
    paths: [{{from: {IMAGES}, to: {OSAKA}}}]
    bridges: [{{from: br0, to: br9}}]
"""
PINNED = "guests:\n  pin1: {pinned: true}\n"


def configure(fleet, text):
    fleet.coordinator.write("/etc/drover/coordinator.yaml", text)
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()


@pytest.fixture
def plain(fleet):
    """The lab's own configuration, which is there again afterwards."""
    text = fleet.programs.coordinator_config()
    yield text
    fleet.guests_clear()
    configure(fleet, text)


@pytest.fixture
def sites(fleet, plain):
    """kvm1 in tokyo, kvm2 in osaka: other paths, other bridges, no storage that both see."""
    kvm2 = fleet.node("kvm2")
    kvm2.run(["mkdir", "-p", OSAKA])
    kvm2.run(["ip", "link", "set", "br0", "name", "br9"])
    at = {"kvm1": "tokyo", "kvm2": "osaka"}
    lines = [
        line.replace("site: lab", f"site: {at[host]}") if (host := next((h for h in at if f"name: {h}," in line), None)) else line
        for line in plain.splitlines()
    ]
    configure(fleet, "\n".join(lines) + MAPPINGS)
    yield
    fleet.guests_clear()
    kvm2.run(["ip", "link", "set", "br9", "name", "br0"])


def known(drover, *guests):
    wait_for(lambda: all(guest in drover("vms").stdout for guest in guests), 20, f"the coordinator to know {guests}")


def steps(job):
    return {step["guest"]: step for step in job["steps"]}


def times(drover, plan):
    """When each guest's migration began and ended, in milliseconds."""
    jobs = {guest: document(drover("job", str(step["job"]), "--json")) for guest, step in steps(plan).items()}
    return {guest: int(job["started"]) for guest, job in jobs.items()}, {guest: int(job["ended"]) for guest, job in jobs.items()}


def hosts_of(drover, guests):
    listed = document(drover("vms", "--json"))["guests"]
    return {entry["guest"]["name"]: entry["host"] for entry in listed if entry["guest"]["name"] in guests}


def test_a_group_moves_to_a_site_that_shares_nothing_and_back(fleet, drover, sites):
    guests = ("db1", "app1", "app2")
    for name in guests:
        fleet.guest_add(name, on="kvm1", disks=["local"], nic="br0", tick_ms=200)
    known(drover, *guests)
    there = ("move", "--from", "tokyo", "--to", "osaka", "--vm", "db*", "--vm", "app*")
    # The two hosts prove that their disks are not the same; a dry run knows it, too.
    refused = drover(*there, "--dry-run", "--json", check=False)
    assert refused.returncode == 3
    for step in steps(document(refused)).values():
        assert "storage-not-shared" in step["why"] and "--copy-storage" in step["todo"]
    # With their disks: so many bytes does the dry run count.
    planned = document(drover(*there, "--copy-storage", "--dry-run", "--json"))
    disks = {name: int(step["disk_bytes"]) for name, step in steps(planned).items()}
    assert all(disks[name] > 0 for name in guests), planned
    assert int(planned["outlook"]["bytes"]) >= sum(disks.values()), planned
    moved = document(drover(*there, "--copy-storage", "--json"))
    assert {step["state"] for step in moved["steps"]} == {"done"}, moved
    for name in guests:
        assert_goes_on(fleet, name, "kvm2")
        assert_runs_only_on(fleet, name, "kvm2")
    # The groups in the order given: no app began before the db had moved.
    began, ended = times(drover, moved)
    assert ended["db1"] <= min(began["app1"], began["app2"])
    images = fleet.node("kvm2").run(["ls", OSAKA]).stdout.split()
    assert {f"{name}-0.raw" for name in guests} <= set(images)
    drover("move", "--from", "osaka", "--to", "tokyo", "--copy-storage")
    for name in guests:
        assert_goes_on(fleet, name, "kvm1")
        assert_runs_only_on(fleet, name, "kvm1")


def test_what_a_guest_loses_where_the_network_does_not_reach_is_said_before(fleet, drover, sites):
    fleet.guest_add("web1", on="kvm1", disks=["local"], nic="br0", tick_ms=200)
    known(drover, "web1")
    fleet.link("kvm2", up=False, network=GUESTS)
    order = ("move", "--from", "tokyo", "--to", "osaka", "--vm", "web*", "--copy-storage", "--json")
    refused = drover(*order, "--dry-run", check=False)
    assert refused.returncode == 3
    step = steps(document(refused))["web1"]
    assert "lose its address" in step["why"] and "another address there" in step["todo"]
    # The operator knows, and gives it another one: told all the same.
    planned = steps(document(drover(*order, "--accept", "bridge-segment", "--dry-run")))["web1"]
    assert any("lose its address" in note for note in planned["notes"]), planned
    moved = steps(document(drover(*order, "--accept", "bridge-segment")))["web1"]
    assert moved["state"] == "done", moved
    assert_goes_on(fleet, "web1", "kvm2")


def test_guests_are_spread_and_gathered_and_a_drill_tells_who_is_stuck(fleet, drover, plain):
    guests = ("g1", "g2", "g3", "g4")
    for name in guests:
        fleet.guest_add(name, on="kvm1", disks=["nfs"], tick_ms=200)
    known(drover, *guests)
    drover("balance")
    places = sorted(hosts_of(drover, guests).values())
    assert places == ["kvm1", "kvm1", "kvm2", "kvm2"], places
    assert "nothing to move" in drover("balance").stdout

    def gathered():
        """CPU time is measured of the whole machine, so that what else is tested on it takes from a host's headroom."""
        drover("consolidate")
        return len(set(hosts_of(drover, guests).values())) == 1

    wait_for(gathered, 180, "one host to have room for all of them")
    (host,) = set(hosts_of(drover, guests).values())
    for name in guests:
        assert_goes_on(fleet, name, host)
    assert drover("drill").returncode == 0
    configure(fleet, plain + PINNED)
    fleet.guest_add("pin1", on="kvm1", disks=["nfs"])
    known(drover, "pin1")
    drill = drover("drill", check=False)
    assert drill.returncode == 3
    assert "kvm1 can't be emptied" in drill.stdout and "pin1 stays on kvm1" in drill.stdout
    assert "kvm2 can be emptied" in drill.stdout
