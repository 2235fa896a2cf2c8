"""A probe can't harm: agents are killed in the middle of each, and then everything is as it was before."""

import os

import pytest
from checks import left_behind
from lablib import wait_for

IMAGES, GLUSTER = "/var/lib/libvirt/images", "/srv/gluster"


def done(*kinds):
    return [f"agent.PROBE_{kind}.done" for kind in kinds]


# Of a probe that makes something, each step; of one that only looks, when it has looked and has not answered yet.
INSTANTS = {
    "kvm1": ["agent.probe.nonce.recorded", "agent.probe.nonce.made", "agent.PROBE_NONCE_REMOVE.begun", "agent.probe.nonce.removed",
             "agent.PROBE_LAYER2_SEND.begun", *done("NONCE_WRITE", "IMAGE", "ISCSI_IDENTITY", "PORT_CONNECT")],
    "kvm2": ["agent.PROBE_PORT_CLOSE.begun", *done("PORT_OPEN", "NONCE_READ", "LAYER2_LISTEN", "IMAGE", "CPU_COMPARE", "ISCSI_IDENTITY")],
    "export1": ["agent.PROBE_NONCE_FIND.begun", *done("NONCE_FIND")],
}


def state_of_disks(fleet):
    """What would change if something wrote to a disk, or beside one: content and times of all that lies where images lie."""
    found = {}
    for name, directories in (("kvm1", (IMAGES, GLUSTER)), ("kvm2", (IMAGES,)), ("export1", ("/srv/nfs", "/srv/iscsi"))):
        node = fleet.node(name)
        for directory in directories:
            listed = node.run(["find", directory, "-type", "f", "-printf", "%p %s %T@ %i %m %U\\n"]).stdout
            sums = node.run(["sh", "-c", f"find {directory} -type f -exec sha256sum {{}} +"]).stdout
            found[name, directory] = (sorted(listed.splitlines()), sorted(sums.splitlines()))
    return found


def listens_in_the_range(node):
    return [port for port in range(49152, 49216) if node.listening(port)]


@pytest.mark.parametrize("name", INSTANTS)
def test_an_agent_killed_in_mid_probe_leaves_all_as_it_was(fleet, drover, name):
    programs, node = fleet.programs, fleet.node(name)
    if not programs.has_failpoints():
        pytest.skip("needs programs that were built with failpoints")
    fleet.guest_add("web1", on="kvm1", disks=["nfs", "iscsi", "gluster", "local"], nic="br0")
    fleet.tick_wait("web1")
    fleet.node("kvm1").virsh("suspend", "web1")  # a guest that runs writes to its disks itself
    wait_for(lambda: "paused" in drover("vms").stdout, 20, "the coordinator to know that web1 is paused")
    before = state_of_disks(fleet)
    for instant in INSTANTS[name]:
        gone = programs.failpoint(node, instant)
        drover("check", "web1", "--to", "kvm2", check=False)
        wait_for(lambda: not os.path.exists(gone), 20, f"the agent of {name} to be killed at {instant}")
        wait_for(lambda: not node.running("agent"), 20, "it to be gone")
        for host in fleet.hosts():
            wait_for(lambda host=host: not listens_in_the_range(host), 20, f"no port to be open on {host.name} after {instant}")
        programs.agent_start(node)
        programs.sessions_wait()
        wait_for(lambda: left_behind(fleet) == [], 30, f"nothing to be left after {instant}")
        assert state_of_disks(fleet) == before, instant
    assert fleet.node("kvm1").domains() == {"web1": "paused"}
