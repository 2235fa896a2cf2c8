/* Cases of the rules about links: bridges, ports, firewalls, clocks; and about releases. */
#include "preflight_cases.h"

#include "coordinator/core/guest_rules.h"
#include "coordinator/core/message.h"

#include "common/base/memory.h"
#include "made_proof.h"

#include <string.h>

#define SPOIL(name) static void name(struct move *m)
#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define KIND(k) DROVER__V1__PROBE_KIND__PROBE_##k

/* ---- links ---- */

SPOIL(other_segment)
{
    made_answer(move_asked(m, m->destination, KIND(LAYER2_LISTEN)), REFUTED, "timeout",
                "heard nothing on br0 within 1500 ms");
}
/* Two networks on one bridge here, on two there: each way is tried, and the second leads elsewhere. */
SPOIL(second_network_on_the_bridge)
{
    static const char *const bridges[2][2] = {{"br0", "br0"}, {"br0", "br1"}};
    Drover__V1__HostReport *reports[2] = {m->from, m->to};
    for (int h = 0; h < 2; h++) {
        Drover__V1__HostReport *r = reports[h];
        r->networks = xrealloc(r->networks, 2, sizeof(*r->networks));
        r->networks[1] = (Drover__V1__Network *)message_copy(&r->networks[0]->base);
        r->n_networks = 2;
        for (int n = 0; n < 2; n++) {
            made_string(&r->networks[n]->name, n ? "second" : "first");
            made_string(&r->networks[n]->bridge, bridges[h][n]);
        }
    }
    Drover__V1__Bridge *br1 = (Drover__V1__Bridge *)message_copy(&m->to->bridges[0]->base);
    made_string(&br1->name, "br1");
    m->to->bridges = xrealloc(m->to->bridges, 2, sizeof(*m->to->bridges));
    m->to->bridges[m->to->n_bridges++] = br1;
    m->guest->interfaces = xrealloc(m->guest->interfaces, 2, sizeof(*m->guest->interfaces));
    m->guest->interfaces[1] = (Drover__V1__Interface *)message_copy(&m->guest->interfaces[0]->base);
    m->guest->n_interfaces = 2;
    for (int n = 0; n < 2; n++) {
        made_string(&m->guest->interfaces[n]->type, "network");
        made_string(&m->guest->interfaces[n]->source, n ? "second" : "first");
    }
    move_with_proof(m);
    struct ask *a = made_ask(&m->evidence, m->destination, KIND(LAYER2_LISTEN), "br0 to br1");
    made_answer(a, REFUTED, "timeout", "heard nothing on br1 within 1500 ms");
}
SPOIL(deaf_bridge)
{
    made_answer(move_asked(m, m->destination, KIND(LAYER2_LISTEN)), UNDECIDED, "denied", "no CAP_NET_RAW");
}
/* Nothing was heard because nothing was sent. */
SPOIL(mute_bridge)
{
    other_segment(m);
    made_answer(move_asked(m, m->source, KIND(LAYER2_SEND)), UNDECIDED, "denied",
                "cannot open a packet socket; the agent needs CAP_NET_RAW");
}
SPOIL(sender_failed)
{
    other_segment(m);
    made_silence(move_asked(m, m->source, KIND(LAYER2_SEND)), STATUS_RESOURCE_EXHAUSTED,
                 "256 probes are at work");
}
SPOIL(sender_not_heard_of) /* it may have sent */
{
    other_segment(m);
    made_silence(move_asked(m, m->source, KIND(LAYER2_SEND)), STATUS_DEADLINE_EXCEEDED, "no answer in 3 s");
}
SPOIL(sender_late)
{
    other_segment(m);
    made_answer(move_asked(m, m->source, KIND(LAYER2_SEND)), UNDECIDED, "timeout", "no answer from br0");
}
SPOIL(sender_told_enough)
{
    other_segment(m);
    struct ask *a = move_asked(m, m->source, KIND(LAYER2_SEND));
    drover__v1__probe_result__free_unpacked(a->result, NULL);
    a->result = NULL;
    a->state = ASK_ENOUGH;
}
SPOIL(small_mtu)
{
    m->from->bridges[0]->mtu = 9000;
    m->to->bridges[0]->mtu = 1500;
}
SPOIL(against_the_rules)
{
    static char web[] = "web*", db[] = "db1", ssd[] = "ssd", kvm3[] = "kvm3", kvm2[] = "kvm2";
    static char *guests[] = {web}, *required[] = {ssd}, *hosts[] = {kvm3}, *labels[] = {db};
    static struct guest_group group = {db, {guests, 1}, true};
    static struct guest_rule rule = {{guests, 1}, true, {hosts, 1}, {required, 1}, {NULL, 0}};
    static struct host_labels host = {kvm2, {labels, 1}};
    static const struct guest_rules rules = {&group, &rule, &host, 1, 1, 1};
    made_guest(m->destination, "web2", UUID_B)->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    m->fleet.rules = &rules;
}
SPOIL(same_mac)
{
    made_string(&made_guest(m->destination, "other", UUID_B)->guest->name, "other");
}
SPOIL(range_full)
{
    made_answer(move_asked(m, m->destination, KIND(PORT_OPEN)), REFUTED, "range-full",
                "all ports 49152 to 49215 are taken");
}
SPOIL(firewalled)
{
    made_answer(move_asked(m, m->source, KIND(PORT_CONNECT)), REFUTED, "timeout",
                "no answer from 10.0.0.1 port 49152");
}
SPOIL(ports_untried)
{
    made_answer(move_asked(m, m->destination, KIND(PORT_OPEN)), UNDECIDED, "failed", "out of descriptors");
}
SPOIL(libvirt_refused)
{
    made_answer(move_asked(m, m->source, KIND(LIBVIRT_CONNECT)), REFUTED, "refused", "connection refused");
}
static void set(struct move *m, const struct fleet_host *host, const char *key, const char *value)
{
    Drover__V1__HostFacts *h = move_seen(m, host)->host;
    Drover__V1__Setting *s = new0(Drover__V1__Setting);
    drover__v1__setting__init(s);
    made_string(&s->key, key);
    made_string(&s->value, value);
    made_string(&s->file, "/etc/libvirt/qemu.conf");
    s->line = 7;
    h->settings = xrealloc(h->settings, h->n_settings + 1, sizeof(*h->settings));
    h->settings[h->n_settings++] = s;
}
/* Only where a migration begins libvirt asks for TLS; and an address that means all, or the same one, is no other. */
SPOIL(tls_forced)
{
    set(m, m->source, "migrate_tls_force", "1");
    set(m, m->source, "migration_address", "10.9.9.9");
    set(m, m->destination, "migrate_tls_force", "1");
    set(m, m->destination, "migration_address", "::");
}
SPOIL(listens_elsewhere)
{
    set(m, m->source, "migrate_tls_force", "0");
    set(m, m->destination, "migration_address", "10.9.9.9");
}
SPOIL(listens_elsewhere_by_ipv6)
{
    made_string(&m->to->migration_address, "fd00::2");
    set(m, m->destination, "migration_address", "[fd00:0::3]");
}
SPOIL(asks_for_a_login)
{
    made_string(&m->to->listening->auth_tcp, "sasl");
    made_string(&m->from->listening->auth_tcp, "sasl");
    made_string(&m->to->listening->auth_tls, "none");
    set(m, m->destination, "migration_address", m->to->migration_address);
}
SPOIL(asks_for_a_login_by_tls)
{
    made_string(&m->to->libvirt_remote, "qemu+tls://kvm2/system");
    made_string(&m->to->listening->auth_tls, "sasl");
    m->to->listening->tls = true;
    made_string(&m->to->listening->auth_tcp, "none");
    made_string(&m->to->migration_address, "fd00::2");
    set(m, m->destination, "migration_address", "[fd00:0::2]");
}
SPOIL(clock_late)
{
    move_asked(m, m->destination, KIND(CLOCK))->result->realtime_us -= 5000000;
}

