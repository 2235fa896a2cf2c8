"""Guests on networks of libvirt's, and in VLANs."""

import pytest
from checks import assert_goes_on, assert_runs_only_on, check, edited, heavy, wait_for_heavy
from lablib import wait_for


def interface(text):
    return f"{text}</devices>"


@pytest.fixture
def networks(fleet, undo):
    """networks(name, host=xml): a network of that name on these hosts; it is gone when the test ends."""

    def define(name, **xml):
        for host, text in xml.items():
            node = fleet.node(host)
            node.write("/run/network.xml", f"<network><name>{name}</name>{text}</network>")
            node.virsh("net-define", "/run/network.xml")
            undo(lambda node=node: (node.virsh("net-destroy", name, check=False), node.virsh("net-undefine", name)))
            node.virsh("net-start", name)

    yield define
    fleet.guests_clear()


BRIDGED = "<forward mode='bridge'/><bridge name='br0'/>"
LAN = interface("<interface type='network'><source network='lan'/><model type='virtio'/></interface>")


def test_a_guest_on_a_network_that_is_a_bridge(fleet, drover, networks):
    networks("lan", kvm1=BRIDGED, kvm2=BRIDGED)
    kvm1, kvm2 = fleet.hosts()
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], tick_ms=100, off=True)
    edited(fleet, "web1", ("</devices>", LAN))
    kvm1.virsh("start", "web1")
    fleet.tick_wait("web1")
    # So libvirt tells it while the guest runs, which is what is to be seen through here.
    live = kvm1.virsh("dumpxml", "web1")
    assert "<interface type='bridge'>" in live and "network='lan'" in live, live
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the networks to be seen as one")
    drover("migrate", "web1", "--to", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    assert "<source network='lan'/>" in kvm2.virsh("dumpxml", "--inactive", "web1")


def configure(fleet, text):
    fleet.coordinator.write("/etc/drover/coordinator.yaml", text)
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()


def test_a_running_guest_goes_to_the_network_that_the_mapping_names(fleet, drover, networks, undo):
    networks("lan", kvm1=BRIDGED)
    networks("lan2", kvm2=BRIDGED)
    kvm1, kvm2 = fleet.hosts()
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], tick_ms=100, off=True)
    edited(fleet, "web1", ("</devices>", LAN))
    kvm1.virsh("start", "web1")
    fleet.tick_wait("web1")
    wait_for_heavy(drover, "web1", {"network": "block"})
    plain = fleet.programs.coordinator_config()
    undo(lambda: configure(fleet, plain))
    configure(fleet, plain + "mappings:\n  - {from: kvm1, to: kvm2, both: true, networks: [{from: lan, to: lan2}]}\n")
    wait_for_heavy(drover, "web1", {})
    drover("migrate", "web1", "--to", "kvm2")
    assert_runs_only_on(fleet, "web1", "kvm2")
    assert_goes_on(fleet, "web1", "kvm2")
    for inactive in ((), ("--inactive",)):
        assert "network='lan2'" in kvm2.virsh("dumpxml", *inactive, "web1")
    assert kvm2.virsh("net-port-list", "lan2")  # the network gave it its place


def test_networks_without_a_bridge_are_believed(fleet, drover, networks):
    """Macvtap pools: nothing tells that eth1 is on the same network on both hosts."""
    pool = "<forward mode='bridge'><interface dev='eth1'/></forward>"
    networks("pool", kvm1=pool, kvm2=pool)
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    edited(fleet, "web1", ("</devices>", interface("<interface type='network'><source network='pool'/></interface>")))
    wait_for_heavy(drover, "web1", {"interface-kind": "warn"})
    assert "pool has no bridge on kvm1 and kvm2" in check(drover, "web1")["interface-kind"]["seen"]


def test_vlans_are_not_proven(fleet, drover, networks):
    tagged = "<forward mode='bridge'/><bridge name='br0'/><virtualport type='openvswitch'/><portgroup name='web'><vlan><tag id='42'/></vlan></portgroup>"
    networks("ovs", kvm1=tagged, kvm2=tagged)
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], off=True)
    edited(fleet, "web1", ("</devices>", interface("<interface type='network'><source network='ovs' portgroup='web'/></interface>")))
    wait_for_heavy(drover, "web1", {"vlan-unproven": "warn"})
    assert "VLAN 42" in check(drover, "web1")["vlan-unproven"]["seen"]
