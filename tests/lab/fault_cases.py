"""The table of faults: what is done to the fleet at which moment of a migration, and what must hold afterwards.

A moment is hit exactly: one of Drover's programs stops itself at a failpoint (common/base/failpoint.h), the fault is made, and
the program goes on. Guests move from kvm1 to kvm2.
"""

import errno
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass

from fault_leftovers import check_images, check_state, images, records
from lablib import LabError, wait_for
from lablib.programs import STATE, STORE

GUEST = "web1"
COPY_STORAGE = False  # its disk is the host's own, and is copied
ENDED = {"done", "failed", "cancelled"}
SETTLED_WITHIN, HEALED_WITHIN = 60, 30  # seconds after the fault's end; after that of a partition
RESUMED_WITHIN = 5  # seconds after the coordinator is started again
OPEN = {"source": {"PREPARED", "MIGRATING", "FENCED"}, "destination": {"PREPARED", "OWNER", "ACTIVATED"}}

MOMENTS = {  # moment: (scenario, whose failpoint, its name)
    "prepare": ("good", "coordinator", "coordinator.PREPARE.destination.before_send"),
    "first pass": ("slow", None, None),
    "switch-over": ("good", "kvm1", "agent.source.FENCED.before_write"),
    "hand-over": ("good", "kvm2", "agent.destination.OWNER.before_write"),
    "settle": ("good", "coordinator", "coordinator.settling.after_write"),
    "abort": ("cancel", "coordinator", "coordinator.settling.after_write"),
    "in post-copy": ("following", None, None),
}
FAULTS = (
    "source agent", "destination agent", "coordinator", "source libvirtd", "destination libvirtd", "source QEMU",
    "destination QEMU", "source link", "destination link", "coordinator disk", "source disk", "destination disk",
)
DISK_MIB = 12  # of the small disks that get full
WRITES = {
    "good": "preparing transfer settling activating releasing done", "cancel": "aborting aborted", "lost": "cold-start",
}
SENDS = {
    "good": "PREPARE.source PREPARE.destination MIGRATE.source SETTLE.source ACTIVATE.destination RELEASE.source "
            "RELEASE.destination",
    "cancel": "ABORT.destination", "lost": "COLD_START.source",
}
RECORDS = {
    "good": "source.fence destination.fence source.PREPARED source.MIGRATING source.FENCED source.RELEASED destination.PREPARED destination.OWNER "
            "destination.ACTIVATED destination.RELEASED",
    "cancel": "source.KEPT destination.TOMBSTONE", "lost": "source.COLD",
}
ANSWERS = {
    "good": "source.PREPARE destination.PREPARE SETTLE ACTIVATE source.RELEASE destination.RELEASE",
    "cancel": "destination.ABORT", "lost": "COLD_START",
}
DEEDS = {"good": "define resume retire", "cancel": "undo", "lost": "start"}
KINDS = {  # scenarios with a guest, or a way, of their own: the moments that are theirs
    "post-copy": "coordinator.settling.after_write agent.source.FENCED.after_write agent.destination.OWNER.after_write",
    "definition only": "coordinator.settling.after_write agent.source.FENCED.after_write agent.destination.OWNER.after_write",
    "offline copy": "agent.receive_disk.before_answer agent.receive_disk.after_answer agent.destination.image.drafted "
                    "agent.source.FENCED.after_write agent.destination.OWNER.after_write",
}
OFF = ("definition only", "offline copy")
POST_COPY = ("post-copy", "following")  # no disk that a lock would have to guard
AT_KVM2 = ("agent.destination.", "agent.receive_disk.", "agent.ACTIVATE.", "agent.deed.define", "agent.deed.resume.", "agent.deed.undo")


@dataclass
class Case:
    name: str
    # good, slow (a first pass that takes its time), cancel, lost (the image dies at the switch-over), following (its memory, slowly, by
    # post-copy), one of KINDS
    scenario: str
    where: str = None  # the node whose program has the failpoint
    failpoint: str = None
    fault: str = None  # None: the failpoint itself kills


