"""A fleet for a benchmark, and what every benchmark prints."""

import json
import os
import statistics
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, f"{TOP}/deploy/lab")

from lablib import Fleet  # noqa: E402

BUILD = os.environ.get("DROVER_BUILD", f"{TOP}/build-bench")
median = statistics.median


class BenchFleet:
    """with BenchFleet() as fleet: ...; the fleet ends with the block."""

    def __init__(self, **arguments):
        self.fleet = Fleet(f"bench-{os.getpid()}")
        self.arguments = {"hosts": 2, "storage": False, "programs": BUILD, **arguments}

    def __enter__(self):
        try:
            self.fleet.up(**self.arguments)
        except BaseException:
            self.fleet.down()
            raise
        return self.fleet

    def __exit__(self, *_):
        self.fleet.down()


def timed(call, *arguments, **named):
    start = time.monotonic()
    call(*arguments, **named)
    return time.monotonic() - start


def virsh_migrate(fleet, guest, source, destination):
    """The peer: what an operator without Drover types."""
    to = fleet.node(destination)
    fleet.node(source).virsh(
        "migrate", "--live", "--p2p", "--persistent", "--undefinesource", guest, to.libvirt_uri(), "--migrateuri", f"tcp://{to.address}"
    )


def drover_migrate(fleet, guest, destination, *options):
    fleet.drover("migrate", guest, "--to", destination, *options)


def jobs(fleet):
    """Those that have ended, the newest first."""
    return json.loads(fleet.drover("history", "--json").stdout)["jobs"]


def say_when(fleet, took):
    """The log of the job that was last, by its time, and what of it was libvirt's."""
    job = json.loads(fleet.drover("job", str(jobs(fleet)[0]["id"]), "--json").stdout)
    for line in job["log"]:
        print(f"{(int(line['at']) - int(job['started'])) / 1000:>8.3f}  {line['text']}")
    print(f"{took:>8.3f}  the whole command; {json.dumps(job['result'])}")


def summary(name, **values):
    print(name, *(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()))
