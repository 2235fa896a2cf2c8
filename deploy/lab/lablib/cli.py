"""The lab command: words to calls of Fleet, results to text."""

import argparse
import json
import os
import sys
import time

from . import images
from .errors import LabError
from .fleet import Fleet, fleets
from .guests import DISKS, FORMATS, KINDS
from .links import FABRIC, GUESTS


def _parser():
    parser = argparse.ArgumentParser(
        prog="lab", description="A fleet of KVM hosts on one machine, each in namespaces of its own.",
        epilog="Nodes: kvm1, kvm2, ... (10.77.0.11, ...), export1 (10.77.0.20), coord (10.77.0.5), switch.",
    )
    parser.add_argument("--fleet", default="lab", metavar="NAME", help="which fleet (default: lab); fleets don't see each other")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="raise the fleet")
    up.add_argument("--hosts", type=int, default=2, metavar="N", help="number of KVM hosts (default: 2)")
    up.add_argument("--programs", metavar="DIR", help="build directory with Drover's programs (default: build, if they are there)")
    up.add_argument("--no-programs", action="store_true", help="only hosts and storage")
    up.add_argument("--no-storage", action="store_true", help="no export1, no shared disks")

    _guest_parser(commands.add_parser("guest", help="guests: add, remove, list, ticks, watch"))

    execute = commands.add_parser("exec", help="run a command in a node", description="Without CMD, a shell.")
    execute.add_argument("node")
    execute.add_argument("cmd", nargs=argparse.REMAINDER, metavar="CMD...")

    link = commands.add_parser("link", help="limit or cut a node's network")
    link.add_argument("node")
    link.add_argument("--network", choices=(FABRIC, GUESTS), default=FABRIC, help="between hosts (default), or between guests")
    what = link.add_mutually_exclusive_group(required=True)
    what.add_argument("--rate", help="bandwidth in each direction, like 200mbit")
    what.add_argument("--down", action="store_true", help="pull the cable")
    what.add_argument("--up", action="store_true", help="plug it in again")
    what.add_argument("--clear", action="store_true", help="no limit, cable plugged in")

    bridge = commands.add_parser("bridge", help="make a bridge on a KVM host, without uplink")
    bridge.add_argument("node")
    bridge.add_argument("name")
    bridge.add_argument("--remove", action="store_true")

    reboot = commands.add_parser("reboot", help="end a KVM host's guests and daemons, give it another boot id, start the daemons")
    reboot.add_argument("node")

    logs = commands.add_parser("logs", help="what a node's daemons said")
    logs.add_argument("node")
    logs.add_argument("--follow", action="store_true", help="go on as they say more")

    drover = commands.add_parser("drover", help="run the drover command against this fleet's coordinator", add_help=False)
    drover.add_argument("arguments", nargs=argparse.REMAINDER)

    status = commands.add_parser("status", help="nodes, daemons, guests")
    status.add_argument("--json", action="store_true")

    down = commands.add_parser("down", help="end the fleet and leave nothing behind, also after a crash")
    down.add_argument("--all", action="store_true", help="every fleet of this machine")
    down.add_argument("--cache", action="store_true", help="also remove the kept kernels and guest programs")
    return parser


def _guest_parser(parser):
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a guest and start it")
    add.add_argument("name")
    add.add_argument("--on", required=True, metavar="HOST", help="KVM host to start it on")
    add.add_argument("--kind", choices=KINDS, default="tick", help="a few KB that tick (default), or Debian's kernel with busybox")
    add.add_argument("--memory", type=int, metavar="MiB", help="default: 64, linux 256")
    add.add_argument("--vcpus", type=int, default=1, metavar="N")
    add.add_argument("--dirty", default="0", metavar="MiB/s", help="rate at which memory is rewritten, or max")
    add.add_argument("--working-set", type=int, metavar="MiB", help="how much memory that concerns (default: 16)")
    add.add_argument("--tick-ms", type=int, default=1000, metavar="MS", help="time between ticks (default: 1000)")
    add.add_argument("--disk", action="append", default=[], choices=("none", *DISKS), help="may be repeated")
    add.add_argument("--format", choices=FORMATS, default="raw")
    add.add_argument("--size", type=int, default=16, metavar="MiB", help="of each disk (default: 16)")
    add.add_argument("--shareable", action="store_true", help="disks that QEMU takes no lock on")
    add.add_argument("--nic", metavar="BRIDGE", help="a network interface on this bridge, like br0")
    add.add_argument("--uuid", help="default: a new one")
    add.add_argument("--transient", action="store_true", help="without a persistent definition")
    add.add_argument("--off", action="store_true", help="define it only")
    add.add_argument("--autostart", action="store_true")
    for name, text in (("remove", "end a guest, remove its definitions and disks"), ("ticks", "per host: first and last tick, gaps"),
                       ("watch", "show each tick as it comes, with the time since the last one")):
        actions.add_parser(name, help=text).add_argument("name")
    actions.choices["ticks"].add_argument("--json", action="store_true")
    actions.choices["watch"].add_argument("--seconds", type=float, metavar="S", help="end after this time (default: at Ctrl-C)")
    actions.add_parser("list", help="guests and where they run").add_argument("--json", action="store_true")


def _table(rows):
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())


def _up(fleet, options):
    programs = False if options.no_programs else options.programs
    begun = []

    def report(text):
        begun.append(text)
        print(text, flush=True)

    try:
        fleet.up(options.hosts, not options.no_storage, programs, report)
    except LabError as error:
        if not begun:
            raise
        raise LabError(f"{error}\nwhat was raised so far is still there: 'lab logs NODE' shows more, 'lab down' ends it") from None