def _failpoints():
    for scenario in ("good", "cancel", "lost"):
        for word in WRITES[scenario].split():
            yield from ((scenario, f"coordinator.{word}.{when}_write") for when in ("before", "after"))
        for word in SENDS[scenario].split():
            yield from ((scenario, f"coordinator.{word}.{when}_send") for when in ("before", "after"))
        for word in RECORDS[scenario].split():
            yield from ((scenario, f"agent.{word}.{when}_write") for when in ("before", "after"))
        for word in ANSWERS[scenario].split():
            yield from ((scenario, f"agent.{word}.{when}_answer") for when in ("before", "after"))
        for word in DEEDS[scenario].split():
            yield from ((scenario, f"agent.deed.{word}.{when}") for when in ("before", "after"))
    for when in ("before", "after"):
        yield "good", f"coordinator.end.{when}_write"
        yield "good", f"agent.mesh.ACTIVATE.{when}_send"
        yield "good", f"agent.start_job.{when}"
    for scenario, names in KINDS.items():
        yield from ((scenario, name) for name in names.split())


def table():
    cases = []
    for moment, (scenario, where, failpoint) in MOMENTS.items():
        for fault in FAULTS:
            if moment == "prepare" and fault == "destination QEMU":
                continue  # there is none yet
            if scenario == "following" and fault.endswith("QEMU"):
                continue  # half of its memory is lost: an operator's, and libvirtd has to be restarted (test_post_copy.py)
            cases.append(Case(f"{fault}, {moment}", scenario, where, failpoint, fault))
    for scenario, name in _failpoints():
        where = "coordinator" if name.startswith("coordinator.") else "kvm2" if name.startswith(AT_KVM2) else "kvm1"
        cases.append(Case(name if scenario not in KINDS else f"{name}, {scenario}", scenario, where, name))
    return cases


class Refuted(Exception):
    """What must hold after a fault doesn't."""


class Lost(Refuted):
    """No copy of the guest is left to run."""


class Doubled(Refuted):
    """More than one copy of the guest runs."""


