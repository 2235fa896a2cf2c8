#!/usr/bin/python3
"""The coordinator with 100, 300 and 1000 simulated agents of 20 guests each (tests/sim/agents): from its start to the complete
snapshot, its memory, and `drover vms`. fleet.py [--guests N] [--check] [HOSTS]...; --check only looks that all of it is there."""

import argparse
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.environ.get("DROVER_BUILD", f"{TOP}/build-bench")
DEADLINE = 120
TICKS = os.sysconf("SC_CLK_TCK")


def line_of(process, stream, pattern, what):
    """The match in the first line of the stream that has it."""
    end = time.monotonic() + DEADLINE
    seen = ""
    while time.monotonic() < end:
        if not select.select([stream], [], [], end - time.monotonic())[0]:
            break
        data = os.read(stream.fileno(), 65536).decode(errors="replace")
        seen += data
        match = re.search(pattern, seen)
        if match:
            return match
        if not data:
            break
    raise SystemExit(f"waited {DEADLINE} s for {what} of process {process.pid} (exit {process.poll()}); it said: {seen[-2000:]}")


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise SystemExit(f"{process.args[0]} did not end within 20 s of SIGTERM") from None


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


def measure(hosts, guests):
    with tempfile.TemporaryDirectory(prefix="drover-fleet-") as directory:
        made = [f"{BUILD}/tests/sim/agents/made-agents", "--dir", directory, "--hosts", str(hosts), "--guests", str(guests)]
        agents = subprocess.Popen(made, stdout=subprocess.PIPE)
        coordinator = None
        try:
            line_of(agents, agents.stdout, "ready", "its ports")
            program = [f"{BUILD}/coordinator/drover-coordinator", "--config", f"{directory}/coordinator.yaml"]
            coordinator = subprocess.Popen(program, stderr=subprocess.PIPE)
            known = line_of(coordinator, coordinator.stderr, r"the fleet is known: (\d+) hosts, (\d+) guests, ([0-9.]+) s", "the snapshot")
            assert (int(known[1]), int(known[2])) == (hosts, hosts * guests), known[0]
            cpu, rss = cpu_seconds(coordinator.pid), status(coordinator.pid, "VmRSS")
            check(directory, hosts, guests)
            vms = min(drover(directory, "vms")[1] for _ in range(3))
            return float(known[3]), cpu, rss, status(coordinator.pid, "VmHWM"), vms
        finally:
            for process in filter(None, (coordinator, agents)):
                end(process)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--guests", type=int, default=20)
parser.add_argument("--check", action="store_true")
parser.add_argument("hosts", type=int, nargs="*", default=[100, 300, 1000])
arguments = parser.parse_args()
for hosts in arguments.hosts:
    snapshot, cpu, rss, peak, vms = measure(hosts, arguments.guests)
    if arguments.check:
        print(f"fleet hosts={hosts} guests={hosts * arguments.guests}: all there")
    else:
        print(
            f"fleet hosts={hosts} guests={hosts * arguments.guests} snapshot_s={snapshot:.3f} cpu_s={cpu:.2f} "
            f"rss_mib={rss:.1f} peak_mib={peak:.1f} vms_s={vms:.3f}"
        )
        sys.stdout.flush()
