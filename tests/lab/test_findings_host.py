"""Findings about hosts, each made for real; of those of the doctor, the printed change is made literally, and then it is well."""

import datetime
import re
import signal
import subprocess

import pytest
from checks import check, doctor, document, heavy, wait_for_finding, wait_for_heavy
from conftest import BUILD
from lablib import wait_for

POLICIES = "policies:\n  default: {max_pause: 2s, deadline: 30m, allow: [offline]"


def restarted(fleet, *hosts):
    """libvirtd of these hosts, with what its configuration says now, and the coordinator knowing of it."""
    for host in hosts:
        host.libvirtd_stop()
        host.libvirtd_launch()
    for host in hosts:
        wait_for(lambda host=host: host.run(["virsh", "-q", "version"], check=False).returncode == 0, 60, f"libvirtd of {host.name}")


@pytest.fixture
def changed(fleet, undo):
    """changed(node, path, text): the file has that text until the test ends."""

    def change(node, path, text):
        before = node.read(path)
        node.write(path, text)
        undo(lambda: node.write(path, before))

    return change


@pytest.fixture
def guest(fleet, drover):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"])
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")


# ---- of a move ----


def test_hosts_that_take_no_guests(fleet, drover, guest, undo):
    assert "host-role" in {finding["id"] for finding in document(drover("check", "web1", "--to", "export1", "--json", check=False))["findings"]}
    assert "same-host" in {finding["id"] for finding in document(drover("check", "web1", "--to", "kvm1", "--json", check=False))["findings"]}
    drover("maintenance", "on", "kvm2")
    undo(lambda: drover("maintenance", "off", "kvm2"))
    assert heavy(check(drover, "web1")) == {"host-maintenance": "block"}
    drover("maintenance", "off", "kvm2")
    kvm2 = fleet.node("kvm2")
    kvm2.libvirtd_stop()
    assert "libvirt-up" in heavy(wait_for_finding(drover, "web1", "libvirt-up"))
    kvm2.libvirtd_start()
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 30, "libvirt to be seen again")
    fleet.programs.agent_stop(kvm2)
    assert "host-up" in heavy(wait_for_finding(drover, "web1", "host-up"))


def test_no_other_host(small_fleets):
    fleet = small_fleets("alone", hosts=1, programs=BUILD)
    fleet.guest_add("web1", on="kvm1")
    wait_for(lambda: "web1" in fleet.drover("vms").stdout, 20, "the coordinator to know web1")
    refused = fleet.drover("migrate", "web1", check=False)
    assert refused.returncode == 3 and "no-host" in refused.stdout + refused.stderr
    judged_alone, status = doctor(fleet.drover)
    assert (status, heavy(judged_alone["kvm1"])) == (0, {"port-unproven": "warn"})  # nobody is there to try its ports


def test_another_host_has_a_definition_of_it(small_fleets):
    fleet = small_fleets("three", hosts=3, programs=BUILD)
    fleet.guest_add("web1", on="kvm1")
    kvm3 = fleet.node("kvm3")
    kvm3.write("/run/same.xml", fleet.node("kvm1").virsh("dumpxml", "--inactive", "web1"))
    kvm3.virsh("define", "/run/same.xml")
    found = wait_for_heavy(fleet.drover, "kvm1/web1", {"guest-remembered": "warn"})
    assert "virsh undefine web1 on kvm3" in found["guest-remembered"]["todo"]


@pytest.mark.parametrize("here, there, expected", [
    ("5.8", "6.3", {"release-unsupported": "block"}), ("5.3", "5.5", {"release-untested": "warn"}), ("6.4", "6.3", {})])
def test_releases_of_red_hat(fleet, drover, guest, undo, here, there, expected):
    """The file says it; nothing else of these releases is needed for Red Hat's table."""
    for host, release in zip(fleet.hosts(), (here, there)):
        target = host.run(["readlink", "/etc/os-release"]).stdout.strip()
        host.run(["rm", "/etc/os-release"])  # a link to the machine's own
        host.write("/etc/redhat-release", f"Red Hat Enterprise Linux Server release {release} (Test)\n")
        undo(lambda host=host, target=target: (host.run(["rm", "/etc/redhat-release"]), host.run(["ln", "-s", target, "/etc/os-release"])))
    found = check(drover, "web1")
    assert heavy(found) == expected
    if not expected:
        assert found["release-backward"]["severity"] == "info"
    if "release-unsupported" in expected:
        assert heavy(check(drover, "web1", "--accept", "release-unsupported")) == {"release-unsupported": "warn"}


