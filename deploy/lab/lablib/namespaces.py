"""A node of the fleet: network, mount and UTS namespaces of its own, held open by a process of their own."""

import os
import signal
import subprocess

from . import images, proc
from .errors import LabError
from .wait import wait_for

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What a daemon writes must stay in the node. /etc, /var/lib and /srv are overlaid, so that mount points can be made
# there without touching the machine; what must survive on a real file system is bound from the fleet's data directory.
# /sys is mounted anew, because it shows the network namespace it was mounted in.
_MOUNTS = """
set -e
mount -t tmpfs -o mode=755 drover-lab "$NODE_RUN/overlay"
cd "$NODE_RUN/overlay"
mkdir data
mount --bind "$NODE_DATA" data
for directory in etc var/lib srv; do
    mkdir -p "$directory" "work/$directory"
    mount -t overlay -o "lowerdir=/$directory,upperdir=$directory,workdir=work/$directory" drover-lab "/$directory"
done
umount -l /sys
mount -t sysfs sysfs /sys
for pair in $BINDS; do
    mkdir -p "data/${pair%%:*}" "${pair#*:}"
    mount --bind "data/${pair%%:*}" "${pair#*:}"
done
mkdir -p "$NODE_RUN/run/lock" "$NODE_RUN/run/drover-lab/$FLEET"
echo "$DROVER_LAB_NODE" > "$NODE_RUN/run/drover-lab.node"
mount --bind "$FLEET_RUN" "$NODE_RUN/run/drover-lab/$FLEET"
mount --bind "$NODE_RUN/log" /var/log
mount --rbind "$NODE_RUN/run" /run
hostname "$NODE"
echo "$NODE" > /etc/hostname
ip link set lo up
"""


