/* Rules about the virtual machine's hardware: its CPU, huge pages, features, TPM, and files of the host that devices name. */
#include "common/base/cleanup.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

static const struct ask *cpu_ask(const struct preflight *in)
{
    return evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_CPU_COMPARE, NULL);
}

bool cpu_proven(const struct preflight *in)
{
    return ask_proven(cpu_ask(in));
}

RULE(cpu_incompatible)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const struct ask *a = cpu_ask(in);
    if (ask_refuted(a))
        found(("host %s", in->destination->name), ("%s", ask_words(a)),
              ("the guest's CPU: %s%s%s", g->cpu_mode[0] ? g->cpu_mode : "custom", g->cpu_model[0] ? " " : "",
               g->cpu_model),
              ("choose another host, or give the guest a CPU that all hosts have (virsh "
               "hypervisor-cpu-baseline) "
               "and restart it"));
}

RULE(cpu_unproven)
{
    const struct ask *a = cpu_ask(in);
    if (a && !ask_unknown(a) && !ask_proven(a) && !ask_refuted(a))
        found(("host %s", in->destination->name),
              ("whether it can run the guest's CPU is not known: %s", ask_words(a)),
              ("libvirt there comparing it (virConnectCompareHypervisorCPU)"),
              ("try it there: virsh hypervisor-cpu-compare with the <cpu> of virsh dumpxml %s",
               in->guest->guest->name));
}

/* ---- huge pages -------------------------------------------------------------------------------------------------- */

#define MIB2 (UINT64_C(2) << 20)
#define GIB1 (UINT64_C(1) << 30)

uint64_t preflight_pages(const struct fleet_guest *guest, uint64_t *ret_size)
{
    const Drover__V1__Guest *g = guest->guest;
    const Drover__V1__HostReport *r = guest->host->report;
    if (g->n_hugepages != 1)
        return 0;
    uint64_t size = g->hugepages[0] ? g->hugepages[0] : r && r->hugepage_default ? r->hugepage_default : MIB2;
    *ret_size = size;
    return (g->memory_max + size - 1) / size * size;
}

static uint64_t *promised_pages(struct promised *p, uint64_t size)
{
    return size == MIB2 ? &p->pages_2m : size == GIB1 ? &p->pages_1g : NULL;
}

uint64_t preflight_pages_held(const struct fleet_host *host, const struct promised *promised, uint64_t size)
{
    struct promised p = *promised;
    const uint64_t *pages = promised_pages(&p, size);
    uint64_t reserved = host->report->hugepages_reserved;
    /* Once prepared, a promised guest is in the agent's own count of reservations. */
    return pages && *pages > reserved ? *pages : reserved;
}

void promised_add(struct promised *promised, const struct fleet_guest *guest)
{
    uint64_t size = 0, bytes = preflight_pages(guest, &size), *pages = promised_pages(promised, size);
    promised->memory += preflight_need(guest->guest);
    promised->vcpus += guest->guest->vcpus;
    if (pages)
        *pages += bytes;
}

struct pages {
    uint64_t size;
    uint32_t total, free; /* of the whole host */
};

static struct pages pages_there(Drover__V1__HugePages *const *list, size_t n, uint64_t size)
{
    struct pages p = {.size = size};
    for (size_t i = 0; i < n; i++)
        if (list[i]->node < 0 && list[i]->page == p.size) {
            p.total = list[i]->total;
            p.free = list[i]->free;
        }
    return p;
}

