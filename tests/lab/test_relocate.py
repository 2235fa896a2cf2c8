"""A guest whose place at the destination is another: mapped paths and bridges, and disks that are copied."""

import json
import os
import signal
from threading import Thread

import pytest
from checks import assert_goes_on, assert_runs_only_on, document, edited, job_state, wait_for_job
from lablib import wait_for

GLUSTER, ELSEWHERE, IMAGES = "/srv/gluster", "/srv/elsewhere", "/var/lib/libvirt/images"
MAPPINGS = f"""
mappings:
  - from: kvm1
    to: kvm2
    both: true
    paths: [{{from: {GLUSTER}, to: {ELSEWHERE}}}]
    bridges: [{{from: br0, to: br9}}]
"""
MARK = b"drover-lab-mark." * 4096  # 64 KiB


def check(drover, guest, *options, to="kvm2"):
    result = drover("check", guest, "--to", to, "--json", *options, check=False)
    return document(result)


def blocks(reply):
    return {finding["id"] for finding in reply["findings"] if finding["severity"] == "block"}


def moved(drover, guest, *options, to="kvm2", state="done"):
    job = document(drover("migrate", guest, "--to", to, "--detach", "--json", *options))["jobs"][0]["id"]
    return wait_for_job(drover, job, (state,), deadline=120)


def files(node):
    return sorted(os.listdir(node.path(IMAGES)))


def known(drover, guest):
    wait_for(lambda: guest in drover("vms").stdout, 20, f"the coordinator to know {guest}")


@pytest.fixture
def otherwise(fleet, drover):
    """kvm2 has the shared storage at another path, and the network on a bridge of another name; afterwards all is as before."""
    kvm2, coordinator = fleet.node("kvm2"), fleet.coordinator
    plain = fleet.programs.coordinator_config()
    kvm2.run(["mkdir", "-p", ELSEWHERE])
    kvm2.run(["mount", "--bind", GLUSTER, ELSEWHERE])
    kvm2.run(["umount", GLUSTER])
    kvm2.run(["ip", "link", "set", "br0", "name", "br9"], check=False)

    def configure(text):
        coordinator.write("/etc/drover/coordinator.yaml", text)
        fleet.programs.coordinator_stop()
        fleet.programs.coordinator_start()
        fleet.programs.sessions_wait()

    yield lambda: configure(plain + MAPPINGS)
    fleet.guests_clear()
    kvm2.run(["ip", "link", "set", "br9", "name", "br0"], check=False)
    kvm2.run(["mount", "--bind", ELSEWHERE, GLUSTER])
    kvm2.run(["umount", ELSEWHERE])
    configure(plain)


def test_other_paths_and_bridges_need_a_mapping_and_go_both_ways_with_one(fleet, drover, otherwise):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], nic="br0", tick_ms=100)
    fleet.guest_add("off1", on="kvm1", disks=["gluster"], nic="br0", off=True)
    known(drover, "off1")
    wait_for(lambda: blocks(check(drover, "web1")) >= {"storage-other-path", "bridge"}, 20, "both to be refused")
    assert drover("migrate", "web1", "--to", "kvm2", check=False).returncode == 3
    otherwise()
    reply = check(drover, "web1")
    assert blocks(reply) == set(), reply["findings"]
    assert [(change["from"], change["to"]) for change in reply["changes"]] == [
        (f"{GLUSTER}/web1-0.raw", f"{ELSEWHERE}/web1-0.raw"), ("br0", "br9")]
    for guest in ("web1", "off1"):
        moved(drover, guest)
        for options in ((), ("--inactive",)):
            xml = fleet.node("kvm2").virsh("dumpxml", *options, guest)
            assert f"{ELSEWHERE}/{guest}-0.raw" in xml and "bridge='br9'" in xml, xml
            assert GLUSTER not in xml and "br0" not in xml, xml
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    for guest in ("web1", "off1"):
        moved(drover, guest, to="kvm1")
        assert f"{GLUSTER}/{guest}-0.raw" in fleet.node("kvm1").virsh("dumpxml", "--inactive", guest)
    assert_goes_on(fleet, "web1", "kvm1")


# ---- copies ----


