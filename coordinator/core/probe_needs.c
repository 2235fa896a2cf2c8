/* Questions about what a guest needs of its host beside storage and networks: its CPU, and who the units are that QEMU logs in to
 * by itself. */
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/probe_plan.h"

#include <string.h>

const Drover__V1__Accelerated *guest_accelerated(const struct fleet_host *host,
                                                 const Drover__V1__Guest *guest)
{
    const char *accelerator = streq(guest->type, "qemu") ? "tcg" : guest->type;
    for (size_t i = 0; host->report && i < host->report->n_accelerated; i++)
        if (streq(host->report->accelerated[i]->accelerator, accelerator))
            return host->report->accelerated[i];
    return NULL;
}

/* A guest that runs keeps the CPU that it started with; one that sees the host's own needs about what host-model names there. One
 * that is shut off and asks for the host's takes what it finds. */
static const char *cpu_of(const struct fleet_host *source, const Drover__V1__Guest *g, bool moving)
{
    const Drover__V1__Accelerated *own = guest_accelerated(source, g);
    if (!g->cpu_mode[0] || streq(g->cpu_mode, "custom"))
        return g->cpu_model[0] ? g->cpu : "";
    return moving && !streq(g->cpu_mode, "host-model") && own ? own->cpu : "";
}

static void plan_cpu(struct evidence *out, const struct fleet_host *source,
                     const struct fleet_host *destination, const Drover__V1__Guest *g, bool moving)
{
    const char *cpu = cpu_of(source, g, moving);
    if (!cpu[0])
        return;
    Drover__V1__ProbeRequest *q = probe_request_new(DROVER__V1__PROBE_KIND__PROBE_CPU_COMPARE);
    q->cpu = xstrdup(cpu);
    if (g->arch[0])
        q->arch = xstrdup(g->arch);
    if (g->type[0])
        q->virt_type = xstrdup(g->type);
    evidence_add(out, destination, "", out->groups, 0, q, NULL);
}

char *disk_initiator(const Drover__V1__Guest *g, const Drover__V1__Disk *d)
{
    if (!streq(d->type, "network") || !streq(d->protocol, "iscsi"))
        return NULL;
    return d->initiator[0] ? xstrdup(d->initiator) : xasprintf("iqn.2008-11.org.linux-kvm:%s", g->uuid);
}

static void plan_unit(struct evidence *out, const struct fleet_host *source,
                      const struct fleet_host *destination, const Drover__V1__Guest *g,
                      const Drover__V1__Disk *d)
{
    _cleanup_free_ char *url = streq(d->type, "network") && streq(d->protocol, "iscsi") ? disk_url(d) : NULL;
    const struct fleet_host *hosts[2] = {source, destination};
    unsigned group = out->groups;
    for (unsigned i = 0; url && i < 2; i++) {
        Drover__V1__ProbeRequest *q = probe_request_new(DROVER__V1__PROBE_KIND__PROBE_ISCSI_IDENTITY);
        q->url = xstrdup(url);
        q->initiator = disk_initiator(g, d);
        evidence_add(out, hosts[i], d->target, group, 0, q, NULL);
    }
}

void plan_needs(struct evidence *out, const struct fleet_host *source, const struct fleet_host *destination,
                const Drover__V1__Guest *guest, Drover__V1__Mode mode)
{
    plan_cpu(out, source, destination, guest, mode != DROVER__V1__MODE__MODE_DEFINITION);
    for (size_t i = 0; i < guest->n_disks; i++)
        plan_unit(out, source, destination, guest, guest->disks[i]);
}

char *device_path_there(const Drover__V1__DevicePath *p)
{
    const char *slash = p->made ? strrchr(p->path, '/') : NULL;
    if (!slash)
        return xstrdup(p->path);
    return slash == p->path ? xstrdup("/") : xasprintf("%.*s", (int)(slash - p->path), p->path);
}
