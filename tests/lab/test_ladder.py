"""Guests for which a live migration can't win, or not always: what the ladder does, seen on real guests over slow links."""

import os
import re
import signal

import pytest
from checks import assert_goes_on, assert_runs_only_on, document, job_state, wait_for_job
from lablib import wait_for

TICK = 0.1


def guest(fleet, rate, working_set=120, at_least=20, **more):
    """A guest with a working set that is full of data, and a link of that rate between the hosts."""
    fleet.guest_add("web1", on="kvm1", memory=working_set + 40, tick_ms=int(TICK * 1000), working_set=working_set, **{"dirty": "max", **more})
    fleet.tick_wait("web1", at_least=at_least, deadline=60)
    fleet.link("kvm2", rate=rate)


def log_of(job):
    return [entry["text"] for entry in job["log"]]


def last_job(drover):
    return document(drover("history", "--json"))["jobs"][0]


def said(job, words):
    return any(words in line for line in log_of(job))


def fell_back(job):
    """By a pause, or by a limit so high that QEMU's switch-over is one: what costs less is chosen."""
    return said(job, "paused for") or said(job, "a downtime limit of")


def test_auto_pauses_a_hopeless_guest(fleet, drover):
    guest(fleet, "400mbit")
    with fleet.tick_watch("web1") as watch:
        watch.wait(3, host="kvm1")
        drover("migrate", "web1", "--to", "kvm2", "--max-pause", "20s")
        watch.wait(3, host="kvm2")
        gap, before, after = watch.largest_gap()
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    job = job_state(drover, last_job(drover)["id"])
    assert fell_back(job), job["log"]
    assert 1000 < job["result"]["pause"] <= 20000
    assert gap <= job["result"]["pause"] / 1000 + 2 * TICK, (gap, before, after, job["result"])


def test_a_pause_that_does_not_fit_is_named_and_the_guest_stays(fleet, drover):
    guest(fleet, "400mbit")
    refused = drover("migrate", "web1", "--to", "kvm2", "--max-pause", "1s", check=False)
    assert refused.returncode == 1
    assert "needs a pause of" in refused.stdout + refused.stderr
    assert "you allowed 1 s" in refused.stdout + refused.stderr
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")
    named = re.search(r"needs a pause of ([0-9.]+) (m?s)", refused.stdout + refused.stderr)
    drover("migrate", "web1", "--to", "kvm2", "--max-pause", "".join(named.groups()))
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_a_max_pause_below_any_switch_over_is_not_tried(fleet, drover):
    fleet.guest_add("web1", on="kvm1", tick_ms=int(TICK * 1000))
    fleet.tick_wait("web1")
    refused = drover("migrate", "web1", "--to", "kvm2", "--max-pause", "1ms", check=False)
    assert refused.returncode == 1
    assert "a switch-over alone takes about" in refused.stdout + refused.stderr
    assert "you allowed 1 ms" in refused.stdout + refused.stderr
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")


