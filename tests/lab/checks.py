"""What must hold after a migration, asked of the hosts themselves and of the guest's own ticks."""

import json

from lablib import wait_for


def copies(fleet, guest):
    """{host: state} of every host that knows the guest."""
    return {host.name: host.domains()[guest] for host in fleet.hosts() if guest in host.domains()}


def assert_runs_only_on(fleet, guest, host):
    assert copies(fleet, guest) == {host: "running"}
    persistent = fleet.node(host).virsh("dominfo", guest)
    assert "Persistent:     yes" in persistent


def assert_goes_on(fleet, guest, host, repeats=False):
    """New ticks come on `host` only; none was lost or said twice.

    repeats: after a transfer that a fault broke off, a TCG guest of QEMU 7.2 may say one to three ticks again, also with plain
    virsh migrate. That is no second copy: copies() tells.
    """
    with fleet.tick_watch(guest) as watch:
        watch.wait(3, host=host)
    report = fleet.tick_report(guest)
    assert report["boots"] == 1
    assert report["missing"] == []
    assert len(report["doubled"]) <= (3 if repeats else 0)


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
