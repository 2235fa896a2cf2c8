"""Guests of a fleet: making them with their disks, listing and removing them."""

import dataclasses
import hashlib
import os
import re
from uuid import uuid4

from . import domain, images
from .errors import LabError
from .export import ISCSI, NFS
from .kvmhost import GLUSTER, IMAGES, TICKS
from .wait import wait_for

KINDS = ("tick", "linux")
DISKS = ("nfs", "iscsi", "gluster", "local")
FORMATS = ("raw", "qcow2")
_QCOW2_ROOM = 4  # MiB that qcow2's tables need on a device of fixed size


class Guests:
    def __init__(self, fleet):
        self.fleet = fleet
        self.state = fleet.state

    def define(
        self, name, on, kind="tick", memory=None, vcpus=1, dirty=0, working_set=None, tick_ms=1000, disks=(), format="raw", size=16,
        nic=None, shareable=False, uuid=None, dirty_from=0, dirty_until=0,
    ):
        """Makes a guest's disks and returns its domain.Guest, without telling any libvirtd."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", name):
            raise LabError(f"guest name '{name}': expected up to 41 letters, digits, '_', '.' and '-', starting with a letter or digit")
        if name in self.state.load().get("guests", {}):
            raise LabError(f"guest {name} exists already: remove it first with 'guest remove {name}', or choose another name")
        for what, value, known in (("kind", kind, KINDS), ("format", format, FORMATS)):
            if value not in known:
                raise LabError(f"guest {name}: {what} '{value}', expected one of {', '.join(known)}")
        host = self.fleet.kvm(on)
        memory = memory or (256 if kind == "linux" else 64)
        if dirty != "max" and not str(dirty).isdigit():
            raise LabError(f"guest {name}: dirty rate '{dirty}', expected a whole number of MiB/s, or max")
        if working_set is None:
            working_set = 0 if str(dirty) == "0" else min(16, memory // 2)
        room = memory - (8 if kind == "tick" else 128)
        if working_set > room:
            raise LabError(f"guest {name}: a working set of {working_set} MiB, but only {room} MiB of {memory} are free for it; give it more memory")
        if nic and not os.path.exists(host.path(f"/sys/class/net/{nic}/bridge")):
            raise LabError(f"guest {name}: {on} has no bridge {nic}; 'lab bridge {on} {nic}' makes one")
        guest = domain.Guest(
            name=name, uuid=uuid or str(uuid4()), kind=kind, memory=memory, vcpus=vcpus, dirty=str(dirty),
            working_set=working_set, dirty_from=dirty_from, dirty_until=dirty_until, tick_ms=tick_ms, bridge=nic or "",
        )
        if nic:
            guest.mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in hashlib.sha256(name.encode()).digest()[:3])
        if kind == "linux":
            guest.kernel, guest.initramfs = images.linux()
        else:
            guest.kernel = images.tick()
        with self.state.edit() as data:
            if nic and kind == "linux":
                data["next_address"] = data.get("next_address", 0) % 120 + 1
                guest.address = f"10.78.0.{100 + data['next_address']}"
            data.setdefault("guests", {})[name] = {"guest": dataclasses.asdict(guest), "cleanup": []}
        try:
            for index, disk in enumerate(kind_ for kind_ in disks if kind_ != "none"):
                guest.disks.append(self._disk_add(guest, host, index, disk, format, size, shareable))
        except Exception:
            self.remove(name)
            raise
        with self.state.edit() as data:
            data["guests"][name]["guest"] = dataclasses.asdict(guest)
        return guest

    def add(self, name, on, transient=False, off=False, autostart=False, **arguments):
        """Makes and starts a guest on a host. The arguments are those of define()."""
        if transient and (off or autostart):
            raise LabError(f"guest {name}: a transient guest is neither off nor started by itself; drop --transient")
        host = self.fleet.kvm(on)
        guest = self.define(name, on, **arguments)
        try:
            host.write(f"/run/drover-lab.{name}.xml", domain.xml(guest))
            if transient:
                host.virsh("create", f"/run/drover-lab.{name}.xml")
            else:
                host.virsh("define", f"/run/drover-lab.{name}.xml")
                if autostart:
                    host.virsh("autostart", name)
                if not off:
                    host.virsh("start", name)
        except LabError:
            self.remove(name)
            raise
        return guest

    def _disk_add(self, guest, host, index, kind, format, size, shareable):
        file = f"{guest.name}-{index}.{format}"
        if kind in ("nfs", "iscsi", "gluster"):
            self.fleet.require_storage(kind)
        export = self.fleet.export
        if kind == "nfs":
            # A name of its own: ganesha keeps a name's file for up to a minute, also when another one was put there (NFS3ERR_STALE).
            file = f"{guest.name}-{guest.uuid[:8]}-{index}.{format}"
            self._image(export, f"{NFS}/{file}", format, size)
            self._to_remove(guest.name, export, f"{NFS}/{file}")
            return domain.Disk("nfs", f"{NFS}/{file}", format, export.address, shareable)
        if kind == "iscsi":
            path = f"{ISCSI}/{file}"
            self._image(export, path, format, size)
            self._to_remove(guest.name, export, path)
            if format == "qcow2":
                os.truncate(export.path(path), (size + _QCOW2_ROOM) << 20)
            iqn, number = export.target_add(f"{guest.name}-{index}", path)
            self._to_remove(guest.name, export, number)
            return domain.Disk("iscsi", f"{iqn}/1", format, export.address, shareable)
        if kind in ("gluster", "local"):
            path = f"{GLUSTER if kind == 'gluster' else IMAGES}/{file}"
            self._image(host, path, format, size)
            self._to_remove(guest.name, host, path)
            return domain.Disk(kind, path, format, "", shareable)
        raise LabError(f"guest {guest.name}: disk '{kind}', expected none or one of {', '.join(DISKS)}")

    @staticmethod
    def _image(node, path, format, size):
        node.run(["qemu-img", "create", "-q", "-f", format, path, f"{size}M"])

    def _to_remove(self, name, node, thing):
        """Remembers a file's path, or a target's number, that goes with the guest."""
        with self.state.edit() as data:
            data["guests"][name]["cleanup"].append([node.name, thing])

    def remove(self, name):
        """Ends a guest wherever it is, and removes its definitions, disks and tick logs."""
        record = self.state.load().get("guests", {}).get(name)
        found = record is not None
        for host in self.fleet.hosts():
            if name in host.domains():
                found = True
                self._undefine(host, name)
            for file in (f"{TICKS}/{name}.log", f"/run/drover-lab.{name}.xml"):
                if os.path.exists(host.path(file)):
                    os.unlink(host.path(file))
        if not found:
            raise LabError(f"guest {name}: no host of fleet {self.state.name} has it; 'guest list' shows what there is")
        for node_name, thing in reversed(record["cleanup"] if record else []):
            node = self.fleet.node(node_name)
            if isinstance(thing, int):
                node.target_remove(thing)
                continue
            # A local disk may have been copied to another host.
            for place in self.fleet.hosts() if thing.startswith(IMAGES) else [node]:
                if os.path.exists(place.path(thing)):
                    os.unlink(place.path(thing))
        with self.state.edit() as data:
            data.get("guests", {}).pop(name, None)

    @staticmethod
    def _undefine(host, name):
        """A migration that a fault has left under way holds the definition until its libvirt sees that the other is gone."""

        def gone():
            host.virsh("destroy", name, check=False)
            if name in host.domains():
                host.virsh("undefine", name, "--managed-save", "--snapshots-metadata", "--checkpoints-metadata", check=False)
            if name in host.domains():
                raise LabError(f"{host.name} still has it: {host.virsh('domstate', name, '--reason')}")
            return True

        wait_for(gone, 120, f"guest {name} to be removed", poll=0.5)

    def clear(self):
        """Removes every guest of every host, whoever made it. Starts a libvirtd that is down, since only it knows."""
        names = set(self.state.load().get("guests", {}))
        for host in self.fleet.hosts():
            if not host.running("libvirtd"):
                host.libvirtd_start()
            names.update(host.domains())
        for name in sorted(names):
            self.remove(name)

    def list(self):
        """[{name, kind, hosts: {host: state}}] of all guests."""
        table = {
            name: {"name": name, "kind": record["guest"]["kind"], "memory": record["guest"]["memory"],
                   "address": record["guest"]["address"], "hosts": {}}
            for name, record in self.state.load().get("guests", {}).items()
        }
        for host in self.fleet.hosts():
            if not host.at_work("libvirtd") or not host.running("holder"):
                continue
            for name, state in host.domains().items():
                unknown = {"name": name, "kind": "?", "memory": None, "address": "", "hosts": {}}
                table.setdefault(name, unknown)["hosts"][host.name] = state
        return [table[name] for name in sorted(table)]
