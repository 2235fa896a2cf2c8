#include "agent/io/guest_xml.h"

#include "agent/io/guest_needs.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

enum { MAX_DEVICES = 4096, MAX_BACKING = 256, MAX_HOSTS = 64 };

/* <memory unit='KiB'>; libvirt always writes KiB, a hand-made file may not. */
static uint64_t size_of(const xmlNode *n)
{
    _cleanup_free_ char *text = xml_text(n), *unit = xml_attr(n, "unit");
    return xml_bytes(text, unit);
}

/* ---- disks ---- */

/* The place of a <source>: its first attribute of those that libvirt uses for one. */
static char *place_of(const xmlNode *source)
{
    static const char *const keys[] = {"file", "dev", "dir", "name", "path"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char *value = xml_attr(source, keys[i]);
        if (value)
            return value;
    }
    /* volume: POOL/VOLUME */
    _cleanup_free_ char *pool = xml_attr(source, "pool"), *volume = xml_attr(source, "volume");
    return pool && volume ? xasprintf("%s/%s", pool, volume) : NULL;
}

static void parse_backing(const xmlNode *disk, Drover__V1__Disk *d)
{
    const xmlNode *at = xml_child(disk, "backingStore");
    d->backing = xcalloc(MAX_BACKING, sizeof(*d->backing));
    while (at && d->n_backing < MAX_BACKING) {
        char *place = place_of(xml_child(at, "source"));
        if (place)
            d->backing[d->n_backing++] = place;
        at = xml_child(at, "backingStore");
    }
    if (!d->n_backing) {
        free(d->backing);
        d->backing = NULL;
    } else {
        d->backing = xrealloc(d->backing, d->n_backing, sizeof(*d->backing));
    }
}

static void parse_more_hosts(const xmlNode *first, Drover__V1__Disk *d)
{
    for (const xmlNode *h = xml_next(first, "host"); h && d->n_more_hosts < MAX_HOSTS;
         h = xml_next(h, "host")) {
        char *name = xml_attr(h, "name");
        if (!name)
            continue;
        Drover__V1__DiskHost *host = new0(Drover__V1__DiskHost);
        drover__v1__disk_host__init(host);
        xml_set(&host->name, name);
        host->port = (uint32_t)xml_attr_number(h, "port");
        message_append(&d->more_hosts, &d->n_more_hosts, host);
    }
}

static void parse_source(const xmlNode *source, Drover__V1__Disk *d)
{
    xml_set(&d->source, place_of(source));
    xml_set(&d->protocol, xml_attr(source, "protocol"));
    const xmlNode *host = xml_child(source, "host");
    char *name = xml_attr(host, "name");
    xml_set(&d->source_host, name ? name : xml_attr(host, "socket"));
    d->source_port = (uint32_t)xml_attr_number(host, "port");
    parse_more_hosts(host, d);
    _cleanup_free_ char *tls = xml_attr(source, "tls");
    if (streq(tls, "yes"))
        xml_set(&d->auth, xstrdup("tls"));
    xml_set(&d->auth, xml_attr(xml_child(source, "auth"), "username"));
    xml_set(&d->initiator, xml_attr(xml_child(xml_child(source, "initiator"), "iqn"), "name"));
}

static Drover__V1__Disk *parse_disk(const xmlNode *disk)
{
    Drover__V1__Disk *d = new0(Drover__V1__Disk);
    drover__v1__disk__init(d);
    xml_set(&d->type, xml_attr(disk, "type"));
    char *device = xml_attr(disk, "device");
    xml_set(&d->device, device ? device : xstrdup("disk"));
    const xmlNode *driver = xml_child(disk, "driver"), *target = xml_child(disk, "target");
    xml_set(&d->format, xml_attr(driver, "type"));
    xml_set(&d->cache, xml_attr(driver, "cache"));
    xml_set(&d->target, xml_attr(target, "dev"));
    xml_set(&d->bus, xml_attr(target, "bus"));
    parse_source(xml_child(disk, "source"), d);
    xml_set(&d->auth, xml_attr(xml_child(disk, "auth"), "username")); /* where older definitions have it */
    d->readonly = xml_child(disk, "readonly") != NULL;
    d->shareable = xml_child(disk, "shareable") != NULL;
    d->transient = xml_child(disk, "transient") != NULL;
    parse_backing(disk, d);
    return d;
}

/* ---- interfaces ---- */

static Drover__V1__Interface *parse_interface(const xmlNode *n)
{
    Drover__V1__Interface *i = new0(Drover__V1__Interface);
    drover__v1__interface__init(i);
    xml_set(&i->type, xml_attr(n, "type"));
    xml_set(&i->target, xml_attr(xml_child(n, "target"), "dev"));
    xml_set(&i->mac, xml_attr(xml_child(n, "mac"), "address"));
    xml_set(&i->model, xml_attr(xml_child(n, "model"), "type"));
    /* Of a running guest on a network libvirt tells what the network has given it: its type may be "bridge" or "direct", with the
     * bridge or device besides. The network is what the definition asks for, and what the destination is to have. */
    static const char *const keys[] = {"network", "bridge", "dev", "path", "name"};
    const xmlNode *source = xml_child(n, "source");
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        char *value = xml_attr(source, keys[k]);
        if (!value)
            continue;
        xml_set(&i->source, value);
        if (streq(keys[k], "network"))
            xml_set(&i->type, xstrdup(keys[k]));
        break;
    }
    xml_set(&i->vlan, xml_vlan(n));
    xml_set(&i->portgroup, xml_attr(source, "portgroup"));
    return i;
}

