#!/usr/bin/python3
"""The coordinator with 100, 300 and 1000 simulated agents of 20 guests each (tests/sim/agents): from its start to the complete
snapshot, its memory, and `drover vms`; then a tenth of the hosts is emptied at once, where each running guest's transfer takes 2 s.

fleet.py [--guests N] [--check] [HOSTS]...; --check only looks that all of it is there, and moves. Of the evacuation: plan_s is what an
order takes until its plan is made (the median, and the slowest), evacuate_s all of it, migrations how many there were (and `left` where a guest stayed), cpu_ms what the
coordinator spent on each of them, planning included, peak_mib its memory at most.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.environ.get("DROVER_BUILD", f"{TOP}/build-bench")
DEADLINE = 120
EVACUATION_DEADLINE = 1800
TICKS = os.sysconf("SC_CLK_TCK")


def line_of(process, file, pattern, what):
    """The match in the first line that the process writes to that file which has it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        with open(file, errors="replace") as opened:
            seen = opened.read()
        match = re.search(pattern, seen)
        if match:
            return match
        time.sleep(0.01)
    raise SystemExit(f"waited {DEADLINE} s for {what} of process {process.pid} (exit {process.poll()}); it said: {seen[-2000:]}")


def end(process):
    """False if it took no notice of SIGTERM."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def status(pid, key):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def drover(directory, *arguments):
    command = [f"{BUILD}/cli/drover", "--coordinator", f"ipc://{directory}/coordinator.sock", *arguments]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
    return done.stdout, time.monotonic() - start


def check(directory, hosts, guests):
    listed = json.loads(drover(directory, "hosts", "--json")[0])["hosts"]
    assert len(listed) == hosts and all(host["synced"] for host in listed), f"{len(listed)} of {hosts} hosts, or not all synced"
    listed = json.loads(drover(directory, "vms", "--json")[0])["guests"]
    names = {guest["guest"]["name"] for guest in listed}
    assert len(listed) == hosts * guests and len(names) == len(listed), f"{len(listed)} guests, {len(names)} names, of {hosts * guests}"


def wait_for_end(directory, job, deadline):
    """The job, once it has ended."""
    while True:
        seen = json.loads(drover(directory, "job", str(job), "--json")[0])
        if int(seen["ended"]):
            return seen
        if time.monotonic() > deadline:
            raise SystemExit(f"job {job} had not ended after {EVACUATION_DEADLINE} s: {seen['text']}")
        time.sleep(1)


def evacuate(directory, coordinator, hosts, guests):
    """A tenth of the hosts, at once."""
    names = [f"kvm{host * 10:04}" for host in range(hosts // 10)]
    cpu, start = cpu_seconds(coordinator.pid), time.monotonic()
    orders = [drover(directory, "evacuate", name, "--detach", "--json") for name in names]
    ended = [wait_for_end(directory, json.loads(text)["id"], start + EVACUATION_DEADLINE) for text, _ in orders]
    took, cpu = time.monotonic() - start, cpu_seconds(coordinator.pid) - cpu
    states = [step["state"] for job in ended for step in job["steps"]]
    left = sum(len(json.loads(drover(directory, "vms", "--host", name, "--json")[0])["guests"]) for name in names)
    migrations = states.count("done")  # a guest on its way to a host that is to be emptied, too, moves on from there
    assert migrations + left >= len(names) * guests, f"{migrations} moved and {left} left, of {len(names) * guests}"
    check(directory, hosts, guests)
    # Where the machine has no time for the agents, some don't answer in time, and their guests stay.
    assert left * 10 <= migrations, [job["text"] for job in ended]
    planned = sorted(seconds for _, seconds in orders)
    return {
        "evacuated": len(names),
        "migrations": migrations,
        "left": left,
        "plan_s": statistics.median(planned),
        "plan_max_s": planned[-1],
        "evacuate_s": took,
        "cpu_ms": cpu * 1000 / migrations,
        "evacuate_peak_mib": status(coordinator.pid, "VmHWM"),
    }


def measure(hosts, guests, transfer_ms):
    with tempfile.TemporaryDirectory(prefix="drover-fleet-") as directory:
        made = [f"{BUILD}/tests/sim/agents/made-agents", "--dir", directory, "--hosts", str(hosts), "--guests", str(guests)]
        made += ["--transfer-ms", str(transfer_ms)]
        logs = [f"{directory}/agents.log", f"{directory}/coordinator.log"]
        with open(logs[0], "w") as log:
            agents = subprocess.Popen(made, stdout=log)
        coordinator = None
        try:
            line_of(agents, logs[0], "ready", "its ports")
            program = [f"{BUILD}/coordinator/drover-coordinator", "--config", f"{directory}/coordinator.yaml"]
            with open(logs[1], "w") as log:
                coordinator = subprocess.Popen(program, stderr=log)
            known = line_of(coordinator, logs[1], r"the fleet is known: (\d+) hosts, (\d+) guests, ([0-9.]+) s", "the snapshot")
            assert (int(known[1]), int(known[2])) == (hosts, hosts * guests), known[0]
            cpu, rss = cpu_seconds(coordinator.pid), status(coordinator.pid, "VmRSS")
            check(directory, hosts, guests)
            vms = min(drover(directory, "vms")[1] for _ in range(3))
            found = {"snapshot_s": float(known[3]), "cpu_s": cpu, "rss_mib": rss, "peak_mib": status(coordinator.pid, "VmHWM"), "vms_s": vms}
            return {**found, **evacuate(directory, coordinator, hosts, guests)}
        finally:
            deaf = [process.args[0] for process in filter(None, (coordinator, agents)) if not end(process)]
            if deaf:
                print(f"did not end within 20 s of SIGTERM: {', '.join(deaf)}", file=sys.stderr)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--guests", type=int, default=20)
parser.add_argument("--transfer-ms", type=int, default=2000)
parser.add_argument("--check", action="store_true")
parser.add_argument("hosts", type=int, nargs="*", default=[100, 300, 1000])
arguments = parser.parse_args()
for hosts in arguments.hosts:
    found = measure(hosts, arguments.guests, 100 if arguments.check else arguments.transfer_ms)
    if arguments.check:
        print(f"fleet hosts={hosts} guests={hosts * arguments.guests}: all there, {found['migrations']} moved")
    else:
        figures = (f"{key}={value:.3f}" if isinstance(value, float) else f"{key}={value}" for key, value in found.items())
        print(f"fleet hosts={hosts} guests={hosts * arguments.guests}", *figures, flush=True)
