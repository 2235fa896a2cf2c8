"""An operator's hooks on both sides: what they are told, when they run, that a no is a no, and that failures later change nothing."""

import json
import os
import shutil
import signal

import pytest
from checks import assert_goes_on, assert_runs_only_on, document, job_state, wait_for_job
from lablib import wait_for

HOOKS = "/etc/drover/hooks.d"
LOG = "/run/hooks.log"
PHASES = ("prepare", "commit", "done", "abort")
ENDED = {"done", "failed", "cancelled"}
TELL = f"#!/bin/sh\ncat >>{LOG} && echo >>{LOG}\n"  # its input, a line each


def hook(node, phase, name, script, mode=0o755):
    node.write(f"{HOOKS}/{phase}/{name}", script, mode)


def told(node):
    """What the hooks of the node were told, in order."""
    if not os.path.exists(node.path(LOG)):
        return []
    return [json.loads(line) for line in node.read(LOG).splitlines()]


def phases(node):
    return [one["phase"] for one in told(node)]


@pytest.fixture
def hooked(fleet):
    """The fleet with a guest on kvm1, and a hook in each phase of both hosts that writes down what it is told."""
    for node in fleet.hosts():
        for phase in PHASES:
            hook(node, phase, "50-tell", TELL)
    fleet.guest_add("web1", on="kvm1", tick_ms=100, disks=["nfs"])
    fleet.tick_wait("web1")
    yield fleet
    for node in fleet.hosts():
        shutil.rmtree(node.path(HOOKS))
        if os.path.exists(node.path(LOG)):
            os.unlink(node.path(LOG))


def test_hooks_run_in_each_phase_on_both_sides(hooked, drover):
    kvm1, kvm2 = hooked.hosts()
    hook(kvm2, "commit", "60-slow", "#!/bin/sh\nexec sleep 3\n")
    hook(kvm1, "done", "60-dns", "#!/bin/sh\necho no such zone >&2\nexit 7\n")
    drover("migrate", "web1", "--to", "kvm2")
    assert phases(kvm1) == ["prepare", "commit", "done"]
    assert phases(kvm2) == ["prepare", "commit", "done"]
    first = told(kvm2)[0]
    assert (first["role"], first["source"], first["destination"], first["guest"]["name"]) == ("destination", "kvm1", "kvm2", "web1")
    assert "<name>web1</name>" in first["xml"]
    job = document(drover("history", "--json"))["jobs"][0]
    assert job["state"] == "done"
    notes = [one["seen"] for one in job["findings"] if one["id"] == "hook"]
    assert notes == [f"done hook 60-dns on kvm1 failed, which changes nothing: {HOOKS}/done/60-dns ended with status 7: no such zone"]
    assert any("60-dns" in entry["text"] for entry in job_state(drover, job["id"])["log"])
    assert_runs_only_on(hooked, "web1", "kvm2")
    assert_goes_on(hooked, "web1", "kvm2")


def test_a_prepare_hook_says_no(hooked, drover):
    kvm1, kvm2 = hooked.hosts()
    hook(kvm2, "prepare", "60-address", "#!/bin/sh\necho no address is free >&2\nexit 3\n")
    hook(kvm2, "prepare", "70-never", TELL)
    result = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert result.returncode == 3
    assert f"{HOOKS}/prepare/60-address ended with status 3: no address is free" in result.stdout + result.stderr
    assert phases(kvm1) == ["prepare", "abort"]
    assert phases(kvm2) == ["prepare", "abort"]
    assert told(kvm2)[1]["prepared"] == [f"{HOOKS}/prepare/50-tell", f"{HOOKS}/prepare/60-address"]
    kvm2.run(["chmod", "o+w", f"{HOOKS}/prepare/50-tell"])
    result = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert result.returncode == 3
    assert "50-tell can be written by others" in result.stdout + result.stderr
    assert_runs_only_on(hooked, "web1", "kvm1")
    assert_goes_on(hooked, "web1", "kvm1")


