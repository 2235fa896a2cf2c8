#!/usr/bin/python3
"""Plans of evacuations of one host and of a tenth of the hosts, beside Ganeti's hbal on the same fleets. Both check memory, vCPU ratio
and anti-affinity (exclusion tags); CPU time is of whole processes, the score of either result is hbal's own."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile

from _fleet import summary

LIMIT_S = 120  # of CPU time, so that a busy machine changes nothing
SIZES = [int(size) for size in sys.argv[1:]] or [20, 100, 300, 1000, 3000]
PLAN = os.path.join(os.environ["DROVER_BUILD"], "tests/bench/planner_plan")


def fleet_text(hosts):
    """Two kinds of hosts, 20 guests each; every tenth triple of guests must be apart."""
    rng = random.Random(hosts)
    nodes, guests = [], []
    for host in range(hosts):
        memory, cpus = rng.choice([(262144, 64), (393216, 96)])
        used = 0
        for _ in range(20):
            mib, vcpus = rng.choice([2048, 4096, 8192, 8192, 16384]), rng.choice([1, 2, 2, 4, 8])
            number = len(guests)
            used += mib
            # Members of a group are spread over the fleet by their numbers.
            tag = f"apart:{number % (20 * hosts // 3)}" if number % (20 * hosts // 3) % 10 == 0 else ""
            guests.append(f"vm{number:06d}|{mib}|10240|{vcpus}|running|Y|kvm{host:05d}||sharedfile|{tag}|1|-")
        nodes.append(f"kvm{host:05d}|{memory}|1024|{memory - 1024 - used}|1000000|900000|{cpus}|N|d1|1||N|1|0|1.0")
    policy = ("|128,1,1024,1,1,1|128,1,1024,1,1,1;131072,64,10485760,16,8,12|sharedfile,diskless|2.0|64.0")
    return "\n".join(["default|d1|preferred||", "", *nodes, "", *guests, "", "htools:iextags:apart", "", policy, ""])


def hbal(file, offline, *more):
    """CPU seconds (None: it took longer than the limit), score before, score after."""
    command = ["hbal", "-t", file, "-E", "-v", "-v", *more]
    for name in offline:
        command += ["-O", name]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S + 10)))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return None, None, None
        out.seek(0)
        text = out.read()
    score = re.search(r"Initial coefficients: overall ([\d.]+)", text)
    final = re.search(r"Final coefficients: +overall ([\d.]+)", text)
    if process.returncode != 0 or not score:
        raise SystemExit(f"{' '.join(command[:6])} ended with {process.returncode}: {text[-500:]}")
    return usage.ru_utime + usage.ru_stime, float(score[1]), float((final or score)[1])


def plan(file, offline, result):
    line = subprocess.run([PLAN, file, ",".join(offline), result], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    return {key: float(value) for key, value in (pair.split("=") for pair in line.split())}


print(f"{'hosts':>6} {'empty':>6} {'guests':>7} | {'plan ms':>9} {'process ms':>10} {'stuck':>6} {'score':>11} | "
      f"{'hbal s':>9} {'score':>11} | {'CPU ratio':>9} {'score ratio':>11}")
figures = {}
too_long = set()
with tempfile.TemporaryDirectory() as directory:
    for size in SIZES:
        file, result = os.path.join(directory, "fleet"), os.path.join(directory, "result")
        with open(file, "w") as out:
            out.write(fleet_text(size))
        for emptied in (1, size // 10):
            offline = [f"kvm{i * (size // emptied):05d}" for i in range(emptied)]
            runs = [plan(file, offline, result) for _ in range(5)]
            ours = {key: sorted(run[key] for run in runs)[2] for key in runs[0]}
            seconds, _, theirs = (None, None, None) if (emptied > 1) in too_long else hbal(file, offline)
            if seconds is None:
                too_long.add(emptied > 1)
            # One step at most, which is none: everything is off the offline hosts already.
            _, score, _ = hbal(result, offline, "-l", "1") if seconds is not None else (0, None, 0)
            ratio = seconds * 1000 / ours["process_ms"] if seconds is not None else None
            quality = score / theirs if score is not None else None
            print(f"{size:>6} {emptied:>6} {emptied * 20:>7} | {ours['plan_ms']:>9.2f} {ours['process_ms']:>10.2f} "
                  f"{ours['stuck']:>6.0f} {'-' if score is None else f'{score:.6f}':>11} | "
                  f"{f'>{LIMIT_S} s' if seconds is None else f'{seconds:.2f}':>9} "
                  f"{'-' if theirs is None else f'{theirs:.6f}':>11} | "
                  f"{'-' if ratio is None else f'{ratio:.0f}':>9} {'-' if quality is None else f'{quality:.5f}':>11}",
                  flush=True)
            figures[size, emptied > 1] = ours, ratio, quality

line = {}
if (100, False) in figures:
    line = {"hosts": 100, "cpu_ratio": figures[100, False][1], "score_ratio": figures[100, False][2],
            "cpu_ratio_tenth": figures[100, True][1], "score_ratio_tenth": figures[100, True][2]}
if (1000, False) in figures:
    line["one_of_1000_ms"] = figures[1000, False][0]["plan_ms"]
summary("planner", **{key: value for key, value in line.items() if value is not None})
