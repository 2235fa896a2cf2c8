#!/usr/bin/python3
"""What the handover (the destination starts paused, and runs when the source is known to have given the guest up) adds to
libvirt's own switch-over, by the source agent's clock; beside it the largest gap between the guest's own ticks."""

import json
import sys

from _fleet import BenchFleet, drover_migrate, median, summary, virsh_migrate

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
TICK_MS = 20


def gap_of(fleet, call):
    with fleet.tick_watch("bench") as watch:
        watch.wait(5)
        call()
        watch.wait(5)
        return watch.largest_gap()[0] * 1000


with BenchFleet() as fleet:
    fleet.guest_add("bench", on="kvm1", memory=256, dirty=20, working_set=32, tick_ms=TICK_MS)
    fleet.tick_wait("bench", at_least=10)
    rows, virsh_gaps = [], []
    print(f"{'run':>4} {'downtime ms':>12} {'added ms':>9} {'pause ms':>9} {'tick gap ms':>12} {'virsh tick gap ms':>18}")
    for run in range(RUNS):
        gap = gap_of(fleet, lambda: drover_migrate(fleet, "kvm1/bench", "kvm2"))
        result = json.loads(fleet.drover("history", "--json", "--limit", "1").stdout)["jobs"][0]["result"]
        row = (result.get("downtime", 0), result.get("handover", 0), result.get("pause", 0), gap)
        virsh_gap = gap_of(fleet, lambda: virsh_migrate(fleet, "bench", "kvm2", "kvm1"))
        rows.append(row)
        virsh_gaps.append(virsh_gap)
        print(f"{run + 1:>4} {row[0]:>12} {row[1]:>9} {row[2]:>9} {row[3]:>12.0f} {virsh_gap:>18.0f}")
    columns = list(zip(*rows))
    summary(
        "handover", added_ms=median(columns[1]), downtime_ms=median(columns[0]), pause_ms=median(columns[2]),
        tick_gap_ms=median(columns[3]), virsh_tick_gap_ms=median(virsh_gaps), added_max_ms=max(columns[1]), runs=RUNS,
    )
