#include "coordinator/core/places.h"

#include "common/base/memory.h"

#include <stdbool.h>

static bool same_hosts(const Drover__V1__Disk *a, const Drover__V1__Disk *b)
{
    bool same = a->n_more_hosts == b->n_more_hosts;
    for (size_t i = 0; i < a->n_more_hosts && same; i++)
        same = streq(a->more_hosts[i]->name, b->more_hosts[i]->name) &&
               a->more_hosts[i]->port == b->more_hosts[i]->port;
    return same;
}

static bool same_disk(const Drover__V1__Disk *a, const Drover__V1__Disk *b)
{
    return streq(a->type, b->type) && streq(a->device, b->device) && streq(a->protocol, b->protocol) &&
           streq(a->source, b->source) && streq(a->source_host, b->source_host) &&
           a->source_port == b->source_port && same_hosts(a, b) && a->readonly == b->readonly;
}

static bool same_interface(const Drover__V1__Interface *a, const Drover__V1__Interface *b)
{
    return streq(a->type, b->type) && streq(a->source, b->source) && streq(a->vlan, b->vlan) &&
           streq(a->portgroup, b->portgroup);
}

static const Drover__V1__Disk *disk_of(const Drover__V1__Guest *g, const char *target)
{
    for (size_t i = 0; i < g->n_disks; i++)
        if (streq(g->disks[i]->target, target))
            return g->disks[i];
    return NULL;
}

static const Drover__V1__Interface *interface_of(const Drover__V1__Guest *g, const char *mac)
{
    for (size_t i = 0; i < g->n_interfaces; i++)
        if (streq(g->interfaces[i]->mac, mac))
            return g->interfaces[i];
    return NULL;
}

/* Of what `a` has: what `b` has not, or has elsewhere. */
static char *missing(const Drover__V1__Guest *a, const Drover__V1__Guest *b, const char *how)
{
    for (size_t i = 0; i < a->n_disks; i++) {
        const Drover__V1__Disk *d = a->disks[i], *other = disk_of(b, d->target);
        if (!other || !same_disk(d, other))
            return xasprintf("disk %s %s", d->target, other ? "is another" : how);
    }
    for (size_t i = 0; i < a->n_interfaces; i++) {
        const Drover__V1__Interface *n = a->interfaces[i], *other = interface_of(b, n->mac);
        if (!other || !same_interface(n, other))
            return xasprintf("interface %s %s", n->mac, other ? "hangs elsewhere" : how);
    }
    return NULL;
}

char *places_changed(const Drover__V1__Guest *before, const Drover__V1__Guest *now)
{
    char *what = missing(now, before, "has come");
    return what ? what : missing(before, now, "has gone");
}
