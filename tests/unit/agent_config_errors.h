/* YAML and what is said about it; included into a table. */
{"", "agent.yaml:1:1: name: missing; expected text"},
    {"name: kvm1\n", "agent.yaml:1:1: listen: missing; expected text"},
    {"name: kvm1\nlisten: tcp://127.0.0.1:1\nlibvrt: qemu:///system\n",
     "agent.yaml:3:1: libvrt: unknown key; known here: agent_url, hook_timeout, hooks_dir, libvirt, "
     "libvirt_remote, listen, log, "
     "migration_address, name, roles, state_dir, tls"},
    {"name: kvm1\nlisten: tcp://127.0.0.1:1\nroles: [hypervisor, router]\n",
     "agent.yaml:3:21: roles[1]: expected one of hypervisor, storage, found \"router\""},
    {"name: kvm1\nlisten: tcp://127.0.0.1:1\nroles: []\n",
     "agent.yaml:3:8: roles: expected 1 or more entries, found 0"},
    {"name: kvm1\nlisten: tcp://127.0.0.1:1\nlog: loud\n",
     "agent.yaml:3:6: log: expected one of error, warn, warning, info, debug, found \"loud\""},
    {"name: kvm1\nlisten: tcp://127.0.0.1:1\ntls: {ca: ca.pem}\n",
     "agent.yaml:3:6: tls.cert: missing; expected text"},
    {"name: kvm 1\nlisten: tcp://127.0.0.1:1\n",
     "agent.yaml:1:7: name: is \"kvm 1\"; expected the host's name in the coordinator's inventory: letters, "
     "digits, - . _, at most 63, beginning with a letter or digit"},
    {"name: -kvm1\nlisten: tcp://127.0.0.1:1\n",
     "agent.yaml:1:7: name: is \"-kvm1\"; expected the host's name in the coordinator's inventory: letters, "
     "digits, - . _, at most 63, beginning with a letter or digit"},
    {"name: kvm1\nlisten: http://127.0.0.1:1\n",
     "agent.yaml:2:9: listen: is \"http://127.0.0.1:1\"; expected tls+tcp://ADDRESS:PORT, or "
     "tcp://ADDRESS:PORT or ipc:///PATH for a lab"},
    {"name: kvm1\nlisten: tcp://127.0.0.1\n",
     "agent.yaml:2:9: listen: is \"tcp://127.0.0.1\"; expected tls+tcp://ADDRESS:PORT, or tcp://ADDRESS:PORT "
     "or ipc:///PATH for a lab"},
    {"name: kvm1\nlisten: tcp://127.0.0.1:70000\n",
     "agent.yaml:2:9: listen: is \"tcp://127.0.0.1:70000\"; expected tls+tcp://ADDRESS:PORT, or "
     "tcp://ADDRESS:PORT or ipc:///PATH for a lab"},
    {"name: kvm1\nlisten: tcp://fd00::1:7460\n",
     "agent.yaml:2:9: listen: is \"tcp://fd00::1:7460\"; expected tls+tcp://ADDRESS:PORT, or "
     "tcp://ADDRESS:PORT or ipc:///PATH for a lab"},
    {"name: kvm1\nlisten: tls+tcp://10.0.0.11:7460\n",
     "agent.yaml: tls: is missing, but listen is tls+tcp://; expected {ca: FILE, cert: FILE}, made by "
     "\"drover pki\""},
    {"name: kvm1\nlisten: tcp://0.0.0.0:7460\n",
     "agent.yaml: agent_url: is missing; needed when listen is every address (0.0.0.0): the URL at which "
     "other agents reach this one"},
    {"name: kvm1\nlisten: tcp://0.0.0.0:7460\nagent_url: tcp://0.0.0.0:7460\n",
     "agent.yaml:3:12: agent_url: is \"tcp://0.0.0.0:7460\"; expected tls+tcp://ADDRESS:PORT at which other "
     "agents reach this one"},
    {"name: kvm1\nlisten: tcp://10.0.0.11:7460\nagent_url: 10.0.0.11\n",
     "agent.yaml:3:12: agent_url: is \"10.0.0.11\"; expected tls+tcp://ADDRESS:PORT at which other agents "
     "reach this one"},
    {"name: kvm1\nlisten: ipc:///run/drover/agent.sock\n",
     "agent.yaml: migration_address: is missing; needed when listen is ipc://: the address at which other "
     "hosts send their guests"},
    {"name: kvm1\nlisten: tcp://10.0.0.11:7460\nmigration_address: 10.0.0.11/24\n",
     "agent.yaml:3:20: migration_address: is \"10.0.0.11/24\"; expected an address or a name, without a "
     "port"},
    {"name: kvm1\nlisten: tcp://10.0.0.11:7460\nlibvirt: system\n",
     "agent.yaml:3:10: libvirt: is \"system\"; expected a libvirt URI such as qemu:///system"},
    {"name: kvm1\nlisten: tcp://10.0.0.11:7460\nlibvirt_remote: kvm1\n",
     "agent.yaml:3:17: libvirt_remote: is \"kvm1\"; expected a libvirt URI such as qemu+tls://HOST/system"},
    {"name: kvm1\nlisten: tcp://10.0.0.11:7460\nstate_dir: state\n",
     "agent.yaml:3:12: state_dir: is \"state\"; expected an absolute path"},
