/* Rules about what the guest needs to find at the destination. */
#include "common/model/need.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

#define MIB(bytes) ((bytes) >> 20)

static const Drover__V1__HostReport *there(const struct preflight *in)
{
    return in->destination->report;
}

uint64_t preflight_need(const Drover__V1__Guest *guest)
{
    return need_memory(guest->memory_max, guest->n_hugepages);
}

int64_t preflight_room(const struct fleet_host *destination, const struct promised *promised,
                       const Drover__V1__Guest *guest)
{
    const Drover__V1__HostReport *r = destination->report;
    /* Once prepared, a promised guest is in the agent's own count of reservations. */
    uint64_t held = r->memory_reserved > promised->memory ? r->memory_reserved : promised->memory;
    return (int64_t)r->memory_free - (int64_t)held - (int64_t)preflight_need(guest);
}

RULE(memory_free)
{
    const Drover__V1__Guest *g = in->guest->guest;
    int64_t room = preflight_room(in->destination, &in->promised, g);
    uint64_t need = preflight_need(g);
    if (room < 0) {
        int64_t left = room + (int64_t)need;
        found(("host %s", in->destination->name),
              ("%lld MiB of memory free%s", left > 0 ? (long long)MIB(left) : 0LL,
               there(in)->memory_reserved || in->promised.memory ? " beside what other moves hold" : ""),
              ("%llu MiB: the guest's maximum and QEMU's own", (unsigned long long)MIB(need)),
              ("choose another host, or move something away from there first"));
    }
}

/* Guests seldom touch all their memory at once, so what is free now says little about later. */
RULE(memory_overcommit)
{
    const Drover__V1__HostReport *r = there(in);
    uint64_t sum = r->memory_guests + in->guest->guest->memory_max;
    if (r->memory_total && sum > r->memory_total)
        found(("host %s", in->destination->name),
              ("its guests could then use %llu MiB", (unsigned long long)MIB(sum)),
              ("at most the host's %llu MiB", (unsigned long long)MIB(r->memory_total)),
              ("choose another host, unless you overcommit memory on purpose"));
}

RULE(vcpus)
{
    const Drover__V1__HostReport *r = there(in);
    if (r->cpu && r->cpu->online && in->guest->guest->vcpus > r->cpu->online)
        found(("host %s", in->destination->name), ("%u logical CPUs", r->cpu->online),
              ("%u or more, one for each of the guest's vCPUs", in->guest->guest->vcpus),
              ("choose a larger host: more vCPUs than CPUs wait for each other"));
}

RULE(accelerator)
{
    const char *type = in->guest->guest->type;
    const char *wanted = streq(type, "qemu") ? "tcg" : type;
    const Drover__V1__HostReport *r = there(in);
    char *has = NULL;
    for (size_t i = 0; i < r->n_accelerators; i++) {
        if (streq(r->accelerators[i], wanted)) {
            free(has);
            return;
        }
        text_append(&has, ", ", "%s", r->accelerators[i]);
    }
    found(("host %s", in->destination->name), ("accelerators: %s", has ? has : "none"),
          ("%s, for a guest of type %s", wanted, type),
          ("%s", streq(wanted, "kvm")
                     ? "load the kvm module there (and switch virtualisation on in its firmware)"
                     : "install the QEMU that runs such guests there"));
    free(has);
}

/* The report's machine types and CPU are those of the host's own architecture. An emulated guest of a foreign one is
 * libvirt's to judge. */
static bool foreign(const struct preflight *in)
{
    const char *arch = in->guest->guest->arch;
    const Drover__V1__Cpu *cpu = there(in)->cpu;
    if (!cpu || !arch[0] || !cpu->arch[0] || streq(arch, cpu->arch))
        return false;
    return !(streq(arch, "i686") && streq(cpu->arch, "x86_64"));
}

RULE(arch)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const Drover__V1__Cpu *here = in->source->report->cpu;
    if (!foreign(in))
        return;
    if (streq(g->type, "qemu") && here && streq(here->arch, there(in)->cpu->arch))
        return;
    found(("host %s", in->destination->name), ("CPU architecture %s", there(in)->cpu->arch), ("%s", g->arch),
          ("choose a host of that architecture"));
}

