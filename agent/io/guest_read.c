#include "agent/io/guest_xml.h"
#include "agent/io/guests.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <libvirt/libvirt.h>
#include <string.h>

static Drover__V1__GuestState state_of(int state)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED: return DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    case VIR_DOMAIN_PAUSED: return DROVER__V1__GUEST_STATE__GUEST_PAUSED;
    case VIR_DOMAIN_SHUTDOWN: return DROVER__V1__GUEST_STATE__GUEST_SHUTDOWN;
    case VIR_DOMAIN_SHUTOFF: return DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    case VIR_DOMAIN_CRASHED: return DROVER__V1__GUEST_STATE__GUEST_CRASHED;
    case VIR_DOMAIN_PMSUSPENDED: return DROVER__V1__GUEST_STATE__GUEST_SUSPENDED;
    default: return DROVER__V1__GUEST_STATE__GUEST_UNKNOWN;
    }
}

static void free_guest(Drover__V1__Guest **g)
{
    if (*g)
        drover__v1__guest__free_unpacked(*g, NULL);
}

/* Drivers without snapshots, managed saves or jobs fail these calls: then there are none. */
static void read_details(virDomainPtr domain, Drover__V1__Guest *g)
{
    int autostart = 0, n = virDomainSnapshotNum(domain, 0);
    g->autostart = virDomainGetAutostart(domain, &autostart) == 0 && autostart;
    g->persistent = virDomainIsPersistent(domain) == 1;
    g->snapshots = n > 0 ? (uint32_t)n : 0;
    n = virDomainListAllCheckpoints(domain, NULL, 0);
    g->checkpoints = n > 0 ? (uint32_t)n : 0;
    g->managed_save = virDomainHasManagedSaveImage(domain, 0) == 1;
    virDomainJobInfo job;
    g->job = g->job || (virDomainGetJobInfo(domain, &job) == 0 &&
                        (job.type == VIR_DOMAIN_JOB_BOUNDED || job.type == VIR_DOMAIN_JOB_UNBOUNDED));
}

int guests_read(virDomainPtr domain, Drover__V1__Guest **ret, char **ret_xml, struct error *err)
{
    const char *name = virDomainGetName(domain);
    int state, reason;
    _cleanup_free_ char *xml = NULL, *inactive = NULL;
    xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        return error_libvirt(err, "cannot read the definition of guest %s", name);
    if (ret_xml) {
        inactive = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
        if (!inactive)
            return error_libvirt(err, "cannot read the inactive definition of guest %s", name);
    }
    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return error_libvirt(err, "cannot read the state of guest %s", name);
    _cleanup_(free_guest) Drover__V1__Guest *g = NULL;
    int r = guest_xml_parse(xml, strlen(xml), &g, err);
    if (r < 0)
        return r;
    g->state = state_of(state);
    g->state_reason = reason;
    read_details(domain, g);
    *ret = steal(&g);
    if (ret_xml)
        *ret_xml = steal(&inactive);
    return 0;
}

int guests_get(virConnectPtr conn, const char *uuid, Drover__V1__Guest **ret, char **ret_xml,
               struct error *err)
{
    _cleanup_domain_ virDomainPtr domain = virDomainLookupByUUIDString(conn, uuid);
    if (!domain)
        return error_libvirt(err, "no guest with UUID %.64s", uuid);
    return guests_read(domain, ret, ret_xml, err);
}

static bool has_disk(const Drover__V1__Guest *g, const Drover__V1__Disk *d)
{
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *o = g->disks[i];
        if (streq(o->type, d->type) && streq(o->protocol, d->protocol) && streq(o->source, d->source) &&
            streq(o->source_host, d->source_host))
            return true;
    }
    return false;
}

static bool has_interface(const Drover__V1__Guest *g, const Drover__V1__Interface *n)
{
    for (size_t i = 0; i < g->n_interfaces; i++)
        if (streq(g->interfaces[i]->type, n->type) && streq(g->interfaces[i]->source, n->source))
            return true;
    return false;
}

void guests_later(const Drover__V1__Guest *running, const Drover__V1__Guest *defined,
                  Drover__V1__GuestNow *now)
{
    for (size_t i = 0; i < defined->n_disks; i++) {
        const Drover__V1__Disk *d = defined->disks[i];
        if (d->source[0] && !has_disk(running, d))
            message_append(&now->later, &now->n_later, xasprintf("disk %s (%s)", d->target, d->source));
    }
    for (size_t i = 0; i < defined->n_interfaces; i++) {
        const Drover__V1__Interface *n = defined->interfaces[i];
        if (n->source[0] && !has_interface(running, n))
            message_append(&now->later, &now->n_later,
                           xasprintf("interface %s (%s %s)", n->mac, n->type, n->source));
    }
}

/* What can't be read is not told: the vote of the source reads both, and fails then. */
static void read_running(virDomainPtr domain, Drover__V1__GuestNow *now)
{
    if (virDomainIsActive(domain) != 1)
        return;
    _cleanup_(free_guest) Drover__V1__Guest *running = NULL, *defined = NULL;
    _cleanup_free_ char *live = virDomainGetXMLDesc(domain, 0), *inactive = NULL;
    if (!live || guest_xml_parse(live, strlen(live), &running, NULL) < 0)
        return;
    now->job = now->job || running->job;
    if (virDomainIsPersistent(domain) == 1)
        inactive = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
    if (inactive && guest_xml_parse(inactive, strlen(inactive), &defined, NULL) == 0)
        guests_later(running, defined, now);
}

int guests_now(virConnectPtr conn, const char *uuid, Drover__V1__GuestNow **ret, struct error *err)
{
    _cleanup_domain_ virDomainPtr domain = virDomainLookupByUUIDString(conn, uuid);
    if (!domain)
        return error_libvirt(err, "no guest with UUID %.64s", uuid);
    Drover__V1__Guest g = DROVER__V1__GUEST__INIT;
    Drover__V1__GuestNow *now = new0(Drover__V1__GuestNow);
    drover__v1__guest_now__init(now);
    read_details(domain, &g);
    now->uuid = xstrdup(uuid);
    now->snapshots = g.snapshots;
    now->checkpoints = g.checkpoints;
    now->managed_save = g.managed_save;
    now->job = g.job;
    read_running(domain, now);
    *ret = now;
    return 0;
}
