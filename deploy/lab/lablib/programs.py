"""Drover's own programs in the fleet: certificates, configuration, starting and stopping.

programs is Meson's build directory, with agent/drover-agent, coordinator/drover-coordinator and cli/drover in it.
"""

import json
import os
import shutil
import signal
import subprocess

from . import proc
from .errors import LabError
from .kvmhost import AGENT_PORT
from .namespaces import PATH
from .wait import wait_for

COORDINATOR_PORT = 7461
AGENT = "agent/drover-agent"
COORDINATOR = "coordinator/drover-coordinator"
CLI = "cli/drover"
ETC = "/etc/drover"
STATE = "/var/lib/drover-agent"
STORE = "/var/lib/drover"
FAILPOINT = "/run/drover-failpoint"  # where programs that were built with failpoints look for one: see common/base/failpoint.h
_FAILPOINTS = {"DROVER_FAILPOINT": f"@{FAILPOINT}"}


def complete(directory):
    """True if the build directory has all three programs."""
    return all(os.access(f"{directory}/{program}", os.X_OK) for program in (AGENT, COORDINATOR, CLI))


def check_complete(directory):
    missing = [program for program in (AGENT, COORDINATOR, CLI) if not os.access(f"{directory}/{program}", os.X_OK)]
    if missing:
        raise LabError(
            f"{directory}: {', '.join(missing)} not there; build them (meson setup DIR && ninja -C DIR), or use --no-programs"
        )


