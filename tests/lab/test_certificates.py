"""Who may talk to whom, over TLS between real programs. (Every wrong combination is in tests/unit/rpc_tls_test.c.)"""

import os
import shutil
import subprocess

import pytest
from checks import document
from lablib import wait_for

URL = "tls+tcp://10.77.0.5:7461"


@pytest.fixture
def shell(fleet, drover):
    """Runs drover from kvm1 over TLS with the given certificate: shell("hosts", cert=..., ca=...)."""
    programs = fleet.programs

    def run(*arguments, cert, ca=f"{programs.pki}/ca.pem"):
        command = [programs.program("cli/drover"), "--coordinator", URL, "--timeout", "5s", "--tls-ca", ca, "--tls-cert", cert]
        return fleet.node("kvm1").run([*command, *arguments], check=False, timeout=30)

    return run


def test_an_operators_certificate_is_enough(fleet, shell):
    done = shell("hosts", "--json", cert=fleet.programs.issue("operator/oncall"))
    assert done.returncode == 0, done.stderr
    assert {host["name"] for host in document(done)["hosts"]} >= {"kvm1", "kvm2"}


def test_no_certificate(fleet, shell, tmp_path):
    refused = shell("hosts", cert=str(tmp_path / "none.pem"))
    assert refused.returncode in (2, 5)
    assert "none.pem" in refused.stdout + refused.stderr


def test_another_ca(fleet, shell, tmp_path):
    drover = fleet.programs.program("cli/drover")
    subprocess.run([drover, "pki", "init", "--dir", f"{tmp_path}/other"], check=True, capture_output=True)
    subprocess.run(
        [drover, "pki", "issue", "operator/evil", "--dir", f"{tmp_path}/other", "--out", f"{tmp_path}/evil.pem"], check=True, capture_output=True
    )
    refused = shell("hosts", cert=f"{tmp_path}/evil.pem")
    assert refused.returncode == 5
    assert "CA" in refused.stderr or "certificate" in refused.stderr
    # and the operator does not trust a coordinator of another CA
    refused = shell("hosts", cert=f"{tmp_path}/evil.pem", ca=f"{tmp_path}/other/ca.pem")
    assert refused.returncode == 5


def test_an_agents_certificate_is_no_operators(fleet, shell):
    refused = shell("hosts", cert=fleet.programs.issue("agent/kvm1", file=f"{fleet.programs.pki}/again.pem"))
    assert refused.returncode in (1, 5)
    assert "operator" in refused.stdout + refused.stderr


def test_an_expired_certificate(fleet, shell, tmp_path):
    """Made with openssl from the fleet's own CA: drover pki issues none that has expired."""
    pki = fleet.programs.pki
    key = next(f"{pki}/{name}" for name in sorted(os.listdir(pki)) if "key" in name)
    (tmp_path / "index.txt").write_text("")
    (tmp_path / "ca.cnf").write_text(
        "[ca]\ndefault_ca=c\n[c]\ndatabase=%s/index.txt\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n"
        "[p]\ncommonName=supplied\n[e]\nextendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\nsubjectAltName=URI:drover://operator/late\n" % (tmp_path, tmp_path)
    )

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=tmp_path)

    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "late.key", "-subj", "/CN=late", "-out", "late.csr")
    openssl(
        "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", f"{pki}/ca.pem", "-keyfile", key, "-in", "late.csr",
        "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-out", "late.crt",
    )
    (tmp_path / "late.pem").write_text((tmp_path / "late.key").read_text() + (tmp_path / "late.crt").read_text())
    refused = shell("hosts", cert=str(tmp_path / "late.pem"))
    assert refused.returncode == 5
    assert "expired" in refused.stderr


def test_an_agent_of_another_name_is_not_the_host(fleet, drover):
    """kvm2's agent comes back with a certificate for kvm9: the coordinator says so, and takes no word from it."""
    kvm2 = fleet.node("kvm2")
    good = kvm2.read("/etc/drover/node.pem")
    wrong = fleet.programs.issue("agent/kvm9", "10.77.0.12", f"{fleet.programs.pki}/kvm9.pem")
    try:
        with open(wrong) as file:
            kvm2.write("/etc/drover/node.pem", file.read(), 0o600)
        fleet.programs.agent_stop(kvm2)
        fleet.programs.agent_start(kvm2)

        def why():
            host = next(h for h in document(drover("hosts", "--json"))["hosts"] if h["name"] == "kvm2")
            return "" if host.get("up") else host.get("why", "")

        wait_for(lambda: "kvm9" in why(), 20, "the coordinator to say who answers in kvm2's place")
    finally:
        kvm2.write("/etc/drover/node.pem", good, 0o600)
        fleet.programs.agent_stop(kvm2)
        fleet.programs.agent_start(kvm2)
        fleet.programs.sessions_wait()


def test_certificates_rotate_without_a_restart(fleet, drover):
    kvm2 = fleet.node("kvm2")
    pid = kvm2.process("agent").pid
    fresh = fleet.programs.issue("agent/kvm2", kvm2.address, f"{fleet.programs.pki}/kvm2-fresh.pem")
    shutil.copy(fresh, kvm2.path("/etc/drover/node.pem"))
    fleet.programs.coordinator_stop()
    fleet.programs.coordinator_start()
    fleet.programs.sessions_wait()
    assert kvm2.process("agent").pid == pid