def mark(node, path, at=1 << 20):
    with open(node.path(path), "r+b") as image:
        image.seek(at)
        image.write(MARK)


def content(node, path, name):
    """The image as the guest sees it, from the first MiB on; before that it writes its ticks."""
    node.run(["qemu-img", "convert", "-U", "-O", "raw", path, f"/run/{name}.raw"])
    with open(node.path(f"/run/{name}.raw"), "rb") as image:
        image.seek(1 << 20)
        data = image.read()
    os.unlink(node.path(f"/run/{name}.raw"))
    return data


@pytest.fixture
def images(fleet):
    """Both hosts' own directories of images, empty but for what the test makes: other tests leave `.moved-` images."""

    def clear():
        fleet.guests_clear()
        for host in fleet.hosts():
            for name in files(host):
                os.unlink(f"{host.path(IMAGES)}/{name}")

    clear()
    yield fleet.node("kvm1"), fleet.node("kvm2")
    clear()


def test_a_local_disk_is_copied_there_and_back(fleet, drover, images):
    kvm1, kvm2 = images
    fleet.guest_add("web1", on="kvm1", disks=["local", "gluster"], tick_ms=100, size=64, dirty=2)
    mark(kvm1, f"{IMAGES}/web1-0.raw")
    known(drover, "web1")
    reply = check(drover, "web1")
    assert blocks(reply) == {"storage-not-shared"}
    assert "--copy-storage" in next(finding["todo"] for finding in reply["findings"] if finding["id"] == "storage-not-shared")
    reply = check(drover, "web1", "--copy-storage")
    assert blocks(reply) == set()
    assert reply["forecast"]["disk_bytes"] >= len(MARK)
    job = moved(drover, "web1", "--copy-storage")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    (left,) = job["left"]
    assert left.startswith(f"{IMAGES}/web1-0.raw.moved-") and files(kvm1) == [os.path.basename(left)]
    assert left in job["text"] and left in job["todo"]
    assert files(kvm2) == ["web1-0.raw"]
    assert content(kvm2, f"{IMAGES}/web1-0.raw", "there") == content(kvm1, left, "here")
    moved(drover, "web1", "--copy-storage", to="kvm1")
    assert_goes_on(fleet, "web1", "kvm1")
    assert content(kvm1, f"{IMAGES}/web1-0.raw", "back") == content(kvm1, left, "here")


def test_all_disks_of_a_running_guest_are_copied_within_its_bandwidth(fleet, drover, images):
    kvm1, _ = images
    fleet.guest_add("web1", on="kvm1", disks=["local", "local"], tick_ms=100, size=64)
    for path in (f"{IMAGES}/web1-0.raw", f"{IMAGES}/web1-1.raw"):
        with open(kvm1.path(path), "r+b") as image:
            image.seek(8 << 20)
            image.write(MARK * 128)
    known(drover, "web1")

    def rates():
        jobs = json.loads(kvm1.virsh("qemu-monitor-command", "web1", '{"execute": "query-block-jobs"}', check=False) or "{}")
        return [job["speed"] for job in jobs.get("return", [])]

    job = document(drover("migrate", "web1", "--to", "kvm2", "--copy-storage", "--bandwidth", "8MiB/s", "--detach", "--json"))["jobs"][0]["id"]
    wait_for(lambda: len(rates()) == 2, 30, "both disks to be copied", poll=0.1)
    assert rates() == [4 << 20] * 2
    wait_for_job(drover, job, ("done",), deadline=120)
    assert_runs_only_on(fleet, "web1", "kvm2")


