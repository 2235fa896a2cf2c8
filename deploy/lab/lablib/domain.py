"""A guest's definition for libvirt. Nothing here runs anything."""

from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from .kvmhost import TICKS


@dataclass
class Disk:
    """kind: nfs, iscsi, gluster or local; source: a path, or IQN/LUN; server: for network disks."""

    kind: str
    source: str
    format: str = "raw"
    server: str = ""
    shareable: bool = False


@dataclass
class Guest:
    """What a guest is. Sizes in MiB, dirty in MiB per second or "max"."""

    name: str
    uuid: str
    kind: str = "tick"
    memory: int = 64
    vcpus: int = 1
    dirty: str = "0"
    working_set: int = 0
    dirty_from: int = 0  # ticks between which a tick guest dirties; until 0: for ever
    dirty_until: int = 0
    tick_ms: int = 1000
    bridge: str = ""
    mac: str = ""
    address: str = ""
    kernel: str = ""
    initramfs: str = ""
    disks: list = field(default_factory=list)


def command_line(guest):
    words = [f"tick_ms={guest.tick_ms}", f"dirty={guest.dirty}", f"working_set={guest.working_set}"]
    if guest.kind == "tick" and (guest.dirty_from or guest.dirty_until):
        words += [f"dirty_from={guest.dirty_from}", f"dirty_until={guest.dirty_until}"]
    if guest.kind == "linux":
        words = ["console=ttyS0", "quiet", "panic=-1", *words]
        if guest.address:
            words.append(f"address={guest.address}")
    return " ".join(words)


def _disk(disk, index, kind):
    # The tick guest knows IDE only, and IDE has four places.
    ide = kind == "tick" and index < 4
    bus, device = ("ide", "hd") if ide else ("virtio", "vd")
    target = device + chr(ord("a") + index)
    shareable = "<shareable/>" if disk.shareable else ""
    if disk.kind in ("nfs", "iscsi"):
        port = " port='3260'" if disk.kind == "iscsi" else ""
        source = f"<source protocol='{disk.kind}' name={quoteattr(disk.source)}><host name='{disk.server}'{port}/></source>"
        return (
            f"<disk type='network' device='disk'><driver name='qemu' type='{disk.format}'/>{source}"
            f"<target dev='{target}' bus='{bus}'/>{shareable}</disk>"
        )
    # Two hosts may only open a file at once past their page caches.
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='{disk.format}' cache='none'/>"
        f"<source file={quoteattr(disk.source)}/><target dev='{target}' bus='{bus}'/>{shareable}</disk>"
    )


def xml(guest):
    """The definition, the same on each host."""
    disks = "".join(_disk(disk, index, guest.kind) for index, disk in enumerate(guest.disks))
    nic = ""
    if guest.bridge:
        nic = (
            f"<interface type='bridge'><mac address='{guest.mac}'/><source bridge={quoteattr(guest.bridge)}/>"
            "<model type='virtio'/></interface>"
        )
    initramfs = f"<initrd>{guest.initramfs}</initrd>" if guest.initramfs else ""
    return f"""<domain type='qemu'>
<name>{guest.name}</name><uuid>{guest.uuid}</uuid>
<memory unit='MiB'>{guest.memory}</memory><vcpu>{guest.vcpus}</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type><kernel>{guest.kernel}</kernel>{initramfs}
<cmdline>{command_line(guest)}</cmdline></os>
<features><acpi/><apic/></features>
<cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu>
<clock offset='utc'><timer name='pit' tickpolicy='delay'/><timer name='hpet' present='no'/></clock>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{disks}{nic}
<controller type='usb' model='none'/>
<serial type='file'><source path='{TICKS}/{guest.name}.log' append='on'/><target port='0'/></serial>
<memballoon model='{"virtio" if guest.kind == "linux" else "none"}'/>
</devices></domain>
"""
