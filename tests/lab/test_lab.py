"""The lab itself: hosts, storage, guests and links are what they say, and nothing stays behind."""

import json
import os
import signal
import subprocess
from types import SimpleNamespace

import pytest
from lablib import Fleet, LabError, images, proc, ticks, wait_for
from lablib.state import DATA, RUN


def migrate(fleet, guest, source="kvm1", destination="kvm2"):
    to = fleet.node(destination)
    fleet.node(source).virsh("migrate", "--live", guest, to.libvirt_uri(), f"tcp://{to.address}")


def first_sector(node, path):
    with open(node.path(path), "rb") as file:
        return file.read(512).split(b"\0")[0]


def assert_nothing_left(fleet):
    assert proc.find(fleet.name) == []
    assert not os.path.exists(f"{RUN}/{fleet.name}")
    assert not os.path.exists(f"{DATA}/{fleet.name}")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/mountinfo") as file:
                assert f"/{fleet.name}/" not in file.read(), f"process {pid} still has a mount of the fleet"
        except OSError:
            pass  # ended in the meantime, or a zombie


def test_hosts_are_separate_and_reach_each_other(fleet):
    kvm1, kvm2 = fleet.hosts()
    identities = {host.run(["virsh", "capabilities"]).stdout.split("<uuid>")[1].split("<")[0] for host in (kvm1, kvm2)}
    assert len(identities) == 2
    assert kvm1.virsh("-c", kvm2.libvirt_uri(), "hostname") == "kvm2"
    assert fleet.export.run(["hostname"]).stdout == "export1\n"
    assert "10.77.0.12 kvm2" in kvm1.read("/etc/hosts")
    with pytest.raises(LabError, match="expected one of switch, coord, kvm1, kvm2, export1"):
        fleet.node("kvm3")


def test_nothing_of_a_node_is_in_the_machine(fleet):
    fleet.node("kvm1").write("/etc/drover/here", "x")
    fleet.node("kvm1").write("/var/lib/here/too", "x")
    assert not os.path.exists("/etc/drover/here")
    assert not os.path.exists("/var/lib/here")
    assert not os.path.exists(fleet.node("kvm2").path("/etc/drover/here"))
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "kvm1" not in links and "fabric" not in links


def test_a_process_is_there_until_its_last_thread_has_ended(tmp_path):
    code = (
        "import ctypes, threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "print('ready', flush=True)\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"  # exit of the first thread alone: a zombie that still holds the process's files
    )
    process = proc.spawn(["/usr/bin/python3", "-c", code], str(tmp_path / "log"))
    wait_for(lambda: (tmp_path / "log").read_text() == "ready\n", 20, "the process to be ready")
    wait_for(lambda: proc.stat_fields(process.pid)[0] == b"Z", 20, "its first thread to end")
    assert process.alive()
    assert process.end(signal.SIGKILL)
    assert not process.alive()


@pytest.mark.parametrize(
    "script, told", [("exit 3", "sh: ended with status 3\n"), ("kill -SEGV $$", "sh: ended by signal 11 (Segmentation fault)\n"), ("exit 0", "")]
)
def test_the_log_says_how_a_daemon_ended(tmp_path, script, told):
    log = tmp_path / "log"
    process = proc.spawn_reaped([], images.reaper(), ["sh", "-c", script], str(log))
    wait_for(lambda: not process.alive(), 20, "it to end")
    wait_for(lambda: log.read_text() == told, 20, "the log to say how")


@pytest.mark.parametrize(
    "disk, format",
    [("none", "raw"), ("nfs", "raw"), ("iscsi", "raw"), ("gluster", "raw"), ("nfs", "qcow2"), ("iscsi", "qcow2"), ("gluster", "qcow2")],
)
def test_ticking_guest_migrates_live(fleet, disk, format):
    guest = fleet.guest_add("mover", on="kvm1", disks=[disk], format=format, dirty=5, tick_ms=100)
    with fleet.tick_watch("mover") as watch:
        watch.wait(3, host="kvm1")
        migrate(fleet, "mover")
        arrival = watch.wait(3, host="kvm2")
        gap, before, after = watch.largest_gap()
    assert gap > 0 and before.tick + 1 == after.tick
    report = fleet.tick_report("mover")
    assert report["missing"] == [] and report["doubled"] == [] and report["boots"] == 1
    assert fleet.node("kvm1").domains()["mover"] == "shut off"
    assert fleet.node("kvm2").domains()["mover"] == "running"
    serial = fleet.node("kvm2").read("/var/lib/libvirt/ticks/mover.log")
    assert "disk error" not in serial
    if (disk, format) == ("nfs", "raw"):
        path = guest.disks[0].source
        wait_for(lambda: int(first_sector(fleet.export, path).split()[1]) >= arrival.tick, 20, "the tick on the disk")