def _guest(fleet, options):
    name = getattr(options, "name", None)
    if options.action == "add":
        fleet.guest_add(
            name, on=options.on, kind=options.kind, memory=options.memory, vcpus=options.vcpus, dirty=options.dirty,
            working_set=options.working_set, tick_ms=options.tick_ms, disks=options.disk, format=options.format, size=options.size,
            shareable=options.shareable, nic=options.nic, transient=options.transient, off=options.off, autostart=options.autostart,
            uuid=options.uuid,
        )
    elif options.action == "remove":
        fleet.guest_remove(name)
    elif options.action == "list":
        _guest_list(fleet.guests.list(), options.json)
    elif options.action == "ticks":
        _guest_ticks(fleet, name, options.json)
    else:
        _guest_watch(fleet, name, options.seconds)


def _guest_list(guests, as_json):
    if as_json:
        print(json.dumps(guests, indent=1))
        return
    rows = [("GUEST", "KIND", "MEMORY", "ADDRESS", "WHERE")]
    rows += [
        (guest["name"], guest["kind"], f"{guest['memory'] or '?'} MiB", guest["address"] or "-",
         ", ".join(f"{host}: {state}" for host, state in guest["hosts"].items()) or "-")
        for guest in guests
    ]
    _table(rows)


def _guest_ticks(fleet, name, as_json):
    report = fleet.tick_report(name)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    if not report["hosts"]:
        raise LabError(f"guest {name} has not said anything on any host; 'guest list' shows what there is")
    rows = [("HOST", "FIRST", "LAST", "COUNT", "BOOTS", "GAPS")]
    for host, log in report["hosts"].items():
        gaps = ", ".join(f"{before}..{after}" for before, after in log["gaps"]) or "-"
        rows.append((host, log["first"] or "-", log["last"] or "-", log["count"], log["boots"], gaps))
    _table(rows)
    if report["boots"] > 1:
        print(f"booted {report['boots']} times, so the numbers began again")
    else:
        print(f"missing on every host: {_ranges(report['missing'])}; on more than one: {_ranges(report['doubled'])}")


def _ranges(numbers):
    if not numbers:
        return "none"
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")


def _guest_watch(fleet, name, seconds):
    if name not in {guest["name"] for guest in fleet.guests.list()}:
        raise LabError(f"guest {name}: no host of fleet {fleet.name} has it; 'guest list' shows what there is")
    last = None

    def show(arrival):
        nonlocal last
        gap = f"+{arrival.time - last:.3f} s" if last is not None else ""
        print(f"{arrival.host:8} tick {arrival.tick:<8} {gap}", flush=True)
        last = arrival.time

    with fleet.tick_watch(name, show) as watch:
        try:
            time.sleep(seconds if seconds is not None else 1e9)
        except KeyboardInterrupt:
            pass
    if len(watch.events) > 1:
        gap, before, after = watch.largest_gap()
        print(f"largest gap {gap:.3f} s, between tick {before.tick} on {before.host} and tick {after.tick} on {after.host}")


def _execute(fleet, options):
    command = options.cmd[1:] if options.cmd[:1] == ["--"] else options.cmd
    return fleet.node(options.node).execute(command or [os.environ.get("SHELL", "/bin/sh")])


def _link(fleet, options):
    up = True if options.up else False if options.down else None
    fleet.link(options.node, options.rate, up, options.clear, options.network)


def _bridge(fleet, options):
    host = fleet.kvm(options.node)
    (host.bridge_remove if options.remove else host.bridge_add)(options.name)


def _reboot(fleet, options):
    fleet.reboot(options.node)


def _logs(fleet, options):
    directory = f"{fleet.node(options.node).run_dir}/log"
    files = sorted(os.path.join(where, name) for where, _, names in os.walk(directory) for name in names if name.endswith(".log"))
    files = [file for file in files if os.path.getsize(file) or options.follow]
    if files:
        os.execvp("tail", ["tail", *(["-F", "-n", "20"] if options.follow else ["-n", "100"]), *files])


def _drover(fleet, options):
    return fleet.programs.execute(options.arguments)


def _status(fleet, options):
    names = [fleet.name] if fleet.state.exists() else fleets()
    statuses = [Fleet(name).status() for name in names if Fleet(name).state.exists()]
    if options.json:
        print(json.dumps(statuses, indent=1))
        return
    for name in sorted(set(fleets()) - {status["fleet"] for status in statuses}):
        if name in names:
            print(f"fleet {name}: only files are left; 'lab --fleet {name} down' removes them")
    if not names:
        print("no fleet is up")
    for status in statuses:
        print(f"fleet {status['fleet']}: {status['state']}  ({status['run']})")
        _table([("NODE", "ADDRESS", "DAEMONS")] + [
            (node["name"], node["address"] or "-",
             " ".join(name if alive else f"{name}(DEAD)" for name, alive in node["daemons"].items() if name != "holder" or not alive) or "-")
            for node in status["nodes"]
        ])
        if status["guests"]:
            _guest_list(status["guests"], False)


def _down(fleet, options):
    for name in sorted(set(fleets()) | _running()) if options.all else [fleet.name]:
        count = Fleet(name).down()
        print(f"fleet {name}: {count} processes ended, nothing left" if count else f"fleet {name}: there was nothing running")
    if options.cache:
        images.clear()


def _running():
    from . import proc

    return {words[0] for _, words in proc.find()}


_COMMANDS = {
    "up": _up, "guest": _guest, "exec": _execute, "link": _link, "bridge": _bridge, "reboot": _reboot, "logs": _logs, "drover": _drover,
    "status": _status, "down": _down,
}


def main(arguments=None):
    options = _parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](Fleet(options.fleet), options) or 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; 'lab down' cleans up", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
