"""What guests said: their serial logs, one per host, read afterwards or watched as they grow."""

import ctypes
import os
import re
import select
import struct
import threading
import time
from dataclasses import dataclass, field

from .errors import LabError
from .wait import wait_for

# A migration may cut a line in two, so the end of a line counts, whatever is before it.
_TICK = re.compile(rb"tick (\d+)\r?$")
_BOOT = re.compile(rb"(?:^|\W)boot tick_ms=")
_IN_MODIFY, _IN_CREATE = 0x2, 0x100


def ticks_file(host, guest):
    """The log of a guest on a host, by a path that holds from outside, and while the host's processes come and go."""
    return f"{host.data_dir}/libvirt/ticks/{guest}.log"


@dataclass
class Log:
    """One host's part. gaps: [last before, first after]; head and tail: what is of a line that the other host has the rest of."""

    ticks: list = field(default_factory=list)
    boots: int = 0
    head: bytes | None = None
    tail: bytes = b""

    @property
    def gaps(self):
        return [[a, b] for a, b in zip(self.ticks, self.ticks[1:]) if b != a + 1 and b > a]


def read(hosts, guest):
    """{host name: Log} for the hosts where the guest has said anything."""
    logs = {}
    for host in hosts:
        try:
            with open(ticks_file(host, guest), "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            continue
        log = Log(boots=sum(1 for line in lines if _BOOT.search(line)))
        # What is after the last newline isn't complete: "tick 1" may become "tick 12".
        log.ticks = [int(match[1]) for match in map(_TICK.search, lines[:-1]) if match]
        if len(lines) > 1 and not _TICK.search(lines[0]) and not _BOOT.search(lines[0]):
            log.head = lines[0]
        log.tail = lines[-1]
        logs[host.name] = log
    return logs


def report(logs):
    """Puts the hosts' logs together: ticks that no host has (missing), and that more than one has (doubled).

    After more than one boot the numbers begin again, and neither can be told: both are None.
    """
    logs_of = logs.values()
    cut = [_TICK.fullmatch(a.tail + b.head) for a in logs_of for b in logs_of if a is not b and a.tail and b.head is not None]
    every = sorted([tick for log in logs_of for tick in log.ticks] + [int(match[1]) for match in cut if match])
    boots = sum(log.boots for log in logs.values())
    missing = doubled = None
    if boots <= 1:
        missing = sorted(set(range(every[0], every[-1] + 1)) - set(every)) if every else []
        doubled = sorted({tick for tick, next_ in zip(every, every[1:]) if tick == next_})
    return {
        "hosts": {
            name: {"first": log.ticks[0] if log.ticks else None, "last": log.ticks[-1] if log.ticks else None,
                   "count": len(log.ticks), "boots": log.boots, "gaps": log.gaps}
            for name, log in logs.items()
        },
        "boots": boots,
        "missing": missing,
        "doubled": doubled,
    }


@dataclass
class Arrival:
    """One tick: when it was written (monotonic seconds), by the guest's copy on which host."""

    time: float
    host: str
    tick: int


class TickWatch:
    """Notes when each tick is written, on every host at once.

    with TickWatch(hosts, "vm1") as watch: watch.wait(3); ...; watch.largest_gap()
    """

    def __init__(self, hosts, guest, callback=None):
        self._guest = guest
        self._callback = callback
        self._files = {}  # inotify watch: (host name, path)
        self._offsets = {}  # path: what has been read so far
        self._partial = {}
        self._events = []
        self._condition = threading.Condition()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._inotify < 0:
            raise LabError(f"inotify_init1: {os.strerror(ctypes.get_errno())}; raise fs.inotify.max_user_instances")
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC)
        for host in hosts:
            path = ticks_file(host, guest)
            descriptor = self._libc.inotify_add_watch(self._inotify, os.path.dirname(path).encode(), _IN_MODIFY | _IN_CREATE)
            if descriptor < 0:
                raise LabError(f"inotify_add_watch {path}: {os.strerror(ctypes.get_errno())}")
            self._files[descriptor] = (host.name, path)
            # Only what comes from now on has a time.
            self._offsets[path] = os.path.getsize(path) if os.path.exists(path) else 0
            self._partial[path] = b""
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._thread is None:
            return
        os.write(self._waker, b"x")
        self._thread.join()
        self._thread = None
        for descriptor in (self._inotify, self._wake, self._waker):
            os.close(descriptor)

    def _loop(self):
        name = f"{self._guest}.log".encode()
        poll = select.poll()
        poll.register(self._inotify, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._wake in ready:
                return
            buffer = os.read(self._inotify, 65536)
            now = time.monotonic()
            changed, offset = set(), 0
            while offset < len(buffer):
                watch, _, _, length = struct.unpack_from("iIII", buffer, offset)
                offset += 16
                if buffer[offset:offset + length].rstrip(b"\0") == name:
                    changed.add(watch)
                offset += length
            for watch in changed:
                self._read(now, *self._files[watch])

    def _read(self, now, host, path):
        try:
            with open(path, "rb") as file:
                file.seek(self._offsets[path])
                text = file.read()
        except FileNotFoundError:
            return
        self._offsets[path] += len(text)
        *lines, self._partial[path] = (self._partial[path] + text).split(b"\n")
        arrivals = [Arrival(now, host, int(match[1])) for match in map(_TICK.search, lines) if match]
        if not arrivals:
            return
        with self._condition:
            self._events += arrivals
            self._condition.notify_all()
        if self._callback:
            for arrival in arrivals:
                self._callback(arrival)

    @property
    def events(self):
        with self._condition:
            return list(self._events)

    def wait(self, count=1, host=None, deadline=30):
        """Waits until this many more ticks have come, from one host or from any, and returns the last Arrival."""
        with self._condition:
            begin = len(self._events)

            def new():
                return [event for event in self._events[begin:] if host in (None, event.host)]

            if not self._condition.wait_for(lambda: len(new()) >= count, deadline):
                raise LabError(
                    f"waited {deadline:g} s for {count} ticks of {self._guest} on {host or 'any host'}; {len(new())} came"
                )
            return new()[-1]

    def largest_gap(self):
        """(seconds, Arrival before, Arrival after) of the longest silence between two ticks, whichever hosts they came from."""
        events = self.events
        if len(events) < 2:
            raise LabError(f"{len(events)} ticks of {self._guest} were seen, and a gap needs two: watch for longer")
        return max(((b.time - a.time, a, b) for a, b in zip(events, events[1:])), key=lambda gap: gap[0])


def wait_for_ticks(hosts, guest, at_least, deadline=30):
    """Waits until the guest's highest tick on any host is at least this."""

    def enough():
        return max((log.ticks[-1] for log in read(hosts, guest).values() if log.ticks), default=0) >= at_least

    return wait_for(enough, deadline, f"tick {at_least} of {guest}", poll=0.05)