def test_guest_that_runs_twice_is_seen(fleet):
    kvm1, kvm2 = fleet.hosts()
    fleet.guest_add("twice", on="kvm1", tick_ms=50)
    fleet.tick_wait("twice", 3)
    kvm1.virsh("save", "twice", "/srv/gluster/twice")
    with fleet.tick_watch("twice") as watch:
        for host in (kvm1, kvm2):
            host.virsh("restore", "/srv/gluster/twice")
        watch.wait(3, host="kvm1")
        watch.wait(3, host="kvm2")
    report = fleet.tick_report("twice")
    assert report["boots"] == 1 and report["doubled"] != []
    os.unlink(kvm1.path("/srv/gluster/twice"))


@pytest.mark.parametrize(
    ("source", "destination", "missing", "doubled"),
    [
        ("boot tick_ms=100\ntick 9\ntick 1", "0\ntick 11\n", [], []),
        ("boot tick_ms=100\ntick 9\ntick 10", "\ntick 11\n", [], []),
        ("boot tick_ms=100\ntick 9\n", "tick 10\ntick 11\n", [], []),
        ("boot tick_ms=100\ntick 9\ntick 10", "tick 11\n", [10], []),
        ("boot tick_ms=100\ntick 9\ntick 10\n", "tick 10\ntick 11\n", [], [10]),
    ],
)
def test_a_tick_that_a_migration_cut_in_two_is_one(tmp_path, source, destination, missing, doubled):
    hosts = [SimpleNamespace(name=name, data_dir=tmp_path / name) for name in ("kvm1", "kvm2")]
    for host, said in zip(hosts, (source, destination)):
        (host.data_dir / "libvirt/ticks").mkdir(parents=True)
        (host.data_dir / "libvirt/ticks/vm.log").write_text(said)
    report = ticks.report(ticks.read(hosts, "vm"))
    assert (report["missing"], report["doubled"]) == (missing, doubled)


def test_shareable_disk_and_guest_that_starts_again(fleet):
    guest = fleet.guest_add("again", on="kvm1", disks=["gluster"], shareable=True, tick_ms=50)
    fleet.tick_wait("again", 5)
    kvm1 = fleet.node("kvm1")
    assert "<shareable/>" in kvm1.virsh("dumpxml", "again")
    kvm1.virsh("destroy", "again")
    left = int(first_sector(kvm1, guest.disks[0].source).split()[1])
    kvm1.virsh("start", "again")
    wait_for(lambda: fleet.tick_report("again")["boots"] == 2, 20, "the second boot")
    wait_for(lambda: f"disk_tick={left}\n" in kvm1.read("/var/lib/libvirt/ticks/again.log"), 20, f"disk_tick={left} in the log")


def test_local_disk_is_not_shared(fleet):
    fleet.guest_add("local", on="kvm1", disks=["local"])
    with pytest.raises(LabError, match="without shared storage"):
        migrate(fleet, "local")
    assert fleet.node("kvm1").domains()["local"] == "running"


def test_guest_dirties_its_working_set_only_when_asked(small_fleets):
    fleet = small_fleets("dirty")  # without an agent, which samples dirty rates, too: QEMU measures once at a time
    kvm1 = fleet.node("kvm1")

    def rate(guest):
        kvm1.virsh("domdirtyrate-calc", guest, "--seconds", "1")

        def measured():
            stats = dict(line.strip().split("=") for line in kvm1.virsh("domstats", guest, "--dirtyrate").splitlines() if "=" in line)
            return stats if stats.get("dirtyrate.calc_status") == "2" else None

        return int(wait_for(measured, 20, "a dirty rate")["dirtyrate.megabytes_per_second"])

    fleet.guest_add("idle", on="kvm1")
    fleet.guest_add("busy", on="kvm1", memory=128, dirty="max", working_set=96)
    fleet.tick_wait("busy", 2)
    assert rate("busy") > rate("idle") + 20


