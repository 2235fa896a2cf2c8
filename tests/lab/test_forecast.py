"""Forecasts on real guests: made from samples and the measured link, kept with the job, explained afterwards."""

import os
import subprocess

import pytest
from checks import assert_goes_on, assert_runs_only_on, document, job_state, wait_for_job
from lablib import wait_for


def check(drover, *options):
    return document(drover("check", "web1", "--to", "kvm2", "--json", *options))["forecast"]


SAMPLES = "/var/lib/drover-agent/samples"


def restart(fleet, forget=False):
    kvm1 = fleet.node("kvm1")
    fleet.programs.agent_stop(kvm1)
    if forget:
        os.unlink(kvm1.path(SAMPLES))
    fleet.programs.agent_start(kvm1)
    fleet.programs.sessions_wait()


def check_after_a_restart(fleet, drover):
    """The forecast that the source's agent makes as soon as it knows its guests again."""
    restart(fleet)
    seen = {}

    def told():
        seen.update(document(drover("check", "web1", "--to", "kvm2", "--json", check=False)).get("forecast") or {})
        return seen

    wait_for(told, 30, "a forecast after the restart")
    return seen


def test_an_idle_guest_is_forecast_to_stay_live(fleet, drover):
    fleet.guest_add("web1", on="kvm1", tick_ms=100)
    fleet.tick_wait("web1")
    forecast = check(drover)
    assert forecast["way"] == "live" and forecast["allowed"], forecast
    assert forecast["bandwidth"] > 0 and forecast["bandwidth_source"] in ("measured", "migration")
    assert forecast["samples"] == 2
    assert "forecast: live" in drover("migrate", "web1", "--to", "kvm2", "--dry-run").stdout
    again = check_after_a_restart(fleet, drover)
    same = ("bandwidth", "bandwidth_source", "dirtied", "samples")
    assert [again[key] for key in same] == [forecast[key] for key in same] and again["samples_age"] > forecast["samples_age"]
    assert_runs_only_on(fleet, "web1", "kvm1")
    # A link that nobody has asked for is measured by the first move over it.
    restart(fleet, forget=True)
    drover("migrate", "web1", "--to", "kvm2")
    job = job_state(drover, document(drover("history", "--json"))["jobs"][0]["id"])
    assert job["forecast"]["bandwidth"] > 0 and job["forecast"]["bandwidth_source"] == "measured", job["forecast"]
    assert_goes_on(fleet, "web1", "kvm2")


@pytest.mark.parametrize("allowed", [True, False])
def test_a_hopeless_guest_is_forecast_to_be_paused(fleet, drover, allowed):
    fleet.guest_add("web1", on="kvm1", memory=160, working_set=120, dirty="max", tick_ms=100)
    fleet.tick_wait("web1", at_least=20, deadline=60)
    fleet.link("kvm2", rate="400mbit")
    pause = "20s" if allowed else "1s"
    told = drover("migrate", "web1", "--to", "kvm2", "--dry-run", "--max-pause", pause).stdout
    assert "forecast: " in told
    assert ("WHICH THE POLICY DOES NOT ALLOW" in told) == (not allowed), told
    if not allowed:
        return
    drover("migrate", "web1", "--to", "kvm2", "--max-pause", pause)
    job = job_state(drover, document(drover("history", "--json"))["jobs"][0]["id"])
    assert job["forecast"]["way"], job
    assert job["passes"], job
    assert "forecast " in drover("job", str(job["id"])).stdout
    why = drover("job", str(job["id"]), "--explain").stdout
    assert "Beforehand" in why and "PASS" in why and "What it cost the guest: a pause of" in why
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    fleet.guest_add("web2", on="kvm1", tick_ms=200)
    fleet.tick_wait("web2")
    learnt = document(drover("check", "web2", "--to", "kvm2", "--json"))["forecast"]
    assert learnt["bandwidth_source"] == "migration" and learnt["bandwidth"] < 1.1 * 400e6 / 8, learnt


def being_sampled(host):
    """The guests whose dirty rate QEMU is measuring right now."""
    found, guest = set(), None
    for line in host.virsh("domstats", "--dirtyrate", check=False).splitlines():
        guest = line.split("'")[1] if line.startswith("Domain:") else guest
        if line.strip() == "dirtyrate.calc_status=1":
            found.add(guest)
    return found


def start_check(fleet, guest):
    """`drover check GUEST --to kvm2 --refresh`, without waiting for it."""
    command = fleet.programs.command(["check", guest, "--to", "kvm2", "--refresh", "--json"])
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fleet.programs.environment())


def watch_samples(host, commands):
    """The sets of guests that were being sampled at the same time, while the commands ran."""
    seen = []

    def ended():
        seen.append(being_sampled(host))
        return all(command.poll() is not None for command in commands)

    wait_for(ended, 60, "the checks to end", poll=0.1)
    return seen


def test_one_guest_at_a_time_is_sampled(fleet, drover):
    for guest in ("web1", "web2"):
        fleet.guest_add(guest, on="kvm1", tick_ms=200)
        fleet.tick_wait(guest)
    seen = watch_samples(fleet.node("kvm1"), [start_check(fleet, "web1"), start_check(fleet, "web2")])
    assert {"web1"} in seen and {"web2"} in seen and all(len(guests) <= 1 for guests in seen), seen


def test_no_guest_is_sampled_while_one_migrates(fleet, drover):
    for guest in ("web1", "web2"):
        fleet.guest_add(guest, on="kvm1", tick_ms=200, working_set=30)
        fleet.tick_wait(guest)
    kvm1 = fleet.node("kvm1")
    # Also one that has begun before gives way.
    before = start_check(fleet, "web2")
    wait_for(lambda: being_sampled(kvm1), 20, "web2 to be sampled", poll=0.05)
    fleet.link("kvm2", rate="20mbit")
    job = document(drover("migrate", "web1", "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    wait_for(lambda: not being_sampled(kvm1), 5, "what was under way to end")
    seen = watch_samples(kvm1, [before, start_check(fleet, "web2")])
    assert job_state(drover, job)["state"] == "running"
    assert not any(seen), seen
    drover("cancel", str(job))
    wait_for_job(drover, job, {"cancelled"})
    assert_goes_on(fleet, "web1", "kvm1", repeats=True)


def test_a_link_is_measured_once_for_all_that_ask(fleet, drover):
    """Both get the guest's samples at the same moment, and then want to know the link."""
    fleet.link("kvm2", rate="400mbit")
    fleet.guest_add("web1", on="kvm1", tick_ms=200)
    fleet.tick_wait("web1")
    checks = [start_check(fleet, "web1"), start_check(fleet, "web1")]
    rates = [document(subprocess.CompletedProcess([], 0, check.communicate(timeout=60)[0]))["forecast"]["bandwidth"] for check in checks]
    assert all(rate > 0.7 * 400e6 / 8 for rate in rates), rates
