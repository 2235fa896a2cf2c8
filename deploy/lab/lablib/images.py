"""What the lab builds or fetches once and keeps in the cache: what guests boot, at the same path for every host, and a helper."""

import glob
import hashlib
import os
import re
import shutil
import tempfile

from . import proc
from .errors import LabError
from .state import CACHE

_LAB = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
GUEST = f"{_LAB}/guest"

_TICK_SOURCES = ("start.S", "machine.c", "disk.c", "tick.c", "tick.h", "tick.ld")
_TICK_FLAGS = (
    "-m32 -march=i686 -mgeneral-regs-only -ffreestanding -nostdlib -static -fno-pic -no-pie -fno-stack-protector "
    "-fcf-protection=none -fno-asynchronous-unwind-tables -std=gnu11 -O2 -Wall -Wextra -Werror "
    "-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments"
).split()
_MODULES = ("virtio_net", "virtio_blk", "virtio_pci", "virtio_balloon")
KERNEL_PACKAGE = "linux-image-cloud-amd64"


def _digest(files, *more):
    digest = hashlib.sha256(" ".join(more).encode())
    for file in files:
        with open(file, "rb") as opened:
            digest.update(opened.read())
    return digest.hexdigest()[:12]


def _publish(temporary, target, mode=0o644):
    os.chmod(temporary, mode)
    os.rename(temporary, target)


def tick():
    """The path of the tick guest's program."""
    files = [f"{GUEST}/{name}" for name in _TICK_SOURCES]
    target = f"{CACHE}/tick-{_digest(files, *_TICK_FLAGS)}.elf"
    if not os.path.exists(target):
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            sources = [file for file in files if file.endswith((".c", ".S"))]
            proc.run(["gcc", *_TICK_FLAGS, "-T", f"{GUEST}/tick.ld", "-o", f"{work}/tick", *sources])
            _publish(f"{work}/tick", target)
    return target


def reaper():
    """The path of the program that daemons run under; host/reaper.c says why."""
    source = f"{_LAB}/host/reaper.c"
    target = f"{CACHE}/reaper-{_digest([source])}"
    if not os.path.exists(target):
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            proc.run(["gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", f"{work}/reaper", source])
            _publish(f"{work}/reaper", target, 0o755)
    return target


def linux():
    """The paths of the Linux guest's kernel and initramfs."""
    kernel, modules = _kernel()
    files = [f"{GUEST}/linux-init", f"{GUEST}/linux-guest.c"]
    initramfs = f"{CACHE}/initramfs-{_digest(files, kernel)}.img"
    if not os.path.exists(initramfs):
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            root = f"{work}/root"
            for directory in ("bin", "dev", "proc", "sys", "modules", "tmp", "etc"):
                os.makedirs(f"{root}/{directory}")
            busybox = shutil.which("busybox", path="/bin:/usr/bin")
            if busybox is None:
                raise LabError("busybox is not installed (package busybox-static): run deploy/packages lab")
            shutil.copy2(busybox, f"{root}/bin/busybox")
            shutil.copy(files[0], f"{root}/init")
            os.chmod(f"{root}/init", 0o755)
            proc.run(["gcc", "-static", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", f"{root}/bin/guest", files[1]])
            order = _load_order(modules)
            for module in order:
                shutil.copy(f"{modules}/{module}", f"{root}/modules/")
            with open(f"{root}/modules/order", "w") as file:
                file.write("".join(f"/modules/{os.path.basename(module)}\n" for module in order))
            names = "\n".join(
                sorted(os.path.relpath(os.path.join(where, name), root) for where, dirs, found in os.walk(root) for name in dirs + found)
            )
            proc.run(["sh", "-c", f"cd {root} && cpio --quiet -o -H newc -R 0:0 > {work}/image"], input=names + "\n")
            _publish(f"{work}/image", initramfs)
    return kernel, initramfs


def _kernel_package():
    """The package that the name without a version stands for, or None."""
    depends = proc.run(["apt-cache", "depends", KERNEL_PACKAGE], check=False).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    return package[1] if package else None


def _kernel():
    """Debian's cloud kernel: (image, directory of its modules). Unpacked, never installed."""
    kept = sorted(glob.glob(f"{CACHE}/linux-*/vmlinuz"))
    if not kept:
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            package = _kernel_package()
            if not package:
                proc.run(["apt-get", "-q", "update"], timeout=300)
                package = _kernel_package()
            if not package:
                raise LabError(f"apt knows no {KERNEL_PACKAGE}, also after apt-get update: see /etc/apt/sources.list")
            os.chmod(work, 0o777)  # apt downloads as a user of its own
            proc.run(["sh", "-c", f"cd {work} && apt-get -q download {package}"], timeout=300)
            (archive,) = glob.glob(f"{work}/*.deb")
            proc.run(["dpkg-deb", "-x", archive, f"{work}/root"], timeout=120)
            (image,) = glob.glob(f"{work}/root/boot/vmlinuz-*")
            version = image.rsplit("/vmlinuz-", 1)[1]
            os.makedirs(f"{work}/keep")
            (modules,) = glob.glob(f"{work}/root/lib/modules/{version}") or glob.glob(f"{work}/root/usr/lib/modules/{version}")
            proc.run(["depmod", "-b", modules.split("/lib/modules/")[0], version])
            for module in _load_order(modules):
                os.makedirs(os.path.dirname(f"{work}/keep/modules/{module}"), exist_ok=True)
                shutil.copy(f"{modules}/{module}", f"{work}/keep/modules/{module}")
            shutil.copy(f"{modules}/modules.dep", f"{work}/keep/modules/")
            shutil.copy(image, f"{work}/keep/vmlinuz")
            os.chmod(f"{work}/keep", 0o755)
            try:
                os.rename(f"{work}/keep", f"{CACHE}/linux-{version}")
            except OSError:
                if not os.path.exists(f"{CACHE}/linux-{version}/vmlinuz"):  # else another lab was faster
                    raise
        kept = sorted(glob.glob(f"{CACHE}/linux-*/vmlinuz"))
    directory = os.path.dirname(kept[-1])
    return kept[-1], f"{directory}/modules"


def _load_order(modules):
    """The files of the wanted modules, each after those it needs. What the kernel has built in is not listed."""
    needs = {}
    with open(f"{modules}/modules.dep") as file:
        for line in file:
            name, rest = line.split(":", 1)
            needs[name] = rest.split()
    names = {os.path.basename(path).split(".ko")[0]: path for path in needs}
    order = []

    def add(path):
        if path not in order:
            for needed in reversed(needs[path]):
                add(needed)
            order.append(path)

    for wanted in _MODULES:
        if wanted in names:
            add(names[wanted])
    return order


def clear():
    """Empties the cache."""
    shutil.rmtree(CACHE, ignore_errors=True)
