"""A KVM host: a libvirtd of its own, bridges for guests, a mount of the fleet's GlusterFS volume."""

import os
import signal
import uuid

from .errors import LabError
from .links import GUESTS
from .namespaces import Node
from .state import CACHE

LIBVIRT_PORT = 16509
AGENT_PORT = 7460
BOOT_ID = "/proc/sys/kernel/random/boot_id"
TICKS = "/var/lib/libvirt/ticks"
IMAGES = "/var/lib/libvirt/images"
GLUSTER = "/srv/gluster"

_QEMU_CONF = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""

_LIBVIRTD_CONF = """listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""


class KvmHost(Node):
    roles = ("hypervisor",)
    binds = (
        ("libvirt", "/var/lib/libvirt"),
        ("etc-libvirt", "/etc/libvirt"),
        ("cache-libvirt", "/var/cache/libvirt"),
        ("agent", "/var/lib/drover-agent"),
    )

    def create(self):
        # The machine's own definitions stay out: /etc/libvirt starts empty.
        super().create()
        for directory in ("/var/log/libvirt/qemu", "/var/log/glusterfs", TICKS, IMAGES, GLUSTER):
            os.makedirs(self.path(directory), exist_ok=True)
        self.write("/etc/libvirt/qemu.conf", _QEMU_CONF)
        self.write("/etc/libvirt/libvirt.conf", 'uri_default = "qemu:///system"\n')
        identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.fleet.id}/{self.name}")
        self.write("/etc/libvirt/libvirtd.conf", _LIBVIRTD_CONF.format(address=self.address, uuid=identity))
        self._seed_capabilities()
        self.boot()
        self.run(["mount", "--bind", "/run/boot_id", BOOT_ID])

    def boot(self):
        """Gives the host a boot id of its own, another one each time."""
        self.write("/run/boot_id", f"{uuid.uuid4()}\n")

    def network(self, switch):
        switch.connect(self)
        self.run(["ip", "-batch", "-"], input=f"address add {self.address}/24 dev eth0\nlink set eth0 up\n")
        switch.connect(self, GUESTS)
        self.bridge_add("br0", uplink=True)
        self.run(["ip", "address", "add", f"{self.guest_network_address()}/24", "dev", "br0"])

    def guest_network_address(self):
        """The host's own address in the network of the guests."""
        return "10.78.0." + self.address.rsplit(".", 1)[1]

    def bridge_add(self, name, uplink=False):
        """A bridge for guests. Only one has the uplink to the other hosts' guests; another is an island."""
        lines = [f"link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"]
        if uplink:
            lines += [f"link set eth1 master {name}", "link set eth1 up"]
        lines.append(f"link set {name} up")
        self.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")

    def bridge_add_beside(self, name, device):
        """A bridge with an uplink of its own, `device`, to the other hosts' guests."""
        self.fleet.switch.connect(self, GUESTS, device)
        self.bridge_add(name)
        self.run(["ip", "link", "set", device, "master", name, "up"])

    def bridges(self):
        """Names of all bridges of the host."""
        return [name for name in os.listdir(self.path("/sys/class/net")) if os.path.exists(self.path(f"/sys/class/net/{name}/bridge"))]

    def bridge_remove(self, name):
        self.run(["ip", "link", "delete", name, "type", "bridge"])

    # libvirtd

    def libvirtd_start(self, deadline=60):
        """Starts libvirtd and waits until it answers."""
        self.libvirtd_launch()
        self.libvirtd_ready(deadline)

    def libvirtd_launch(self):
        # A libvirtd that was killed leaves its pid file, which is harmless: it is locked, not just there.
        self.start("libvirtd", ["libvirtd", "-l", "-f", "/etc/libvirt/libvirtd.conf"])

    def libvirtd_ready(self, deadline=60):
        self.expect("libvirtd", lambda: self.listening(LIBVIRT_PORT), deadline, f"libvirtd of {self.name} on port {LIBVIRT_PORT}")
        self.virsh("version", timeout=deadline)
        self._keep_capabilities()

    def libvirtd_stop(self, number=signal.SIGTERM):
        """Ends libvirtd with a signal; its guests go on."""
        self.stop("libvirtd", number)

    def virsh(self, *arguments, check=True, timeout=60):
        """Runs virsh against the host's own libvirtd and returns what it printed."""
        return self.run(["virsh", "-q", *arguments], check, timeout).stdout.strip()

    def libvirt_uri(self):
        """Where other hosts reach this libvirtd."""
        return f"qemu+tcp://{self.address}/system"

    # Asking a QEMU binary for its capabilities takes libvirtd a second or two. It checks a cached answer against the
    # binaries' times itself, so that keeping it is safe.

    def _seed_capabilities(self):
        self._copy_capabilities(f"{CACHE}/capabilities", self.path("/var/cache/libvirt/qemu/capabilities"))

    def _keep_capabilities(self):
        self._copy_capabilities(self.path("/var/cache/libvirt/qemu/capabilities"), f"{CACHE}/capabilities")

    @staticmethod
    def _copy_capabilities(source, target):
        os.makedirs(target, exist_ok=True)
        try:
            names = os.listdir(source)
        except FileNotFoundError:
            return
        for name in names:
            if name.endswith(".xml") and not os.path.exists(f"{target}/{name}"):
                with open(f"{source}/{name}") as file:
                    text = file.read()
                # Hosts start at the same time: a file must appear whole.
                temporary = f"{target}/.{name}.{os.getpid()}.{id(file)}"
                with open(temporary, "w") as file:
                    file.write(text)
                os.rename(temporary, f"{target}/{name}")

    # GlusterFS

    def gluster_mount(self, server):
        self.run(["mount", "-t", "glusterfs", f"{server}:/gv0", GLUSTER], timeout=60)
        if not os.path.ismount(self.path(GLUSTER)):
            raise LabError(f"{self.name}: mount of {server}:/gv0 said it worked, but {GLUSTER} is no mount; see /var/log/glusterfs there")

    # Guests

    def domains(self):
        """{name: state} of all domains, as virsh says it."""
        result = {}
        for line in self.virsh("list", "--all").splitlines():
            fields = line.split(None, 2)
            if len(fields) == 3:
                result[fields[1]] = fields[2]
        return result