/* Of a guest with pages of several sizes only its NUMA nodes tell how many of each: then there must be some. */
RULE(hugepages)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const Drover__V1__HostReport *r = in->destination->report;
    const Drover__V1__Inspection *seen =
        in->evidence ? evidence_inspection(in->evidence, in->destination) : NULL;
    const Drover__V1__HostFacts *h = seen ? seen->host : NULL; /* fresher than the report */
    bool told = h || r->hugepage_default || r->n_hugepages;
    for (size_t i = 0; told && i < g->n_hugepages; i++) {
        uint64_t size = g->hugepages[i] ? g->hugepages[i] : h ? h->hugepage_default : r->hugepage_default;
        struct pages p = h ? pages_there(h->hugepages, h->n_hugepages, size)
                           : pages_there(r->hugepages, r->n_hugepages, size);
        uint64_t need = p.size && g->n_hugepages == 1 ? (g->memory_max + p.size - 1) / p.size : 1;
        uint64_t held = p.size ? preflight_pages_held(in->destination, &in->promised, p.size) / p.size : 0;
        p.free = p.free > held ? p.free - (uint32_t)held : 0;
        if (p.size && p.free >= need)
            continue;
        found(
            ("host %s", in->destination->name),
            ("%u of its %u huge pages of %llu KiB are free%s", p.free, p.total,
             (unsigned long long)(p.size >> 10), held ? " beside what other moves hold" : ""),
            ("%s%llu, for the guest's memory", g->n_hugepages == 1 ? "" : "at least ",
             (unsigned long long)need),
            ("reserve more there: sysctl vm.nr_hugepages (or hugepagesz= and hugepages= at boot), or choose "
             "another host"));
    }
}

/* ---- the limit of vCPUs ------------------------------------------------------------------------------------------ */

RULE(vcpu_limit)
{
    const Drover__V1__HostReport *r = in->destination->report;
    const Drover__V1__Guest *g = in->guest->guest;
    uint64_t limit = r->cpu ? (uint64_t)r->cpu->online * in->policy->vcpu_percent / 100 : 0;
    uint64_t sum = r->vcpus_guests + in->promised.vcpus + g->vcpus;
    if (limit && sum > limit)
        found(("host %s", in->destination->name),
              ("its running guests would have %llu vCPUs then, on %u logical CPUs", (unsigned long long)sum,
               r->cpu->online),
              ("at most %llu: vcpu_ratio of the policy", (unsigned long long)limit),
              ("choose another host, or raise vcpu_ratio in coordinator.yaml"));
}

/* ---- features ---------------------------------------------------------------------------------------------------- */

static bool has_feature(const Drover__V1__Accelerated *a, const char *feature, size_t length)
{
    for (size_t i = 0; a && i < a->n_features; i++)
        if (strlen(a->features[i]) == length && strncmp(a->features[i], feature, length) == 0)
            return true;
    return false;
}

/* libvirt tells about this group of features, and not of this one. */
static bool lacks(const Drover__V1__Accelerated *a, const char *feature)
{
    return has_feature(a, feature, strcspn(feature, "-")) && !has_feature(a, feature, strlen(feature));
}

/* What the source's libvirt does not tell of either, and the guest runs with, says nothing of the destination. */
RULE(hypervisor_feature)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const Drover__V1__Accelerated *here = guest_accelerated(in->source, g),
                                  *there = guest_accelerated(in->destination, g);
    for (size_t i = 0; i < g->n_features; i++)
        if (lacks(there, g->features[i]) && !lacks(here, g->features[i]))
            found(("host %s", in->destination->name), ("its hypervisor does not have %s", g->features[i]),
                  ("it, for the guest is defined with it"),
                  ("%s", streq(g->features[i], "tpm-emulator")
                             ? "install swtpm and swtpm-tools there"
                             : "update QEMU, libvirt and the kernel there, or take the feature out of the "
                               "definition (virsh edit)"));
}

RULE(tpm_state)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_features; i++)
        if (streq(g->features[i], "tpm-emulator"))
            found(("guest %s", g->name),
                  ("the state of its TPM is in /var/lib/libvirt/swtpm/%s on %s", g->uuid, in->source->name),
                  ("no state that only the source has: keys sealed by the TPM would be lost"),
                  ("move the guest while it runs: libvirt then takes the TPM's state along"));
}

RULE(device_path)
{
    const Drover__V1__Guest *g = in->there;
    for (size_t i = 0; i < g->n_paths; i++) {
        _cleanup_free_ char *path = device_path_there(g->paths[i]);
        const Drover__V1__PathFacts *there = evidence_path(in->evidence, in->destination, path);
        if (there && streq(there->kind, "absent"))
            found(("%s", g->paths[i]->device), ("%s has no %s", in->destination->name, path),
                  ("it, for the guest's definition there names %s", g->paths[i]->path),
                  ("%s there, or change the definition (virsh edit)",
                   g->paths[i]->made ? "mkdir -p it" : "put the same file"));
    }
}
