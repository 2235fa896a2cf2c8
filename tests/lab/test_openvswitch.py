"""Bridges of Open vSwitch: the real one, with its datapath in user space."""

import pytest
from checks import assert_goes_on, assert_runs_only_on, check, document, edited, heavy, wait_for_finding
from lablib import wait_for

RUN = "/run/openvswitch"
SOCKET = f"unix:{RUN}/db.sock"
NIC = "<interface type='bridge'><source bridge='ovsbr0'/><virtualport type='openvswitch'/><model type='virtio'/></interface></devices>"


def begin(host):
    """ovsbr0, with the uplink that br0 has otherwise."""
    host.run(["mkdir", "-p", RUN, "/etc/openvswitch"])
    host.run(["rm", "-f", "/etc/openvswitch/conf.db"])
    host.run(["ovsdb-tool", "create", "/etc/openvswitch/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"])
    host.start("ovsdb", ["ovsdb-server", "/etc/openvswitch/conf.db", f"--remote=p{SOCKET}", f"--pidfile={RUN}/ovsdb-server.pid"])
    host.expect("ovsdb", lambda: host.run(["ovs-vsctl", "--no-wait", "init"], check=False).returncode == 0, 20, "ovsdb-server")
    host.start("vswitchd", ["ovs-vswitchd", "--disable-system", SOCKET, f"--pidfile={RUN}/ovs-vswitchd.pid"])
    host.run(["ip", "link", "set", "eth1", "nomaster"])
    host.run(["ovs-vsctl", "--timeout=20", "add-br", "ovsbr0", "--", "set", "bridge", "ovsbr0", "datapath_type=netdev", "--", "add-port", "ovsbr0", "eth1"])
    host.run(["ip", "link", "set", "ovsbr0", "up"])


def end(host):
    host.run(["ovs-vsctl", "--timeout=20", "del-br", "ovsbr0"], check=False)
    for daemon in ("vswitchd", "ovsdb"):
        host.stop(daemon)
    host.run(["sh", "-c", f"rm -rf {RUN}; ip link set eth1 master br0 up"])


@pytest.fixture
def switches(fleet, undo):
    for host in fleet.hosts():
        undo(lambda host=host: end(host))
        begin(host)
    undo(fleet.guests_clear)


def test_a_guest_on_open_vswitch(fleet, drover, switches):
    kvm1, kvm2 = fleet.hosts()
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], tick_ms=100, off=True)
    edited(fleet, "web1", ("</devices>", NIC))
    kvm1.virsh("start", "web1")
    fleet.tick_wait("web1")
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the bridges to be seen as one network")

    def ports():
        hosts = {host["host"]: host for host in document(drover("networks", "--json"))["hosts"]}
        found = {bridge["name"]: bridge for bridge in hosts["kvm1"]["bridges"]}
        return found["ovsbr0"]["kind"] == "openvswitch" and [(port["name"][:4], port.get("guest")) for port in found["ovsbr0"]["ports"]]

    wait_for(lambda: ports() == [("eth1", None), ("vnet", "web1")], 20, "the guest's tap on ovsbr0")
    kvm2.run(["ovs-vsctl", "--timeout=20", "del-port", "ovsbr0", "eth1"])
    assert heavy(check(drover, "web1")) == {"bridge-segment": "block"}
    kvm2.run(["ovs-vsctl", "--timeout=20", "add-port", "ovsbr0", "eth1"])
    drover("migrate", "web1", "--to", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    assert "vnet" in kvm2.run(["ovs-vsctl", "list-ports", "ovsbr0"]).stdout
    drover("migrate", "web1", "--to", "kvm1")
    kvm2.run(["ovs-vsctl", "--timeout=20", "del-br", "ovsbr0"])
    assert "bridge" in heavy(wait_for_finding(drover, "web1", "bridge"))
