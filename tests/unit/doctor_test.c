/* Each rule of the doctor: one thing is spoiled on a host that is ready, and the finding must name it and the exact change. */
#include "coordinator/core/doctor.h"

#include "common/base/memory.h"
#include "coordinator/core/probe_plan.h"
#include "made_proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define KIND(k) DROVER__V1__PROBE_KIND__PROBE_##k
#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK
#define I DROVER__V1__SEVERITY__INFO
#define NOW_MS INT64_C(1800000000000)
#define DAY_MS INT64_C(86400000)

struct ward {
    struct fleet fleet;
    struct fleet_host *host, *peer;
    Drover__V1__HostReport *report;
    struct evidence evidence;
    Drover__V1__HostFacts *facts;
    struct findings out;
    struct doctor_held held;
    size_t n_held;
};

static void ward_init(struct ward *w)
{
    *w = (struct ward){0};
    fleet_init(&w->fleet);
    made_host(&w->fleet, "kvm1");
    made_host(&w->fleet, "kvm2");
    w->host = &w->fleet.hosts[0];
    w->peer = &w->fleet.hosts[1];
    w->report = w->host->report;
    plan_doctor(&w->evidence, w->host, w->peer);
    made_answers(&w->evidence);
    w->facts = made_inspection(&w->evidence, w->host)->host;
}

static void ward_deinit(struct ward *w)
{
    findings_deinit(&w->out);
    evidence_deinit(&w->evidence);
    fleet_deinit(&w->fleet);
}

static void run(struct ward *w)
{
    const struct doctor in = {&w->fleet, w->host, w->peer, &w->evidence, NOW_MS, &w->held, w->n_held};
    doctor_run(&in, &w->out);
}

static struct ask *asked(struct ward *w, const struct fleet_host *host, Drover__V1__ProbeKind kind)
{
    return made_ask(&w->evidence, host, kind, w->host->name);
}

static void append(void *list, size_t *n, void *item)
{
    void ***at = list;
    *at = xrealloc(*at, *n + 1, sizeof(**at));
    (*at)[(*n)++] = item;
}

/* ---- what is spoiled --------------------------------------------------------------------------------------------- */

#define SPOIL(name) static void name(struct ward *w)

