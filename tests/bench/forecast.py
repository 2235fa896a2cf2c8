#!/usr/bin/python3
"""Forecast and fact of real guests, from idle to hopeless, over links of set rate.

The mode is right when forecast and fact agree whether the guest stands still for more than half a second. A pause that is
off by less than 100 ms counts as met.
"""

import json
import sys

from _fleet import BenchFleet, median, summary

LIVE_PAUSE = 500  # ms
# working set in MiB, rewritten at MiB/s, link in MiB/s
CASES = [
    (0, "0", 50), (0, "0", 100), (32, "5", 50), (32, "20", 100), (100, "20", 100), (100, "50", 100),
    (100, "max", 50), (100, "max", 100), (200, "max", 100), (200, "10", 50), (200, "200", 100), (150, "max", 50),
]
cases = CASES[: int(sys.argv[1])] if len(sys.argv) > 1 else CASES


def job(fleet):
    return json.loads(fleet.drover("history", "--json").stdout)["jobs"][0]


with BenchFleet() as fleet:
    right, time_errors, pause_errors = 0, [], []
    print(f"{'WS':>4} {'dirty':>5} {'link':>5} | {'way':>13} {'time s':>7} {'pause ms':>8} | {'time s':>7} {'pause ms':>8}")
    for working_set, dirty, link in cases:
        fleet.heal()
        fleet.guest_add("bench", on="kvm1", memory=256, dirty=dirty, working_set=working_set, tick_ms=200)
        fleet.tick_wait("bench", at_least=10, deadline=60)
        fleet.link("kvm2", rate=f"{link * 8 * 1024 * 1024 // 1000}kbit")
        fleet.drover("check", "bench", "--to", "kvm2", "--refresh")
        fleet.drover("migrate", "bench", "--to", "kvm2", "--max-pause", "20s")
        done = job(fleet)
        forecast, fact = done["forecast"], done["result"]
        right += (forecast["pause"] > LIVE_PAUSE) == (fact["pause"] > LIVE_PAUSE)
        time_errors.append(abs(forecast["time"] - fact["transfer"]) / fact["transfer"])
        off = abs(forecast["pause"] - fact["pause"])
        pause_errors.append(off / fact["pause"] if off > 100 else 0.0)
        print(
            f"{working_set:>4} {dirty:>5} {link:>5} | {forecast['way']:>13} {forecast['time'] / 1000:>7.2f} {forecast['pause']:>8}"
            f" | {fact['transfer'] / 1000:>7.2f} {fact['pause']:>8}", flush=True,
        )
    summary("forecast", mode_right=f"{right}/{len(cases)}", time_error=median(time_errors), pause_error=median(pause_errors))
