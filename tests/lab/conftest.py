"""Fixtures of the lab tests: one fleet per run, as good as new for each test.

DROVER_BUILD is Meson's build directory with Drover's programs (default: build).
"""

import os
import re
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, f"{TOP}/deploy/lab")

from lablib import Fleet  # noqa: E402
from lablib.programs import complete  # noqa: E402

# Also a sanitizer that fails itself: "AddressSanitizer: CHECK failed", "nested bug in the same thread".
SANITIZER = re.compile(r"\w+Sanitizer:|\w+Sanitizer CHECK|runtime error:")
BUILD = os.environ.get("DROVER_BUILD", f"{TOP}/build")


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.stash[FAILED] = True


def restore(fleet, request):
    """As good as new: what a test that failed has left in stores and records is not the next one's failure."""
    fleet.heal()
    if request.node.stash.get(FAILED, False) and fleet.has_programs:
        fleet.programs.reset()


@pytest.fixture(scope="session")
def lab():
    """The path of the lab command."""
    return f"{TOP}/deploy/lab/lab"


class Complaints:
    """What went wrong with Drover's programs in a fleet, whatever the test looked at."""

    def __init__(self, fleet):
        self.programs = fleet.programs if fleet.has_programs else None
        self._read = {}

    def new(self):
        """Programs that died, and sanitizers' reports since the last call."""
        if self.programs is None:
            return []
        logs = self.programs.logs()
        # The last line of a log says how the program ended.
        found = [f"{who} died; the end of its log:\n{tail(logs.get(who))}" for who in self.programs.died()]
        for who, file in logs.items():
            with open(file, errors="replace") as opened:
                opened.seek(self._read.get(file, 0))
                text = opened.read()
                self._read[file] = opened.tell()
            report = SANITIZER.search(text)
            if report:
                found.append(f"{who}: {text[report.start():report.start() + 4000]}")
        return found


def assert_none(complaints):
    assert not complaints, "\n".join(complaints)  # whole: pytest shortens what it compares


def tail(file, lines=40):
    if file is None:
        return "(it has none)"
    with open(file, errors="replace") as opened:
        return "".join(opened.readlines()[-lines:])


@pytest.fixture(scope="session")
def session_fleet():
    """Two hosts with storage, and Drover's programs if they are built. Tests take 'fleet' or 'drover' instead."""
    fleet = Fleet(f"test-{os.getpid()}")
    try:
        fleet.up(hosts=2, storage=True, programs=BUILD if complete(BUILD) else False)
        complaints = Complaints(fleet)
        yield fleet, complaints
        # A leak shows when a program ends in good order.
        deaf = fleet.programs.stop() if fleet.has_programs else []
        assert deaf == [], "took no notice of SIGTERM"
        assert_none(complaints.new())
    finally:
        fleet.down()


@pytest.fixture
def fleet(session_fleet, request):
    """The fleet, without guests, every link whole and every daemon running."""
    fleet, complaints = session_fleet
    yield fleet
    found = complaints.new()
    restore(fleet, request)
    assert_none(found)


@pytest.fixture
def drover(fleet):
    """Runs the drover command in the fleet: drover("hosts", "--json", check=False) -> CompletedProcess."""
    if not complete(BUILD):
        pytest.fail(f"{BUILD} has no programs of Drover: build them, or set DROVER_BUILD")
    return fleet.drover


@pytest.fixture(scope="module")
def module_fleet():
    """Three hosts with storage and Drover's programs, for the tests of one file. Tests take 'three_hosts' instead."""
    if not complete(BUILD):
        pytest.fail(f"{BUILD} has no programs of Drover: build them, or set DROVER_BUILD")
    fleet = Fleet(f"test-{os.getpid()}-three")
    try:
        fleet.up(hosts=3, storage=True, programs=BUILD)
        complaints = Complaints(fleet)
        yield fleet
        assert fleet.programs.stop() == [], "took no notice of SIGTERM"
        assert_none(complaints.new())
    finally:
        fleet.down()


@pytest.fixture
def three_hosts(module_fleet, request):
    """That fleet, without guests, every link whole and every daemon running."""
    yield module_fleet
    restore(module_fleet, request)


@pytest.fixture
def small_fleets():
    """Makes further fleets, small ones, that end with the test: small_fleets("a", hosts=1)."""
    made = []

    def make(suffix, **arguments):
        fleet = Fleet(f"test-{os.getpid()}-{suffix}")
        made.append(fleet)
        fleet.up(**{"hosts": 1, "storage": False, "programs": False, **arguments})
        return fleet

    yield make
    for fleet in made:
        fleet.down()


@pytest.fixture
def undo(fleet):
    """Calls what is put into it at the end, the last first."""
    todo = []
    yield todo.append
    for step in reversed(todo):
        step()
