"""Forecasts on real guests: made from samples and the measured link, kept with the job, explained afterwards."""

import pytest
from checks import assert_goes_on, assert_runs_only_on, document, job_state


def check(drover, *options):
    return document(drover("check", "web1", "--to", "kvm2", "--json", *options))["forecast"]


def test_an_idle_guest_is_forecast_to_stay_live(fleet, drover):
    fleet.guest_add("web1", on="kvm1", tick_ms=100)
    fleet.tick_wait("web1")
    forecast = check(drover)
    assert forecast["way"] == "live" and forecast["allowed"], forecast
    assert forecast["bandwidth"] > 0 and forecast["bandwidth_source"] in ("measured", "migration")
    assert forecast["samples"] == 2
    assert "forecast: live" in drover("migrate", "web1", "--to", "kvm2", "--dry-run").stdout
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")


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