def test_linux_guest_is_reached_from_the_other_host(fleet):
    guest = fleet.guest_add("linux", on="kvm1", kind="linux", nic="br0", disks=["nfs"], tick_ms=200)
    ping = ["busybox", "ping", "-c", "1", "-W", "1", guest.address]
    fleet.tick_wait("linux", 3, deadline=60)
    wait_for(lambda: fleet.node("kvm2").run(ping), 20, "the guest's answer to kvm2")
    with fleet.tick_watch("linux") as watch:
        migrate(fleet, "linux")
        watch.wait(3, host="kvm2")
    wait_for(lambda: fleet.node("kvm1").run(ping), 20, "the guest's answer to kvm1")
    assert fleet.tick_report("linux")["doubled"] == []


def test_link_rate_and_cable(fleet):
    kvm1, kvm2 = fleet.hosts()
    ping = ["busybox", "ping", "-c", "1", "-W", "1", kvm2.address]
    fleet.link("kvm2", rate="200mbit")
    for node, device in ((kvm2, "eth0"), (fleet.switch, fleet.switch.port(kvm2))):
        assert "tbf" in node.run(["tc", "qdisc", "show", "dev", device]).stdout
    server = kvm2.popen(["busybox", "nc", "-l", "-p", "9999"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_for(lambda: kvm2.listening(9999), 10, "nc")
    kvm1.run(["sh", "-c", "head -c 8000000 /dev/zero | busybox nc 10.77.0.12 9999"])
    assert server.wait(timeout=20) == 0
    shaped = json.loads(fleet.switch.run(["tc", "-s", "-j", "qdisc", "show", "dev", fleet.switch.port(kvm2)]).stdout)[0]
    assert shaped["bytes"] > 8000000 and shaped["overlimits"] > 0
    fleet.link("kvm2", up=False)
    assert kvm1.run(ping, check=False).returncode == 1
    fleet.link("kvm2", clear=True)
    wait_for(lambda: kvm1.run(ping), 10, "kvm2's answer")
    assert "tbf" not in kvm2.run(["tc", "qdisc", "show", "dev", "eth0"]).stdout
    with pytest.raises(LabError, match="expected a number with kbit"):
        fleet.link("kvm2", rate="fast")


def test_guest_survives_its_libvirtd(fleet):
    kvm1 = fleet.node("kvm1")
    fleet.guest_add("survivor", on="kvm1", tick_ms=100)
    with fleet.tick_watch("survivor") as watch:
        watch.wait(1)
        kvm1.libvirtd_stop(signal.SIGKILL)
        watch.wait(3)
        kvm1.libvirtd_start()
        watch.wait(3)
    assert kvm1.domains()["survivor"] == "running"
    assert fleet.tick_report("survivor")["boots"] == 1


def test_heal_restarts_what_died(fleet):
    kvm1, export = fleet.node("kvm1"), fleet.export
    kvm1.bridge_add("br1")
    kvm1.process("libvirtd").kill(signal.SIGSTOP)
    for node, daemon in ((fleet.node("kvm2"), "libvirtd"), (export, "ganesha"), (export, "tgtd"), (export, "glusterd")):
        node.process(daemon).end(signal.SIGKILL)
    assert fleet.status()["state"] == "degraded"
    fleet.heal()
    assert fleet.status()["state"] == "up"
    assert kvm1.bridges() == ["br0"]
    for disk in ("nfs", "iscsi", "gluster"):
        fleet.guest_add(f"healed-{disk}", on="kvm2", disks=[disk])


def test_removing_a_guest_takes_everything_along(fleet):
    for kind in ("nfs", "iscsi", "gluster", "local"):
        guest = fleet.guest_add(f"gone-{kind}", on="kvm1", disks=[kind])
        fleet.tick_wait(guest.name, 1)
        fleet.guest_remove(guest.name)
        assert not os.path.exists(fleet.node("kvm1").path(f"/var/lib/libvirt/ticks/{guest.name}.log"))
    assert fleet.node("kvm1").domains() == {}
    for directory in ("/srv/nfs", "/srv/iscsi"):
        assert os.listdir(fleet.export.path(directory)) == []
    assert os.listdir(fleet.node("kvm1").path("/var/lib/libvirt/images")) == []
    assert fleet.export.run(["tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"]).stdout == ""
    with pytest.raises(LabError, match="no host of fleet"):
        fleet.guest_remove("gone-nfs")


def test_fleets_side_by_side(small_fleets):
    one, two = small_fleets("one"), small_fleets("two")
    for fleet in (one, two):
        fleet.guest_add("same", on="kvm1", tick_ms=100)
    two.tick_wait("same", 1)
    two.down()
    assert_nothing_left(two)
    with one.tick_watch("same") as watch:
        watch.wait(3)
    assert one.status()["state"] == "up"


@pytest.mark.parametrize("victim", ["libvirtd", "holder", "record"])
def test_down_after_a_crash_leaves_nothing(small_fleets, victim):
    fleet = small_fleets(victim, storage=victim == "holder")
    fleet.guest_add("orphan", on="kvm1")
    fleet.tick_wait("orphan", 1)
    if victim == "record":
        os.unlink(fleet.state.file)
    else:
        for process in (fleet.node("kvm1").process(victim), fleet.coordinator.process("holder")):
            process.end(signal.SIGKILL)
    assert Fleet(fleet.name).down() > 0
    assert_nothing_left(fleet)
    assert Fleet(fleet.name).down() == 0


def test_up_over_what_a_killed_up_left(small_fleets, lab):
    name = f"test-{os.getpid()}-killed"
    half = Fleet(name)
    up = subprocess.Popen([lab, "--fleet", name, "up", "--hosts", "1", "--no-programs", "--no-storage"], stdout=subprocess.DEVNULL)
    wait_for(lambda: half.state.load().get("processes", {}).get("kvm1"), 20, "the first node", poll=0.001)
    up.kill()
    up.wait()
    fleet = small_fleets("killed")
    assert fleet.status()["state"] == "up"
    with pytest.raises(LabError, match="up already"):
        fleet.up(hosts=1)
    fleet.down()
    assert_nothing_left(fleet)


def test_command_line(fleet, lab):
    def run(*arguments):
        return subprocess.run([lab, "--fleet", fleet.name, *arguments], capture_output=True, text=True, timeout=60)

    status = json.loads(run("status", "--json").stdout)[0]
    assert status["state"] == "up" and {node["name"] for node in status["nodes"]} >= {"kvm1", "kvm2", "export1", "coord"}
    assert run("guest", "add", "cli", "--on", "kvm1", "--disk", "nfs", "--disk", "iscsi", "--tick-ms", "100").returncode == 0
    listed = json.loads(run("guest", "list", "--json").stdout)
    assert [(guest["name"], guest["hosts"]) for guest in listed] == [("cli", {"kvm1": "running"})]
    fleet.tick_wait("cli", 2)
    assert "missing on every host: none" in run("guest", "ticks", "cli").stdout
    assert run("exec", "kvm1", "sh", "-c", "exit 7").returncode == 7
    for arguments, text in (
        (("guest", "add", "cli", "--on", "kvm1"), "exists already"),
        (("guest", "add", "other", "--on", "export1"), "expected one of kvm1, kvm2"),
        (("guest", "add", "other", "--on", "kvm1", "--dirty", "5", "--working-set", "60"), "give it more memory"),
        (("guest", "add", "other", "--on", "kvm1", "--nic", "br7"), "has no bridge br7"),
        (("up",), "is up already"),
    ):
        done = run(*arguments)
        assert done.returncode == 1 and text in done.stderr
    assert run("guest", "remove", "cli").returncode == 0
    refused = subprocess.run([lab, "--fleet", "No", "status"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "expected 1 to 32 characters" in refused.stderr