def test_what_the_operator_wishes(fleet, drover, undo):
    fleet.guest_add("web1", on="kvm1", vcpus=4)
    plain = fleet.programs.coordinator_config()

    def configure(text):
        fleet.programs.coordinator_stop()
        fleet.coordinator.write("/etc/drover/coordinator.yaml", text)
        fleet.programs.coordinator_start()
        fleet.programs.sessions_wait()

    undo(lambda: configure(plain))
    assert POLICIES in plain
    configure(plain.replace(POLICIES, POLICIES + ", vcpu_ratio: 1") + "guests:\n  - {name: web1, pinned: true}\n")
    assert {"vcpu-limit": "block", "guest-rules": "block"}.items() <= heavy(wait_for_finding(drover, "web1", "guest-rules")).items()
    found = check(drover, "web1", "--accept", "guest-rules", "--accept", "vcpu-limit")
    assert "block" not in heavy(found).values()


def test_what_an_agent_may_not_do(fleet, drover, undo, changed):
    fleet.guest_add("web1", on="kvm1", disks=["gluster"], nic="br0")
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    kvm2, programs = fleet.node("kvm2"), fleet.programs
    changed(kvm2, "/etc/libvirt/qemu.conf", kvm2.read("/etc/libvirt/qemu.conf") + "migration_port_min = 49300\nmigration_port_max = 49299\n")
    assert heavy(check(drover, "web1")) == {"port-unproven": "warn"}
    programs.agent_stop(kvm2)
    agent = [programs.program("agent/drover-agent"), "--config", "/etc/drover/agent.yaml"]
    kvm2.start("agent", ["setpriv", "--bounding-set", "-net_raw", *agent])
    undo(lambda: (programs.agent_stop(kvm2), programs.agent_start(kvm2), programs.sessions_wait()))
    programs.sessions_wait()
    found = wait_for_finding(drover, "web1", "bridge-unheard")
    assert heavy(found)["bridge-unheard"] == "warn"
    assert "CAP_NET_RAW" in found["bridge-unheard"]["todo"]


def test_a_host_that_tells_only_a_part(fleet, drover, guest, undo):
    """Its libvirt hangs: what was asked of it is not told, and all the rest is proven."""
    libvirtd = fleet.node("kvm1").process("libvirtd")
    libvirtd.kill(signal.SIGSTOP)
    undo(lambda: libvirtd.kill(signal.SIGCONT))
    found = check(drover, "web1")
    assert heavy(found)["inspection-missing"] == "block" and "kvm1" in found["inspection-missing"]["subject"]
    libvirtd.kill(signal.SIGCONT)
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 30, "libvirt to answer again")


# ---- of the doctor ----


def judged(drover, host):
    """{id: finding} of one host, and the exit status."""
    found, status = doctor(drover, host)
    return found[host], status


def ailing(drover, host, id):
    """The finding, once it is there; the exit status says whether it is grave."""
    last = {}

    def there():
        found, status = judged(drover, host)
        assert status == (3 if "block" in heavy(found).values() else 0), (status, found)
        last.update(found)
        return id in found

    wait_for(there, 30, f"the doctor to find {id} on {host}")
    return last[id]


def well(drover, host, id):
    wait_for(lambda: id not in judged(drover, host)[0], 30, f"the doctor to find no {id} on {host} any more")


def set_lines(node, path, todo):
    """Makes the change that a finding prints: each KEY = VALUE in it becomes the file's."""
    text = node.read(path)
    lines = re.findall(r"\b([a-z_]+) = (\"[^\"]*\"|[0-9]+)", todo)
    assert lines, todo
    for key, value in lines:
        text = re.sub(rf"(?m)^{key} *=.*\n", "", text) + f"{key} = {value}\n"
    node.write(path, text)


def test_the_doctor_on_listening(fleet, drover, undo, changed):
    kvm2 = fleet.node("kvm2")
    conf = "/etc/libvirt/libvirtd.conf"
    undo(kvm2.libvirtd_start)
    undo(kvm2.libvirtd_stop)
    changed(kvm2, conf, kvm2.read(conf).replace("listen_tcp = 1", "listen_tcp = 0").replace('auth_tcp = "none"', 'auth_tcp = "sasl"'))
    restarted(fleet, kvm2)
    finding = ailing(drover, "kvm2", "libvirt-listening")
    assert "auth_tcp" in judged(drover, "kvm2")[0]["libvirt-auth"]["seen"]
    fleet.guest_add("web1", on="kvm1")
    assert {"listening": "block", "libvirt-auth": "warn"}.items() <= heavy(wait_for_finding(drover, "web1", "listening")).items()
    kvm2.write(conf, kvm2.read(conf).replace('auth_tcp = "sasl"', 'auth_tcp = "none"'))
    assert "listen_tcp = 1" in finding["todo"] and "libvirt-unencrypted" not in judged(drover, "kvm2")[0]
    set_lines(kvm2, conf, finding["todo"].split("libvirtd.conf:")[1])
    restarted(fleet, kvm2)
    well(drover, "kvm2", "libvirt-listening")
    finding = ailing(drover, "kvm2", "libvirt-unencrypted")
    assert finding["severity"] == "info" and "listen_tcp = 0" in finding["todo"]


