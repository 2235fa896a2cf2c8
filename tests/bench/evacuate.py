#!/usr/bin/python3
"""drover evacuate against virsh migrate, one guest after the other and all at once: six guests over a 200 Mbit/s link.

evacuate.py [MIB]: each guest holds that much memory (256), and two of them change 2 MiB/s of it. The bound is what those bytes need
at 200 Mbit/s, each sent once: no order of the moves could be faster. It leaves out what can't be left out, so that it is on the
safe side: Ethernet's, IP's and TCP's headers (4.4 % of each frame; `payload_bound` has them), the pages that are dirtied meanwhile
and sent again, and that the first QEMU has to start and the last one to end.

The coordinator is told of the link (`bandwidth: 200mbit`). Each way moves all six to the other host; whole commands are timed, and for
drover from the order until libvirt has said that the host is empty.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from _fleet import BenchFleet, summary, timed
from lablib import wait_for

GUESTS = [f"guest{n}" for n in range(1, 7)]
DIRTY = {"guest2": 2, "guest5": 2}  # MiB/s
HELD = int(sys.argv[1]) if len(sys.argv) > 1 else 256  # MiB
RATE = 200_000_000  # bit/s
PAYLOAD = 1448 / 1514  # of a full frame
TIMEOUT = 900


def virsh_migrate(fleet, guest, source, destination):
    to = fleet.node(destination)
    command = ["migrate", "--live", "--p2p", "--persistent", "--undefinesource", guest, to.libvirt_uri()]
    fleet.node(source).virsh(*command, "--migrateuri", f"tcp://{to.address}", timeout=TIMEOUT)


def parallel(fleet, source, destination):
    with ThreadPoolExecutor(len(GUESTS)) as pool:
        list(pool.map(lambda guest: virsh_migrate(fleet, guest, source, destination), GUESTS))


def serial(fleet, source, destination):
    for guest in GUESTS:
        virsh_migrate(fleet, guest, source, destination)


def know_the_link(fleet):
    """As an operator does."""
    text = fleet.programs.coordinator_config()
    fleet.coordinator.write("/etc/drover/coordinator.yaml", f"bandwidth: {RATE // 10**6}mbit\n{text}")
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()


def say_when(fleet):
    """Where the time went: the plan's log, and each guest's result."""
    (job,) = [job for job in json.loads(fleet.drover("history", "--json").stdout)["jobs"] if job["kind"] == "evacuate"]
    job = json.loads(fleet.drover("job", str(job["id"]), "--json").stdout)
    for line in job["log"]:
        print(f"{(int(line['at']) - int(job['started'])) / 1000:>8.2f}  {line['text']}")
    for step in job["steps"]:
        print(f"{'':>8}  {step['guest']}: {json.dumps(step.get('result'))}")


with BenchFleet() as fleet:
    know_the_link(fleet)
    for guest in GUESTS:
        fleet.guest_add(guest, on="kvm1", memory=HELD + 64, dirty=DIRTY.get(guest, 0), working_set=HELD, tick_ms=500)
    for guest in GUESTS:
        fleet.tick_wait(guest, at_least=4, deadline=180)
    for host in ("kvm1", "kvm2"):
        fleet.link(host, rate=f"{RATE // 10**6}mbit")
    bound = len(GUESTS) * HELD * 2**20 * 8 / RATE
    drover_s = timed(fleet.drover, "evacuate", "kvm1", timeout=TIMEOUT)
    assert fleet.node("kvm1").domains() == {}
    wait_for(lambda: len(fleet.node("kvm2").domains()) == len(GUESTS), 10, "all guests at kvm2")
    if "DROVER_BENCH_SAY_WHEN" in os.environ:
        say_when(fleet)
    serial_s = timed(serial, fleet, "kvm2", "kvm1")
    parallel_s = timed(parallel, fleet, "kvm1", "kvm2")
    print(f"{'way':>13} {'s':>7} {'x bound':>8}")
    ways = (("bound", bound), ("payload_bound", bound / PAYLOAD), ("drover", drover_s), ("serial", serial_s), ("parallel", parallel_s))
    for way, took in ways:
        print(f"{way:>13} {took:>7.1f} {took / bound:>8.2f}")
    ratios = {"ratio_to_bound": drover_s / bound, "serial": serial_s / bound, "parallel": parallel_s / bound}
    summary("evacuate", **ratios, ratio_to_payload_bound=drover_s / bound * PAYLOAD, bound_s=bound)
