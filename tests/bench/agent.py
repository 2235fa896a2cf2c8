#!/usr/bin/python3
"""An idle agent with ten guests (eight of them shut off) and a coordinator's session: resident memory and CPU; libvirtd beside it."""

import os
import sys
import time

from _fleet import BenchFleet, summary

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


with BenchFleet() as fleet:
    for n in range(10):
        fleet.guest_add(f"guest{n}", on="kvm1", off=n >= 2, tick_ms=1000)
    fleet.tick_wait("guest1")
    kvm1 = fleet.node("kvm1")
    pids = {"agent": kvm1.process("agent").pid, "libvirtd": kvm1.process("libvirtd").pid, "coordinator": fleet.coordinator.process("coordinator").pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    start = time.monotonic()
    time.sleep(SECONDS)  # the measurement itself: idle time
    elapsed = time.monotonic() - start
    cpu = {name: 100 * (cpu_seconds(pid) - before[name]) / elapsed for name, pid in pids.items()}
    print(f"{'program':<12} {'RSS MiB':>8} {'CPU %':>7}")
    for name, pid in pids.items():
        print(f"{name:<12} {rss_mib(pid):>8.1f} {cpu[name]:>7.2f}")
    summary("agent", rss_mib=rss_mib(pids["agent"]), cpu_percent=cpu["agent"], libvirtd_rss_mib=rss_mib(pids["libvirtd"]), seconds=SECONDS)
