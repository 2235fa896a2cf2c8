"""Strangers against the listeners of common/rpc: a quick pass of what `tests/lab/run hostile` does at length."""

import os
import subprocess

from conftest import BUILD


def test_goes_on_serving():
    run = subprocess.run([f"{BUILD}/tests/lab/hostile", "0.05"], capture_output=True, text=True, timeout=600,
                         env=os.environ | {"ASAN_OPTIONS": "detect_leaks=1:handle_abort=1:quarantine_size_mb=4"})
    last = run.stdout.strip().splitlines()[-1:]
    assert run.returncode == 0, run.stdout + run.stderr
    assert last and last[0].startswith("hostile connections=") and " serving=yes " in last[0], run.stdout
