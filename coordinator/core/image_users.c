#include "coordinator/core/image_users.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/evidence.h"

#include <stdlib.h>
#include <string.h>

static bool names(const struct fleet_host *host, const Drover__V1__Guest *g, const char *path)
{
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        _cleanup_free_ char *at = disk_path(host, d);
        if (streq(d->source, path) || (at && streq(at, path)))
            return true;
        for (size_t b = 0; b < d->n_backing; b++)
            if (streq(d->backing[b], path))
                return true;
    }
    return false;
}

static bool is_used(const struct fleet *fleet, const char *source, const char *destination,
                    const char *guest_uuid, const char *path)
{
    for (size_t h = 0; h < fleet->n_hosts; h++) {
        const struct fleet_host *host = &fleet->hosts[h];
        if (streq(host->name, source) || streq(host->name, destination))
            continue; /* they look themselves, and don't share it */
        for (size_t i = 0; i < host->n_guests; i++)
            if (!streq(host->guests[i].guest->uuid, guest_uuid) && names(host, host->guests[i].guest, path))
                return true;
    }
    return false;
}

size_t image_users_find(const struct fleet *fleet, const char *source, const char *destination,
                        const char *guest_uuid, const Drover__V1__Relocation *r, bool at_source, char ***ret)
{
    size_t n = 0, n_copies = r ? r->n_copies : 0;
    char **list = xcalloc(n_copies + 1, sizeof(*list));
    for (size_t i = 0; i < n_copies; i++) {
        char *path = at_source ? r->copies[i]->from : r->copies[i]->to;
        if (is_used(fleet, source, destination, guest_uuid, path))
            list[n++] = path;
    }
    *ret = list;
    return n;
}
