"""Drover's lab: a fleet of KVM hosts on one machine. Start at fleet.Fleet."""

from .errors import LabError
from .fleet import Fleet, fleets
from .ticks import TickWatch
from .wait import wait_for

__all__ = ["Fleet", "LabError", "TickWatch", "fleets", "wait_for"]