class Run:
    """One case on a fleet that is as good as new, or with a guest that is there already: on the source."""

    def __init__(self, fleet, case, source="kvm1", destination="kvm2", guest=False):
        self.fleet, self.case = fleet, case
        self.source, self.destination, self.has_guest = source, destination, guest
        self.where = {"kvm1": source, "kvm2": destination}.get(case.where, case.where)
        self.copies = COPY_STORAGE or case.scenario == "offline copy"
        self.order = None
        self.commands = []
        self.resolved = False
        self.killed_qemu = set()  # hosts

    # What is there

    def node(self, name):
        return self.fleet.coordinator if name == "coordinator" else self.fleet.node(name)

    def process(self, name):
        return self.node(name).process("coordinator" if name == "coordinator" else "agent")

    def drover(self, *arguments):
        done = self.fleet.drover(*arguments, "--json", check=False, timeout=20)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def jobs(self):
        """Open and ended ones of the guest, the newest first."""
        return [
            job for command in (["jobs"], ["history", "--limit", "50"]) for job in self.drover(*command).get("jobs", [])
            if job.get("guest") == GUEST and job["created"] >= self.since
        ]

    def seen_on(self):
        return [row["host"] for row in self.drover("vms").get("guests", []) if row["guest"]["name"] == GUEST]

    def job(self):
        found = self.jobs()
        return found[0] if found else {}

    def ask(self, *arguments):
        """Without waiting: the coordinator may stop before it answers."""
        command = subprocess.Popen(
            self.fleet.programs.command(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=self.fleet.programs.environment(),
        )
        self.commands.append(command)
        return command

    # The migration up to the moment

    def begin(self):
        case, fleet = self.case, self.fleet
        slow = case.scenario in ("slow", "cancel", "following")
        if (case.fault or "").endswith("disk"):
            small_disks(fleet)
        self.since = time.time() * 1000
        if not self.has_guest:
            guest_add(fleet, self.source, slow, case.scenario)
        wait_for(lambda: self.seen_on() == [self.source], 20, f"the coordinator to know {GUEST}, and nothing of the case before", poll=0.1)
        self.images = images(fleet)
        self.boots = fleet.tick_report(GUEST)["boots"]
        if slow:
            fleet.link(self.destination, rate="50mbit" if case.scenario == "following" else "20mbit")
        armed = None
        if case.scenario == "lost":
            stopped = fleet.programs.failpoint(fleet.node(self.source), "agent.source.FENCED.after_write", "stop")
        elif case.failpoint:
            armed = fleet.programs.failpoint(self.node(self.where), case.failpoint, "stop" if case.fault else "kill")
        # The ladder is not what is looked at: it may take its time, and a pause where that is not the moment itself.
        self.order = self.ask(
            "migrate", GUEST, "--to", self.destination, "--detach", "--deadline", "4h", "--max-pause", "2s" if slow else "30s",
            *(["--copy-storage"] if self.copies else []), *(["--mode", "post-copy", "--allow", "post-copy"] if case.scenario in POST_COPY else []),
        )
        if slow:
            wait_for(self.first_pass, 40, "the first pass")
        if case.scenario == "following":
            wait_for(lambda: self.job().get("progress", {}).get("post_copy"), 60, "post-copy", poll=0.1)
        if case.scenario == "cancel":
            self.ask("cancel", str(self.job()["id"]))
        if case.scenario == "lost":
            self.at(self.source, stopped, stop=True)
            self.kill_qemu(self.destination)
            armed = fleet.programs.failpoint(self.node(self.where), case.failpoint, "kill")
            os.kill(self.process(self.source).pid, signal.SIGCONT)
        if armed:
            self.at(self.where, armed, stop=bool(case.fault))

    def first_pass(self):
        if self.order.poll():
            raise Refuted(f"the order was refused: {self.order.stdout.read()}")
        return self.job().get("progress", {}).get("bytes_done", 0) > 0

    def at(self, name, file, stop):
        """Waits until the program is at the failpoint."""
        process = self.process(name)

        def reached():
            if not os.path.exists(file):
                return True
            if self.order.poll():
                raise Refuted(f"the order was refused: {self.order.stdout.read()}")
            job = self.job()
            log = "; ".join(entry["text"] for entry in job.get("log", []))
            raise LabError(f"job {job.get('state', 'is none')}: {job.get('text')}; {job.get('progress')}; {log}")

        wait_for(reached, 60, f"failpoint {self.case.failpoint} to be reached")
        wait_for(process.stopped if stop else lambda: not process.alive(), 10, "the failpoint's signal to act")

    # The fault

    def kill_qemu(self, name):
        """False if there is none."""
        node = self.fleet.node(name)
        try:
            pid = int(node.read(f"/run/libvirt/qemu/{GUEST}.pid"))
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError):
            return False
        self.killed_qemu.add(name)
        return True

    def hit(self):
        """Makes the fault and its end."""
        case, programs = self.case, self.fleet.programs
        what = case.fault or "failpoint"
        node = self.fleet.node(self.source if what.startswith("source") else self.destination)
        target = self.where if not case.fault else "coordinator" if what == "coordinator" else node.name if what.endswith("agent") else None
        stopped = self.where if case.fault and case.failpoint and self.where != target else None
        if target:
            self.process(target).kill()
            wait_for(lambda: not self.process(target).alive(), 10, "the killed process to be gone")
        elif what.endswith("libvirtd"):
            if case.scenario == "following":  # before that libvirtd ends it when it comes back: a hole of libvirt's (doc/handover.md)
                there = self.fleet.node(self.destination)
                wait_for(lambda: "post-copy" in there.virsh("domstate", GUEST, "--reason", check=False), 10, "libvirt to know of the post-copy")
            node.libvirtd_stop(signal.SIGKILL)
        elif what.endswith("QEMU"):
            if self.kill_qemu(node.name) and what.startswith("destination"):  # a job that ends before libvirt has seen it can't tell of it
                wait_for(lambda: node.domains().get(GUEST) not in ("running", "paused"), 10, "libvirt to see that QEMU has ended")
        elif what.endswith("link"):
            self.fleet.link(node.name, up=False)
        elif what.endswith("disk"):
            fill(self.fleet.coordinator if what.startswith("coordinator") else node)
        if stopped:
            os.kill(self.process(stopped).pid, signal.SIGCONT)
        if what.endswith("link"):
            self.cut_for_a_while(node)
            self.fleet.link(node.name, up=True)
        elif what.endswith("disk"):
            self.full_for_a_while()
        elif what.endswith("libvirtd"):
            node.libvirtd_start()
        elif target == "coordinator":
            self.start_coordinator()
        elif target:
            programs.agent_start(self.node(target))
        self.fleet.link(self.destination, clear=True)
        self.ended_at = time.monotonic()

    def start_coordinator(self):
        """It goes on at once with what is open."""
        log = f"{self.fleet.coordinator.run_dir}/log/coordinator.log"
        size, begun = os.path.getsize(log), time.monotonic()
        self.fleet.programs.coordinator_start()

        def resumed():
            with open(log, errors="replace") as file:
                file.seek(size)
                return "restarted in the" in file.read() or not self.drover("jobs").get("jobs")

        wait_for(resumed, RESUMED_WITHIN - (time.monotonic() - begun), "the coordinator to have resumed", poll=0.1)

    def cut_for_a_while(self, node):
        """Until the coordinator has noticed, and no longer than it takes it to."""

        def noticed():
            return node.name not in {row["name"] for row in self.drover("hosts").get("hosts", []) if row.get("up")}

        wait_for(noticed, 60, f"the coordinator to miss {node.name}", poll=0.2)

    def full_for_a_while(self):
        """What is open ends nonetheless, as each program has its ballast."""
        self.fleet.link(self.destination, clear=True)
        wait_for(lambda: self.job().get("state") in ENDED, 60, "the transaction to end on a full disk", poll=0.1)
        empty(self.fleet)

    def close(self):
        """Ends the commands that still run."""
        for command in self.commands:
            if command.poll() is None:
                command.kill()
            command.communicate()

    # What must hold

    def settled(self):
        """The job's end; {} if the order never was durable."""
        try:
            self.order.wait(30)
        except subprocess.TimeoutExpired:
            self.order.kill()
        deadline = self.ended_at + (HEALED_WITHIN if (self.case.fault or "").endswith("link") else SETTLED_WITHIN)
        wait_for(lambda: self.drover("hosts"), deadline - time.monotonic(), "the coordinator to answer", poll=0.1)
        if not self.jobs() and self.order.returncode != 0:
            return {}
        wait_for(self.ended, deadline - time.monotonic(), "the transaction to end", poll=0.2)
        return self.job()

    def ended(self):
        """Only its QEMU knew whether a guest that is off at the source had gone: there an operator decides."""
        job = self.job()
        if self.source in self.killed_qemu and "doubt" in job.get("state", "") and not self.resolved:
            done = self.fleet.drover("job", str(job["id"]), "--resolve", "source", check=False)
            if done.returncode != 0:
                raise Refuted(f"--resolve is refused: {done.stderr}")
            self.resolved = True
        return job.get("state") in ENDED

    def check(self, job):
        """Returns what came of it, in a word; Refuted if something doesn't hold."""
        fleet = self.fleet
        copies = {host.name: host.domains()[GUEST] for host in fleet.hosts() if GUEST in host.domains()}
        running = [name for name, state in copies.items() if state == "running"]
        if len(running) > 1:
            raise Doubled(f"two copies run: {copies}; {job.get('text')}")
        self.check_left_over(job, list(copies))
        if self.case.scenario in OFF:
            if running or list(copies.values()) != ["shut off"]:
                raise Refuted(f"it is not shut off, defined once: {copies}; {job.get('text')}")
            return f"defined on {list(copies)[0]}, job {job.get('state', 'never was')}"
        if not running:
            if self.killed_qemu and len(copies) == 1 and "shut off" in copies.values():
                if job and job["state"] == "done" and "has ended since" not in job["text"]:
                    raise Refuted(f"no copy runs, and the job says it is done: {job['text']}")
                return f"off on {list(copies)[0]}{', an operator resolved it' if self.resolved else ''}: {job.get('text', '')}"
            raise Lost(f"no copy runs: {copies}; {job.get('text')}")
        here = running[0]
        if list(copies) != [here]:
            raise Refuted(f"a definition is left over: {copies}; {job.get('text')}")
        if job and job.get("runs_on") != here:
            raise Refuted(f"it runs on {here}, and the job says '{job.get('runs_on')}': {job.get('text')}")
        if "Persistent:     yes" not in fleet.node(here).virsh("dominfo", GUEST):
            raise Lost(f"its definition is lost: it is transient on {here}")
        try:
            with fleet.tick_watch(GUEST) as watch:
                watch.wait(3, host=here)
        except LabError as error:
            raise Refuted(f"it runs on {here}, and {error}; {qemu_says(fleet.node(here))}") from error
        boots = fleet.tick_report(GUEST)["boots"]
        if boots != self.boots and not self.killed_qemu:
            raise Lost(f"its memory is lost: it was started anew on {here}, {boots} boots instead of {self.boots}; {job.get('text')}")
        return f"runs on {here}, job {job.get('state', 'never was')}"

    def check_left_over(self, job, where):
        moved = (self.source, self.destination) if self.copies and where == [self.destination] else None

        def whole():
            check_images(self.fleet, self.images, moved, job.get("left", []))
            check_state(self.fleet)
            for host in self.fleet.hosts():
                for name, role, state in records(host):
                    if state in OPEN[role]:
                        raise LabError(f"transaction {name} is open on {host.name}: {role} {state}")
            for row in self.drover("hosts")["hosts"]:
                reserved = row.get("report", {}).get("memory_reserved", 0)
                if reserved:
                    raise LabError(f"{row['name']} still reserves {reserved} bytes")
            if self.drover("jobs").get("jobs"):
                raise LabError("a job is open")
            return True

        try:
            wait_for(whole, 15, "nothing to be left over", poll=0.1)
        except LabError as error:
            raise Refuted(str(error)) from error


