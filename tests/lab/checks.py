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


def assert_goes_on(fleet, guest, host):
    """New ticks come on `host` only; none was lost or said twice."""
    with fleet.tick_watch(guest) as watch:
        watch.wait(3, host=host)
    report = fleet.tick_report(guest)
    assert report["boots"] == 1
    assert report["missing"] == []
    assert report["doubled"] == []


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
