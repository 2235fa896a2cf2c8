"""What must hold after a migration, asked of the hosts themselves and of the guest's own ticks; and what a check finds."""

import json

from lablib import LabError, wait_for


def copies(fleet, guest):
    """{host: state} of every host that knows the guest."""
    return {host.name: host.domains()[guest] for host in fleet.hosts() if guest in host.domains()}


def assert_runs_only_on(fleet, guest, host):
    seen = copies(fleet, guest)
    assert seen == {host: "running"}, seen
    persistent = fleet.node(host).virsh("dominfo", guest)
    assert "Persistent:     yes" in persistent


def assert_goes_on(fleet, guest, host, repeats=False):
    """New ticks come on `host` only; none was lost or said twice.

    repeats: after a transfer that a fault broke off, or a slow one, a TCG guest of QEMU 7.2 may say one to three ticks again, also with plain
    virsh migrate. That is no second copy: copies() tells.
    """
    with fleet.tick_watch(guest) as watch:
        watch.wait(3, host=host)
    report = fleet.tick_report(guest)
    assert report["boots"] == 1
    assert report["missing"] == [], report
    assert len(report["doubled"]) <= (3 if repeats else 0), report


def document(result):
    return json.loads(result.stdout)


def job_state(drover, job):
    return document(drover("job", str(job), "--json", check=False))


def wait_for_job(drover, job, states, deadline=60):
    """The job, once its state is one of `states`."""
    seen = {}

    def reached():
        seen.update(job_state(drover, job))
        return seen.get("state") in states

    wait_for(reached, deadline, f"job {job} to be one of {', '.join(states)}")
    return seen


def check(drover, guest, *options):
    """{id: finding} of a check from kvm1 to kvm2."""
    result = drover("check", guest, "--to", "kvm2", "--json", *options, check=False)
    reply = document(result)
    if "error" in reply:
        raise LabError(f"no check of {guest}: {reply}")  # which wait_for tries again: the coordinator may not know the guest yet
    found = {finding["id"]: finding for finding in reply["findings"]}
    blocks = [id for id, finding in found.items() if finding["severity"] == "block"]
    assert result.returncode == (3 if blocks else 0), (result.returncode, reply)
    for finding in found.values():
        assert finding["seen"] and finding["expected"] and finding["todo"], finding
    return found


def heavy(found):
    """The ids of what blocks and what warns."""
    return {id: finding["severity"] for id, finding in found.items() if finding["severity"] in ("block", "warn")}


def doctor(drover, *hosts):
    """{host: {id: finding}}, and the exit status."""
    result = drover("doctor", "--json", *hosts, check=False)
    reply = document(result)
    return {host["host"]: {finding["id"]: finding for finding in host["findings"]} for host in reply["hosts"]}, result.returncode


def wait_for_finding(drover, guest, id):
    """What comes of a change that the agents tell by themselves, a moment later."""
    last = {}

    def there():
        last.clear()
        last.update(check(drover, guest))
        return id in last

    wait_for(there, 20, f"finding {id}")
    return last


def wait_for_heavy(drover, guest, expected):
    """Until nothing blocks or warns but {id: severity}: of several changes, some are told before the others."""
    last = {}

    def told():
        last.clear()
        last.update(check(drover, guest))
        return heavy(last) == expected

    try:
        wait_for(told, 20, f"the findings {expected}")
    except LabError as error:
        raise AssertionError(f"{error}; seen: {last}") from error
    return last


def edited(fleet, name, *changes):
    """The guest, shut off, with changed words in its definition on kvm1."""
    kvm1 = fleet.node("kvm1")
    xml = kvm1.virsh("dumpxml", "--inactive", name)
    for old, new in changes:
        assert old in xml, xml
        xml = xml.replace(old, new)
    kvm1.write("/run/edited.xml", xml)
    kvm1.virsh("define", "/run/edited.xml")


PROBED = ("/srv/gluster", "/var/lib/libvirt/images", "/srv/brick", "/srv/nfs")


def left_behind(fleet):
    """Files of probes anywhere they could be, and their records."""
    found = []
    for node in (*fleet.hosts(), fleet.node("export1")):
        for directory in (*PROBED, "/var/lib/drover-agent/probes"):
            names = node.run(["ls", "-A", directory], check=False).stdout.split()
            found += [f"{node.name}:{directory}/{name}" for name in names
                      if name.startswith(".drover-probe-") or directory.endswith("/probes")]
    return found