def qemu_says(host):
    """Of a guest that runs and is silent: where it is (twice), what interrupts wait for it, what its disk has done."""
    said = []
    for words, lines in (("info status", 1), ("info registers", 4), ("info registers", 4), ("info pic", 99), ("info lapic", 99), ("info blockstats", 9)):
        answer = host.virsh("qemu-monitor-command", GUEST, "--hmp", words, check=False)
        said += [words + ":", *answer.splitlines()[:lines]]
    return "\n".join(said)


def disks(fleet):
    return [(fleet.coordinator, STORE), *((host, STATE) for host in fleet.hosts())]


def small_disks(fleet):
    """Puts what the programs keep on disks that are soon full. All starts anew."""
    if os.path.ismount(fleet.coordinator.path(STORE)):
        return
    fleet.programs.stop()
    for node, directory in disks(fleet):
        node.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "drover-lab", directory])
    fleet.programs.start()


def fill(node):
    directory = dict((at.name, directory) for at, directory in disks(node.fleet))[node.name]
    with open(node.path(f"{directory}/filler"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def empty(fleet):
    for node, directory in disks(fleet):
        path = node.path(f"{directory}/filler")
        if os.path.exists(path):
            os.unlink(path)


def guest_add(fleet, host, slow=True, scenario="good"):
    disk = "local" if COPY_STORAGE or scenario == "offline copy" else "nfs"
    fleet.guest_add(
        GUEST, on=host, memory=64, tick_ms=100, dirty=10 if slow else 2, working_set=40 if slow else 4,
        disks=[] if scenario in POST_COPY else [disk], off=scenario in OFF,
    )
    if scenario not in OFF:
        fleet.tick_wait(GUEST, at_least=5)


def run(fleet, case):
    """(ok, what came of it, seconds from the fault's end to the transaction's)"""
    one = Run(fleet, case)
    seconds, ok = 0.0, False
    try:
        one.begin()
        one.hit()
        job = one.settled()
        seconds = time.monotonic() - one.ended_at
        text = one.check(job)
        ok = True
        return ok, text, seconds
    except (Refuted, LabError) as error:
        return False, str(error), seconds
    finally:
        one.close()
        clear(fleet, ok)


def clear(fleet, ok):
    disarm(fleet)
    fleet.heal()
    if not ok:
        fleet.programs.reset()  # what is left over is this case's failure, not the next one's
    whole(fleet)


def disarm(fleet):
    for node in (fleet.coordinator, *fleet.agents()):
        fleet.programs.failpoint(node, None)
    empty(fleet)


def whole(fleet):
    """Waits until every agent is heard, and connected with its libvirt."""
    fleet.programs.sessions_wait()

    def libvirts():
        rows = json.loads(fleet.drover("hosts", "--json").stdout)["hosts"]
        return all(row["report"].get("libvirt_up") for row in rows if row["name"].startswith("kvm"))

    wait_for(libvirts, 30, "the agents to be connected with libvirt", poll=0.1)
