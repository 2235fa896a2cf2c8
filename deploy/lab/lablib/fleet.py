"""A fleet: its nodes, what joins them, and how it comes and goes. Tests and the command line both use this class."""

import os
import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from . import images, proc, ticks
from .errors import LabError
from .export import ExportNode
from .guests import Guests
from .kvmhost import KvmHost
from .links import FABRIC, GUESTS, Switch
from .namespaces import Coordinator
from .programs import Programs, check_complete, complete
from .state import UP_LOCK, State, boot_id, fleets

__all__ = ["Fleet", "fleets"]

STORAGE = ("nfs", "iscsi", "gluster")
MAX_HOSTS = 8
_TOOLS = (
    "unshare nsenter ip tc mount hostname libvirtd virsh qemu-system-x86_64 qemu-img gcc rpcbind showmount ganesha.nfsd tgtd "
    "tgtadm glusterd gluster mount.glusterfs"
).split()
_DEFAULT_BUILD = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../../build")


def _parallel(*tasks):
    """Runs callables at the same time; raises the first error after all have ended."""
    with ThreadPoolExecutor(max_workers=max(len(tasks), 1)) as pool:
        futures = [pool.submit(task) for task in tasks]
    for future in futures:
        future.result()


class Fleet:
    """Attach to a fleet by name; up() makes it. Every method works from any process, at any time after that."""

    def __init__(self, name="lab"):
        self.state = State(name)
        self.name = name
        self._nodes = {}
        self._loaded = None
        self.guests = Guests(self)

    # What there is

    @property
    def id(self):
        return self._load()["id"]

    def _load(self):
        data = self.state.load()
        if not data:
            raise LabError(f"there is no fleet {self.name}: run 'lab --fleet {self.name} up' first; 'lab status' shows what there is")
        if self._loaded != data["id"]:
            self._nodes, self._loaded = {}, data["id"]
        return data

    def _node(self, name, make):
        self._load()
        if name not in self._nodes:
            self._nodes[name] = make()
        return self._nodes[name]

    @property
    def switch(self):
        return self._node("switch", lambda: Switch(self, "switch"))

    @property
    def coordinator(self):
        return self._node("coord", lambda: Coordinator(self, "coord", "10.77.0.5"))

    @property
    def export(self):
        """The storage node, or None in a fleet without storage."""
        if not self._load()["storage"]:
            return None
        return self._node("export1", lambda: ExportNode(self, "export1", "10.77.0.20"))

    def hosts(self):
        """The KVM hosts."""
        count = self._load()["hosts"]
        return [self._node(f"kvm{n}", lambda n=n: KvmHost(self, f"kvm{n}", f"10.77.0.{10 + n}")) for n in range(1, count + 1)]

    def agents(self):
        """The nodes with an agent."""
        return self.hosts() + ([self.export] if self.export else [])

    def nodes(self):
        return [self.switch, self.coordinator, *self.agents()]

    def node(self, name):
        for node in self.nodes():
            if node.name == name:
                return node
        raise LabError(f"fleet {self.name} has no node {name}: expected one of {', '.join(node.name for node in self.nodes())}")

    def kvm(self, name):
        """A KVM host by name."""
        node = self.node(name)
        if not isinstance(node, KvmHost):
            raise LabError(f"{name} runs no guests: expected one of {', '.join(host.name for host in self.hosts())}")
        return node

    def require_storage(self, kind):
        if self.export is None:
            raise LabError(f"fleet {self.name} has no {kind} storage: it was raised with --no-storage")

    def hosts_file(self):
        lines = ["127.0.0.1 localhost"]
        lines += [f"{node.address} {node.name}" for node in [self.coordinator, *self.agents()]]
        return "\n".join(lines) + "\n"

    @property
    def has_programs(self):
        return bool(self._load().get("programs"))

    @property
    def programs(self):
        """Drover's programs in this fleet; a LabError if it was raised without them."""
        directory = self._load().get("programs")
        if not directory:
            raise LabError(f"fleet {self.name} runs without Drover's programs: raise it with --programs BUILD_DIR")
        return Programs(self, directory)

    # Coming and going

    def up(self, hosts=2, storage=True, programs=None, report=lambda text: None):
        """Raises the fleet.

        programs: a build directory; False: none; None: the default build directory, if there is one.
        report is called with a line of text per step.
        """
        if not 1 <= hosts <= MAX_HOSTS:
            raise LabError(f"{hosts} hosts: expected 1 to {MAX_HOSTS}")
        self._check_machine()
        if programs is None:
            programs = _DEFAULT_BUILD if complete(_DEFAULT_BUILD) else False
        if programs:
            check_complete(programs)
        begin = time.monotonic()

        def step(text):
            report(f"{time.monotonic() - begin:5.1f} s  {text}")

        with self.state.locked(UP_LOCK, 60):
            self._clean_leftovers(step)
            with self.state.edit() as data:
                data.update(
                    id=uuid.uuid4().hex[:12], name=self.name, hosts=hosts, storage=bool(storage), phase="starting", boot=boot_id(),
                    programs=os.path.realpath(programs) if programs else None, guests={}, processes={},
                )
            os.makedirs(self.state.data, exist_ok=True)
            _parallel(images.tick, images.reaper, *(node.create for node in self.nodes()))
            step(f"{len(self.nodes())} nodes")
            self._connect()
            step("network")
            self._start(step)
            with self.state.edit() as data:
                data["phase"] = "up"
            step("fleet is up")

    def _check_machine(self):
        inside = proc.inside()
        if inside:
            raise LabError(f"this is a shell inside a node of fleet {inside}: run the lab outside of it")
        if os.geteuid() != 0:
            raise LabError("the lab makes namespaces and needs root: use sudo")
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        missing = [tool for tool in _TOOLS if not shutil.which(tool, path=path)]
        if missing:
            raise LabError(f"not installed: {', '.join(missing)}; run deploy/packages lab")
        if not os.path.exists("/dev/fuse"):
            raise LabError("/dev/fuse is missing, which GlusterFS needs: run 'modprobe fuse'")

    def _clean_leftovers(self, step):
        data = self.state.load()
        left = proc.find(self.name)
        if data.get("phase") == "up":
            self._nodes, self._loaded = {}, None
            if all(node.running("holder") for node in self.nodes()):
                raise LabError(f"fleet {self.name} is up already: use it, or run 'lab --fleet {self.name} down' first")
        if data or left or os.path.exists(self.state.data):
            step(f"cleaning up what is left of an earlier fleet {self.name}")
            self._wipe(keep_lock=True)
        self._nodes, self._loaded = {}, None

    def _connect(self):
        for host in self.hosts():
            host.network(self.switch)
        if self.export:
            self.export.network(self.switch)
        self.switch.connect(self.coordinator)
        self.coordinator.run(
            ["ip", "-batch", "-"], input=f"address add {self.coordinator.address}/24 dev eth0\nlink set eth0 up\n"
        )

    def _start(self, step):
        def libvirtd(host):
            host.libvirtd_start()
            step(f"libvirtd of {host.name}")

        def storage(kind):
            self.export.storage_start(kind)
            step(f"{kind} of {self.export.name}")
            if kind == "gluster":
                _parallel(*(lambda host=host: host.gluster_mount(self.export.address) for host in self.hosts()))
                step("gluster on each host")

        tasks = [lambda host=host: libvirtd(host) for host in self.hosts()]
        if self.export:
            tasks += [lambda kind=kind: storage(kind) for kind in STORAGE]
        if self.has_programs:
            tasks.append(lambda: self.programs.configure())
        _parallel(*tasks)
        if self.has_programs:
            self.programs.start()
            step("drover's agents and coordinator")

    def down(self):
        """Ends the fleet and leaves nothing behind. Returns the number of processes that had to be ended.

        Works on whatever is left of a fleet, and on one that never was.
        """
        inside = proc.inside()
        if inside:
            raise LabError(f"this is a shell inside a node of fleet {inside}: run the lab outside of it")
        if not os.path.exists(self.state.run) and not os.path.exists(self.state.data) and not proc.find(self.name):
            return 0
        with self.state.locked(UP_LOCK, 90):
            return self._wipe()

    def _wipe(self, keep_lock=False):
        left = len(proc.find(self.name))
        data = self.state.load()
        # After a reboot, a pid and a start time can be another process's.
        records = data.get("processes", {}) if data.get("boot") == boot_id() else {}
        for node in records.values():
            for record in node.values():
                process = proc.Process.from_record(record)
                process.kill()
        proc.kill_all(self.name)
        self._check_unmounted()
        self.state.remove(keep_lock)
        self._nodes, self._loaded = {}, None
        return left

    def _check_unmounted(self):
        """All mounts are in the nodes' namespaces. Removing files through a mount nobody expected could destroy data."""
        with open("/proc/self/mountinfo") as file:
            for line in file:
                point = line.split()[4]
                if point.startswith((self.state.run + "/", self.state.data + "/")):
                    raise LabError(f"{point} is a mount that the lab didn't make: unmount it, then run down again")

    def heal(self):
        """Makes the fleet as good as new: no guests, links whole, no bridge but br0, every daemon running."""
        for node in self.nodes():
            node.resume()
        for node in self.agents():
            self.switch.clear(node)
        for host in self.hosts():
            self.switch.clear(host, GUESTS)
            for bridge in set(host.bridges()) - {"br0"}:
                host.bridge_remove(bridge)
        if self.export:
            for kind in STORAGE:
                self.export.storage_start(kind)
        self.guests.clear()
        if self.has_programs:
            self.programs.heal()
        for node in self.nodes():
            node.forget_ended()

    def reboot(self, name):
        """What a reboot of a KVM host is to the others: its guests, its agent and its libvirtd end, its boot id is another one, and
        the daemons start again."""
        host = self.kvm(name)
        if self.has_programs:
            self.programs.agent_stop(host)
        for guest, state in host.domains().items():
            if state != "shut off":
                host.virsh("destroy", guest)
        host.libvirtd_stop()
        host.boot()
        started = host.path("/run/libvirt/qemu/autostarted")  # by which libvirtd knows that its host has not booted since
        if os.path.exists(started):
            os.unlink(started)
        host.libvirtd_start()
        if self.has_programs:
            self.programs.agent_start(host)

    # Guests and links

    def guest_add(self, name, on, **arguments):
        """See Guests.add() and Guests.define()."""
        return self.guests.add(name, on, **arguments)

    def guest_remove(self, name):
        self.guests.remove(name)

    def guests_clear(self):
        self.guests.clear()

    def ticks(self, name):
        """{host name: ticks.Log} of what the guest has said so far."""
        return ticks.read(self.hosts(), name)

    def tick_report(self, name):
        return ticks.report(self.ticks(name))

    def tick_watch(self, name, callback=None):
        return ticks.TickWatch(self.hosts(), name, callback)

    def tick_wait(self, name, at_least=1, deadline=30):
        return ticks.wait_for_ticks(self.hosts(), name, at_least, deadline)

    def link(self, node, rate=None, up=None, clear=False, network=FABRIC):
        """Limits or cuts a node's link: rate like "200mbit"; up=False pulls the cable; clear takes everything back."""
        node = self.node(node)
        if clear:
            self.switch.clear(node, network)
        if rate:
            self.switch.rate(node, rate, network)
        if up is not None:
            (self.switch.up if up else self.switch.down)(node, network)

    def drover(self, *arguments, **options):
        """Runs the drover command against this fleet's coordinator."""
        return self.programs.drover(*arguments, **options)

    def status(self):
        data = self._load()
        nodes = [node.status() for node in self.nodes()]
        whole = data["phase"] == "up" and all(all(node["daemons"].values()) for node in nodes)
        return {
            "fleet": self.name,
            "state": "up" if whole else "starting" if data["phase"] == "starting" else "degraded",
            "run": self.state.run,
            "programs": data["programs"],
            "nodes": nodes,
            "guests": self.guests.list() if data["phase"] == "up" else [],
        }
