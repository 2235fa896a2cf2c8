"""Probes and inspection, asked of the agents themselves as the coordinator would."""

import glob
import os
import signal
import subprocess
import time
import uuid

import pytest
from checks import left_behind
from conftest import BUILD
from lablib import proc, wait_for

WRITE, READ, FIND, REMOVE, LISTEN, SEND, OPEN, CONNECT, CLOSE, LIBVIRT, CLOCK, IMAGE = range(1, 13)
GLUSTER = "/srv/gluster"
LOCAL = "/var/lib/libvirt/images"
PROGRAM = f"{BUILD}/tests/lab/agent_call"


class Answer(dict):
    """The top-level fields of an answer printed by agent_call; a repeated one has its last value. `text`: all of it."""

    def __init__(self, text):
        super().__init__(line.split(": ", 1) for line in text.splitlines() if line[:1] not in ("", " ") and ": " in line)
        self.text = text

    @property
    def outcome(self):
        return self.get("outcome", "PROBE_UNDECIDED")[len("PROBE_"):]


class Agents:
    def __init__(self, fleet):
        self.fleet = fleet

    def _argv(self, on, method, fields):
        pki = self.fleet.programs.pki
        words = [f"{key}={one}" for key, value in fields.items() for one in (value if isinstance(value, list) else [value])]
        address = self.fleet.node(on).address
        return [PROGRAM, f"tls+tcp://{address}:7460", f"{pki}/ca.pem", f"{pki}/coordinator-main.pem", method, *words]

    def begin(self, on, kind, **fields):
        return self.fleet.coordinator.popen(
            self._argv(on, "Probe", {"kind": kind, **fields}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def probe(self, on, kind, **fields):
        return Answer(self.fleet.coordinator.run(self._argv(on, "Probe", {"kind": kind, **fields}), timeout=60).stdout)

    def inspect(self, on, **fields):
        return Answer(self.fleet.coordinator.run(self._argv(on, "Inspect", fields), timeout=60).stdout)


@pytest.fixture
def agents(fleet):
    if not os.path.exists(PROGRAM) or not fleet.has_programs:
        pytest.fail(f"{BUILD} has no programs of Drover: build them, or set DROVER_BUILD")
    return Agents(fleet)


def nonce():
    return str(uuid.uuid4())


def test_shared_storage_is_proven_three_ways_and_left_clean(fleet, agents):
    one, image = nonce(), f"{GLUSTER}/vm.img"
    assert agents.probe("kvm1", WRITE, nonce=one, path=image).outcome == "PROVEN"
    read = agents.probe("kvm2", READ, nonce=one, path=image)
    assert read.outcome == "PROVEN", read.text
    assert read["writable"] == "yes"
    assert "fs_type: fuse.glusterfs" in read.text
    found = agents.probe("export1", FIND, nonce=one)
    assert found.outcome == "PROVEN", found.text
    assert found["export_name"] == "gv0"
    assert found["found"].startswith("/srv/brick/")
    assert agents.probe("kvm1", REMOVE, nonce=one)["removed"] == "yes"
    assert left_behind(fleet) == []


def test_local_directories_of_one_name_are_found_out(fleet, agents):
    one, image = nonce(), f"{LOCAL}/vm.img"
    assert agents.probe("kvm1", WRITE, nonce=one, path=image).outcome == "PROVEN"
    read = agents.probe("kvm2", READ, nonce=one, path=image, wait=300)
    assert (read.outcome, read["reason"]) == ("REFUTED", "absent")
    found = agents.probe("export1", FIND, nonce=one)
    assert (found.outcome, found["reason"]) == ("REFUTED", "absent")
    agents.probe("kvm1", REMOVE, nonce=one)
    assert left_behind(fleet) == []


def test_a_mount_that_is_read_only_is_found_out(fleet, agents):
    kvm2 = fleet.node("kvm2")
    kvm2.run(["mount", "-o", "remount,bind,ro", GLUSTER])
    one, image = nonce(), f"{GLUSTER}/vm.img"
    try:
        assert agents.probe("kvm1", WRITE, nonce=one, path=image).outcome == "PROVEN"
        read = agents.probe("kvm2", READ, nonce=one, path=image)
        assert read.outcome == "PROVEN"
        assert "writable" not in read
        write = agents.probe("kvm2", WRITE, nonce=nonce(), path=image)
        assert (write.outcome, write["reason"]) == ("UNDECIDED", "read-only")
    finally:
        kvm2.run(["mount", "-o", "remount,bind,rw", GLUSTER])
        agents.probe("kvm1", REMOVE, nonce=one)
    assert left_behind(fleet) == []


def test_an_agent_killed_in_mid_probe_leaves_nothing(fleet, agents):
    one = nonce()
    kvm1 = fleet.node("kvm1")
    assert agents.probe("kvm1", WRITE, nonce=one, path=f"{GLUSTER}/vm.img").outcome == "PROVEN"
    assert agents.probe("kvm1", WRITE, nonce=nonce(), path=f"{LOCAL}/vm.img").outcome == "PROVEN"
    # What a kill between the two durable steps leaves: a record without a file.
    inode = kvm1.run(["stat", "-c", "%i", LOCAL]).stdout.strip()
    kvm1.write(f"/var/lib/drover-agent/probes/{nonce()}", f"{inode} {LOCAL}\n")
    assert len(left_behind(fleet)) >= 5
    fleet.programs.agent_stop(kvm1, signal.SIGKILL)
    fleet.programs.agent_start(kvm1)
    wait_for(lambda: left_behind(fleet) == [], 20, "the restarted agent to remove what its predecessor left")
    # Two files in one directory were one after the other: that one had to wait holds up nothing later.
    assert agents.probe("kvm1", WRITE, nonce=nonce(), path=f"{GLUSTER}/vm.img", lease=1).outcome == "PROVEN"
    wait_for(lambda: left_behind(fleet) == [], 20, "the lease of the next file to end")
    fleet.programs.sessions_wait()


def test_killed_at_any_moment_of_writing(fleet, agents):
    kvm1 = fleet.node("kvm1")
    for _ in range(8):
        writers = [agents.begin("kvm1", WRITE, nonce=nonce(), path=f"{GLUSTER}/vm.img") for _ in range(4)]
        records = f"{kvm1.path('/var/lib/drover-agent')}/probes"
        wait_for(lambda: os.path.isdir(records) and os.listdir(records), 20, "a probe to begin", poll=0.0005)
        fleet.programs.agent_stop(kvm1, signal.SIGKILL)
        for writer in writers:  # before there is an agent again: it would take what was not sent yet
            writer.kill()
            writer.wait()
        fleet.programs.agent_start(kvm1)
        wait_for(lambda: left_behind(fleet) == [], 20, "nothing to be left")
    fleet.programs.sessions_wait()


def test_a_lease_ends_what_nobody_removes(fleet, agents):
    agents.probe("kvm1", WRITE, nonce=nonce(), path=f"{GLUSTER}/vm.img", lease=1)
    opened = agents.probe("kvm2", OPEN, nonce=nonce(), lease=1)
    assert opened.outcome == "PROVEN"
    wait_for(lambda: left_behind(fleet) == [], 20, "the lease of the file to end")
    wait_for(lambda: not fleet.node("kvm2").listening(int(opened["port"])), 20, "the lease of the port to end")


def test_an_agent_that_stops_takes_its_files_along(fleet, agents):
    kvm1 = fleet.node("kvm1")
    assert agents.probe("kvm1", WRITE, nonce=nonce(), path=f"{GLUSTER}/vm.img").outcome == "PROVEN"
    assert fleet.programs.agent_stop(kvm1)
    assert left_behind(fleet) == []
    fleet.programs.agent_start(kvm1)
    fleet.programs.sessions_wait()


def gluster_clients(fleet, node):
    """The processes behind a host's GlusterFS mount."""
    return [process.pid for process, words in proc.find(fleet.state.name)
            if words[2] == node.name and os.path.basename(os.readlink(f"/proc/{process.pid}/exe")).startswith("glusterfs")]


def test_storage_that_hangs_holds_up_neither_the_answer_nor_the_agent(fleet, agents):
    clients = gluster_clients(fleet, fleet.node("kvm2"))
    assert clients
    for pid in clients:
        os.kill(pid, signal.SIGSTOP)
    try:
        def read():
            answer = agents.probe("kvm2", READ, nonce=nonce(), path=f"{GLUSTER}/vm.img", wait=300)
            assert answer.outcome == "UNDECIDED", answer.text
            return answer["reason"]

        assert read() == "timeout"
        wait_for(lambda: read() == "stale", 10, "nobody to be sent after those who hang")
        mounts = agents.inspect("kvm2", mounts=1).text
        assert "did not answer within" in mounts
        assert agents.probe("kvm2", CLOCK).outcome == "PROVEN"
    finally:
        for pid in clients:
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: agents.probe("kvm2", READ, nonce=nonce(), path=f"{GLUSTER}/vm.img", wait=300).get("reason") == "absent", 30,
             "the storage to answer again")
    assert left_behind(fleet) == []


def layer2(agents, bridge_to):
    one = nonce()
    listener = agents.begin("kvm2", LISTEN, nonce=one, bridge=bridge_to, wait=3000)
    agents.probe("kvm1", SEND, nonce=one, bridge="br0", wait=3000 if bridge_to != "br0" else 1500)
    return Answer(listener.communicate(timeout=60)[0])


def test_bridges_of_one_network_and_of_two(fleet, agents):
    kvm2 = fleet.node("kvm2")
    heard = layer2(agents, "br0")
    assert heard.outcome == "PROVEN", heard.text
    assert heard["source"] == fleet.node("kvm1").read("/sys/class/net/br0/address").strip()
    kvm2.run(["ip", "link", "add", "brx", "type", "bridge"])
    try:
        down = layer2(agents, "brx")
        assert (down.outcome, down["reason"]) == ("REFUTED", "down")
        kvm2.run(["ip", "link", "set", "brx", "up"])
        apart = layer2(agents, "brx")
        assert (apart.outcome, apart["reason"]) == ("REFUTED", "timeout")
    finally:
        kvm2.run(["ip", "link", "delete", "brx"])
    gone = layer2(agents, "brx")
    assert (gone.outcome, gone["reason"]) == ("REFUTED", "no-bridge")


def test_migration_ports_open_closed_and_all_taken(fleet, agents):
    one, kvm2 = nonce(), fleet.node("kvm2")
    opened = agents.probe("kvm2", OPEN, nonce=one)
    assert (opened.outcome, opened["ports_total"]) == ("PROVEN", "64")
    reach = {"nonce": one, "address": kvm2.address, "port": opened["port"]}
    assert agents.probe("kvm1", CONNECT, **reach).outcome == "PROVEN"
    rules = f"table inet lab {{ chain in {{ type filter hook input priority 0; tcp dport {opened['port']} drop\n}}\n}}\n"
    kvm2.run(["nft", "-f", "-"], input=rules)
    try:
        dropped = agents.probe("kvm1", CONNECT, wait=500, **reach)
        assert (dropped.outcome, dropped["reason"]) == ("REFUTED", "timeout")
        assert "filters: YES" in agents.inspect("kvm2", host=1).text
    finally:
        kvm2.run(["nft", "delete", "table", "inet", "lab"])
    full = agents.probe("kvm2", OPEN, nonce=nonce(), port_min=opened["port"], port_max=opened["port"])
    assert (full.outcome, full["reason"]) == ("REFUTED", "range-full")
    agents.probe("kvm2", CLOSE, nonce=one)
    closed = agents.probe("kvm1", CONNECT, **reach)
    assert (closed.outcome, closed["reason"]) == ("REFUTED", "refused")


def test_libvirts_port(fleet, agents):
    kvm2 = fleet.node("kvm2")
    assert agents.probe("kvm1", LIBVIRT, url=kvm2.libvirt_uri()).outcome == "PROVEN"
    other = agents.probe("kvm1", LIBVIRT, url=f"qemu+tcp://{kvm2.address}:1/system")
    assert (other.outcome, other["reason"]) == ("REFUTED", "refused")


def test_images_that_qemu_reaches_by_itself(fleet, agents):
    fleet.guest_add("vm1", on="kvm1", disks=["nfs", "iscsi"])
    exports = agents.inspect("export1", exports=1).text
    assert "server: ganesha" in exports and "server: tgt" in exports and "server: glusterd" in exports
    export1 = fleet.node("export1")
    [file] = [name for name in glob.glob(f"{export1.path('/srv/nfs')}/**", recursive=True) if os.path.isfile(name)]
    name = os.path.relpath(file, export1.path("/srv/nfs"))
    url = f"nfs://{export1.address}/srv/nfs/{name}"
    for host in ("kvm1", "kvm2"):
        image = agents.probe(host, IMAGE, url=url)
        assert image.outcome == "PROVEN", image.text
    gone = agents.probe("kvm2", IMAGE, url=f"nfs://{export1.address}/srv/nfs/none.img")
    assert gone.outcome == "REFUTED"
    fleet.guest_remove("vm1")


def test_facts_of_a_host(fleet, agents):
    text = agents.inspect("kvm1", host=1).text
    assert f"resolves: {fleet.node('kvm1').address}" in text
    assert "names: drover://agent/kvm1" in text
    assert "filters: NO" in text
    before = time.time() * 1e6
    clock = int(agents.probe("kvm1", CLOCK)["realtime_us"])
    assert before <= clock <= time.time() * 1e6


@pytest.mark.parametrize("fields", [
    {"kind": 99}, {"kind": WRITE, "path": "/x"}, {"kind": WRITE, "nonce": "../../etc/passwd", "path": "/x"},
    {"kind": WRITE, "nonce": nonce(), "path": "relative"}, {"kind": WRITE, "nonce": nonce(), "path": "/srv/../etc/x"},
    {"kind": FIND, "nonce": nonce(), "relative": "../.."}, {"kind": LISTEN, "nonce": nonce(), "bridge": "a/b"},
    {"kind": OPEN, "nonce": nonce(), "port_min": 9, "port_max": 8}, {"kind": CONNECT, "address": "10.77.0.12", "port": 0},
])
def test_wrong_requests_are_refused(agents, fields):
    refused = agents.fleet.coordinator.run(agents._argv("kvm1", "Probe", fields), check=False, timeout=60)
    assert refused.returncode == 1
    assert "INVALID_ARGUMENT" in refused.stderr or "UNIMPLEMENTED" in refused.stderr


def test_nothing_is_written_to_or_beside_devices(agents):
    for path in ("/dev/vda", "/dev/null", "/sys/x", "/proc/x"):
        refused = agents.probe("kvm1", WRITE, nonce=nonce(), path=path)
        assert (refused.outcome, refused["reason"]) == ("NOT_APPLICABLE", "is-device")