/* ---- releases: Red Hat's table 4.1 ---- */

static void releases(struct move *m, const char *from, const char *to)
{
    made_string(&move_seen(m, m->source)->host->os_id, "rhel");
    made_string(&move_seen(m, m->source)->host->os_version, from);
    made_string(&move_seen(m, m->destination)->host->os_id, "rhel");
    made_string(&move_seen(m, m->destination)->host->os_version, to);
}
SPOIL(major_forward)
{
    releases(m, "5.8", "6.3");
}
SPOIL(major_backward)
{
    releases(m, "6.3", "5.8");
}
SPOIL(early_minor)
{
    releases(m, "5.3", "5.5");
}
SPOIL(major_backward_of_later_ones)
{
    releases(m, "9.4", "8.10");
}
SPOIL(two_majors_backward)
{
    releases(m, "7.9", "5.11");
}
SPOIL(two_majors_forward)
{
    releases(m, "5.8", "7.2");
}
SPOIL(minor_of_later_ones)
{
    releases(m, "8.4", "8.6");
}
SPOIL(minor_backward_too_far)
{
    releases(m, "5.5", "5.3");
}
SPOIL(minor_backward)
{
    releases(m, "6.4", "6.3");
}

#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK
#define I DROVER__V1__SEVERITY__INFO

