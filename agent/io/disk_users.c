#include "agent/io/disk_users.h"

#include "agent/io/guest_xml.h"
#include "common/base/memory.h"

#include <string.h>

static virStoragePoolPtr pool_of(virConnectPtr conn, const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *directory = slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
    return directory ? virStoragePoolLookupByTargetPath(conn, directory) : NULL;
}

char *disk_volume(virConnectPtr conn, const char *path)
{
    virStoragePoolPtr pool = pool_of(conn, path);
    if (!pool)
        return NULL;
    char *name = xasprintf("%s%s", virStoragePoolGetName(pool), strrchr(path, '/'));
    virStoragePoolFree(pool);
    return name;
}

int disk_volume_refresh(virConnectPtr conn, const char *path, struct error *err)
{
    virStoragePoolPtr pool = pool_of(conn, path);
    if (!pool)
        return 0;
    int r = virStoragePoolRefresh(pool, 0) < 0
                ? error_libvirt(err, "cannot refresh storage pool %s", virStoragePoolGetName(pool))
                : 0;
    virStoragePoolFree(pool);
    return r;
}

struct file {
    const char *path, *volume; /* NULL: it is in no pool */
};

static bool names(const Drover__V1__Guest *g, const struct file *file)
{
    const char *path = file->path;
    for (size_t i = 0; i < g->n_disks; i++) {
        if (streq(g->disks[i]->source, path) ||
            (file->volume && streq(g->disks[i]->type, "volume") && streq(g->disks[i]->source, file->volume)))
            return true;
        for (size_t b = 0; b < g->disks[i]->n_backing; b++)
            if (streq(g->disks[i]->backing[b], path))
                return true;
    }
    return false;
}

/* A domain that can't be read may have it: 1 yes, 0 no, negative: an error. One that has gone meanwhile has not. */
static int uses(virDomainPtr domain, const struct file *file, unsigned flags, struct error *err)
{
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, flags);
    Drover__V1__Guest *guest = NULL;
    if (!xml) {
        int e = error_libvirt(err, "cannot read the definition of %s", virDomainGetName(domain));
        return e == -(int)STATUS_NOT_FOUND ? 0 : e;
    }
    int e = guest_xml_parse(xml, strlen(xml), &guest, err);
    if (e < 0)
        return e;
    bool found = names(guest, file);
    drover__v1__guest__free_unpacked(guest, NULL);
    return found;
}

int disk_users_find(virConnectPtr conn, const char *path, const char *except, char **ret, struct error *err)
{
    _cleanup_free_ char *volume = disk_volume(conn, path);
    const struct file file = {path, volume};
    virDomainPtr *list = NULL;
    char *found = NULL;
    int r = 0, n = virConnectListAllDomains(conn, &list, 0);
    if (n < 0)
        return error_libvirt(err, "cannot list the domains");
    for (int i = 0; i < n && r == 0; i++) {
        char uuid[VIR_UUID_STRING_BUFLEN] = "";
        virDomainGetUUIDString(list[i], uuid);
        if (except && streq(uuid, except))
            continue;
        r = uses(list[i], &file, 0, err);
        if (r == 0)
            r = uses(list[i], &file, VIR_DOMAIN_XML_INACTIVE, err);
        if (r > 0)
            found = xstrdup(virDomainGetName(list[i]));
    }
    for (int i = 0; i < n; i++)
        virDomainFree(list[i]);
    free(list);
    if (r < 0)
        return r;
    *ret = found;
    return 0;
}
