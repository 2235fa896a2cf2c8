/* Rules about network disks, as QEMU reaches them by itself: is it the same unit, and can that be known at all? What opens them is
 * in rules_image.c. */
#include "common/base/cleanup.h"
#include "common/mapping/unit.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

static const struct ask *identity(const struct preflight *in, const struct fleet_host *host,
                                  const char *target)
{
    return evidence_probe(in->evidence, host, DROVER__V1__PROBE_KIND__PROBE_ISCSI_IDENTITY, target);
}

RULE(unit_differs)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        const struct ask *here = identity(in, in->source, d->target),
                         *there = identity(in, in->destination, d->target);
        if (ask_proven(here) && ask_proven(there) && !streq(here->result->identity, there->result->identity))
            found(("disk %s", d->target),
                  ("%s is %s on %s, and %s on %s", d->source, here->result->identity, in->source->name,
                   there->result->identity, in->destination->name),
                  ("the same unit"),
                  ("see that both hosts reach the same server under the name %s (getent hosts, ip route)",
                   d->source_host));
    }
}

/* Where the image can't be opened at all, that says more. */
RULE(unit_unproven)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const struct fleet_host *hosts[2] = {in->source, in->destination};
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        for (unsigned h = 0; h < 2; h++) {
            const struct ask *a = identity(in, hosts[h], d->target);
            const struct ask *opened =
                evidence_probe(in->evidence, hosts[h], DROVER__V1__PROBE_KIND__PROBE_IMAGE, d->target);
            if (!a || ask_proven(a) || ask_unknown(a) || !ask_proven(opened))
                continue;
            found(("disk %s", d->target),
                  ("%s can't tell which unit %s is: %s", hosts[h]->name, d->source, ask_words(a)),
                  ("its serial number, by INQUIRY"),
                  ("%s", streq(ask_reason(a), "no-program") ? "install libiscsi-bin there"
                                                            : "give the unit a serial number at its target"));
        }
    }
}

/* ---- which server? ---- */

const Drover__V1__ResolvedName *name_at(const struct preflight *in, const struct fleet_host *host,
                                        const char *name)
{
    const Drover__V1__Inspection *seen = NULL;
    for (size_t i = 0; i < in->evidence->n; i++) {
        const struct ask *a = &in->evidence->asks[i];
        seen = a->host == host ? a->inspection : NULL;
        for (size_t k = 0; seen && k < seen->n_names; k++)
            if (streq(seen->names[k]->name, name) && seen->names[k]->n_addresses)
                return seen->names[k];
    }
    return NULL;
}

bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || streq(address, "::1");
}

/* One address in common, or of one host of the fleet, which may have several. Each host's loopback is its own. */
static bool one_server(const struct preflight *in, const Drover__V1__ResolvedName *a,
                       const Drover__V1__ResolvedName *b)
{
    for (size_t i = 0; i < a->n_addresses; i++)
        for (size_t k = 0; k < b->n_addresses; k++) {
            if (is_loopback(a->addresses[i]) || is_loopback(b->addresses[k]))
                continue;
            const struct fleet_host *host = host_known_as(in, a->addresses[i]);
            if (streq(a->addresses[i], b->addresses[k]) ||
                (host && host == host_known_as(in, b->addresses[k])))
                return true;
        }
    return false;
}

static bool has_known_server(const struct preflight *in, const Drover__V1__Disk *d, const char *name,
                             bool *ret_named)
{
    bool known = false;
    const char *server;
    for (size_t k = 0; (server = disk_server(d, k)); k++) {
        *ret_named = *ret_named || streq(server, name);
        known = known || (name_at(in, in->source, server) && name_at(in, in->destination, server));
    }
    return known;
}

/* QEMU takes another of a disk's servers where one is gone; those that both hosts resolve are compared. */
bool server_unresolved(const struct preflight *in, const char *name)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        bool named = false, known = has_known_server(in, g->disks[i], name, &named);
        if (named && !known)
            return true;
    }
    return false;
}

static char *joined(const Drover__V1__ResolvedName *n)
{
    char *text = NULL;
    for (size_t i = 0; i < n->n_addresses; i++)
        text_append(&text, ", ", "%s", n->addresses[i]);
    return text;
}

static bool is_identified(const struct preflight *in, const Drover__V1__Disk *d)
{
    const struct ask *here = identity(in, in->source, d->target),
                     *there = identity(in, in->destination, d->target);
    return ask_proven(here) && ask_proven(there) && !unit_is_unnamed(here->result->identity) &&
           !unit_is_unnamed(there->result->identity);
}

/* Of iSCSI units that told who they are, that says more. */
RULE(server_differs)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        const char *name;
        for (size_t k = 0; !is_identified(in, d) && (name = disk_server(d, k)); k++) {
            const Drover__V1__ResolvedName *here = name_at(in, in->source, name),
                                           *there = name_at(in, in->destination, name);
            if (!here || !there || one_server(in, here, there))
                continue;
            _cleanup_free_ char *a = joined(here), *b = joined(there);
            found(("disk %s", d->target),
                  ("its server %s is %s on %s, and %s on %s", name, a, in->source->name, b,
                   in->destination->name),
                  ("one server: an address that both hosts find under that name"),
                  ("compare getent ahosts %s on both hosts, and set right what is wrong in /etc/hosts or "
                   "DNS: if "
                   "these are addresses of one server, give both hosts the same",
                   name));
        }
    }
}

/* Which one it is is then each host's own to say, as with a volume of a pool. */
static bool names_no_server(const Drover__V1__Disk *d)
{
    return streq(d->type, "network") && d->protocol[0] && !d->source_host[0];
}

RULE(server_unnamed)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        if (names_no_server(d))
            found_of_disk(
                d, ("disk %s", d->target), ("%s of %s, with no <host>", d->source, d->protocol),
                ("the servers (Ceph: the monitors) in the definition, so that they go along with the guest"),
                ("add its <host name='...'/> to the disk's <source> (virsh edit), and restart the guest"));
    }
}

RULE(disk_local_socket)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++)
        if (streq(g->disks[i]->type, "network") && g->disks[i]->source_host[0] == '/')
            found(("disk %s", g->disks[i]->target),
                  ("%s through the socket %s on %s", g->disks[i]->protocol, g->disks[i]->source_host,
                   in->source->name),
                  ("a server that both hosts reach over the network"),
                  ("let the server listen on TCP and name it by its host in the definition (virsh edit)"));
}

RULE(disk_unproven)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        _cleanup_free_ char *url = streq(d->type, "network") && d->protocol[0] && d->source_host[0] != '/'
                                       ? disk_url(d)
                                       : xstrdup("");
        if (!url && !names_no_server(d))
            found(("disk %s", d->target),
                  ("%s of %s%s%s", d->protocol, d->source_host, d->auth[0] ? ", with the secret of " : "",
                   d->auth),
                  ("a disk that the agents can open, too"),
                  ("see that %s has %s and reaches the server: qemu-img info there, with the same "
                   "credentials, only reads; never start another guest on the disk to find out",
                   in->destination->name,
                   streq(d->auth, "tls") ? "its certificates (qemu.conf: vxhs_tls, nbd_tls)"
                   : d->auth[0]          ? "the same secret (virsh secret-list)"
                                         : "what it needs to log in (keys, known_hosts of QEMU's user)"));
    }
}
