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

/* The two ends look themselves, and don't share it. */
static bool is_third(const struct fleet_host *host, const char *source, const char *destination)
{
    return !streq(host->name, source) && !streq(host->name, destination);
}

static bool is_used(const struct fleet *fleet, const char *source, const char *destination,
                    const char *guest_uuid, const char *path)
{
    for (size_t h = 0; h < fleet->n_hosts; h++) {
        const struct fleet_host *host = &fleet->hosts[h];
        if (!is_third(host, source, destination))
            continue;
        for (size_t i = 0; i < host->n_guests; i++)
            if (!streq(host->guests[i].guest->uuid, guest_uuid) && names(host, host->guests[i].guest, path))
                return true;
    }
    return false;
}

const struct fleet_host *image_users_unknown(const struct fleet *fleet, const char *source,
                                             const char *destination)
{
    for (size_t h = 0; h < fleet->n_hosts; h++)
        if (is_third(&fleet->hosts[h], source, destination) && !fleet->hosts[h].told)
            return &fleet->hosts[h];
    return NULL;
}

size_t image_users_of(const struct fleet *fleet, const char *source, const char *destination,
                      const char *guest_uuid, char *const *images, size_t n_images, char ***ret)
{
    size_t n = 0;
    bool unknown = image_users_unknown(fleet, source, destination);
    char **list = xcalloc(n_images + 1, sizeof(*list));
    for (size_t i = 0; i < n_images; i++)
        if (unknown || is_used(fleet, source, destination, guest_uuid, images[i]))
            list[n++] = images[i];
    *ret = list;
    return n;
}

size_t image_users_find(const struct fleet *fleet, const char *source, const char *destination,
                        const char *guest_uuid, const Drover__V1__Relocation *r, bool at_source, char ***ret)
{
    size_t n = r ? r->n_copies : 0;
    _cleanup_free_ char **images = xcalloc(n + 1, sizeof(*images));
    for (size_t i = 0; i < n; i++)
        images[i] = at_source ? r->copies[i]->from : r->copies[i]->to;
    return image_users_of(fleet, source, destination, guest_uuid, images, n, ret);
}
