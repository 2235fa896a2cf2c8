#include "agent/io/definition.h"

#include "common/base/memory.h"

static void free_snapshots(virDomainSnapshotPtr *list, int n)
{
    for (int i = 0; i < n; i++)
        virDomainSnapshotFree(list[i]);
    free(list);
}

static int read_snapshots(virDomainPtr domain, Drover__V1__Definition *d, struct error *err)
{
    virDomainSnapshotPtr *list = NULL;
    int n = virDomainListAllSnapshots(domain, &list, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);
    if (n < 0)
        return error_libvirt(err, "cannot list the snapshots of guest %s", virDomainGetName(domain));
    d->snapshots = xcalloc((size_t)n, sizeof(*d->snapshots));
    int r = 0;
    for (int i = 0; i < n && r == 0; i++) {
        Drover__V1__Snapshot *s = d->snapshots[d->n_snapshots++] = new0(Drover__V1__Snapshot);
        drover__v1__snapshot__init(s);
        s->name = xstrdup(virDomainSnapshotGetName(list[i]));
        s->xml = virDomainSnapshotGetXMLDesc(list[i], VIR_DOMAIN_SNAPSHOT_XML_SECURE);
        s->current = virDomainSnapshotIsCurrent(list[i], 0) == 1;
        if (!s->xml)
            r = error_libvirt(err, "cannot read snapshot %s of guest %s", s->name, virDomainGetName(domain));
    }
    free_snapshots(list, n);
    return r;
}

int definition_read(virDomainPtr domain, Drover__V1__Definition **ret, struct error *err)
{
    Drover__V1__Definition *d = new0(Drover__V1__Definition);
    drover__v1__definition__init(d);
    int r = 0;
    unsigned flags = VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE;
    int active = virDomainIsActive(domain), persistent = virDomainIsPersistent(domain), autostart = 0;
    d->xml = virDomainGetXMLDesc(domain, flags);
    if (!d->xml || active < 0 || persistent < 0)
        r = error_libvirt(err, "cannot read the definition of guest %s", virDomainGetName(domain));
    if (r == 0 && persistent && virDomainGetAutostart(domain, &autostart) < 0)
        r = error_libvirt(err, "cannot read the autostart of guest %s", virDomainGetName(domain));
    if (r == 0 && !active)
        r = read_snapshots(domain, d, err);
    if (r < 0) {
        drover__v1__definition__free_unpacked(d, NULL);
        return r;
    }
    d->persistent = persistent == 1;
    d->autostart = autostart == 1;
    *ret = d;
    return 0;
}

int definition_define(virConnectPtr conn, const Drover__V1__Definition *d, struct error *err)
{
    if (!d->persistent)
        return 0;
    _cleanup_domain_ virDomainPtr domain = virDomainDefineXMLFlags(conn, d->xml, 0);
    if (!domain)
        return error_libvirt(err, "cannot define the guest here");
    for (size_t i = 0; i < d->n_snapshots; i++) {
        unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
        if (d->snapshots[i]->current)
            flags |= VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT;
        virDomainSnapshotPtr s = virDomainSnapshotCreateXML(domain, d->snapshots[i]->xml, flags);
        if (!s)
            return error_libvirt(err, "cannot define snapshot %s here", d->snapshots[i]->name);
        virDomainSnapshotFree(s);
    }
    return 0;
}
