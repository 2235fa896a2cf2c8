/* Rules about network disks, as QEMU reaches them by itself: is it the same unit, and can that be known at all? What opens them is
 * in rules_export.c. */
#include "common/base/cleanup.h"
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
        if (!url)
            found(("disk %s", d->target),
                  ("%s of %s%s%s", d->protocol, d->source_host[0] ? d->source_host : "no host",
                   d->auth[0] ? ", with the secret of " : "", d->auth),
                  ("a disk that the agents can open, too"),
                  ("see that %s has %s and reaches the server: qemu-img info there, with the same "
                   "credentials, only reads; never start another guest on the disk to find out",
                   in->destination->name,
                   streq(d->auth, "tls") ? "its certificates (qemu.conf: vxhs_tls, nbd_tls)"
                   : d->auth[0]          ? "the same secret (virsh secret-list)"
                                         : "what it needs to log in (keys, known_hosts of QEMU's user)"));
    }
}