def test_an_agent_dies_in_a_prepare_hook(hooked, drover):
    kvm1, kvm2 = hooked.hosts()
    kvm2.run(["mkfifo", "/run/hold"])
    hook(kvm2, "prepare", "60-hold", "#!/bin/sh\n: >/run/begun\nexec cat /run/hold\n")
    job = document(drover("migrate", "web1", "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: os.path.exists(kvm2.path("/run/begun")), 30, "the hook to begin")
    hooked.programs.agent_stop(kvm2, signal.SIGKILL)
    with open(kvm2.path("/run/hold"), "w"):
        pass
    hooked.programs.agent_start(kvm2)
    wait_for_job(drover, job, ENDED, 90)
    assert job_state(drover, job)["state"] == "failed"
    wait_for(lambda: phases(kvm2) == ["prepare", "abort"], 30, "the abort hook of kvm2")
    assert phases(kvm1) == ["prepare", "abort"]
    for name in ("/run/hold", "/run/begun"):
        os.unlink(kvm2.path(name))
    assert_runs_only_on(hooked, "web1", "kvm1")
    assert_goes_on(hooked, "web1", "kvm1")


def test_the_destinations_hook_changes_the_definition(hooked, drover):
    """Of a guest that runs, and of one that is shut off; another guest's definition is refused."""
    kvm1, kvm2 = hooked.hosts()
    take = "import json, sys; xml = json.load(sys.stdin)['xml']"
    other = f"#!/usr/bin/python3\n{take}; print(xml.replace('<name>web1<', '<name>web2<'))\n"
    hook(kvm2, "prepare", "60-xml", other)
    result = drover("migrate", "web1", "--to", "kvm2", check=False)
    assert result.returncode == 3
    assert "is a domain of name web2" in result.stdout + result.stderr
    hook(kvm2, "prepare", "60-xml", f"#!/usr/bin/python3\n{take}; print(xml.replace('</name>', '</name><title>moved here</title>'))\n")
    drover("migrate", "web1", "--to", "kvm2")
    assert "<title>moved here</title>" in kvm2.virsh("dumpxml", "web1")
    assert "<title>moved here</title>" in kvm2.virsh("dumpxml", "--inactive", "web1")
    assert_runs_only_on(hooked, "web1", "kvm2")
    assert_goes_on(hooked, "web1", "kvm2")
    kvm2.virsh("destroy", "web1")
    hook(kvm1, "prepare", "60-xml", f"#!/usr/bin/python3\n{take}; print(xml.replace('moved here', 'moved back'))\n")
    drover("migrate", "web1", "--to", "kvm1")
    assert "<title>moved back</title>" in kvm1.virsh("dumpxml", "web1")
    assert "web1" not in kvm2.domains()


def test_a_guest_that_is_not_well_where_it_arrived_pauses_its_plan(hooked, drover):
    """The first between two hosts is looked at before others follow: here the destination's hook pauses it."""
    kvm1, kvm2 = hooked.hosts()
    hooked.guest_add("web2", on="kvm1", tick_ms=100, disks=["nfs"])
    hooked.tick_wait("web2")
    hook(kvm2, "done", "60-suspend", "#!/bin/sh\nfor name in $(virsh -q list --name); do virsh -q suspend $name; done\n")
    job = document(drover("evacuate", "kvm1", "--detach", "--json"))["id"]
    wait_for(lambda: job_state(drover, job)["phase"] == "paused", 60, "the plan to pause")
    (first,) = kvm2.domains()
    (other,) = {"web1", "web2"} - {first}
    assert f"{first} is not well on kvm2 (it is paused)" in job_state(drover, job)["text"]
    assert kvm1.domains() == {other: "running"}, "nobody follows"
    os.unlink(kvm2.path(f"{HOOKS}/done/60-suspend"))
    kvm2.virsh("resume", first)
    drover("resume", str(job))
    assert wait_for_job(drover, job, ENDED | {"partly"})["state"] == "done"
    for name in (first, other):
        assert_runs_only_on(hooked, name, "kvm2")
        assert_goes_on(hooked, name, "kvm2")
    drover("maintenance", "off", "kvm1")
