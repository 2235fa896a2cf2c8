#!/usr/bin/python3
"""drover evacuate against virsh migrate, one guest after the other and all at once: six guests over a 200 Mbit/s link.

The bound is what the link needs for the guests' memory, once: no order of the moves could be faster. Each way moves all six
to the other host; whole commands are timed, and for drover from the order until libvirt has said that the host is empty.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from _fleet import BenchFleet, summary, timed, virsh_migrate
from lablib import wait_for

GUESTS = [f"guest{n}" for n in range(1, 7)]
WORKING_SET = int(sys.argv[1]) if len(sys.argv) > 1 else 96  # MiB
RATE = 200_000_000  # bit/s
DIRTY = 4  # MiB/s, of all six together about the link's rate


def parallel(fleet, source, destination):
    with ThreadPoolExecutor(len(GUESTS)) as pool:
        list(pool.map(lambda guest: virsh_migrate(fleet, guest, source, destination), GUESTS))


def serial(fleet, source, destination):
    for guest in GUESTS:
        virsh_migrate(fleet, guest, source, destination)


with BenchFleet() as fleet:
    for guest in GUESTS:
        fleet.guest_add(guest, on="kvm1", memory=WORKING_SET + 64, dirty=DIRTY, working_set=WORKING_SET, tick_ms=500)
    for guest in GUESTS:  # until each page of the working set was written
        fleet.tick_wait(guest, at_least=2 * WORKING_SET // DIRTY + 4, deadline=180)
    for host in ("kvm1", "kvm2"):
        fleet.link(host, rate=f"{RATE // 10**6}mbit")
    bound = len(GUESTS) * WORKING_SET * 2**20 * 8 / RATE
    drover_s = timed(fleet.drover, "evacuate", "kvm1", timeout=600)
    assert fleet.node("kvm1").domains() == {}
    wait_for(lambda: len(fleet.node("kvm2").domains()) == len(GUESTS), 10, "all guests at kvm2")
    serial_s = timed(serial, fleet, "kvm2", "kvm1")
    parallel_s = timed(parallel, fleet, "kvm1", "kvm2")
    print(f"{'way':>10} {'s':>7} {'x bound':>8}")
    for way, took in (("bound", bound), ("drover", drover_s), ("serial", serial_s), ("parallel", parallel_s)):
        print(f"{way:>10} {took:>7.1f} {took / bound:>8.2f}")
    summary("evacuate", ratio_to_bound=drover_s / bound, serial=serial_s / bound, parallel=parallel_s / bound, bound_s=bound)