const struct spoiled preflight_links[] = {
    {other_segment, "bridge-segment", "1500 ms", ONLY, B},
    {second_network_on_the_bridge, "bridge-segment", "heard nothing on br1", ONLY, B},
    {deaf_bridge, "bridge-unheard", "CAP_NET_RAW", ONLY, W},
    {mute_bridge, "bridge-unheard", "CAP_NET_RAW", ONLY, W},
    {sender_failed, "bridge-unheard", "256 probes", ONLY, W},
    {sender_not_heard_of, "bridge-segment", "1500 ms", ONLY, B},
    {sender_late, "bridge-segment", "1500 ms", ONLY, B},
    {sender_told_enough, "bridge-segment", "1500 ms", ONLY, B},
    {small_mtu, "mtu-smaller", "1500", ONLY, B},
    {against_the_rules, "guest-rules", "pins it", MORE, B},
    {same_mac, "mac-in-use", "other", MORE, B},
    {range_full, "port-range", "taken", ONLY, B},
    {firewalled, "migration-port", "10.0.0.1 port", ONLY, B},
    {ports_untried, "port-unproven", "descriptors", ONLY, W},
    {libvirt_refused, "libvirt-port", "refused", ONLY, B},
    {tls_forced, "migrate-tls-force", "qemu.conf:7: migrate_tls_force = 1", ONLY, B},
    {listens_elsewhere, "migration-listen", "qemu.conf:7: migration_address = \"10.9.9.9\"", ONLY, B},
    {listens_elsewhere_by_ipv6, "migration-listen", "fd00:0::3", ONLY, B},
    {asks_for_a_login, "libvirt-auth", "for sasl (auth_tcp", ONLY, W},
    {asks_for_a_login_by_tls, "libvirt-auth", "for sasl (auth_tls", ONLY, W},
    {clock_late, "clock-offset", "behind", ONLY, W},
    {major_forward, "release-unsupported", "6.3", ONLY, B},
    {major_backward, "release-unsupported", "not supported", ONLY, B},
    {major_backward_of_later_ones, "release-unsupported", "8.10, from 9.4", ONLY, B},
    {two_majors_backward, "release-unsupported", "not supported", ONLY, B},
    {two_majors_forward, "release-untested", "7.2, from 5.8", ONLY, W},
    {minor_of_later_ones, "release-untested", "not in the table", ONLY, W},
    {minor_backward_too_far, "release-untested", "not in the table", ONLY, W},
    {early_minor, "release-untested", "x < 4", ONLY, W},
    {minor_backward, "release-backward", "known issues", ONLY, I},
};
const size_t n_preflight_links = sizeof(preflight_links) / sizeof(preflight_links[0]);