@pytest.mark.parametrize("same, deep", [(True, False), (False, False), (True, True), (False, True)])
def test_backing_files_that_are_there_are_used_if_they_are_the_same(fleet, drover, images, same, deep):
    kvm1, kvm2 = images
    fleet.guest_add("web1", on="kvm1", disks=["local"], format="qcow2", tick_ms=100, size=64, off=True)
    for host in (kvm1, kvm2):
        host.run(["qemu-img", "create", "-q", "-f", "raw", f"{IMAGES}/base.raw", "64M"])
        mark(host, f"{IMAGES}/base.raw")
        if deep:
            host.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", f"{IMAGES}/middle.qcow2"])
            host.run(["qemu-io", "-c", "write -q -P 0x33 4M 1M", f"{IMAGES}/middle.qcow2"])
    if not same:
        mark(kvm2, f"{IMAGES}/base.raw", at=2 << 20)
    top, format = (f"{IMAGES}/middle.qcow2", "qcow2") if deep else (f"{IMAGES}/base.raw", "raw")
    kvm1.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", top, "-F", format, f"{IMAGES}/web1-0.qcow2"])
    kvm1.virsh("start", "web1")
    fleet.tick_wait("web1")
    job = moved(drover, "web1", "--copy-storage")
    assert_goes_on(fleet, "web1", "kvm2")
    (told,) = [finding for finding in job["findings"] if finding["id"] == "copy-backing"]
    assert ("here already" in told["seen"]) == same, told
    chain = kvm2.run(["qemu-img", "info", "-U", "--backing-chain", f"{IMAGES}/web1-0.qcow2"]).stdout
    assert (f"backing file: {top}" in chain) == same, chain
    assert chain.count("image: ") == (1 if not same else 3 if deep else 2), chain
    assert content(kvm2, f"{IMAGES}/web1-0.qcow2", "there") == content(kvm1, job["left"][0], "here")


@pytest.mark.parametrize("off", [False, True])
def test_a_volume_is_copied_to_the_pool_of_that_name(fleet, drover, images, off):
    kvm1, kvm2 = images
    fleet.guest_add("web1", on="kvm1", disks=["local"], tick_ms=100, size=64, off=True)
    mark(kvm1, f"{IMAGES}/web1-0.raw")
    for host in (kvm1, kvm2):
        host.virsh("pool-create-as", "lab", "dir", "--target", IMAGES)
    try:
        edited(fleet, "web1", ("<disk type='file'", "<disk type='volume'"), (f"file='{IMAGES}/web1-0.raw'", "pool='lab' volume='web1-0.raw'"))
        if not off:
            kvm1.virsh("start", "web1")
            fleet.tick_wait("web1")
        known(drover, "web1")
        wait_for(lambda: blocks(check(drover, "web1")) == {"storage-not-shared"}, 20, "the coordinator to know the pools")
        assert check(drover, "web1", "--copy-storage")["mode"] == ("definition" if off else "auto")
        kvm2.write(f"{IMAGES}/web1-0.raw", "somebody's")
        assert blocks(check(drover, "web1", "--copy-storage")) == {"copy-target"}
        os.unlink(kvm2.path(f"{IMAGES}/web1-0.raw"))
        job = moved(drover, "web1", "--copy-storage")
        assert files(kvm2) == ["web1-0.raw"] and len(files(kvm1)) == 1
        for options in ((), ("--inactive",)):
            assert "pool='lab' volume='web1-0.raw'" in kvm2.virsh("dumpxml", *options, "web1")
        assert "web1-0.raw" in kvm2.virsh("vol-list", "lab") and "web1-0.raw " not in kvm1.virsh("vol-list", "lab")
        assert content(kvm2, f"{IMAGES}/web1-0.raw", "there") == content(kvm1, job["left"][0], "here")
        if off:
            kvm2.virsh("start", "web1")
        fleet.tick_wait("web1", 3)
        kvm2.virsh("destroy", "web1")
    finally:
        for host in (kvm1, kvm2):
            host.virsh("pool-destroy", "lab")


