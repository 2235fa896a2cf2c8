"""The share of a link that moves may use: kept by all transfers together, whoever ordered them; the rest is the guests'."""

import subprocess
import sys

import pytest
from checks import assert_goes_on, document, job_state, wait_for_job
from lablib import wait_for

CONFIG = "/etc/drover/coordinator.yaml"
LINK, SHARE = "160mbit", "80mbit"
STREAM = "import socket,sys;s=socket.create_connection((sys.argv[1],9));b=bytes(65536)\nwhile 1: s.sendall(b)"
SINK = "import socket,sys;s=socket.create_server((sys.argv[1],9));print('up',flush=True);c=s.accept()[0]\nwhile c.recv(1<<20): pass"


@pytest.fixture
def shared(fleet):
    """A slow link between the hosts, and half of it for moves."""
    own = fleet.programs.coordinator_config()

    def configure(text):
        fleet.coordinator.write(CONFIG, text)
        fleet.programs.coordinator_stop()
        fleet.programs.coordinator_start()
        fleet.programs.sessions_wait()

    configure(f"bandwidth: {SHARE}\n{own}")
    fleet.link("kvm1", rate=LINK)
    yield
    fleet.link("kvm1", clear=True)
    fleet.guests_clear()
    configure(own)


@pytest.fixture
def traffic(fleet):
    """Something that sends all it can from kvm1 to kvm2, beside the moves: the bytes that have been sent so far."""
    kvm1, kvm2 = fleet.node("kvm1"), fleet.node("kvm2")
    sink = kvm2.popen([sys.executable, "-c", SINK, kvm2.address], stdout=subprocess.PIPE, text=True)
    assert sink.stdout.readline().strip() == "up"
    stream = kvm1.popen([sys.executable, "-c", STREAM, kvm2.address])

    def sent():
        told = kvm1.run(["ss", "-tniH", "dport", "=", ":9"]).stdout
        return int(told.split("bytes_acked:")[1].split()[0]) if "bytes_acked:" in told else 0

    wait_for(lambda: sent() > 0, 20, "the stream to flow")
    yield sent
    for process in (stream, sink):
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def running(drover, jobs):
    """Their progress; None as soon as one is not in its transfer."""
    states = [job_state(drover, job) for job in jobs]
    return [state["progress"] for state in states] if all(state["phase"] == "transfer" for state in states) else None


def test_two_transfers_keep_to_their_share_together(fleet, drover, shared, traffic):
    kvm1 = fleet.node("kvm1")
    for name in ("web1", "web2"):
        fleet.guest_add(name, on="kvm1", tick_ms=200, memory=192, working_set=128)
        fleet.tick_wait(name, deadline=90)

    def moves_sent():
        return int(kvm1.read("/sys/class/net/eth0/statistics/tx_bytes")) - traffic()

    jobs = [document(drover("migrate", name, "--to", "kvm2", "--detach", "--json"))["jobs"][0]["id"] for name in ("web1", "web2")]
    wait_for(lambda: running(drover, jobs), 60, "both to send")
    before = moves_sent(), traffic()
    # Until some of it has been sent, by both together.
    wait_for(lambda: moves_sent() - before[0] > 48 << 20 or not running(drover, jobs), 120, "48 MiB to have been sent")
    moved, others = moves_sent() - before[0], traffic() - before[1]
    assert moved > 8 << 20, f"only {moved} bytes while both ran: nothing was measured"
    # Half of the link is theirs; with its headers a little more. Without a share, the stream would be one of three.
    assert others > 0.75 * moved, f"{moved} bytes by moves, {others} by others"
    for job, name in zip(jobs, ("web1", "web2"), strict=True):
        ended = wait_for_job(drover, job, {"done", "failed"}, deadline=180)
        assert ended["state"] == "done", ended["text"]
        assert_goes_on(fleet, name, "kvm2")


def test_a_forecast_keeps_to_the_share(fleet, drover, shared):
    fleet.guest_add("web1", on="kvm1", tick_ms=200)
    fleet.tick_wait("web1")
    share = 80e6 / 8
    told = document(drover("check", "web1", "--to", "kvm2", "--refresh", "--json"))["forecast"]  # what earlier moves taught may be less
    assert told["bandwidth"] == share and told["bandwidth_source"] == "limit", told
    drover("migrate", "web1", "--to", "kvm2")
    job = job_state(drover, document(drover("history", "--json"))["jobs"][0]["id"])
    assert 0 < job["forecast"]["bandwidth"] <= share and job["forecast"]["bandwidth_source"] == "limit", job["forecast"]
    assert_goes_on(fleet, "web1", "kvm2")
