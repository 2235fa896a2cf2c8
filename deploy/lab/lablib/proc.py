"""Processes: starting, identifying, finding and ending them.

A process is known by pid and start time, so that a pid that was used again is never taken for the old process. What
belongs to a fleet is found without any record of it: by a marker file in the mount namespace of its nodes, and by a
variable in the environment.
"""

import ctypes
import os
import signal
import subprocess
import time

from .errors import LabError

MARKER = "/run/drover-lab.node"  # in each node's mount namespace: "FLEET ID NODE"
VARIABLE = "DROVER_LAB_NODE"  # the same words in the environment of the namespaces' holder

_children = {}  # pid: Popen, to reap what this very process started


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on, or None without such a process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def start_time(pid):
    """Clock ticks after boot at which the process started, or None when it is gone or a zombie."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)
        return None
    fields = stat_fields(pid)
    # A zombie whose other threads are still ending holds its files, locks and ports: it is not gone.
    if fields is None or (fields[0] in (b"Z", b"X") and int(fields[17]) <= 1):
        return None
    return int(fields[19])


class Process:
    """A process of the fleet, perhaps started by an earlier run of the lab."""

    def __init__(self, pid, start):
        self.pid = pid
        self.start = start

    @classmethod
    def from_record(cls, record):
        return cls(record["pid"], record["start"]) if record else None

    def record(self):
        return {"pid": self.pid, "start": self.start}

    def alive(self):
        return self.start is not None and start_time(self.pid) == self.start

    def stopped(self):
        """True if SIGSTOP holds the process."""
        fields = stat_fields(self.pid)
        return fields is not None and fields[0] in (b"T", b"t")

    def kill(self, number=signal.SIGKILL):
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def end(self, number=signal.SIGTERM, deadline=10):
        """Signals the process and waits until it is gone. After the deadline it is killed, and the answer is False."""
        self.kill(number)
        obeyed = self._gone(deadline)
        if not obeyed:
            self.kill(signal.SIGKILL)
            if not self._gone(deadline):
                raise LabError(f"process {self.pid} is still there {deadline} s after SIGKILL: look at /proc/{self.pid}/stack")
        return obeyed

    def _gone(self, deadline):
        end = time.monotonic() + deadline
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True


def spawn(argv, log, env=None, pass_fds=()):
    """Starts a daemon that outlives this process, with its output appended to the file log."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "ab") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd="/", start_new_session=True, pass_fds=pass_fds
        )
    _children[child.pid] = child
    return Process(child.pid, start_time(child.pid))


def spawn_reaped(prefix, reaper, argv, log, env=None):
    """Like spawn, through the lab's reaper, which prefix (nsenter) starts; returns the Process of argv itself."""
    for pid in list(_children):
        start_time(pid)  # waits for reapers that have ended
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with open(read_end, "rb") as answer:
        try:
            spawn([*prefix, reaper, str(write_end), *argv], log, env, pass_fds=(write_end,))
        finally:
            os.close(write_end)
        words = answer.read().split()
    if len(words) != 1:
        reason = os.strerror(int(words[1])) if words else f"see {log}"
        raise LabError(f"'{argv[0]}' could not be started: {reason}")
    pid = int(words[0])
    return Process(pid, start_time(pid))


def run(argv, check=True, timeout=60, input=None, env=None):
    """Runs a command to its end and returns the CompletedProcess, texts decoded."""
    try:
        done = subprocess.run(
            argv, input=input, stdin=subprocess.DEVNULL if input is None else None, capture_output=True, text=True,
            errors="replace", timeout=timeout, env=env,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"'{' '.join(argv)}' had not ended after {timeout} s; it was killed") from error
    except FileNotFoundError as error:
        raise LabError(f"'{argv[0]}' is not installed: run deploy/packages lab") from error
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"'{' '.join(argv)}' ended with status {done.returncode}: {said}")
    return done


def _namespace(pid, kind):
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return None


def _marker(pid, own_mount):
    if _namespace(pid, "mnt") in (None, own_mount):
        return None
    try:
        with open(f"/proc/{pid}/root{MARKER}") as file:
            return file.read().split()
    except OSError:
        return None


def _variable(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            for word in file.read().split(b"\0"):
                if word.startswith(VARIABLE.encode() + b"="):
                    return word.split(b"=", 1)[1].decode(errors="replace").split()
    except OSError:
        pass
    return None


def find(fleet=None):
    """All processes of one fleet, or of every fleet: a list of (Process, [fleet, id, node]). Threads are not listed.

    This process and its ancestors are never in the list.
    """
    own_mount, own_net = _namespace("self", "mnt"), _namespace("self", "net")
    spared = _ancestors()
    found, nets = [], {}
    others = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in spared:
            continue
        pid = int(name)
        words = _marker(pid, own_mount) or _variable(pid)
        net = _namespace(pid, "net")
        if words and len(words) == 3:
            if fleet is None or words[0] == fleet:
                start = start_time(pid)
                if start is not None:
                    found.append((Process(pid, start), words))
                    if net not in (None, own_net):
                        nets[net] = words
        elif net not in (None, own_net):
            others.append((pid, net))
    # Whoever left the mount namespace but still sits in a fleet's network belongs to it, too.
    for pid, net in others:
        start = start_time(pid)
        if net in nets and start is not None:
            found.append((Process(pid, start), nets[net]))
    return found


def _ancestors():
    pids, pid = set(), os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        fields = stat_fields(pid)
        pid = int(fields[1]) if fields else 0
    return pids


def inside():
    """The name of the fleet in whose node this process runs, or None."""
    try:
        with open(MARKER) as file:
            return file.read().split()[0]
    except (OSError, IndexError):
        return None


def kill_all(fleet, deadline=20):
    """Kills every process of a fleet. Repeats until none is left: they may fork."""
    end = time.monotonic() + deadline
    while True:
        left = find(fleet)
        if not left:
            return
        for process, _ in left:
            process.kill(signal.SIGKILL)
        if time.monotonic() > end:
            pids = ", ".join(str(process.pid) for process, _ in left)
            raise LabError(f"fleet {fleet}: processes {pids} survive SIGKILL for {deadline} s: look at /proc/PID/stack")
        time.sleep(0.01)


def parent_death_signal():
    """For preexec_fn: a helper that must not outlive the lab."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