def test_a_copied_disk_of_a_guest_that_is_shut_off(fleet, drover, images):
    kvm1, kvm2 = images
    fleet.guest_add("off1", on="kvm1", disks=["local"], format="qcow2", tick_ms=100, size=64)
    fleet.tick_wait("off1")
    kvm1.virsh("destroy", "off1")
    kvm1.run(["qemu-io", "-c", "write -P 0x5a 8M 24M", f"{IMAGES}/off1-0.qcow2"])
    wait_for(lambda: check(drover, "off1", "--copy-storage")["mode"] == "definition", 20, "the coordinator to know that off1 is off")

    def begun():
        slow = drover("migrate", "off1", "--to", "kvm2", "--copy-storage", "--bandwidth", "4MiB/s", "--detach", "--json")
        path = kvm2.path(f"{IMAGES}/off1-0.qcow2")
        wait_for(lambda: os.path.exists(path) and os.stat(path).st_blocks * 512 > 4 << 20, 60, "a part of the disk to be at kvm2")
        return document(slow)["jobs"][0]["id"]

    job = begun()
    refused = kvm1.run(["virsh", "start", "off1"], check=False)
    assert refused.returncode != 0 and "lock" in refused.stderr, "a guest whose disk is being copied must not start"
    drover("cancel", str(job))
    wait_for_job(drover, job, ("cancelled",))
    assert files(kvm2) == [] and files(kvm1) == ["off1-0.qcow2"]
    assert kvm1.domains()["off1"] == "shut off" and "off1" not in kvm2.domains()
    # A source's agent that dies begins anew.
    job = begun()
    fleet.programs.agent_stop(kvm1, signal.SIGKILL)
    fleet.programs.agent_start(kvm1)
    wait_for_job(drover, job, ("done", "failed"), deadline=120)
    if "off1" in kvm2.domains():  # else the coordinator lost patience, and the guest has stayed
        moved_back = moved(drover, "off1", "--copy-storage", to="kvm1")
        for host in (kvm1, kvm2):
            for name in files(host):
                if ".moved-" in name:
                    os.unlink(f"{host.path(IMAGES)}/{name}")
        assert moved_back["runs_on"] == "kvm1"
    assert files(kvm2) == []
    job = moved(drover, "off1", "--copy-storage")
    assert "off1" not in kvm1.domains() and kvm2.domains()["off1"] == "shut off"
    assert files(kvm2) == ["off1-0.qcow2"]
    there = content(kvm2, f"{IMAGES}/off1-0.qcow2", "there")
    assert there == content(kvm1, job["left"][0], "here") and b"\x5a" * 4096 in there
    kvm2.virsh("start", "off1")
    fleet.tick_wait("off1")


def receiver(node):
    """The pid of the qemu-nbd that takes in a disk at that host, a child of its agent; None: there is none."""
    agent = node.process("agent").pid
    for task in os.listdir(f"/proc/{agent}/task"):
        with open(f"/proc/{agent}/task/{task}/children") as file:
            for pid in map(int, file.read().split()):
                with open(f"/proc/{pid}/comm") as name:
                    if name.read().strip() == "qemu-nbd":
                        return pid
    return None


def shut_off(fleet, drover):
    """off1 with a disk that takes some seconds, and a job that has copied a part of it; with its options."""
    kvm1, kvm2 = fleet.node("kvm1"), fleet.node("kvm2")
    fleet.guest_add("off1", on="kvm1", disks=["local"], format="qcow2", size=64, off=True)
    kvm1.run(["qemu-io", "-c", "write -P 0x5a 8M 40M", f"{IMAGES}/off1-0.qcow2"])
    known(drover, "off1")

    def begun(*options):
        job = document(drover("migrate", "off1", "--to", "kvm2", "--copy-storage", "--bandwidth", "4MiB/s", *options, "--detach", "--json"))["jobs"][0]["id"]
        path = kvm2.path(f"{IMAGES}/off1-0.qcow2")
        wait_for(lambda: os.path.exists(path) and os.stat(path).st_blocks * 512 > 4 << 20, 60, "a part of the disk to be at kvm2")
        return job

    return begun


def test_a_disk_is_copied_anew_when_the_agent_that_takes_it_in_is_restarted(fleet, drover, images):
    kvm1, kvm2 = images
    job = shut_off(fleet, drover)()

    def partly():
        progress = job_state(drover, job)["progress"]
        return 0 < progress["disk_done"] < progress["disk_total"]

    wait_for(partly, 20, "the progress of the one disk")
    fleet.programs.agent_stop(kvm2, signal.SIGKILL)
    fleet.programs.agent_start(kvm2)
    ended = wait_for_job(drover, job, ("done",), deadline=120)
    assert "disk hda is tried again" in str(ended["log"]), ended
    assert "off1" not in kvm1.domains() and kvm2.domains()["off1"] == "shut off"
    assert files(kvm2) == ["off1-0.qcow2"]
    assert content(kvm2, f"{IMAGES}/off1-0.qcow2", "there") == content(kvm1, ended["left"][0], "here")


