/* May the guest's virtual hardware run here? Asked again at PREPARE, when it counts. */
#include "agent/transaction.h"

#include "agent/io/cpu_compare.h"
#include "agent/io/guests.h"
#include "agent/io/host_facts.h"
#include "common/base/memory.h"

#include <strings.h>

#define BLOCK DROVER__V1__SEVERITY__BLOCK

/* Of a guest that sees the host's own CPU the coordinator asks, which knows the source's. What can't be compared is libvirt's to
 * refuse. */
void check_destination_cpu(virConnectPtr conn, const Drover__V1__PrepareRequest *q, struct findings *f)
{
    const Drover__V1__Guest *g = q->guest;
    bool own = g->cpu_mode && g->cpu_mode[0] && !streq(g->cpu_mode, "custom");
    if (own || !g->cpu || !g->cpu[0] || !g->cpu_model || !g->cpu_model[0])
        return;
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    cpu_compare(conn, g->cpu, g->arch, g->type, r);
    if (r->outcome == DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED)
        findings_add(f, BLOCK, "cpu-incompatible", "this host's CPU", r->seen, g->cpu_model,
                     "choose another host, or give the guest a CPU that all hosts have and restart it");
    drover__v1__probe_result__free_unpacked(r, NULL);
}

void check_destination_macs(const struct agent *agent, const Drover__V1__Guest *guest, struct findings *f)
{
    for (size_t i = 0; agent->guests && i < guests_count(agent->guests); i++) {
        const Drover__V1__Guest *other = guests_at(agent->guests, i);
        bool active = other->state != DROVER__V1__GUEST_STATE__GUEST_SHUTOFF &&
                      other->state != DROVER__V1__GUEST_STATE__GUEST_CRASHED &&
                      other->state != DROVER__V1__GUEST_STATE__GUEST_UNKNOWN;
        for (size_t k = 0; active && !streq(other->uuid, guest->uuid) && k < other->n_interfaces; k++)
            for (size_t n = 0; n < guest->n_interfaces; n++)
                if (guest->interfaces[n]->mac[0] &&
                    strcasecmp(guest->interfaces[n]->mac, other->interfaces[k]->mac) == 0)
                    findings_add(f, BLOCK, "mac-in-use", guest->interfaces[n]->mac, other->name,
                                 "a MAC address that no other active guest here has",
                                 "give one of them another: virsh edit");
    }
}

static bool is_used(const Drover__V1__Guest *guest, uint64_t page, uint64_t fallback)
{
    for (size_t i = 0; i < guest->n_hugepages; i++)
        if ((guest->hugepages[i] ? guest->hugepages[i] : fallback) == page)
            return true;
    return false;
}

void check_destination_hugepages(struct transaction *txn, const Drover__V1__Guest *guest, struct findings *f)
{
    if (!guest->n_hugepages)
        return;
    Drover__V1__HostFacts *h = new0(Drover__V1__HostFacts);
    drover__v1__host_facts__init(h);
    hugepages_read("/sys", "/proc", h);
    uint64_t bytes = 0;
    for (size_t i = 0; i < h->n_hugepages; i++)
        if (h->hugepages[i]->node < 0 && is_used(guest, h->hugepages[i]->page, h->hugepage_default))
            bytes += h->hugepages[i]->page * h->hugepages[i]->free;
    drover__v1__host_facts__free_unpacked(h, NULL);
    if (transaction_reserve_hugepages(txn, guest->memory_max, bytes) == 0)
        return;
    _cleanup_free_ char *seen =
        xasprintf("%llu MiB free of the guest's page sizes, beside what open transactions hold",
                  (unsigned long long)(bytes >> 20));
    _cleanup_free_ char *expected = xasprintf("%llu MiB", (unsigned long long)(guest->memory_max >> 20));
    findings_add(f, BLOCK, "hugepages", "the destination's huge pages", seen, expected,
                 "reserve more here (sysctl vm.nr_hugepages), or choose another host");
}
