"""The storage node: NFS by ganesha, iSCSI by tgt, a GlusterFS volume; all in user space."""

import os

from . import proc
from .errors import LabError
from .namespaces import Node
from .wait import wait_for

NFS_PORT = 2049
RPCBIND_PORT = 111
ISCSI_PORT = 3260
GLUSTER_PORT = 24007
NFS = "/srv/nfs"
ISCSI = "/srv/iscsi"
BRICK = "/srv/brick"
IQN = "iqn.2026-01.lab.drover"

# Locks over NFS need a statd with a name service; QEMU's NFS driver takes none.
_GANESHA = """NFS_CORE_PARAM {{ Protocols = 3, 4; Bind_addr = {address}; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSV4 {{ Graceless = true; }}
EXPORT {{
	Export_Id = 1;
	Path = {path};
	Pseudo = {path};
	Access_Type = RW;
	Squash = No_Root_Squash;
	SecType = sys;
	Transports = TCP;
	FSAL {{ Name = VFS; }}
}}
"""


class ExportNode(Node):
    roles = ("storage",)
    binds = (
        ("nfs", NFS),
        ("iscsi", ISCSI),
        ("brick", BRICK),
        ("glusterd", "/var/lib/glusterd"),
        ("agent", "/var/lib/drover-agent"),
    )

    def create(self):
        super().create()
        for directory in ("/var/log/glusterfs", "/var/log/ganesha", "/run/rpcbind", "/run/ganesha", "/run/tgtd", "/run/gluster"):
            os.makedirs(self.path(directory), exist_ok=True)

    def network(self, switch):
        switch.connect(self)
        self.run(["ip", "-batch", "-"], input=f"address add {self.address}/24 dev eth0\nlink set eth0 up\n")

    # NFS

    def nfs_start(self, deadline=30):
        if not self.running("rpcbind"):
            self.start("rpcbind", ["rpcbind", "-f", "-w"])
            self.expect("rpcbind", lambda: self.listening(RPCBIND_PORT), deadline, "rpcbind")
        if self.running("ganesha"):
            return
        self.write("/etc/ganesha/ganesha.conf", _GANESHA.format(address=self.address, path=NFS))
        self.start(
            "ganesha",
            ["ganesha.nfsd", "-F", "-L", "/var/log/ganesha.log", "-f", "/etc/ganesha/ganesha.conf", "-p", "/run/ganesha.pid"],
        )
        self.expect("ganesha", lambda: self.listening(NFS_PORT), deadline, "the NFS server")
        self.expect("ganesha", self._nfs_exports, deadline, f"the export of {NFS}")

    def _nfs_exports(self):
        return NFS in self.run(["showmount", "-e", "--no-headers", self.address], check=False, timeout=10).stdout.split()

    # iSCSI

    def iscsi_start(self, deadline=30):
        if self.running("tgtd"):
            return
        self.start("tgtd", ["tgtd", "-f", "--iscsi", f"portal={self.address}:{ISCSI_PORT}"])
        self.expect("tgtd", lambda: self.listening(ISCSI_PORT), deadline, "the iSCSI server")
        self.expect("tgtd", lambda: self._tgtadm("show", check=False).returncode == 0, deadline, "tgtadm's answer")

    def _tgtadm(self, operation, *arguments, mode="target", check=True):
        return self.run(["tgtadm", "--lld", "iscsi", "--mode", mode, "--op", operation, *arguments], check, timeout=20)

    def target_add(self, name, file):
        """Serves a file as LUN 1 of a target of its own. Returns the target's IQN and its number for target_remove()."""
        iqn = f"{IQN}:{name}"
        with self.state.edit() as data:
            number = data["next_target"] = data.get("next_target", 0) + 1
        self._tgtadm("new", "--tid", str(number), "--targetname", iqn)
        self._tgtadm("new", "--tid", str(number), "--lun", "1", "--backing-store", file, mode="logicalunit")
        self._tgtadm("bind", "--tid", str(number), "--initiator-address", "ALL")
        return iqn, number

    def target_remove(self, number):
        # A guest's session may end a moment after its QEMU; --force closes it.
        self._tgtadm("delete", "--force", "--tid", str(number), check=False)

    # GlusterFS

    def gluster_start(self, deadline=60):
        if self.running("glusterd"):
            return
        self.start("glusterd", ["glusterd", "-N", "--log-level", "WARNING"])
        self.expect("glusterd", lambda: self.listening(GLUSTER_PORT), deadline, "glusterd")
        gluster = ["gluster", "--mode=script"]
        volumes = wait_for(
            lambda: self.run([*gluster, "volume", "list"], timeout=deadline), deadline, "glusterd's answer", poll=0.05
        )
        if "gv0" not in volumes.stdout.split():
            self.run([*gluster, "volume", "create", "gv0", f"{self.address}:{BRICK}", "force"], timeout=deadline)
            self.run([*gluster, "volume", "start", "gv0"], timeout=deadline)

        def brick_online():
            status = self.run([*gluster, "volume", "status", "gv0"], check=False, timeout=deadline).stdout
            return any(line.split()[-2:-1] == ["Y"] for line in status.splitlines() if line.startswith("Brick"))

        wait_for(brick_online, deadline, "the GlusterFS brick", poll=0.05)

    def storage_start(self, which):
        """Starts one of nfs, iscsi, gluster, or what of it doesn't run. A restarted tgtd has no targets."""
        start = {"nfs": self.nfs_start, "iscsi": self.iscsi_start, "gluster": self.gluster_start}.get(which)
        if start is None:
            raise LabError(f"storage '{which}': expected nfs, iscsi or gluster")
        start()

    def status(self):
        status = super().status()
        bricks = [process for process, words in proc.find(self.state.name) if words[2] == self.name and _is_brick(process.pid)]
        status["daemons"]["gluster-brick"] = bool(bricks)
        return status


def _is_brick(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().startswith("glfs_") or os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "glusterfsd"
    except OSError:
        return False