RULE(machine_type)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const Drover__V1__HostReport *r = there(in);
    if (foreign(in) || !g->machine[0])
        return;
    for (size_t i = 0; i < r->n_machines; i++)
        if (streq(r->machines[i]->name, g->machine) || streq(r->machines[i]->canonical, g->machine))
            return;
    found(("host %s", in->destination->name),
          ("its QEMU does not know machine type %s (%zu known)", g->machine, r->n_machines),
          ("that machine type: a guest keeps it for as long as it runs"),
          ("install a QEMU there that has it (the same version as on %s), or choose another host",
           in->source->name));
}

RULE(cpu_model)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const Drover__V1__Cpu *a = in->source->report->cpu, *b = there(in)->cpu;
    if (!a || !b || streq(g->type, "qemu") || !g->cpu_mode[0] || streq(g->cpu_mode, "custom") ||
        (cpu_proven(in) && streq(g->cpu_mode, "host-model")))
        return;
    if (!streq(a->model, b->model) || !streq(a->vendor, b->vendor))
        found(("host %s", in->destination->name), ("CPU %s (%s)", b->model, b->vendor),
              ("%s (%s), as the guest sees the source's CPU (%s)", a->model, a->vendor, g->cpu_mode),
              ("give the guest a CPU model that all hosts have (virsh hypervisor-cpu-baseline), or choose a "
               "host with the "
               "same CPU"));
}

RULE(bridges)
{
    const Drover__V1__Guest *g = in->there;
    const Drover__V1__HostReport *r = there(in);
    for (size_t i = 0; i < g->n_interfaces; i++) {
        const Drover__V1__Interface *nic = g->interfaces[i];
        bool there_too = !streq(nic->type, "bridge");
        for (size_t b = 0; b < r->n_bridges && !there_too; b++)
            there_too = streq(r->bridges[b]->name, nic->source);
        if (!there_too)
            found(("bridge %s", nic->source), ("%s has no such bridge", in->destination->name),
                  ("it, for interface %s", nic->mac), ("make the bridge there, on the same network"));
    }
}

RULE(networks)
{
    const Drover__V1__Guest *g = in->there;
    for (size_t i = 0; i < g->n_interfaces; i++) {
        const Drover__V1__Interface *nic = g->interfaces[i];
        if (!streq(nic->type, "network"))
            continue;
        const Drover__V1__Network *same = interface_network(in->destination, nic);
        if (!same)
            found(("network %s", nic->source), ("libvirt on %s has no such network", in->destination->name),
                  ("it, for interface %s", nic->mac),
                  ("define it there: virsh net-define, net-start, net-autostart"));
        else if (!same->active)
            found(("network %s", nic->source), ("it is not active on %s", in->destination->name),
                  ("active, for interface %s", nic->mac),
                  ("start it there: virsh net-start %s", nic->source));
    }
}

/* What the destination lacks altogether the rules above tell. */
static bool is_there(const struct preflight *in, const Drover__V1__Interface *nic)
{
    const Drover__V1__Network *network = interface_network(in->destination, nic);
    return streq(nic->type, "network") ? network && network->active
                                       : interface_bridge(in->destination, nic) != NULL;
}

/* A frame is sent from one bridge to the other. A network without one gives guests a device of its host: macvtap, or a function of a
 * card. */
RULE(interface_kind)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_interfaces; i++) {
        const Drover__V1__Interface *nic = g->interfaces[i], *as_there = in->there->interfaces[i];
        if (streq(nic->type, "user"))
            continue;
        if (!streq(nic->type, "bridge") && !streq(nic->type, "network")) {
            found(("interface %s", nic->mac),
                  ("type %s%s%s", nic->type, nic->source[0] ? ", on " : "", nic->source),
                  ("bridge or network: what another kind hangs on is not checked"),
                  ("make sure that the destination has the same"));
            continue;
        }
        bool from = interface_bridge(in->source, nic), to = interface_bridge(in->destination, as_there);
        if (in->source->report && in->destination->report && is_there(in, as_there) && !(from && to))
            found(
                ("interface %s", nic->mac),
                ("%s %s has no bridge on %s%s%s, so whether it is the same network is not proven", nic->type,
                 nic->source, from ? "" : in->source->name, from || to ? "" : " and ",
                 to ? "" : in->destination->name),
                ("a bridge on both hosts: what another kind hangs on (macvtap, a card's virtual function) is "
                 "not checked"),
                ("see that it leads to the same network on both: virsh net-dumpxml %s", as_there->source));
    }
}
