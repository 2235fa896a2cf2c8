"""What the lab remembers about a fleet: one JSON file, changed under a lock, and the places of its files."""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import time

from .errors import LabError

RUN = "/run/drover-lab"  # state, sockets, logs
DATA = "/var/lib/drover-lab"  # images and other data too big for /run, which is often in memory
UP_LOCK = "up.lock"  # held by whoever raises or ends the fleet
CACHE = "/var/cache/drover-lab"  # guest programs and kernels, kept for the next fleet


class State:
    def __init__(self, name):
        # 32: UNIX sockets below the fleet's directory must fit into 108 bytes.
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
            raise LabError(
                f"fleet name '{name}': expected 1 to 32 characters of a-z, 0-9 and '-', starting with a letter or digit"
            )
        self.name = name
        self.run = f"{RUN}/{name}"
        self.data = f"{DATA}/{name}"
        self.file = f"{self.run}/fleet.json"

    def exists(self):
        return os.path.exists(self.file)

    def load(self):
        """The recorded state; an empty dict when there is none or it is damaged."""
        try:
            with open(self.file) as file:
                return json.load(file)
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    @contextlib.contextmanager
    def edit(self):
        """with state.edit() as data: changes are written when the block ends without an exception."""
        with self.locked("state.lock", 10):
            data = self.load()
            yield data
            temporary = self.file + ".new"
            with open(temporary, "w") as file:
                json.dump(data, file, indent=1)
            os.rename(temporary, self.file)

    @contextlib.contextmanager
    def locked(self, lock, deadline):
        """Holds a lock of the fleet. It goes with the process that holds it."""
        path = f"{self.run}/{lock}"
        end = time.monotonic() + deadline
        while True:
            os.makedirs(self.run, mode=0o755, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # a 'down' removed the directory in between
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody's 'down' may have removed the file between open and lock.
                if os.path.exists(path) and os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                    break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOENT):
                    raise
            os.close(descriptor)
            if time.monotonic() > end:
                raise LabError(f"fleet {self.name}: another lab command has held {path} for {deadline} s; try again when it has ended")
            time.sleep(0.01)
        try:
            yield
        finally:
            os.close(descriptor)

    def remove(self, keep_lock=False):
        """Removes all files of the fleet; with keep_lock, not the lock that the caller holds and means to go on with."""
        paths = [self.data, self.run]
        if keep_lock:
            paths = [self.data, *(f"{self.run}/{name}" for name in os.listdir(self.run) if name != UP_LOCK)]
        for path in paths:
            for attempt in range(5):
                try:
                    (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if attempt == 4:
                        raise
                    time.sleep(0.05)
        for parent in (DATA, RUN):
            with contextlib.suppress(OSError):
                os.rmdir(parent)


def fleets():
    """Names of all fleets that have files on this machine."""
    names = set()
    for parent in (RUN, DATA):
        with contextlib.suppress(FileNotFoundError):
            names.update(name for name in os.listdir(parent) if os.path.isdir(f"{parent}/{name}"))
    return sorted(names)


def boot_id():
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
