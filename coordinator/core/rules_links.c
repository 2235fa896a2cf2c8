/* Rules about what lies between the hosts: the guests' networks, the ports of a transfer, the clocks. */
#include "common/base/cleanup.h"
#include "coordinator/core/firewall_text.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>
#include <strings.h>

/* Interfaces that share the bridges of both ends share their probe: told once. */
static const struct ask *listener(const struct preflight *in, size_t i, const Drover__V1__Bridge **ret_here,
                                  const Drover__V1__Bridge **ret_there)
{
    const Drover__V1__Guest *g = in->guest->guest;
    *ret_here = interface_bridge(in->source, g->interfaces[i]);
    *ret_there = interface_bridge(in->destination, in->there->interfaces[i]);
    if (!*ret_here || !*ret_there)
        return NULL;
    for (size_t k = 0; k < i; k++)
        if (interface_bridge(in->source, g->interfaces[k]) == *ret_here &&
            interface_bridge(in->destination, in->there->interfaces[k]) == *ret_there)
            return NULL;
    _cleanup_free_ char *key = bridges_key(*ret_here, *ret_there);
    return evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_LAYER2_LISTEN, key);
}

/* Why no frame can have been sent; NULL if some may have been: a sender that was not heard of in time has perhaps sent. */
static const struct ask *not_sent(const struct preflight *in, const Drover__V1__Bridge *here,
                                  const Drover__V1__Bridge *there)
{
    _cleanup_free_ char *key = bridges_key(here, there);
    const struct ask *a =
        evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_LAYER2_SEND, key);
    bool failed = a && a->state == ASK_FAILED && a->code != STATUS_DEADLINE_EXCEEDED;
    bool undecided = a && a->result && !ask_proven(a) && !ask_refuted(a) && !streq(ask_reason(a), "timeout");
    return failed || undecided ? a : NULL;
}

RULE(bridge_segment)
{
    const Drover__V1__Bridge *here, *there;
    for (size_t i = 0; i < in->guest->guest->n_interfaces; i++) {
        const struct ask *heard = listener(in, i, &here, &there);
        if (ask_refuted(heard) && !not_sent(in, here, there))
            found(("bridge %s", there->name),
                  ("frames sent on %s of %s did not arrive there on %s, so the guest would lose its address "
                   "and all connections: %s",
                   here->name, in->source->name, in->destination->name, ask_words(heard)),
                  ("one network behind both bridges"),
                  ("see that %s of %s has its uplink (bridge link, ip link), in the same VLAN as on %s; or, "
                   "where the network does not reach so far, give the guest another address there",
                   there->name, in->destination->name, in->source->name));
    }
}

RULE(bridge_unheard)
{
    const Drover__V1__Bridge *here, *there;
    for (size_t i = 0; i < in->guest->guest->n_interfaces; i++) {
        const struct ask *heard = listener(in, i, &here, &there);
        if (!heard || ask_unknown(heard) || ask_proven(heard))
            continue;
        const struct ask *why = ask_refuted(heard) ? not_sent(in, here, there) : heard;
        if (why)
            found(("bridge %s", there->name),
                  ("whether it is the same network is not known: %s", ask_words(why)),
                  ("a frame from %s of %s heard there", here->name, in->source->name),
                  ("see the log of drover-agent on %s: it needs CAP_NET_RAW", why->host->name));
    }
}

/* What a network says of it; "" if nothing. */
static const char *vlan_of(const Drover__V1__Network *network, const char *group)
{
    size_t n = strlen(group);
    const char *without = "";
    for (size_t i = 0; network && i < network->n_vlans; i++) {
        const char *vlan = network->vlans[i], *colon = strrchr(vlan, ':');
        if (n && colon == vlan + n && strncmp(vlan, group, n) == 0)
            return colon + 1;
        if (!colon && !without[0])
            without = vlan;
    }
    return without;
}

