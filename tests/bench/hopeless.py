#!/usr/bin/python3
"""A guest that rewrites 200 MiB all the time over a 100 MiB/s link: drover against plain virsh, live and with auto-converge.

The ideal is one pass over what holds data and then, paused, the working set once more. The guest was checked (sampled) before,
as one that has run for some minutes is; only the command `drover migrate` is timed. "Cold" is the same without a check: neither
guest nor link are known, so there is a first pass to learn from. virsh --live alone never ends, so it is cut off after a while, and
auto-converge, which may end, after a longer one (arguments: RUNS, and both in seconds).
"""

import subprocess
import sys
import time

from _fleet import BenchFleet, drover_migrate, median, summary, timed

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
CUT_OFF = int(sys.argv[2]) if len(sys.argv) > 2 else 60
PATIENCE = int(sys.argv[3]) if len(sys.argv) > 3 else 300  # for auto-converge
WORKING_SET, LINK = 200, 100  # MiB, MiB/s
IDEAL = 2 * WORKING_SET / LINK


def fresh(fleet):
    fleet.heal()
    fleet.guest_add("bench", on="kvm1", memory=WORKING_SET + 56, dirty="max", working_set=WORKING_SET, tick_ms=200)
    fleet.tick_wait("bench", at_least=10, deadline=60)
    fleet.link("kvm2", rate=f"{LINK * 8 * 1024 * 1024 // 1000}kbit")


def virsh(fleet, patience, *flags):
    """Seconds, or None when it was cut off. Any other failure is one of the benchmark."""
    to = fleet.node("kvm2")
    start = time.monotonic()
    child = fleet.node("kvm1").popen(
        ["virsh", "migrate", "--live", "--p2p", *flags, "bench", to.libvirt_uri(), "--migrateuri", f"tcp://{to.address}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        status = child.wait(patience)
    except subprocess.TimeoutExpired:
        fleet.node("kvm1").virsh("domjobabort", "bench", check=False)
        child.wait(30)
        return None
    if status != 0:
        raise SystemExit(f"virsh migrate {' '.join(flags)} ended with {status}")
    return time.monotonic() - start


def show(seconds):
    return f"{seconds:.2f}" if seconds is not None else "timeout"


with BenchFleet() as fleet:
    cold, drover, live, converge = [], [], [], []
    print(f"{'run':>3} {'drover s':>9} {'cold s':>7} {'virsh live s':>13} {'auto-converge s':>16}   ideal {IDEAL:.1f} s")
    for run in range(RUNS):
        fresh(fleet)
        fleet.programs.reset()
        fleet.programs.sessions_wait()
        cold.append(timed(drover_migrate, fleet, "bench", "kvm2", "--max-pause", "10s"))
        fresh(fleet)
        fleet.drover("check", "bench", "--to", "kvm2", "--refresh")
        drover.append(timed(drover_migrate, fleet, "bench", "kvm2", "--max-pause", "10s"))
        row = [drover[-1], cold[-1]]
        for results, patience, flags in ((live, CUT_OFF, ()), (converge, PATIENCE, ("--auto-converge",))):
            if run == 0:  # once is enough of what never ends
                fresh(fleet)
                results.append(virsh(fleet, patience, *flags))
            row.append(results[0])
        print(f"{run + 1:>3} {show(row[0]):>9} {show(row[1]):>7} {show(row[2]):>13} {show(row[3]):>16}", flush=True)
    summary(
        "hopeless", ratio_to_ideal=median(drover) / IDEAL, drover_s=median(drover), ratio_cold=median(cold) / IDEAL,
        virsh_live=show(live[0]), virsh_live_cut_off_s=CUT_OFF, virsh_autoconverge_s=show(converge[0]),
        virsh_autoconverge_cut_off_s=PATIENCE, runs=RUNS,
    )
