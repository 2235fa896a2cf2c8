#include "agent/io/host_capabilities.h"

#include "agent/io/domain_capabilities.h"
#include "agent/io/libvirt.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LIST = 4096 };

static void parse_cpu(const xmlNode *cpu, Drover__V1__Cpu *c)
{
    xml_set(&c->arch, xml_text(xml_child(cpu, "arch")));
    xml_set(&c->model, xml_text(xml_child(cpu, "model")));
    xml_set(&c->vendor, xml_text(xml_child(cpu, "vendor")));
    const xmlNode *topology = xml_child(cpu, "topology");
    c->sockets = (uint32_t)xml_attr_number(topology, "sockets");
    c->cores = (uint32_t)xml_attr_number(topology, "cores");
    c->threads = (uint32_t)xml_attr_number(topology, "threads");
    for (const xmlNode *f = xml_child(cpu, "feature"); f && c->n_features < MAX_LIST;
         f = xml_next(f, "feature")) {
        char *name = xml_attr(f, "name");
        if (!name)
            continue;
        c->features = xrealloc(c->features, c->n_features + 1, sizeof(*c->features));
        c->features[c->n_features++] = name;
    }
}

static bool has_machine(const Drover__V1__HostReport *r, const char *name)
{
    for (size_t i = 0; i < r->n_machines; i++)
        if (streq(r->machines[i]->name, name))
            return true;
    return false;
}

/* Listed once for the architecture, and once more for each accelerator whose list differs. */
static void parse_machines(const xmlNode *at, Drover__V1__HostReport *r)
{
    for (const xmlNode *m = xml_child(at, "machine"); m && r->n_machines < MAX_LIST;
         m = xml_next(m, "machine")) {
        char *name = xml_text(m);
        if (has_machine(r, name)) {
            free(name);
            continue;
        }
        Drover__V1__MachineType *type = new0(Drover__V1__MachineType);
        drover__v1__machine_type__init(type);
        xml_set(&type->name, name);
        xml_set(&type->canonical, xml_attr(m, "canonical"));
        r->machines = xrealloc(r->machines, r->n_machines + 1, sizeof(*r->machines));
        r->machines[r->n_machines++] = type;
    }
}

int host_capabilities_parse(const char *xml, size_t length, Drover__V1__HostReport *r, struct error *err)
{
    _cleanup_(xml_freep) xmlDocPtr doc = NULL;
    int e = xml_parse("libvirt's capabilities", xml, length, "capabilities", &doc, err);
    if (e < 0)
        return e;
    const xmlNode *top = xmlDocGetRootElement(doc), *host = xml_child(top, "host");
    xml_set(&r->host_uuid, xml_text(xml_child(host, "uuid")));
    if (!r->cpu) {
        r->cpu = new0(Drover__V1__Cpu);
        drover__v1__cpu__init(r->cpu);
    }
    parse_cpu(xml_child(host, "cpu"), r->cpu);
    for (const xmlNode *g = xml_child(top, "guest"); g; g = xml_next(g, "guest")) {
        const xmlNode *arch = xml_child(g, "arch");
        _cleanup_free_ char *name = xml_attr(arch, "name"), *os = xml_text(xml_child(g, "os_type"));
        if (!streq(name, r->cpu->arch) || !streq(os, "hvm"))
            continue;
        parse_machines(arch, r);
        for (const xmlNode *d = xml_child(arch, "domain"); d; d = xml_next(d, "domain"))
            parse_machines(d, r);
    }
    return 0;
}

/* libvirt gives domain capabilities of "kvm" only where its QEMU can use the device. */
static void read_accelerators(virConnectPtr conn, Drover__V1__HostReport *r)
{
    static const struct {
        const char *type, *name;
    } kinds[] = {{"kvm", "kvm"}, {"qemu", "tcg"}};
    r->accelerators = xcalloc(2, sizeof(*r->accelerators));
    for (size_t i = 0; i < 2; i++) {
        _cleanup_free_ char *xml =
            virConnectGetDomainCapabilities(conn, NULL, r->cpu->arch, NULL, kinds[i].type, 0);
        if (!xml)
            continue;
        r->accelerators[r->n_accelerators++] = xstrdup(kinds[i].name);
        Drover__V1__Accelerated *a = new0(Drover__V1__Accelerated);
        drover__v1__accelerated__init(a);
        xml_set(&a->accelerator, xstrdup(kinds[i].name));
        domain_capabilities_parse(xml, strlen(xml), a, NULL); /* what it does not tell is not known */
        message_append(&r->accelerated, &r->n_accelerated, a);
    }
}

int host_capabilities_read(virConnectPtr conn, Drover__V1__HostReport *r, struct error *err)
{
    unsigned long libvirt_version = 0, qemu_version = 0;
    _cleanup_free_ char *xml = virConnectGetCapabilities(conn);
    if (!xml)
        return error_libvirt(err, "libvirt does not tell its capabilities");
    int e = host_capabilities_parse(xml, strlen(xml), r, err);
    if (e < 0)
        return e;
    virConnectGetLibVersion(conn, &libvirt_version);
    virConnectGetVersion(conn, &qemu_version);
    r->libvirt_version = (uint32_t)libvirt_version;
    r->qemu_version = (uint32_t)qemu_version;
    xml_set(&r->hostname, virConnectGetHostname(conn));
    virNodeInfo info;
    if (virNodeGetInfo(conn, &info) == 0) {
        r->cpu->online = info.cpus;
        r->cpu->mhz = info.mhz;
        r->cpu->sockets = info.sockets * info.nodes; /* libvirt counts per NUMA node */
        r->cpu->cores = info.cores;
        r->cpu->threads = info.threads;
    }
    read_accelerators(conn, r);
    return 0;
}
