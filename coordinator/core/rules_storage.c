/* Rules about storage pools: what the definition names by pool and volume. */
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

/* A pool of another kind holds other volumes, whatever its name; directories are told apart by what lies in them. */
static bool is_other_kind(const Drover__V1__StoragePool *here, const Drover__V1__StoragePool *there)
{
    return here && !streq(here->type, there->type) && !(pool_is_directory(here) && pool_is_directory(there));
}

/* A disk of type volume names its pool: "POOL/VOLUME". */
RULE(storage_pools)
{
    const Drover__V1__Guest *g = in->there;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        const char *slash = strchr(d->source, '/');
        if (!streq(d->type, "volume") || !slash)
            continue;
        int n = (int)(slash - d->source);
        const Drover__V1__StoragePool *here = disk_pool(in->source, in->guest->guest->disks[i]),
                                      *pool = disk_pool(in->destination, d);
        if (!pool || !pool->active)
            found(("disk %s", d->target),
                  ("%s has %s storage pool %.*s", in->destination->name, pool ? "an inactive" : "no", n,
                   d->source),
                  ("the pool, active: the disk is its volume %s", slash + 1),
                  ("%s it there: virsh %s %.*s", pool ? "start" : "define",
                   pool ? "pool-start" : "pool-define-as", n, d->source));
        else if (is_other_kind(here, pool))
            found(("disk %s", d->target),
                  ("pool %.*s of %s is of type %s, and that of %s of type %s", n, d->source,
                   in->destination->name, pool->type, in->source->name, here->type),
                  ("the same pool on both hosts: the disk is its volume %s", slash + 1),
                  ("define the pool there as it is on %s (virsh pool-dumpxml %s), or map it to another name "
                   "(mappings: in coordinator.yaml)",
                   in->source->name, here->name));
    }
}

/* Of a pool that is neither a directory nor has devices (rbd, gluster, iscsi-direct, ...) only QEMU reaches the volumes. */
RULE(volume_unproven)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__StoragePool *p = disk_pool(in->source, g->disks[i]);
        if (p && !pool_is_directory(p) && !pool_has_devices(p))
            found_of_disk(
                g->disks[i], ("disk %s", g->disks[i]->target),
                ("volume %s of a pool of type %s", g->disks[i]->source, p->type),
                ("a volume that the agents can look at: a file or a device"),
                ("name the image and its servers in the guest's definition (disk type='network', as virsh "
                 "vol-dumpxml of pool %s tells them): both hosts then reach the same ones",
                 p->name));
    }
}
