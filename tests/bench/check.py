#!/usr/bin/python3
"""drover check of a guest with 4 disks (NFS, iSCSI, GlusterFS, and a local one to be copied) and 2 interfaces on 2 bridges: whole
commands timed, all probes on."""

import sys

from _fleet import BenchFleet, median, summary, timed

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 15

with BenchFleet(storage=True) as fleet:
    for host in fleet.hosts():
        host.bridge_add_beside("br1", "eth2")
    fleet.guest_add("bench", on="kvm1", disks=["nfs", "iscsi", "gluster", "local"], nic="br0", off=True)
    kvm1 = fleet.node("kvm1")
    nic = "<interface type='bridge'><source bridge='br1'/><model type='virtio'/></interface>"
    kvm1.write("/run/bench.xml", kvm1.virsh("dumpxml", "bench").replace("</devices>", f"{nic}</devices>"))
    kvm1.virsh("define", "/run/bench.xml")
    kvm1.virsh("start", "bench")
    fleet.tick_wait("bench")
    took = [timed(fleet.drover, "check", "bench", "--to", "kvm2", "--copy-storage") for _ in range(RUNS + 1)]
    # The first has to sample the guest for its forecast, unless the agent has done so by itself: one guest in 15 s.
    first, took = took[0], took[1:]
    print(*(f"{seconds:.3f}" for seconds in took))
    summary("check", seconds=median(took), worst=max(took), never_sampled=first, runs=RUNS)