def test_the_doctor_on_host_uuids(fleet, drover, undo, changed):
    kvm1, kvm2 = fleet.hosts()
    conf = "/etc/libvirt/libvirtd.conf"
    (uuid,) = re.findall(r'host_uuid = "(.*)"', kvm1.read(conf))
    undo(kvm2.libvirtd_start)
    undo(kvm2.libvirtd_stop)
    changed(kvm2, conf, re.sub(r'host_uuid = ".*"', f'host_uuid = "{uuid}"', kvm2.read(conf)))
    restarted(fleet, kvm2)
    finding = ailing(drover, "kvm2", "host-uuid")
    fleet.guest_add("web1", on="kvm1")
    assert {"host-uuid": "block"}.items() <= heavy(wait_for_finding(drover, "web1", "host-uuid")).items()
    new = kvm2.run(["cat", "/proc/sys/kernel/random/uuid"]).stdout.strip()  # as uuidgen prints one
    set_lines(kvm2, conf, finding["todo"].replace('"..."', f'"{new}"'))
    restarted(fleet, kvm2)
    well(drover, "kvm2", "host-uuid")


def test_the_doctor_on_a_closed_firewall(fleet, drover, undo):
    """A table as distributions have it; the printed command is run as it stands."""
    kvm2 = fleet.node("kvm2")
    rules = ("table inet filter {\nchain input {\ntype filter hook input priority 0; policy accept;\nct state established,related accept\n"
             "tcp dport 7460 accept\nip saddr 10.77.0.20 accept\n%s}\n}\n")
    kvm2.run(["nft", "-f", "-"], input=rules % "tcp dport 1024-65535 reject with tcp reset\n")
    undo(lambda: kvm2.run(["nft", "delete", "table", "inet", "filter"]))
    for id in ("libvirt-port", "migration-port"):
        command = re.search(r"nft insert rule inet filter input .*?accept", ailing(drover, "kvm2", id)["todo"])[0]
        kvm2.run(command.split())
    assert heavy(judged(drover, "kvm2")[0]) == {}
    kvm2.run(["nft", "delete", "table", "inet", "filter"])
    kvm2.run(["nft", "-f", "-"], input=(rules % "").replace("policy accept", "policy drop"))
    for id in ("libvirt-port", "migration-port"):
        command = re.search(r"nft insert rule inet filter input .*?accept", ailing(drover, "kvm2", id)["todo"])[0]
        kvm2.run(command.split())
    assert heavy(judged(drover, "kvm2")[0]) == {}


def test_the_doctor_on_the_range_of_ports(fleet, drover, undo, changed):
    kvm2 = fleet.node("kvm2")
    conf = "/etc/libvirt/qemu.conf"
    changed(kvm2, conf, kvm2.read(conf) + "migration_port_min = 49300\nmigration_port_max = 49300\n")
    listener = kvm2.popen(["/usr/bin/python3", "-c", "import socket, sys\ns = socket.create_server(('', 49300))\nprint(flush=True)\nsys.stdin.read()"],
                          stdin=-1, stdout=-1)
    undo(lambda: (listener.stdin.close(), listener.wait()))
    listener.stdout.readline()
    finding = ailing(drover, "kvm2", "port-range")
    set_lines(kvm2, conf, finding["todo"])
    well(drover, "kvm2", "port-range")