SPOIL(down)
{
    fleet_session(w->host, false, 5, "connection refused");
}
SPOIL(silent)
{
    struct ask *a = &w->evidence.asks[evidence_inspect(&w->evidence, w->host) - w->evidence.asks];
    made_silence(a, STATUS_DEADLINE_EXCEEDED, "kvm1 gave no answer in 3 s");
}
SPOIL(hangs)
{
    Drover__V1__Inspection *seen = made_inspection(&w->evidence, w->host);
    drover__v1__host_facts__free_unpacked(seen->host, NULL);
    seen->host = NULL;
    append(&seen->errors, &seen->n_errors, xstrdup("no answer in time"));
}
SPOIL(libvirt_down)
{
    w->report->libvirt_up = false;
    made_string(&w->report->libvirt_error, "Failed to connect socket");
}
SPOIL(equal_uuids)
{
    made_string(&w->report->host_uuid, w->peer->report->host_uuid);
}
static void add_service(struct ward *w, const char *unit, const char *active, const char *enabled)
{
    Drover__V1__Service *s = new0(Drover__V1__Service);
    drover__v1__service__init(s);
    made_string(&s->unit, unit);
    made_string(&s->active, active);
    made_string(&s->enabled, enabled);
    append(&w->facts->services, &w->facts->n_services, s);
}
SPOIL(stopped)
{
    w->report->libvirt_up = false;
    add_service(w, "libvirtd.service", "inactive", "enabled");
}
SPOIL(modular_stopped)
{
    w->report->libvirt_up = false;
    add_service(w, "virtqemud.service", "inactive", "enabled");
}
SPOIL(disabled)
{
    add_service(w, "libvirtd.service", "active", "disabled");
    add_service(w, "libvirtd.socket", "inactive", "disabled");
}
SPOIL(socket_disabled)
{
    add_service(w, "libvirtd.service", "active", "enabled");
    add_service(w, "libvirtd-tls.socket", "active", "disabled"); /* libvirt_remote is for TCP */
    add_service(w, "libvirtd-tcp.socket", "active", "disabled");
}
SPOIL(no_remote)
{
    made_string(&w->report->libvirt_remote, "");
}
SPOIL(deaf)
{
    w->report->listening->tcp = false; /* which what was reached from elsewhere would disprove */
    made_answer(asked(w, w->peer, KIND(LIBVIRT_CONNECT)), REFUTED, "refused", "connection refused");
}
SPOIL(deaf_tls)
{
    made_string(&w->report->libvirt_remote, "qemu+tls://kvm1/system");
    deaf(w);
}
SPOIL(open_to_all)
{
    made_string(&w->report->listening->auth_tcp, "none");
}
SPOIL(port_closed)
{
    made_answer(asked(w, w->peer, KIND(LIBVIRT_CONNECT)), REFUTED, "refused", "connection refused");
}
SPOIL(port_silent)
{
    made_silence(asked(w, w->peer, KIND(LIBVIRT_CONNECT)), STATUS_DEADLINE_EXCEEDED, "no answer in 3 s");
}
SPOIL(no_credentials)
{
    made_answer(asked(w, w->peer, KIND(LIBVIRT_CONNECT)), UNDECIDED, "tls-credentials", "no clientcert.pem");
}
SPOIL(no_address)
{
    made_string(&w->report->migration_address, "0.0.0.0");
}
SPOIL(range_taken)
{
    made_answer(asked(w, w->host, KIND(PORT_OPEN)), REFUTED, "range-full",
                "all ports 49152 to 49215 are taken");
}
SPOIL(foreign_address)
{
    made_answer(asked(w, w->host, KIND(PORT_OPEN)), REFUTED, "no-address",
                "10.0.0.1 is no address of this host");
}
SPOIL(firewalled)
{
    w->report->listening->migration_port_min = 50000;
    w->report->listening->migration_port_max = 50100;
    made_answer(asked(w, w->peer, KIND(PORT_CONNECT)), REFUTED, "timeout", "no answer from 10.0.0.1");
}
SPOIL(alone)
{
    w->peer = NULL;
}
SPOIL(never_opened)
{
    made_answer(asked(w, w->host, KIND(PORT_OPEN)), UNDECIDED, "failed", "out of descriptors");
    made_silence(asked(w, w->peer, KIND(PORT_CONNECT)), STATUS_OK, "");
    asked(w, w->peer, KIND(PORT_CONNECT))->state = ASK_SKIPPED;
}
SPOIL(open_unanswered)
{
    made_silence(asked(w, w->host, KIND(PORT_OPEN)), STATUS_DEADLINE_EXCEEDED, "no answer in 3 s");
    made_silence(asked(w, w->peer, KIND(PORT_CONNECT)), STATUS_OK, "");
    asked(w, w->peer, KIND(PORT_CONNECT))->state = ASK_SKIPPED;
}
SPOIL(peer_went)
{
    made_silence(asked(w, w->peer, KIND(PORT_CONNECT)), STATUS_UNAVAILABLE, "kvm2 went away");
}
SPOIL(peer_is_old)
{
    made_silence(asked(w, w->peer, KIND(LIBVIRT_CONNECT)), STATUS_UNIMPLEMENTED, "no such probe");
}
static void set(struct ward *w, const char *key, const char *value)
{
    Drover__V1__Setting *s = new0(Drover__V1__Setting);
    drover__v1__setting__init(s);
    made_string(&s->key, key);
    made_string(&s->value, value);
    made_string(&s->file, "/etc/libvirt/qemu.conf");
    s->line = 12;
    append(&w->facts->settings, &w->facts->n_settings, s);
}
SPOIL(other_address)
{
    set(w, "migration_address", w->report->migration_address);
    set(w, "migration_host", "10.9.9.9");
}
SPOIL(other_name)
{
    set(w, "migration_address", "kvm1-fast");
}
SPOIL(listens_elsewhere)
{
    set(w, "migration_address", "10.9.9.9");
}
SPOIL(forces_tls)
{
    set(w, "migrate_tls_force", "1");
}
SPOIL(asks_for_a_login)
{
    made_string(&w->report->listening->auth_tcp, "sasl");
}
SPOIL(loopback)
{
    append(&w->facts->resolves, &w->facts->n_resolves, xstrdup("127.0.1.1"));
}
SPOIL(nameless)
{
    made_string(&w->facts->resolve_error, "Name or service not known");
}
SPOIL(held_for_a_move)
{
    made_guest(w->host, "web1", UUID_A);
    w->held = (struct doctor_held){UUID_A, true, "FENCED"};
    w->n_held = 1;
}
SPOIL(held_for_one_that_is_nowhere)
{
    w->held = (struct doctor_held){UUID_B, false, "PREPARED"};
    w->n_held = 1;
}
SPOIL(late_clock)
{
    made_ask(&w->evidence, w->host, KIND(CLOCK), NULL)->result->realtime_us -= 5000000;
}
static Drover__V1__Certificate *certificate(struct ward *w, const char *purpose)
{
    Drover__V1__Certificate *c = new0(Drover__V1__Certificate);
    drover__v1__certificate__init(c);
    made_string(&c->path, "/etc/drover/kvm1.pem");
    made_string(&c->purpose, purpose);
    c->not_before = (uint64_t)(NOW_MS - DAY_MS);
    c->not_after = (uint64_t)(NOW_MS + 365 * DAY_MS);
    append(&w->facts->certificates, &w->facts->n_certificates, c);
    return c;
}
/* ---- what opens a port, by the host's own tables ---- */

