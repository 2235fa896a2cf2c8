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

struct pages {
    uint64_t size;
    uint32_t total, free; /* of the whole host */
};

static struct pages pages_there(const Drover__V1__HostFacts *h, uint64_t size)
{
    struct pages p = {.size = size ? size : h->hugepage_default};
    for (size_t i = 0; i < h->n_hugepages; i++)
        if (h->hugepages[i]->node < 0 && h->hugepages[i]->page == p.size) {
            p.total = h->hugepages[i]->total;
            p.free = h->hugepages[i]->free;
        }
    return p;
}

/* Of a guest with pages of several sizes only its NUMA nodes tell how many of each: then there must be some. */
RULE(hugepages)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const Drover__V1__Inspection *seen = evidence_inspection(in->evidence, in->destination);
    for (size_t i = 0; seen && seen->host && i < g->n_hugepages; i++) {
        struct pages p = pages_there(seen->host, g->hugepages[i]);
        uint64_t need = p.size && g->n_hugepages == 1 ? (g->memory_max + p.size - 1) / p.size : 1;
        if (p.size && p.free >= need)
            continue;
        found(
            ("host %s", in->destination->name),
            ("%u of its %u huge pages of %llu KiB are free", p.free, p.total,
             (unsigned long long)(p.size >> 10)),
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
    uint64_t sum = r->vcpus_guests + (uint64_t)g->vcpus;
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
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_paths; i++) {
        _cleanup_free_ char *path = device_path_there(g->paths[i]);
        const Drover__V1__PathFacts *there = evidence_path(in->evidence, in->destination, path);
        if (there && streq(there->kind, "absent"))
            found(("%s", g->paths[i]->device), ("%s has no %s", in->destination->name, path),
                  ("it, for the guest's definition names %s", g->paths[i]->path),
                  ("%s there, or change the definition (virsh edit)",
                   g->paths[i]->made ? "mkdir -p it" : "put the same file"));
    }
}