def test_the_doctor_on_names_and_addresses(fleet, drover, undo, changed):
    kvm2 = fleet.node("kvm2")
    changed(kvm2, "/etc/libvirt/qemu.conf", kvm2.read("/etc/libvirt/qemu.conf") + 'migration_host = "10.99.0.1"\n')
    finding = ailing(drover, "kvm2", "migration-host")
    assert "10.99.0.1" in finding["seen"] and "comment the line out" in finding["todo"]
    kvm2.write("/etc/libvirt/qemu.conf", kvm2.read("/etc/libvirt/qemu.conf").replace("migration_host", "#migration_host"))
    well(drover, "kvm2", "migration-host")
    kvm2.write("/etc/libvirt/qemu.conf", kvm2.read("/etc/libvirt/qemu.conf") + 'migration_address = "10.99.0.1"\nmigrate_tls_force = 1\n')
    assert "migrate_tls_force = 1" in ailing(drover, "kvm2", "migrate-tls-force")["seen"]
    fleet.guest_add("web1", on="kvm1")
    wait_for_heavy(drover, "web1", {"migration-listen": "block"})  # from there nothing would move
    kvm2.write("/etc/libvirt/qemu.conf", re.sub("(?m)^(migration_address|migrate_tls_force)", r"#\1", kvm2.read("/etc/libvirt/qemu.conf")))
    well(drover, "kvm2", "migration-listen")
    hosts = kvm2.read("/etc/hosts")
    changed(kvm2, "/etc/hosts", hosts.replace("10.77.0.12 kvm2", "127.0.1.1 kvm2"))
    finding = ailing(drover, "kvm2", "host-name")
    (line,) = re.findall(r"in /etc/hosts: ([0-9.]+ \S+)", finding["todo"])
    kvm2.write("/etc/hosts", kvm2.read("/etc/hosts") + line + "\n")
    well(drover, "kvm2", "host-name")


def test_the_doctor_on_an_agent_that_is_silent(fleet, drover, undo):
    kvm2 = fleet.node("kvm2")
    fleet.guest_add("web1", on="kvm1", disks=["gluster", "nfs"], nic="br0")
    wait_for(lambda: heavy(check(drover, "web1")) == {}, 20, "the coordinator to know web1")
    fleet.export.process("agent").kill(signal.SIGSTOP)
    found = check(drover, "web1")
    fleet.export.process("agent").kill(signal.SIGCONT)
    assert heavy(found) == {"export-untraced": "warn"} and "did not answer" in found["export-untraced"]["seen"]
    kvm2.process("agent").kill(signal.SIGSTOP)
    undo(lambda: kvm2.process("agent").kill(signal.SIGCONT))
    assert heavy(check(drover, "web1")) == {"agent-silent": "block"}
    assert ailing(drover, "kvm2", "agent-silent")["severity"] == "block"
    kvm2.process("agent").kill(signal.SIGCONT)
    well(drover, "kvm2", "agent-silent")


def test_the_doctor_on_libvirt_that_is_down(fleet, drover):
    kvm2 = fleet.node("kvm2")
    kvm2.libvirtd_stop()
    finding = ailing(drover, "kvm2", "service-inactive")
    assert "systemctl enable --now" in finding["todo"]
    assert "libvirt-up" in judged(drover, "kvm2")[0]
    kvm2.libvirtd_start()
    well(drover, "kvm2", "service-inactive")


def certificate(directory, start, end):
    """A certificate that is valid between these moments, as libvirt's server would have it."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    (directory / "index.txt").write_text("")
    (directory / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=c\n[c]\ndatabase={directory}/index.txt\nnew_certs_dir={directory}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
        "[p]\ncommonName=supplied\n"
    )
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key", "-subj", "/CN=kvm2", "-out", "csr")
    openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-selfsign", "-keyfile", "key", "-in", "csr", "-startdate", start, "-enddate", end, "-out", "crt")
    return (directory / "crt").read_text()


def test_the_doctor_on_certificates(fleet, drover, undo, tmp_path):
    kvm2 = fleet.node("kvm2")
    path = "/etc/pki/libvirt/servercert.pem"
    undo(lambda: kvm2.run(["rm", "-f", path]))
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=10)).strftime("%Y%m%d%H%M%SZ")
    for start, end, id, severity in (
        ("20200101000000Z", "20210101000000Z", "certificate-expired", "block"),
        ("20200101000000Z", soon, "certificate-expiring", "warn"),
    ):
        kvm2.write(path, certificate(tmp_path, start, end))
        finding = ailing(drover, "kvm2", id)
        assert finding["severity"] == severity and "issue a new one" in finding["todo"]
    kvm2.write(path, "no certificate\n")
    assert ailing(drover, "kvm2", "certificate-unreadable")["severity"] == "warn"
    kvm2.write(path, certificate(tmp_path, "20200101000000Z", "20990101000000Z"))
    found, status = judged(drover, "kvm2")
    assert (heavy(found), status) == ({}, 0)


def test_the_doctor_on_what_cant_be_read(fleet, drover, changed):
    export1 = fleet.export
    changed(export1, "/etc/ganesha/ganesha.conf", export1.read("/etc/ganesha/ganesha.conf") + '%include "/etc/ganesha/none.conf"\n')
    finding = ailing(drover, "export1", "inspection-gaps")
    assert finding["severity"] == "info" and "none.conf" in finding["seen"]
