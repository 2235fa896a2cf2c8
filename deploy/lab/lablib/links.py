"""The network between the nodes: a namespace with two bridges, and one veth pair per node and bridge.

"fabric" carries everything between hosts, "guests" is the layer 2 that the guests' bridges share. No interface is in
the machine's own network namespace, so that fleets don't see each other and can use the same addresses.
"""

import re

from .errors import LabError
from .namespaces import Node

FABRIC = "fabric"
GUESTS = "guests"
_PREFIX = {FABRIC: "f", GUESTS: "g"}
_INSIDE = {FABRIC: "eth0", GUESTS: "eth1"}


def parse_rate(text):
    """Bits per second from a rate as tc writes it: 200mbit, 1gbit, 12500kbit."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(k|m|g)bit", text)
    if not match or float(match[1]) == 0:
        raise LabError(f"rate '{text}': expected a number with kbit, mbit or gbit, like 200mbit")
    return int(float(match[1]) * {"k": 1e3, "m": 1e6, "g": 1e9}[match[2]])


class Switch(Node):
    """The namespace with the bridges."""

    roles = ("switch",)

    def create(self):
        super().create()
        lines = []
        for bridge in (FABRIC, GUESTS):
            lines.append(f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
            lines.append(f"link set {bridge} up")
        self.ip(lines)

    def ip(self, lines):
        self.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")

    def port(self, node, network=FABRIC):
        """The switch's interface that leads to a node."""
        return f"{_PREFIX[network]}-{node.name}"

    def connect(self, node, network=FABRIC, device=None):
        """Gives the node an interface in a network: eth0 in the fabric, eth1 in the guests' one; device: a further one of that name."""
        port = self.port(node, network) + (f"-{device}" if device else "")
        self.ip([
            f"link add {port} type veth peer name {device or _INSIDE[network]} netns {node.holder().pid}",
            f"link set {port} master {network}",
            f"link set {port} up",
        ])

    def rate(self, node, rate, network=FABRIC):
        """Limits what the node sends and receives. rate: like 200mbit."""
        bits = parse_rate(rate)
        # A burst of 10 ms, and never less than what veth passes on in one piece (68,130 bytes were seen): one that waits when the rate
        # is lowered, and is larger than the new burst, would never go out, nor anything after it.
        burst = max(bits // 8 // 100, 131072)
        qdisc = ["root", "tbf", "rate", f"{bits}bit", "burst", str(burst), "latency", "50ms"]
        self.run(["tc", "qdisc", "replace", "dev", self.port(node, network), *qdisc])
        node.run(["tc", "qdisc", "replace", "dev", _INSIDE[network], *qdisc])

    def down(self, node, network=FABRIC):
        """Pulls the node's cable."""
        self.ip([f"link set {self.port(node, network)} down"])

    def up(self, node, network=FABRIC):
        self.ip([f"link set {self.port(node, network)} up"])

    def clear(self, node, network=FABRIC):
        """Takes back what rate() and down() did."""
        self.up(node, network)
        # Without a qdisc there is nothing to delete, which is what was asked for.
        self.run(["tc", "qdisc", "del", "dev", self.port(node, network), "root"], check=False)
        node.run(["tc", "qdisc", "del", "dev", _INSIDE[network], "root"], check=False)