RULE(vlan_unproven)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_interfaces; i++) {
        const Drover__V1__Interface *nic = g->interfaces[i], *as_there = in->there->interfaces[i];
        const char *here = vlan_of(interface_network(in->source, nic), nic->portgroup),
                   *there = vlan_of(interface_network(in->destination, as_there), nic->portgroup);
        /* Of a guest that runs libvirt tells what holds: its own, or what the network has given it. */
        bool own = nic->vlan[0] && !streq(nic->vlan, here);
        const char *vlan = nic->vlan[0] ? nic->vlan : here;
        if (!own && !streq(here, there))
            found(("interface %s", nic->mac),
                  ("network %s of %s puts it into %s%s, and network %s of %s into %s%s", nic->source,
                   in->source->name, here[0] ? "VLAN " : "no VLAN", here, as_there->source,
                   in->destination->name, there[0] ? "VLAN " : "none", there),
                  ("one VLAN on both hosts"),
                  ("give both networks the same <vlan>: virsh net-edit %s", as_there->source));
        else if (vlan[0])
            found(("interface %s", nic->mac), ("it is in VLAN %s, and the frames of the proof are not", vlan),
                  ("that VLAN behind %s %s of %s, too", as_there->type, as_there->source,
                   in->destination->name),
                  ("see that the uplink there carries VLAN %s: ovs-vsctl show, and the switch's port", vlan));
    }
}

RULE(mtu_smaller)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_interfaces; i++) {
        const Drover__V1__Bridge *here = interface_bridge(in->source, g->interfaces[i]);
        const Drover__V1__Bridge *there = interface_bridge(in->destination, in->there->interfaces[i]);
        if (here && there && there->mtu && there->mtu < here->mtu)
            found(("bridge %s", there->name), ("MTU %u on %s", there->mtu, in->destination->name),
                  ("%u or more, as on %s", here->mtu, in->source->name),
                  ("ip link set %s mtu %u there (and its ports): the guest's large packets would be lost",
                   there->name, here->mtu));
    }
}

RULE(mac_in_use)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const struct fleet_host *h = in->destination;
    for (size_t n = 0; h != in->source && n < h->n_guests; n++) {
        const Drover__V1__Guest *other = h->guests[n].guest;
        for (size_t i = 0; i < g->n_interfaces && !streq(other->uuid, g->uuid) && fleet_guest_active(other);
             i++)
            for (size_t k = 0; k < other->n_interfaces; k++)
                if (g->interfaces[i]->mac[0] &&
                    strcasecmp(g->interfaces[i]->mac, other->interfaces[k]->mac) == 0)
                    found(("interface %s", g->interfaces[i]->mac),
                          ("%s on %s has that MAC, too", other->name, h->name),
                          ("a MAC of its own: of two, neither is reached reliably"),
                          ("give one of them another: virsh edit"));
    }
}

/* ---- ports ------------------------------------------------------------------------------------------------------- */

static const struct ask *port_ask(const struct preflight *in, const struct fleet_host *host,
                                  Drover__V1__ProbeKind kind)
{
    return evidence_probe(in->evidence, host, kind, in->destination->name);
}

static const struct ask *port_opened(const struct preflight *in)
{
    return port_ask(in, in->destination, DROVER__V1__PROBE_KIND__PROBE_PORT_OPEN);
}

static const struct ask *port_reached(const struct preflight *in)
{
    return port_ask(in, in->source, DROVER__V1__PROBE_KIND__PROBE_PORT_CONNECT);
}

static bool is_silent(const struct ask *a)
{
    return a && a->state == ASK_FAILED && a->code == STATUS_DEADLINE_EXCEEDED;
}

RULE(port_range)
{
    const struct ask *opened = port_opened(in);
    if (ask_refuted(opened))
        found(("host %s", in->destination->name), ("%s", ask_words(opened)),
              ("a free port of the migration range at the address for migration data"),
              ("%s", streq(ask_reason(opened), "range-full")
                         ? "widen migration_port_min to migration_port_max in qemu.conf there, or wait for "
                           "other moves"
                         : "set migration_address in its agent.yaml to an address of that host"));
}

RULE(migration_port)
{
    const struct ask *opened = port_opened(in), *reached = port_reached(in);
    const Drover__V1__Listening *l = in->destination->report->listening;
    unsigned min = l && l->migration_port_min ? l->migration_port_min : 49152;
    unsigned max = l && l->migration_port_max ? l->migration_port_max : 49215;
    _cleanup_free_ char *open = firewall_open(in->evidence, in->destination, NULL, min, max);
    if (ask_proven(opened) && (ask_refuted(reached) || is_silent(reached)))
        found(("host %s", in->destination->name),
              ("%s can't reach its migration ports: %s", in->source->name, ask_words(reached)),
              ("TCP ports %u to %u open to %s", min, max, in->source->name),
              ("on %s: %s", in->destination->name, open));
}

