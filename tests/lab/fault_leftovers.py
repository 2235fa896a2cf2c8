"""What a migration may leave behind in files: nothing, but the guest's disks where the guest is."""

import json
import os

from lablib import LabError
from lablib.export import NFS
from lablib.kvmhost import IMAGES
from lablib.programs import STATE

ROLES = {1: "source", 2: "destination"}


def images(fleet):
    """{(node, path)} of all that is beside the guests' disks: images, drafts of copies (.drover-*), what a probe has written."""
    return {
        (node.name, f"{directory}/{name}") for nodes, directory in ((fleet.hosts(), IMAGES), ([fleet.export], NFS)) for node in nodes
        for name in (os.listdir(node.path(directory)) if os.path.isdir(node.path(directory)) else [])
    }


def check_images(fleet, before, moved, left):
    """`moved`: None, or (source, destination) of a guest whose disks were copied, and those of the source are kept as `left`."""
    expected = set(before)
    if moved:
        source, destination = moved
        own = {(node, path) for node, path in before if node == source and ".moved-" not in path}  # else an earlier case's
        expected = expected - own | {(destination, path) for _, path in own} | {(source, path) for path in left}
    now = images(fleet)
    if now != expected:
        raise LabError(f"images left over: {sorted(now - expected)}; missing: {sorted(expected - now)}")


def check_state(fleet):
    """No probe is noted at an agent, nothing is closed to a host."""
    for node in fleet.agents():
        probes = node.path(f"{STATE}/probes")
        noted = os.listdir(probes) if os.path.isdir(probes) else []
        if noted:
            raise LabError(f"{node.name} still has notes of probes: {noted}")
    listed = fleet.drover("fence", "list", "--json", check=False, timeout=20)
    if listed.returncode != 0 or json.loads(listed.stdout).get("fences"):
        raise LabError(f"closed to a host: {listed.stdout}{listed.stderr}")


def records(host):
    """(transaction, role, state) of the agent's records: a line that says what they are, then a protobuf message."""
    directory = host.path("/var/lib/drover-agent/transactions")
    for name in sorted(os.listdir(directory)):
        if len(name) != 36:
            continue
        with open(f"{directory}/{name}", "rb") as file:
            file.readline()
            fields = dict(message_fields(file.read()))
        yield name, ROLES.get(fields.get(2), "?"), fields.get(3, b"").decode()


def steps(host):
    """{transaction: (guest, generation)} of the agent's records."""
    directory = host.path("/var/lib/drover-agent/transactions")
    found = {}
    for name, _, _ in records(host):
        with open(f"{directory}/{name}", "rb") as file:
            file.readline()
            step = dict(message_fields(dict(message_fields(file.read()))[1]))
        found[name] = (step[2].decode(), step[3])
    return found


def message_fields(data):
    """(number, value) of a protobuf message: varints as numbers, the rest as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = varint() if kind == 2 else 8 if kind == 1 else 4
        yield key >> 3, data[at:at + size]
        at += size
