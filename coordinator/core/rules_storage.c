/* Rules about storage pools: what the definition names by pool and volume. */
#include "coordinator/core/rules.h"

#include <string.h>

static const Drover__V1__StoragePool *pool_named(const Drover__V1__HostReport *r, const char *name)
{
    for (size_t i = 0; i < r->n_pools; i++)
        if (streq(r->pools[i]->name, name))
            return r->pools[i];
    return NULL;
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
        char *name = xstrdup(d->source);
        name[slash - d->source] = 0;
        const Drover__V1__StoragePool *pool = pool_named(in->destination->report, name);
        if (!pool || !pool->active)
            found(("disk %s", d->target),
                  ("%s has %s storage pool %s", in->destination->name, pool ? "an inactive" : "no", name),
                  ("the pool, active: the disk is its volume %s", slash + 1),
                  ("%s it there: virsh %s %s", pool ? "start" : "define",
                   pool ? "pool-start" : "pool-define-as", name));
        free(name);
    }
}
