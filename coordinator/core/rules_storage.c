/* Rules about disks, as far as the two reports alone can tell: nothing here is proof. What libvirt itself takes for unsafe
 * it refuses in the transfer. */
#include "coordinator/core/rules.h"

#include <string.h>

static const char *const shared_pools[] = {"netfs", "gluster", "iscsi", "iscsi-direct",
                                           "rbd",   "scsi",    "mpath"};

static bool is_shared_pool(const Drover__V1__StoragePool *pool)
{
    for (size_t i = 0; i < sizeof(shared_pools) / sizeof(shared_pools[0]); i++)
        if (streq(pool->type, shared_pools[i]))
            return pool->active;
    return false;
}

static bool is_below(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    return n && strncmp(path, directory, n) == 0 && (path[n] == '/' || directory[n - 1] == '/');
}

static const Drover__V1__StoragePool *pool_named(const Drover__V1__HostReport *r, const char *name)
{
    for (size_t i = 0; i < r->n_pools; i++)
        if (streq(r->pools[i]->name, name))
            return r->pools[i];
    return NULL;
}

static bool on_shared_pool(const Drover__V1__HostReport *r, const char *path)
{
    for (size_t i = 0; i < r->n_pools; i++)
        if (is_shared_pool(r->pools[i]) && is_below(path, r->pools[i]->target_path))
            return true;
    return false;
}

/* A disk of type volume names its pool: "POOL/VOLUME". */
RULE(storage_pools)
{
    const Drover__V1__Guest *g = in->guest->guest;
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

RULE(storage_unproven)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        bool local = streq(d->type, "file") || streq(d->type, "block") || streq(d->type, "dir");
        if (!local || !d->source[0])
            continue;
        if (on_shared_pool(in->source->report, d->source) &&
            on_shared_pool(in->destination->report, d->source))
            continue;
        found(("disk %s", d->target), ("%s, of which nothing says that both hosts see the same", d->source),
              ("storage that both hosts share, at the same path"),
              ("make sure of it: neither host knows a shared storage pool there"));
    }
}
