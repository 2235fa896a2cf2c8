"""Waiting on conditions, never on time alone."""

import time

from .errors import LabError


def wait_for(condition, deadline, what, poll=0.02):
    """Calls condition until it returns something true, and returns that.

    deadline is in seconds from now. The LabError after it names what was awaited and the last exception, if any.
    """
    end = time.monotonic() + deadline
    while True:
        last = None
        try:
            value = condition()
            if value:
                return value
        except (LabError, OSError) as error:
            last = error
        if time.monotonic() >= end:
            reason = f": {last}" if last else ""
            raise LabError(f"waited {deadline:g} s for {what}, in vain{reason}")
        time.sleep(poll)