def test_a_disk_that_does_not_get_on_is_given_up_by_the_deadline(fleet, drover, images, undo):
    kvm1, kvm2 = images
    job = shut_off(fleet, drover)("--deadline", "5s")
    pid = receiver(kvm2)
    undo(lambda: os.path.exists(f"/proc/{pid}") and receiver(kvm2) == pid and os.kill(pid, signal.SIGKILL))
    os.kill(pid, signal.SIGSTOP)
    ended = wait_for_job(drover, job, ("failed",), deadline=60)
    assert "nothing of disk hda was copied to kvm2 within the deadline of 5 s" in ended["text"], ended
    assert kvm1.domains()["off1"] == "shut off" and "off1" not in kvm2.domains()
    assert files(kvm1) == ["off1-0.qcow2"] and files(kvm2) == []
    wait_for(lambda: receiver(kvm2) is None, 20, "qemu-nbd to be ended")


@pytest.fixture
def failing(fleet, undo):
    """On kvm2 no image that qemu-nbd writes can be synced. Gives what mends that."""
    kvm2 = fleet.node("kvm2")
    kvm2.run(["cp", "/usr/bin/qemu-nbd", "/run/qemu-nbd"])
    kvm2.write("/run/blkdebug", '[inject-error]\nevent = "flush_to_disk"\nerrno = "5"\n')
    image = 'driver=qcow2,file.driver=blkdebug,file.config=/run/blkdebug,file.image.driver=file,file.image.filename=${12}'
    options = '--image-opts -b "$4" -p "$6" -e "$8" -x "${10}"'  # of: -f FORMAT -b ADDRESS -p PORT -e 1 -x NAME -- PATH
    kvm2.write("/run/failing-nbd", f'#!/bin/sh\nexec /run/qemu-nbd {options} -- "{image}"\n')
    kvm2.run(["chmod", "755", "/run/failing-nbd"])
    kvm2.run(["mount", "--bind", "/run/failing-nbd", "/usr/bin/qemu-nbd"])

    def mend():
        kvm2.run(["umount", "/usr/bin/qemu-nbd"], check=False)

    undo(mend)
    return mend


def test_a_guest_that_is_shut_off_stays_when_its_disk_is_not_all_there(fleet, drover, images, failing):
    kvm1, kvm2 = images
    fleet.guest_add("off1", on="kvm1", disks=["local"], format="qcow2", size=64, off=True)
    kvm1.run(["qemu-io", "-c", "write -P 0x5a 8M 24M", f"{IMAGES}/off1-0.qcow2"])
    known(drover, "off1")
    job = moved(drover, "off1", "--copy-storage", state="failed")
    assert "is not whole" in job["text"] + str(job["log"]), job
    assert kvm1.domains()["off1"] == "shut off" and "off1" not in kvm2.domains()
    assert files(kvm1) == ["off1-0.qcow2"] and files(kvm2) == []
    failing()
    job = moved(drover, "off1", "--copy-storage")
    checked = kvm2.run(["qemu-img", "check", f"{IMAGES}/off1-0.qcow2"], check=False)
    assert checked.returncode == 0, checked.stdout
    there = content(kvm2, f"{IMAGES}/off1-0.qcow2", "there")
    assert b"\x5a" * 4096 in there and there == content(kvm1, job["left"][0], "here")


def test_no_room_and_files_in_the_way_are_refused(fleet, drover, images):
    kvm1, kvm2 = images
    fleet.guest_add("web1", on="kvm1", disks=["local"], size=64)
    kvm1.run(["dd", "if=/dev/urandom", f"of={IMAGES}/web1-0.raw", "bs=1M", "seek=1", "count=60", "conv=notrunc"])
    known(drover, "web1")
    kvm2.write(f"{IMAGES}/web1-0.raw", "somebody's")
    assert blocks(check(drover, "web1", "--copy-storage")) == {"copy-target"}
    os.unlink(kvm2.path(f"{IMAGES}/web1-0.raw"))
    kvm2.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", IMAGES])
    try:
        assert blocks(check(drover, "web1", "--copy-storage")) == {"copy-space"}
        assert drover("migrate", "web1", "--to", "kvm2", "--copy-storage", check=False).returncode == 3
    finally:
        kvm2.run(["umount", IMAGES])


