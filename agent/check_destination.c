/* May the guest come? Everything that speaks against it, not just the first. */
#include "agent/transaction.h"

#include "agent/io/domain.h"
#include "common/base/memory.h"
#include "common/mapping/mapping.h"

#include <libvirt/virterror.h>

#define BLOCK DROVER__V1__SEVERITY__BLOCK

static bool has_machine(const Drover__V1__HostReport *r, const char *machine)
{
    for (size_t i = 0; i < r->n_machines; i++)
        if (streq(r->machines[i]->name, machine) || streq(r->machines[i]->canonical, machine))
            return true;
    return false;
}

static void check_machine(const Drover__V1__HostReport *r, const Drover__V1__Guest *g, struct findings *f)
{
    if (g->machine && g->machine[0] && r->n_machines && !has_machine(r, g->machine))
        findings_add(f, BLOCK, "machine-type", g->machine, "this host's QEMU does not have it",
                     "the guest's machine type", "upgrade QEMU here, or choose another host");
    const char *accelerator = streq(g->type, "kvm") ? "kvm" : "tcg";
    bool has = r->n_accelerators == 0;
    for (size_t i = 0; i < r->n_accelerators; i++)
        has |= streq(r->accelerators[i], accelerator);
    if (!has)
        findings_add(f, BLOCK, "accelerator", accelerator, "this host does not have it",
                     "what the guest runs on",
                     "enable virtualisation in the firmware, load the kvm module, or choose another host");
}

static void check_interface(const Drover__V1__HostReport *r, const Drover__V1__Interface *i,
                            const Drover__V1__Mapping *mapping, struct findings *f)
{
    _cleanup_free_ char *source =
        mapping_name(mapping,
                     streq(i->type, "bridge") ? DROVER__V1__MAPPING_KIND__MAPPING_BRIDGE
                                              : DROVER__V1__MAPPING_KIND__MAPPING_NETWORK,
                     i->source);
    bool has = true;
    const char *todo = "";
    if (streq(i->type, "bridge")) {
        has = false;
        for (size_t b = 0; b < r->n_bridges; b++)
            has |= streq(r->bridges[b]->name, source);
        todo = "make a bridge of that name on this host";
    } else if (streq(i->type, "network")) {
        has = false;
        for (size_t n = 0; n < r->n_networks; n++)
            has |= streq(r->networks[n]->name, source) && r->networks[n]->active;
        todo = "define and start it here (virsh net-define, net-start)";
    }
    if (has)
        return;
    _cleanup_free_ char *subject = xasprintf("%s %s", i->type, source);
    findings_add(f, BLOCK, i->type, subject, "this host has none that is up", "as on the source", todo);
}

void check_destination_host(const Drover__V1__HostReport *r, const Drover__V1__PrepareRequest *q,
                            struct findings *f)
{
    if (!r->hypervisor || !r->libvirt_up)
        return; /* said once, by the caller */
    check_machine(r, q->guest, f);
    for (size_t i = 0; i < q->guest->n_interfaces; i++)
        check_interface(r, q->guest->interfaces[i], q->relocation ? q->relocation->mapping : NULL, f);
    if (!r->migration_address || !r->migration_address[0])
        findings_add(f, BLOCK, "migration-address", r->name, "none",
                     "an address where migration data comes in",
                     "set migration_address in this host's agent.yaml");
    if (q->peer && q->peer->host && streq(q->peer->host, r->name))
        findings_add(f, BLOCK, "same-host", r->name, "the guest's own host", "another one",
                     "choose another host");
}

static void taken(virDomainPtr domain, const char *subject, bool by_name, struct findings *f)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    virDomainGetUUIDString(domain, uuid);
    int active = virDomainIsActive(domain);
    _cleanup_free_ char *seen = xasprintf(
        "%s here: %s (%s)", active == 1 ? "a guest that runs" : "a definition left over from before",
        virDomainGetName(domain), uuid);
    findings_add(f, BLOCK, by_name ? "name-free" : "uuid-free", subject, seen,
                 by_name ? "no other guest of that name" : "no guest of that UUID",
                 active == 1 ? "look at both hosts: two copies of one guest destroy its disks"
                             : "if it is not needed: virsh undefine it on this host");
}

void check_destination_names(virConnectPtr conn, const Drover__V1__PrepareRequest *q, struct findings *f)
{
    struct error why = {0};
    _cleanup_domain_ virDomainPtr same = domain_find(conn, q->step->guest, &why);
    if (same) {
        taken(same, q->step->guest, false, f);
        return; /* it has the name, too */
    }
    if (why.code != STATUS_NOT_FOUND)
        findings_add(f, BLOCK, "libvirt", "libvirt", why.text, "an answer",
                     "see libvirtd's log on this host");
    _cleanup_domain_ virDomainPtr named = virDomainLookupByName(conn, q->guest->name);
    if (named)
        taken(named, q->guest->name, true, f);
}