class Programs:
    def __init__(self, fleet, directory):
        self.fleet = fleet
        self.state = fleet.state
        self.directory = os.path.realpath(directory)
        check_complete(self.directory)
        self.pki = f"{self.state.run}/pki"
        self.socket = f"{self.state.run}/coordinator.sock"

    def program(self, name):
        return f"{self.directory}/{name}"

    # Certificates

    def pki_init(self):
        os.makedirs(self.pki, mode=0o700, exist_ok=True)
        proc.run([self.program(CLI), "pki", "init", "--dir", self.pki])

    def issue(self, name, address=None, file=None):
        """Issues a certificate for ROLE/NAME and returns the file with it and its key."""
        file = file or f"{self.pki}/{name.replace('/', '-')}.pem"
        arguments = ["--address", address] if address else []
        proc.run([self.program(CLI), "pki", "issue", name, "--dir", self.pki, *arguments, "--out", file])
        return file

    def _install(self, node, name):
        """Puts the CA's certificate and the node's own into its /etc/drover."""
        file = self.issue(name, node.address)
        for source, target in ((f"{self.pki}/ca.pem", "ca.pem"), (file, "node.pem")):
            with open(source) as opened:
                node.write(f"{ETC}/{target}", opened.read(), 0o600)

    # Configuration

    def _roles(self, node):
        return ", ".join(node.roles)

    def agent_config(self, node):
        lines = [
            f"name: {node.name}",
            f"roles: [{self._roles(node)}]",
            f"listen: tls+tcp://{node.address}:{AGENT_PORT}",
        ]
        if "hypervisor" in node.roles:
            lines += [
                "libvirt: qemu:///system",
                f"libvirt_remote: {node.libvirt_uri()}",
                f"migration_address: {node.address}",
            ]
        lines += [f"state_dir: {STATE}", f"tls: {{ca: {ETC}/ca.pem, cert: {ETC}/node.pem}}"]
        return "\n".join(lines) + "\n"

    def coordinator_config(self):
        node = self.fleet.coordinator
        lines = [
            f"listen: [ipc://{self.socket}, tls+tcp://{node.address}:{COORDINATOR_PORT}]",
            f"store: {STORE}/coordinator.db",
            f"tls: {{ca: {ETC}/ca.pem, cert: {ETC}/node.pem}}",
            "hosts:",
        ]
        lines += [
            f"  - {{name: {agent.name}, agent: tls+tcp://{agent.address}:{AGENT_PORT}, site: lab}}" for agent in self.fleet.agents()
        ]
        lines += ["policies:", "  default: {max_pause: 2s, deadline: 30m, allow: [offline]}"]
        return "\n".join(lines) + "\n"

    def configure(self):
        """Certificates and configuration for every node."""
        self.pki_init()
        for node in self.fleet.agents():
            self._install(node, f"agent/{node.name}")
            node.write(f"{ETC}/agent.yaml", self.agent_config(node))
        self._install(self.fleet.coordinator, "coordinator/main")
        self.fleet.coordinator.write(f"{ETC}/coordinator.yaml", self.coordinator_config())
        self.issue("operator/lab")

    # Running

    def agent_start(self, node, deadline=20, env=None):
        self.agent_launch(node, env)
        node.expect("agent", lambda: node.listening(AGENT_PORT), deadline, f"the agent of {node.name} on port {AGENT_PORT}")

    def agent_launch(self, node, env=None):
        node.start("agent", [self.program(AGENT), "--config", f"{ETC}/agent.yaml"], {**_FAILPOINTS, **(env or {})})

    def agent_stop(self, node, number=signal.SIGTERM):
        """False if the agent took no notice of the signal within 10 s and was killed."""
        return node.stop("agent", number)

    def coordinator_start(self, deadline=20, env=None):
        node = self.fleet.coordinator
        node.start("coordinator", [self.program(COORDINATOR), "--config", f"{ETC}/coordinator.yaml"], {**_FAILPOINTS, **(env or {})})
        node.expect(
            "coordinator", lambda: node.listening(COORDINATOR_PORT) and os.path.exists(self.socket), deadline,
            f"the coordinator on port {COORDINATOR_PORT} and {self.socket}",
        )

    def coordinator_stop(self, number=signal.SIGTERM):
        """False if the coordinator took no notice of the signal within 10 s and was killed."""
        return self.fleet.coordinator.stop("coordinator", number)

    def stop(self):
        """Ends everything by SIGTERM. Returns who took no notice."""
        deaf = [] if self.coordinator_stop() else ["the coordinator"]
        return deaf + [f"the agent of {node.name}" for node in self.fleet.agents() if not self.agent_stop(node)]

    def logs(self):
        """{who: file with all it said}."""
        files = {f"the agent of {node.name}": f"{node.run_dir}/log/agent.log" for node in self.fleet.agents()}
        files["the coordinator"] = f"{self.fleet.coordinator.run_dir}/log/coordinator.log"
        return {who: file for who, file in files.items() if os.path.exists(file)}

    def has_failpoints(self):
        """True if the programs were built with Meson's option failpoints."""
        with open(self.program(AGENT), "rb") as file:
            return b"DROVER_FAILPOINT" in file.read()

    def failpoint(self, node, name, action="kill"):
        """At this instant the program of the node is killed, or stopped (SIGSTOP); None: no more. Returns the file, gone when it has acted."""
        path = node.path(FAILPOINT)
        if name is None:
            if os.path.exists(path):
                os.unlink(path)
            return path
        node.write(f"{FAILPOINT}.new", f"{name}:{action}\n")
        os.rename(node.path(f"{FAILPOINT}.new"), path)
        return path

    def died(self):
        """Who ended without being stopped."""
        dead = [f"the agent of {node.name}" for node in self.fleet.agents() if "agent" in node.died()]
        return dead + (["the coordinator"] if "coordinator" in self.fleet.coordinator.died() else [])

    def start(self):
        """Starts everything, and waits until the coordinator has heard from every agent."""
        for node in self.fleet.agents():
            self.agent_launch(node)
        self.coordinator_start()
        for node in self.fleet.agents():
            node.expect("agent", lambda: node.listening(AGENT_PORT), 20, f"the agent of {node.name} on port {AGENT_PORT}")
        self.sessions_wait()

    def heal(self):
        """Starts whatever doesn't run."""
        started = False
        for node in self.fleet.agents():
            if not node.running("agent"):
                self.agent_start(node)
                started = True
        if not self.fleet.coordinator.running("coordinator"):
            self.coordinator_start()
            started = True
        if started:
            self.sessions_wait()

    def reset(self):
        """Starts everything anew, with empty state directories and an empty store."""
        self.stop()
        for node, directory in [(self.fleet.coordinator, STORE), *((node, STATE) for node in self.fleet.agents())]:
            for name in os.listdir(node.path(directory)):
                path = f"{node.path(directory)}/{name}"
                (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
        self.start()

    def sessions_wait(self, deadline=20):
        """Waits until the coordinator says of every host that it is up, and its libvirt (unless that does not run)."""

        def all_up():
            done = self.drover("hosts", "--json", check=False, timeout=deadline)
            if done.returncode != 0:
                raise LabError(done.stderr.strip() or done.stdout.strip())
            up, telling = hosts_up(done.stdout)
            agents = self.fleet.agents()
            return all(node.name in (telling if node.at_work("libvirtd") else up) for node in agents)

        wait_for(all_up, deadline, "the coordinator to hear from every agent", poll=0.1)

    def environment(self):
        return {**os.environ, "PATH": f"{self.directory}/cli:{PATH}"}

    def command(self, arguments):
        return [self.program(CLI), "--coordinator", f"ipc://{self.socket}", *arguments]

    def drover(self, *arguments, check=True, timeout=120, input=None):
        """Runs the CLI against the fleet's coordinator."""
        return proc.run(self.command(arguments), check, timeout, input, self.environment())

    def execute(self, arguments):
        """The same on the caller's terminal; returns the exit status."""
        return subprocess.run(self.command(arguments), env=self.environment()).returncode


def hosts_up(text):
    """Names of the hosts that 'drover hosts --json' says are up, and of those whose libvirt has told its guests, too."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise LabError(f"'drover hosts --json' printed no JSON: {error}: {text[:200]}") from error
    rows = found.get("hosts", []) if isinstance(found, dict) else found
    up = [row for row in rows if str(row.get("state", "")).lower() == "up"]
    return {row["name"] for row in up}, {row["name"] for row in up if row.get("report", {}).get("libvirt_up")}