static void parse_device(Drover__V1__Guest *g, const xmlNode *n)
{
    const char *name = (const char *)n->name;
    if (streq(name, "disk")) {
        g->disks = xrealloc(g->disks, g->n_disks + 1, sizeof(*g->disks));
        g->disks[g->n_disks++] = parse_disk(n);
        g->job =
            g->job || xml_child(n, "mirror"); /* a block job: libvirt has it on the disk, not on the guest */
    } else if (streq(name, "interface")) {
        g->interfaces = xrealloc(g->interfaces, g->n_interfaces + 1, sizeof(*g->interfaces));
        g->interfaces[g->n_interfaces++] = parse_interface(n);
    }
}

/* ---- the domain ---- */

static void parse_os(Drover__V1__Guest *g, const xmlNode *os)
{
    const xmlNode *type = xml_child(os, "type");
    xml_set(&g->arch, xml_attr(type, "arch"));
    xml_set(&g->machine, xml_attr(type, "machine"));
    xml_set(&g->loader, xml_text(xml_child(os, "loader")));
    const xmlNode *nvram = xml_child(os, "nvram");
    char *file = place_of(xml_child(nvram, "source")); /* since libvirt 8.5 */
    xml_set(&g->nvram, file ? file : xml_text(nvram));
}

#define LABELS_NAMESPACE "urn:drover:guest"

/* <metadata><drover:guest><drover:label>TEXT</drover:label>... */
static void parse_labels(Drover__V1__Guest *g, const xmlNode *metadata)
{
    enum { MAX_LABELS = 64 };
    const xmlNode *guest = xml_child(metadata, "guest");
    if (!guest || !guest->ns || !streq((const char *)guest->ns->href, LABELS_NAMESPACE))
        return;
    for (const xmlNode *n = guest->children; n && g->n_labels < MAX_LABELS; n = n->next)
        if (n->type == XML_ELEMENT_NODE && streq((const char *)n->name, "label")) {
            _cleanup_free_ char *text = xml_text(n);
            if (text && *text)
                message_append_text(&g->labels, &g->n_labels, text);
        }
}

static int parse_domain(const xmlNode *domain, Drover__V1__Guest *g, struct error *err)
{
    xml_set(&g->name, xml_text(xml_child(domain, "name")));
    xml_set(&g->uuid, xml_text(xml_child(domain, "uuid")));
    uuid_t uuid;
    if (!*g->name)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the domain's XML has no <name>");
    if (uuid_parse(g->uuid, uuid) != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the XML of domain %.128s has no valid <uuid>, but \"%.64s\"", g->name, g->uuid);
    xml_set(&g->type, xml_attr(domain, "type"));
    xml_set(&g->title, xml_text(xml_child(domain, "title")));
    parse_labels(g, xml_child(domain, "metadata"));
    g->memory_max = size_of(xml_child(domain, "memory"));
    const xmlNode *current = xml_child(domain, "currentMemory"), *vcpu = xml_child(domain, "vcpu");
    g->memory = current ? size_of(current) : g->memory_max;
    _cleanup_free_ char *vcpus = xml_attr(vcpu, "current");
    _cleanup_free_ char *vcpus_max = xml_text(vcpu);
    g->vcpus = (uint32_t)strtoul(vcpus ? vcpus : vcpus_max ? vcpus_max : "1", NULL, 10);
    parse_os(g, xml_child(domain, "os"));
    const xmlNode *cpu = xml_child(domain, "cpu");
    xml_set(&g->cpu_mode, xml_attr(cpu, "mode"));
    xml_set(&g->cpu_model, xml_text(xml_child(cpu, "model")));
    const xmlNode *devices = xml_child(domain, "devices");
    size_t n = 0;
    for (const xmlNode *d = devices ? devices->children : NULL; d; d = d->next) {
        if (d->type != XML_ELEMENT_NODE)
            continue;
        if (++n > MAX_DEVICES)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "domain %.128s has more than %d devices",
                             g->name, MAX_DEVICES);
        parse_device(g, d);
    }
    guest_needs_parse(domain, g);
    return 0;
}

static void free_guest(Drover__V1__Guest **g)
{
    if (*g)
        drover__v1__guest__free_unpacked(*g, NULL);
}

int guest_xml_parse(const char *xml, size_t length, Drover__V1__Guest **ret, struct error *err)
{
    _cleanup_(xml_freep) xmlDocPtr doc = NULL;
    int r = xml_parse("the domain's XML", xml, length, "domain", &doc, err);
    if (r < 0)
        return r;
    _cleanup_(free_guest) Drover__V1__Guest *g = new0(Drover__V1__Guest);
    drover__v1__guest__init(g);
    r = parse_domain(xmlDocGetRootElement(doc), g, err);
    if (r < 0)
        return r;
    *ret = steal(&g);
    return 0;
}
