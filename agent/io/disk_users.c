#include "agent/io/disk_users.h"

#include "agent/io/guest_xml.h"
#include "common/base/memory.h"

#include <string.h>

static bool names(const Drover__V1__Guest *g, const char *path)
{
    for (size_t i = 0; i < g->n_disks; i++) {
        if (streq(g->disks[i]->source, path))
            return true;
        for (size_t b = 0; b < g->disks[i]->n_backing; b++)
            if (streq(g->disks[i]->backing[b], path))
                return true;
    }
    return false;
}

/* A domain that can't be read may have it: 1 yes, 0 no, negative: an error. One that has gone meanwhile has not. */
static int uses(virDomainPtr domain, const char *path, unsigned flags, struct error *err)
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
    bool found = names(guest, path);
    drover__v1__guest__free_unpacked(guest, NULL);
    return found;
}

int disk_users_find(virConnectPtr conn, const char *path, const char *except, char **ret, struct error *err)
{
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
        r = uses(list[i], path, 0, err);
        if (r == 0)
            r = uses(list[i], path, VIR_DOMAIN_XML_INACTIVE, err);
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
