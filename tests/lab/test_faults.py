"""A few of the faults of `tests/lab/run faults`, which has them all."""

import fault_cases
import pytest

CASES = {case.name: case for case in fault_cases.table()}
QUICK = [
    "source agent, switch-over",
    "source libvirtd, switch-over",
    "destination QEMU, hand-over",
    "coordinator, settle",
    "destination agent, abort",
    "agent.source.FENCED.after_write",
    "agent.destination.OWNER.after_write",
    "coordinator.activating.after_write",
    "agent.source.COLD.after_write",
    "source disk, switch-over",
]


@pytest.mark.parametrize("name", QUICK)
def test_a_fault(fleet, drover, name):
    if not fleet.programs.has_failpoints():
        pytest.skip("the programs were built without failpoints: meson configure BUILD -Dfailpoints=true")
    ok, text, _ = fault_cases.run(fleet, CASES[name])
    assert ok, text