RULE(port_unproven)
{
    const struct ask *opened = port_opened(in), *reached = port_reached(in);
    const struct ask *a = ask_proven(opened) ? reached : opened;
    if (a && !ask_unknown(a) && !ask_proven(a) && !ask_refuted(a) && !(a == reached && is_silent(a)))
        found(("host %s", in->destination->name),
              ("whether its migration ports can be reached is not known: %s", ask_words(a)),
              ("a connection from %s to a port of the range", in->source->name),
              ("see the log of drover-agent on %s", a->host->name));
}

static const char *certificate_todo(const char *reason)
{
    if (streq(reason, "tls-name"))
        return "issue the destination's libvirt a certificate with the name that libvirt_remote uses";
    if (streq(reason, "tls-expired"))
        return "renew libvirt's server certificate there (/etc/pki/libvirt/servercert.pem)";
    if (streq(reason, "tls-untrusted"))
        return "sign both hosts' libvirt certificates by one CA (/etc/pki/CA/cacert.pem)";
    if (streq(reason, "tls-refused") || streq(reason, "tls-credentials"))
        return "give the source a libvirt client certificate (/etc/pki/libvirt/clientcert.pem and "
               "private/clientkey.pem)";
    return NULL;
}

/* What to do by what went wrong with libvirt's port. Owned by the caller. */
static char *libvirt_todo(const struct preflight *in, const char *reason)
{
    const Drover__V1__HostReport *r = in->destination->report;
    const Drover__V1__Listening *l = r->listening;
    bool tls = strncmp(r->libvirt_remote, "qemu+tls:", 9) == 0;
    unsigned own = !l ? 0 : tls ? l->tls_port : l->tcp_port, port = own ? own : tls ? 16514 : 16509;
    const char *certificate = certificate_todo(reason);
    if (certificate)
        return xstrdup(certificate);
    _cleanup_free_ char *open =
        firewall_open(in->evidence, in->destination, tls ? "libvirt-tls" : "libvirt", port, port);
    return xasprintf("start the listening socket there (systemctl enable --now libvirtd-%s.socket), and open "
                     "its port: %s",
                     tls ? "tls" : "tcp", open);
}

RULE(libvirt_port)
{
    const struct ask *a = port_ask(in, in->source, DROVER__V1__PROBE_KIND__PROBE_LIBVIRT_CONNECT);
    _cleanup_free_ char *todo = libvirt_todo(in, is_silent(a) ? "" : ask_reason(a));
    if (a && !ask_unknown(a) && !ask_proven(a) && a->result &&
        a->result->outcome != DROVER__V1__PROBE_OUTCOME__PROBE_NOT_APPLICABLE)
        found(("host %s", in->destination->name),
              ("%s can't reach its libvirt: %s", in->source->name, ask_words(a)),
              ("%s to answer", a->probe->url), ("%s", todo));
    else if (is_silent(a))
        found(("host %s", in->destination->name), ("%s", ask_words(a)), ("%s to answer", a->probe->url),
              ("%s", todo));
}

/* A guest's clock follows its host's when it is set anew after the move; logs and leases want one time, too. */
RULE(clock_offset)
{
    enum { LIMIT_MS = 1000 };
    int64_t a, b, doubt_a, doubt_b;
    if (!evidence_clock(in->evidence, in->source, &a, &doubt_a) ||
        !evidence_clock(in->evidence, in->destination, &b, &doubt_b))
        return;
    int64_t off = b - a, doubt = doubt_a + doubt_b;
    if ((off < 0 ? -off : off) - doubt > LIMIT_MS)
        found(("host %s", in->destination->name),
              ("its clock is %lld ms %s that of %s (give or take %lld ms)", (long long)(off < 0 ? -off : off),
               off < 0 ? "behind" : "ahead of", in->source->name, (long long)doubt),
              ("clocks within %d ms", LIMIT_MS),
              ("see that NTP runs on both: timedatectl, chronyc tracking"));
}
