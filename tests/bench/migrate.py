#!/usr/bin/python3
"""drover migrate against virsh migrate --live --p2p: the same guest, in turn, whole commands timed.

Its disks lie on NFS and GlusterFS, and it has an interface on a bridge, so that every proof of a check runs. Both go in both
directions, and each begins every second pair. DROVER_BENCH_SAY_WHEN=1 says where the time of each of drover's went.
"""

import os
import sys

from _fleet import BenchFleet, drover_migrate, median, say_when, summary, timed, virsh_migrate

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 25  # of 7 the ratio of one and the same program came out between 1.16 and 1.32

with BenchFleet(storage=True) as fleet:
    fleet.guest_add("bench", on="kvm1", memory=256, dirty=20, working_set=32, tick_ms=200, disks=["nfs", "gluster"], nic="br0")
    fleet.tick_wait("bench", at_least=10)
    at, drover, virsh = "kvm1", [], []
    print(f"{'pair':>4} {'drover s':>9} {'virsh s':>9}")
    for pair in range(-1, PAIRS):  # the first pair warms up
        for tool in ("drover", "virsh") if pair % 2 else ("virsh", "drover"):
            to = "kvm2" if at == "kvm1" else "kvm1"
            if tool == "drover":
                took = timed(drover_migrate, fleet, f"{at}/bench", to)
                last_drover = took
                if "DROVER_BENCH_SAY_WHEN" in os.environ:
                    say_when(fleet, took)
            else:
                took = timed(virsh_migrate, fleet, "bench", at, to)
                last_virsh = took
            at = to
        if pair >= 0:
            drover.append(last_drover)
            virsh.append(last_virsh)
            print(f"{pair + 1:>4} {last_drover:>9.3f} {last_virsh:>9.3f}")
    summary("migrate", ratio=median(drover) / median(virsh), drover_s=median(drover), virsh_s=median(virsh), runs=PAIRS)