def test_copies_that_are_broken_off_leave_nothing(fleet, drover, images):
    kvm1, kvm2 = images
    fleet.guest_add("web1", on="kvm1", disks=["local"], size=256, tick_ms=100)
    kvm1.run(["dd", "if=/dev/urandom", f"of={IMAGES}/web1-0.raw", "bs=1M", "seek=1", "count=250", "conv=notrunc"])
    before = content(kvm1, f"{IMAGES}/web1-0.raw", "before")
    programs = fleet.programs
    known(drover, "web1")

    def begun():
        """A job that has copied some of the disk."""
        job = document(drover("migrate", "web1", "--to", "kvm2", "--copy-storage", "--bandwidth", "20MiB/s", "--detach", "--json"))["jobs"][0]["id"]

        def copying():
            path = kvm2.path(f"{IMAGES}/web1-0.raw")
            return os.path.exists(path) and os.stat(path).st_blocks * 512 > 4 << 20

        wait_for(copying, 60, "a part of the disk to be at kvm2")
        return job

    def safe(job, states=("cancelled", "failed")):
        wait_for_job(drover, job, states, deadline=120)
        assert files(kvm2) == []
        assert files(kvm1) == ["web1-0.raw"]
        assert_runs_only_on(fleet, "web1", "kvm1")
        assert_goes_on(fleet, "web1", "kvm1", repeats=True)
        assert content(kvm1, f"{IMAGES}/web1-0.raw", "now") == before

    job = begun()
    drover("cancel", str(job))
    safe(job)
    # The destination's agent dies and knows from its record what was made.
    job = begun()
    programs.agent_stop(kvm2, signal.SIGKILL)
    drover("cancel", str(job))
    programs.agent_start(kvm2)
    safe(job)
    # The coordinator dies; the next one settles.
    job = begun()
    programs.coordinator_stop(signal.SIGKILL)
    programs.coordinator_start()
    safe(job)
    if not programs.has_failpoints():
        return
    # Killed between the promise of an image and its name.
    for instant in ("agent.destination.image.before", "agent.destination.image.drafted", "agent.destination.image.after"):
        gone = programs.failpoint(kvm2, instant)
        moving = Thread(target=lambda: drover("migrate", "web1", "--to", "kvm2", "--copy-storage", check=False))
        moving.start()
        wait_for(lambda: not os.path.exists(gone), 60, f"the agent of kvm2 to be killed at {instant}")
        wait_for(lambda: not kvm2.running("agent"), 20, "it to be gone")
        programs.agent_start(kvm2)
        moving.join()
        wait_for(lambda: not document(drover("jobs", "--json"))["jobs"], 60, "the job to end")
        assert files(kvm2) == [] and files(kvm1) == ["web1-0.raw"]
        assert fleet.node("kvm1").domains()["web1"] == "running"


def test_disks_that_do_not_get_on_are_given_up_by_the_deadline(fleet, drover, images):
    kvm1, kvm2 = images
    fleet.guest_add("web1", on="kvm1", disks=["local"], size=256, tick_ms=100)
    kvm1.run(["dd", "if=/dev/urandom", f"of={IMAGES}/web1-0.raw", "bs=1M", "seek=1", "count=250", "conv=notrunc"])
    known(drover, "web1")
    job = document(
        drover("migrate", "web1", "--to", "kvm2", "--copy-storage", "--bandwidth", "20MiB/s", "--deadline", "5s", "--detach", "--json")
    )["jobs"][0]["id"]
    wait_for(lambda: job_state(drover, job).get("progress", {}).get("disk_done", 0) > 0, 60, "some of the disk to be copied")
    fleet.link("kvm2", up=False)
    wait_for(lambda: "nothing of it has moved within the deadline" in str(job_state(drover, job)["log"]), 25, "it to be given up", poll=0.2)
    fleet.link("kvm2", up=True)
    ended = wait_for_job(drover, job, ("failed",), deadline=120)
    assert "the disks are not all there" in ended["text"], ended
    assert files(kvm2) == [] and files(kvm1) == ["web1-0.raw"]
    assert_runs_only_on(fleet, "web1", "kvm1")
    assert_goes_on(fleet, "web1", "kvm1", repeats=True)