static void add_chain(struct ward *w, const char *table, const char *name, bool refuses)
{
    if (!w->facts->firewall) {
        w->facts->firewall = new0(Drover__V1__Firewall);
        drover__v1__firewall__init(w->facts->firewall);
    }
    Drover__V1__FirewallChain *c = new0(Drover__V1__FirewallChain);
    drover__v1__firewall_chain__init(c);
    made_string(&c->family, "inet");
    made_string(&c->table, table);
    made_string(&c->name, name);
    c->refuses = refuses;
    append(&w->facts->firewall->chains, &w->facts->firewall->n_chains, c);
}
SPOIL(behind_two_chains)
{
    firewalled(w);
    add_chain(w, "mine", "in", true);
    add_chain(w, "counters", "in", false);
    add_chain(w, "theirs", "raw", true);
}
SPOIL(behind_firewalld)
{
    firewalled(w);
    add_chain(w, "firewalld", "filter_INPUT", true);
}
SPOIL(behind_nothing_of_its_own)
{
    firewalled(w);
    add_chain(w, "counters", "in", false);
    w->facts->firewall->filters = DROVER__V1__ANSWER__NO;
}
SPOIL(expired)
{
    certificate(w, "drover")->not_after = (uint64_t)NOW_MS;
}
SPOIL(not_yet)
{
    certificate(w, "libvirt-server")->not_before = (uint64_t)(NOW_MS + DAY_MS);
}
SPOIL(expiring)
{
    certificate(w, "drover")->not_after = (uint64_t)(NOW_MS + 29 * DAY_MS);
}
SPOIL(unreadable)
{
    made_string(&certificate(w, "drover")->error, "no certificate in PEM");
}
SPOIL(hung_mount)
{
    made_string(&made_inspection(&w->evidence, w->host)->mounts[0]->error, "no answer within 1000 ms");
}
SPOIL(read_only_mount)
{
    made_inspection(&w->evidence, w->host)->mounts[0]->read_only = true;
}
SPOIL(exports_nothing)
{
    w->report->storage = true;
}
SPOIL(gap)
{
    Drover__V1__Inspection *seen = made_inspection(&w->evidence, w->host);
    append(&seen->errors, &seen->n_errors, xstrdup("cannot run tgtadm: not permitted"));
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct ailment {
    void (*spoil)(struct ward *w);
    const char *id, *seen, *todo; /* words that must be there */
    Drover__V1__Severity severity;
    bool others; /* comes with further findings */
} ailments[] = {
    {down, "host-up", "connection refused", "systemctl enable --now drover-agent", B},
    {silent, "agent-silent", "no answer in 3 s", "journalctl -u drover-agent", B},
    {hangs, "agent-silent", "no answer in time", "journalctl -u drover-agent", B, true},
    {libvirt_down, "libvirt-up", "Failed to connect socket", "systemctl enable --now libvirtd.service", B},
    {equal_uuids, "host-uuid", "as on kvm2", "host_uuid = ", B},
    {stopped, "service-inactive", "libvirtd is inactive", "systemctl enable --now libvirtd.service", B, true},
    {modular_stopped, "service-inactive", "virtqemud is inactive", "systemctl enable --now virtqemud.socket",
     B, true},
    {disabled, "service-disabled", "not enabled", "systemctl enable libvirtd.service", W},
    {socket_disabled, "service-disabled", "libvirtd-tcp.socket", "systemctl enable libvirtd-tcp.socket", W},
    {no_remote, "libvirt-remote", "no URI", "set libvirt_remote in /etc/drover/agent.yaml", B},
    {deaf, "libvirt-listening", "does not listen for TCP", "listen_tcp = 1", B, true},
    {deaf_tls, "libvirt-listening", "does not listen for TLS", "listen_tls = 1", B, true},
    {open_to_all, "libvirt-unencrypted", "without authentication", "listen_tcp = 0", I},
    {port_closed, "libvirt-port", "connection refused",
     "nft insert rule inet filter input tcp dport 16509 accept", B},
    {firewalled, "migration-port", "no answer",
     "nft insert rule inet filter input tcp dport 50000-50100 accept", B},
    {port_silent, "libvirt-port", "no answer in 3 s", "firewall-cmd --permanent --add-service=libvirt ", B},
    {no_credentials, "libvirt-port", "clientcert.pem", "https://libvirt.org/kbase/tlscerts.html", B},
    {no_address, "migration-address", "0.0.0.0", "set migration_address in /etc/drover/agent.yaml", B},
    {range_taken, "port-range", "taken", "migration_port_max = ", B},
    {foreign_address, "port-range", "no address of this host", "set migration_address", B},
    {firewalled, "migration-port", "no answer from 10.0.0.1",
     "firewall-cmd --permanent --add-port=50000-50100/tcp", B},
    {behind_two_chains, "migration-port", "no answer",
     "nft insert rule inet mine in tcp dport 50000-50100 accept && nft insert rule inet theirs raw tcp dport "
     "50000-50100 accept (and the same in /etc/nftables.conf",
     B},
    {behind_firewalld, "migration-port", "no answer",
     "firewall-cmd --permanent --add-port=50000-50100/tcp && firewall-cmd --reload", B},
    {behind_nothing_of_its_own, "migration-port", "no answer", "see what lies between", B},
    {alone, "port-unproven", "no other hypervisor", "on another hypervisor", W},
    {never_opened, "port-unproven", "migration ports: out of descriptors", "drover-agent on kvm1", W},
    {open_unanswered, "port-unproven", "migration ports: no answer in 3 s", "drover-agent on kvm1", W},
    {peer_went, "port-unproven", "migration ports: kvm2 went away", "drover-agent on kvm2", W},
    {peer_is_old, "port-unproven", "libvirt's port: no such probe", "drover-agent on kvm2", W},
    {other_address, "migration-host", "/etc/libvirt/qemu.conf:12: migration_host = \"10.9.9.9\"",
     "same address", W},
    {other_name, "migration-host", "migration_address = \"kvm1-fast\"", "same address", W},
    {listens_elsewhere, "migration-listen", "/etc/libvirt/qemu.conf:12: migration_address = \"10.9.9.9\"",
     "same address", B},
    {forces_tls, "migrate-tls-force", "migrate_tls_force = 1", "comment the line out", B},
    {asks_for_a_login, "libvirt-auth", "sasl (auth_tcp", "virsh -c qemu+tcp://10.0.0.1/system hostname", W},
    {loopback, "host-name", "127.0.1.1", "in /etc/hosts: 10.0.0.1 kvm1", W},
    {nameless, "host-name", "Name or service not known", "in /etc/hosts: 10.0.0.1 kvm1", W},
    {held_for_a_move, "guest-held", "it is the source (FENCED) of a move of web1",
     "drover free web1 --on kvm1", W},
    {held_for_one_that_is_nowhere, "guest-held", "the destination (PREPARED)", "drover free " UUID_B, W},
    {late_clock, "clock-offset", "behind", "timedatectl set-ntp true", W},
    {expired, "certificate-expired", "has expired", "drover pki issue agent/kvm1 ", B},
    {not_yet, "certificate-expired", "not valid yet", "tlscerts.html", B},
    {expiring, "certificate-expiring", "in 29 days", "drover pki issue", W},
    {unreadable, "certificate-unreadable", "no certificate in PEM", "replace the file", W},
    {hung_mount, "mount-hangs", "no answer within 1000 ms", "umount -l /srv/nfs", B},
    {read_only_mount, "mount-read-only", "read-only at /srv/nfs", "mount -o remount,rw /srv/nfs", I},
    {exports_nothing, "nothing-exported", "no NFS export", "exportfs", W},
    {gap, "inspection-gaps", "tgtadm", "as root", I},
};

static const Drover__V1__Finding *finding(const struct findings *findings, const char *id)
{
    for (size_t i = 0; i < findings->n; i++)
        if (streq(findings->list[i]->id, id))
            return findings->list[i];
    return NULL;
}

static void each_ailment_is_found_with_its_cure(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ailments) / sizeof(ailments[0]); i++) {
        const struct ailment *a = &ailments[i];
        struct ward w;
        ward_init(&w);
        a->spoil(&w);
        run(&w);
        const Drover__V1__Finding *f = finding(&w.out, a->id);
        if (!f) {
            fail_msg("case %zu: no finding %s", i, a->id);
            return;
        }
        if (!strstr(f->seen, a->seen) || !strstr(f->todo, a->todo))
            fail_msg("case %zu, %s: saw '%s' and wants '%s'; expected '%s' and '%s' in them", i, a->id,
                     f->seen, f->todo, a->seen, a->todo);
        assert_int_equal(f->severity, a->severity);
        assert_true(f->subject[0] && f->expected[0]);
        if (!a->others && w.out.n != 1)
            fail_msg("case %zu (%s): %zu findings, the first is %s: %s", i, a->id, w.out.n, w.out.list[0]->id,
                     w.out.list[0]->seen);
        ward_deinit(&w);
    }
}