class Node:
    """binds: pairs of (directory of the node's data, path in the node). The fleet's directory has its usual path there, too."""

    roles = ()
    binds = ()

    def __init__(self, fleet, name, address=None):
        self.fleet = fleet
        self.state = fleet.state
        self.name = name
        self.address = address
        self.run_dir = f"{self.state.run}/nodes/{name}"
        self.data_dir = f"{self.state.data}/nodes/{name}"
        self._holder = None

    # Life

    def create(self):
        for directory in ("run", "overlay", "log"):
            os.makedirs(f"{self.run_dir}/{directory}")
        os.makedirs(self.data_dir)
        env = self.environment()
        holder = proc.spawn(
            ["unshare", "--mount", "--net", "--uts", "--propagation", "private", "--", "sleep", "infinity"],
            f"{self.run_dir}/log/holder.log", env,
        )
        self._holder = holder
        self.remember("holder", holder)

        def unshared():
            if not holder.alive():
                raise LabError(f"{self.name}: could not make namespaces; are you root?")
            with open(f"/proc/{holder.pid}/comm") as file:
                return file.read() == "sleep\n"

        wait_for(unshared, 10, f"the namespaces of {self.name}", poll=0.002)
        env.update(
            NODE=self.name, NODE_RUN=self.run_dir, NODE_DATA=self.data_dir, FLEET=self.state.name, FLEET_RUN=self.state.run,
            BINDS=" ".join(f"{source}:{target}" for source, target in self.binds),
        )
        proc.run(self.enter(["sh", "-c", _MOUNTS]), env=env)
        self.write("/etc/hosts", self.fleet.hosts_file())

    def holder(self):
        if self._holder is None:
            self._holder = self.process("holder")
        if self._holder is None or not self._holder.alive():
            self._holder = None
            raise LabError(
                f"{self.name} of fleet {self.state.name} has no namespaces any more: run 'lab --fleet {self.state.name} down', then up"
            )
        return self._holder

    # Processes

    def environment(self):
        passed = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        return {
            **passed,
            "PATH": PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            proc.VARIABLE: f"{self.state.name} {self.fleet.id} {self.name}",
        }

    def enter(self, argv):
        """The command line that runs argv in the node."""
        return ["nsenter", "-t", str(self.holder().pid), "-m", "-n", "-u", "--", *argv]

    def run(self, argv, check=True, timeout=60, input=None, env=None):
        """Runs a command in the node to its end."""
        return proc.run(self.enter(argv), check, timeout, input, {**self.environment(), **(env or {})})

    def execute(self, argv):
        """Runs a command on the caller's terminal and returns its exit status."""
        env = {**os.environ, "PATH": PATH}
        return subprocess.run(self.enter(argv), env=env).returncode

    def popen(self, argv, env=None, **arguments):
        """A running subprocess.Popen in the node, for callers that talk to it. It ends with the calling thread."""
        return subprocess.Popen(
            self.enter(argv), env={**self.environment(), **(env or {})}, preexec_fn=proc.parent_death_signal, **arguments
        )

    def start(self, daemon, argv, env=None):
        """Starts a daemon under a name by which stop() and process() find it. Its output is in log/NAME.log."""
        running = self.process(daemon)
        if running is not None and running.alive():
            raise LabError(f"{daemon} of {self.name} already runs as process {running.pid}")
        log = f"{self.run_dir}/log/{daemon}.log"
        process = proc.spawn_reaped(self.enter([]), images.reaper(), argv, log, {**self.environment(), **(env or {})})
        self.remember(daemon, process)
        return process

    def stop(self, daemon, number=signal.SIGTERM, deadline=10):
        """Ends a daemon with a signal, and waits until it is gone. False if it took no notice and had to be killed."""
        process = self.process(daemon)
        if process is None or not process.alive():
            return True
        self.remember(daemon, process, stopped=True)
        return process.end(number, deadline)

    def died(self):
        """Names of the daemons that ended without stop()."""
        records = self.state.load().get("processes", {}).get(self.name, {})
        return [name for name, record in records.items() if not record.get("stopped") and not self.running(name)]

    def resume(self):
        """Lets every daemon of the node go on that was stopped by SIGSTOP."""
        for record in self.state.load().get("processes", {}).get(self.name, {}).values():
            proc.Process.from_record(record).kill(signal.SIGCONT)

    def process(self, daemon):
        """The Process that was last started under this name, or None."""
        return proc.Process.from_record(self.state.load().get("processes", {}).get(self.name, {}).get(daemon))

    def running(self, daemon):
        process = self.process(daemon)
        return process is not None and process.alive()

    def at_work(self, daemon):
        """True if the daemon runs and isn't held by SIGSTOP, so that asking it something makes sense."""
        process = self.process(daemon)
        return process is not None and process.alive() and not process.stopped()

    def remember(self, daemon, process, stopped=False):
        with self.state.edit() as data:
            data.setdefault("processes", {}).setdefault(self.name, {})[daemon] = {**process.record(), "stopped": stopped}

    def forget_ended(self):
        """Daemons that are not part of the fleet, and have been stopped."""
        with self.state.edit() as data:
            records = data.get("processes", {}).get(self.name, {})
            for name in [name for name, record in records.items() if not proc.Process.from_record(record).alive()]:
                del records[name]

    def expect(self, daemon, ready, deadline, what):
        """Waits until a daemon that was just started is ready; ends early if it died, with the end of its log."""
        process = self.process(daemon)

        def condition():
            if not process.alive():
                raise _Died()
            return ready()

        try:
            return wait_for(condition, deadline, what)
        except _Died:
            raise LabError(f"{daemon} of {self.name} ended instead of becoming ready:\n{self.log_tail(daemon)}") from None
        except LabError as error:
            raise LabError(f"{error}\n{self.log_tail(daemon)}") from None

    # Files and sockets

    def path(self, path):
        """Where a file of the node can be reached from outside."""
        return f"/proc/{self.holder().pid}/root{path}"

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)

    def read(self, path):
        with open(self.path(path), errors="replace") as file:
            return file.read()

    def listening(self, port):
        """True if something in the node listens on this TCP port."""
        wanted = f":{port:04X}"
        for table in ("tcp", "tcp6"):
            try:
                with open(f"/proc/{self.holder().pid}/net/{table}") as file:
                    for line in file:
                        fields = line.split()
                        if fields[3] == "0A" and fields[1].endswith(wanted):
                            return True
            except FileNotFoundError:
                pass
        return False

    def log_tail(self, daemon, lines=15):
        try:
            with open(f"{self.run_dir}/log/{daemon}.log", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    def status(self):
        """What 'lab status' says about the node."""
        daemons = self.state.load().get("processes", {}).get(self.name, {})
        return {
            "name": self.name,
            "address": self.address,
            "roles": list(self.roles),
            "daemons": {name: self.at_work(name) for name in sorted(daemons)},
        }


class _Died(Exception):
    pass


class Coordinator(Node):
    """The node that Drover's coordinator runs in. Its socket is in the fleet's directory."""

    roles = ("coordinator",)
    binds = (("drover", "/var/lib/drover"),)