def test_a_link_that_breaks_down_is_given_up_by_the_deadline(fleet, drover):
    guest(fleet, "400mbit", dirty=10)
    job = document(drover("migrate", "web1", "--to", "kvm2", "--deadline", "60s", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 60, "the first bytes to be sent")
    fleet.link("kvm2", rate="1mbit")
    ended = wait_for_job(drover, job, {"done", "failed"}, 120)
    assert ended["state"] == "failed" and said(ended, "the deadline leaves"), ended["log"]
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1", repeats=True)


def test_live_gives_up_where_auto_would_pause(fleet, drover):
    guest(fleet, "400mbit")
    # Within the second that it may take, the link carries less than half of what the guest rewrites.
    refused = drover("migrate", "web1", "--to", "kvm2", "--mode", "live", "--max-pause", "1s", "--deadline", "15s", check=False)
    job = job_state(drover, last_job(drover)["id"])
    assert refused.returncode == 1 and job["state"] == "failed", job
    assert not said(job, "paused for") and said(job, "cancelled: "), job["log"]
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")


def test_the_deadline_ends_it(fleet, drover):
    guest(fleet, "80mbit")
    refused = drover("migrate", "web1", "--to", "kvm2", "--deadline", "5s", check=False)
    assert refused.returncode == 1
    assert "the deadline leaves" in refused.stdout + refused.stderr
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")


def started(drover, *options):
    """The job, as soon as its memory flows."""
    job = document(drover("migrate", "web1", "--to", "kvm2", *options, "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 60, "the first bytes to be sent", poll=0.1)
    return job


def turns_in_mid_transfer(fleet, drover, tick, *options):
    """The job, ended, whose guest became another at that tick: after its memory began to flow, and while it still ran at kvm1."""

    def last_tick():
        return fleet.tick_report("web1")["hosts"]["kvm1"]["last"]

    job = started(drover, *options)
    assert last_tick() < tick, "the transfer began too late"
    ended = wait_for_job(drover, job, {"done", "failed", "cancelled"}, 120)
    assert tick < last_tick(), ended
    # All was dirtied anew in the first pass: before the turn, or after it.
    assert max(seen["bytes_left"] for seen in ended["passes"] if seen["iteration"] == 2) > 60 * 2**20, ended["passes"]
    return ended


def test_a_guest_that_becomes_quiet_stays_live(fleet, drover):
    guest(fleet, "200mbit", dirty_until=70)
    job = turns_in_mid_transfer(fleet, drover, 70, "--max-pause", "1s")
    assert job["state"] == "done" and not said(job, "paused for"), job["log"]
    assert job["result"]["pause"] < 1200
    assert_runs_only_on(fleet, "web1", "kvm2")
    with fleet.tick_watch("web1") as watch:  # so long a live transfer sets a TCG guest back: CONTRIBUTING.md
        watch.wait(3, host="kvm2")


def test_a_guest_that_becomes_wild_is_paused(fleet, drover):
    guest(fleet, "200mbit", at_least=10, dirty_from=60)
    job = turns_in_mid_transfer(fleet, drover, 60, "--max-pause", "20s")
    assert job["state"] == "done" and fell_back(job), job["log"]
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def since_restart(job):
    """What the ladder said after it was adopted."""
    lines = log_of(job)
    adopted = [number for number, line in enumerate(lines) if "the agent was restarted" in line]
    return lines[adopted[0] + 1:] if adopted else []


def goes_on(*words):
    """The rung that it was killed on is not the last: another is taken after."""
    return lambda job: any(word in line for line in since_restart(job) for word in words)


def is_adopted(job):
    """It watches on what it finds under way. (That it was restarted says the coordinator, too, also of what had ended meanwhile.)"""
    return said(job, "it watches the migration that libvirt has under way")


def is_adopted_or_in_the_switch_over(job):
    """Where a raised limit came to QEMU's own switch-over, its monitor answers nobody until the job is over: it is only settled."""
    return is_adopted(job) or (not said(job, "paused for") and said(job, "agent was restarted; listens again"))


# The rung: the options, what the guest and its link are, when it is reached, what must have come of it. --mode live, which never
# pauses, comes by a raised limit to an end of its own. The slow link leaves some 12 s after each rung for an agent to come back in.
HOPELESS, BRISK = {"rate": "80mbit"}, {"rate": "400mbit", "working_set": 60, "dirty": 60}
RUNGS = {
    "wait": (["--mode", "live", "--max-pause", "60s"], HOPELESS, lambda seen: said(seen, "starts live"), goes_on("a downtime limit of")),
    "wait, and pause": (
        ["--max-pause", "60s"], HOPELESS, lambda seen: said(seen, "starts live"), goes_on("paused for", "a downtime limit of"),
    ),
    "wait, and post-copy": (
        ["--allow", "post-copy"], HOPELESS, lambda seen: said(seen, "starts live"),
        lambda ended: goes_on("post-copy, each page")(ended) and ended["result"]["post_copy"],
    ),
    "raised": (["--mode", "live", "--max-pause", "60s"], HOPELESS, fell_back, is_adopted),
    "throttled": (
        ["--mode", "live", "--allow", "auto-converge", "--max-pause", "800ms"], BRISK,
        lambda seen: seen.get("progress", {}).get("throttle", 0) > 0,
        lambda ended: is_adopted(ended) and ended["result"]["throttled"] > 0,
    ),
    "post-copy": (
        ["--allow", "post-copy"], HOPELESS, lambda seen: said(seen, "post-copy, each page"),
        lambda ended: is_adopted(ended) and ended["result"]["post_copy"],
    ),
    "paused": (
        ["--max-pause", "60s"], HOPELESS, lambda seen: seen.get("progress", {}).get("paused"), is_adopted_or_in_the_switch_over,
    ),
    "offline": (["--mode", "offline"], HOPELESS, lambda seen: seen.get("progress", {}).get("paused"), is_adopted),
}


@pytest.mark.parametrize("rung", RUNGS)
def test_a_restarted_agent_goes_on_with_the_ladder(fleet, drover, rung):
    options, made, reach, came_of_it = RUNGS[rung]
    guest(fleet, **made)
    job = document(drover("migrate", "web1", "--to", "kvm2", *options, "--detach", "--json"))["jobs"][0]["id"]

    def reached():
        seen = job_state(drover, job)
        assert seen["state"] not in ("done", "failed", "cancelled"), seen["log"]
        return reach(seen) and seen.get("progress", {}).get("bytes_done", 0) > 0

    wait_for(reached, 60, f"the rung {rung}", poll=0.1)
    kvm1 = fleet.node("kvm1")
    fleet.programs.agent_stop(kvm1, signal.SIGKILL)
    fleet.programs.agent_start(kvm1)
    ended = wait_for_job(drover, job, {"done", "failed", "cancelled"}, 120)
    assert ended["state"] == "done", log_of(ended)
    assert came_of_it(ended), (ended["log"], ended["result"])
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


@pytest.mark.parametrize("failpoint", ["agent.ladder.cancel.before", "agent.ladder.cancel.after"])
def test_the_pause_that_would_do_is_named_by_a_restarted_agent(fleet, drover, failpoint):
    """It was killed as the ladder gave the job up: before libvirt was told, or after."""
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without Meson's option failpoints")
    guest(fleet, "400mbit")
    kvm1 = fleet.node("kvm1")
    hit = fleet.programs.failpoint(kvm1, failpoint)
    job = started(drover, "--max-pause", "1s")
    wait_for(lambda: not os.path.exists(hit) and not kvm1.running("agent"), 60, "the end of kvm1's agent")
    fleet.programs.agent_start(kvm1)
    ended = wait_for_job(drover, job, {"done", "failed", "cancelled"}, 60)
    assert ended["state"] == "failed" and "needs a pause of" in ended["text"], (ended["text"], log_of(ended))
    assert ended["result"]["given_up"], ended["result"]
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1", repeats=True)


def test_a_coordinator_that_was_away_hears_what_was_decided(fleet, drover):
    """It was killed in mid-transfer, and the guest has left when it is back."""
    guest(fleet, "400mbit")
    job = started(drover, "--max-pause", "20s")
    fleet.programs.coordinator_stop(signal.SIGKILL)
    wait_for(lambda: fleet.node("kvm2").domains().get("web1") == "running", 60, "web1 to run on kvm2")
    fleet.programs.coordinator_start()
    ended = wait_for_job(drover, job, {"done", "failed", "cancelled"}, 60)
    assert ended["state"] == "done" and fell_back(ended) and said(ended, "starts live"), log_of(ended)
    assert ended["forecast"]["why"] and max(seen["iteration"] for seen in ended["passes"]) > 1, ended
    decided = [line for line in log_of(ended) if "starts live" in line or "remain after sync" in line]
    assert len(decided) == len(set(decided)), decided
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")


def test_what_slowing_the_guest_down_cost_it_is_shown(fleet, drover):
    guest(fleet, **BRISK)
    # On a busy machine it may be given up: that costs, too.
    drover("migrate", "web1", "--to", "kvm2", "--mode", "live", "--allow", "auto-converge", "--max-pause", "800ms", check=False)
    job = last_job(drover)
    result = job["result"]
    assert result["throttle"] >= 20 and result["throttled"] > 0, result
    assert f"slowed down by up to {result['throttle']} %" in drover("job", str(job["id"])).stdout
    moved = job["state"] == "done"
    cost = "of CPU time while it was slowed down" if moved else "of CPU time, slowed down by up to"
    assert cost in drover("job", str(job["id"]), "--explain").stdout
    assert_runs_only_on(fleet, "web1", "kvm2" if moved else "kvm1")
    assert_goes_on(fleet, "web1", "kvm2" if moved else "kvm1", repeats=not moved)


def test_cancel_in_the_pause_resumes_the_guest(fleet, drover):
    guest(fleet, "80mbit")
    job = document(drover("migrate", "web1", "--to", "kvm2", "--mode", "offline", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("bytes_done", 0) > 0, 30, "the first bytes to be sent")
    drover("cancel", str(job))
    ended = wait_for_job(drover, job, {"cancelled"})
    assert ended["runs_on"] == "kvm1" and ended["result"]["pause"] > 0, ended
    assert "It cost the guest a pause of" in drover("job", str(job)).stdout
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1")