static void a_healthy_host_has_nothing(void **state)
{
    (void)state;
    struct ward w;
    ward_init(&w);
    run(&w);
    if (w.out.n)
        fail_msg("%s: %s", w.out.list[0]->id, w.out.list[0]->seen);
    ward_deinit(&w);
}

static void each_rule_has_a_case(void **state)
{
    (void)state;
    for (size_t r = 0; doctor_rule_id(r); r++) {
        bool tried = false;
        for (size_t i = 0; i < sizeof(ailments) / sizeof(ailments[0]); i++)
            tried = tried || streq(ailments[i].id, doctor_rule_id(r));
        if (!tried)
            fail_msg("rule %s has no case", doctor_rule_id(r));
    }
}

/* Nobody to try the ports from, and nobody who answers: what can't be seen is not said. */
static void silence_breaks_nothing(void **state)
{
    (void)state;
    struct ward w;
    ward_init(&w);
    for (size_t i = 0; i < w.evidence.n; i++)
        made_silence(&w.evidence.asks[i], STATUS_UNAVAILABLE, "lost");
    w.peer = NULL;
    run(&w);
    assert_int_equal(w.out.n, 1);
    assert_string_equal(w.out.list[0]->id, "agent-silent");
    ward_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_host_has_nothing),
        cmocka_unit_test(each_ailment_is_found_with_its_cure),
        cmocka_unit_test(each_rule_has_a_case),
        cmocka_unit_test(silence_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
