#include "agent/io/guest_needs.h"

#include "common/base/memory.h"
#include "common/message/message.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_CPU = 64 * 1024, MAX_LIST = 256 };

static const char *name_of(const xmlNode *n)
{
    return (const char *)n->name;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* An attribute compared; false if there is none. */
static bool has(const xmlNode *n, const char *attribute, const char *value)
{
    _cleanup_free_ char *text = xml_attr(n, attribute);
    return text && streq(text, value);
}

/* ---- devices whose state can't be taken along -------------------------------------------------------------------- */

static void add_hostdev(Drover__V1__Guest *g, char *name)
{
    message_append(&g->hostdevs, &g->n_hostdevs, name);
}

static char *pci_name(const xmlNode *source)
{
    const xmlNode *a = xml_child(source, "address");
    return xasprintf("PCI device %04" PRIx64 ":%02" PRIx64 ":%02" PRIx64 ".%" PRIx64,
                     xml_attr_number(a, "domain"), xml_attr_number(a, "bus"), xml_attr_number(a, "slot"),
                     xml_attr_number(a, "function"));
}

static char *hostdev_name(const xmlNode *n)
{
    _cleanup_free_ char *type = xml_attr(n, "type"), *mode = xml_attr(n, "mode");
    const xmlNode *source = xml_child(n, "source");
    if (streq(type, "pci"))
        return pci_name(source);
    if (streq(type, "usb")) {
        const xmlNode *a = xml_child(source, "address");
        if (a)
            return xasprintf("USB device %" PRIu64 ".%" PRIu64, xml_attr_number(a, "bus"),
                             xml_attr_number(a, "device"));
        return xasprintf("USB device %04" PRIx64 ":%04" PRIx64,
                         xml_attr_number(xml_child(source, "vendor"), "id"),
                         xml_attr_number(xml_child(source, "product"), "id"));
    }
    if (streq(type, "mdev")) {
        _cleanup_free_ char *uuid = xml_attr(xml_child(source, "address"), "uuid");
        return xasprintf("mediated device %s", uuid ? uuid : "");
    }
    if (streq(type, "scsi")) {
        _cleanup_free_ char *adapter = xml_attr(xml_child(source, "adapter"), "name");
        return xasprintf("SCSI device %s", adapter ? adapter : "");
    }
    if (streq(type, "scsi_host")) {
        _cleanup_free_ char *wwpn = xml_attr(source, "wwpn");
        return xasprintf("vhost-scsi device %s", wwpn ? wwpn : "");
    }
    return xasprintf("host device (%s %s)", mode ? mode : "subsystem", type ? type : "unknown");
}

/* "WORDS NAME", with the name from an attribute of a child. */
static char *named(const char *words, const xmlNode *child, const char *attribute)
{
    _cleanup_free_ char *name = xml_attr(child, attribute);
    return xasprintf("%s %s", words, name ? name : "");
}

/* One of a failover pair: QEMU unplugs it for the way, and the virtio interface beside it carries on. */
static bool is_unplugged(const xmlNode *n)
{
    return has(xml_child(n, "teaming"), "type", "transient");
}

/* NULL: nothing of this device hinders. QEMU's and libvirt's own lists: qemuMigrationSrcIsAllowed, and `unmigratable` in QEMU. */
static char *unmovable(const xmlNode *n)
{
    const char *name = name_of(n);
    if (streq(name, "disk") && has(n, "type", "vhostuser"))
        return named("vhost-user disk", xml_child(n, "target"), "dev");
    if (streq(name, "disk") && has(n, "type", "nvme"))
        return named("NVMe disk", xml_child(n, "target"), "dev");
    if ((streq(name, "interface") || streq(name, "hostdev")) && is_unplugged(n))
        return NULL;
    if (streq(name, "interface") && has(n, "type", "hostdev"))
        return pci_name(xml_child(n, "source"));
    if (streq(name, "interface") && has(n, "type", "vdpa"))
        return named("vDPA device", xml_child(n, "source"), "dev");
    if (streq(name, "hostdev"))
        return hostdev_name(n);
    if (streq(name, "filesystem"))
        return named("shared directory", xml_child(n, "target"), "dir");
    if (streq(name, "shmem") && !has(n, "role", "master"))
        return named("shared memory", n, "name");
    if (streq(name, "smartcard") && (has(n, "mode", "host") || has(n, "mode", "host-certificates")))
        return xstrdup("smart card of the host");
    if (streq(name, "tpm") && has(xml_child(n, "backend"), "type", "passthrough"))
        return named("TPM of the host", xml_child(xml_child(n, "backend"), "device"), "path");
    if (streq(name, "video") && has(xml_child(n, "driver"), "name", "vhostuser"))
        return xstrdup("vhost-user video card");
    if (streq(name, "input") && (has(n, "type", "passthrough") || has(n, "type", "evdev"))) {
        const xmlNode *source = xml_child(n, "source");
        return named("input device", source, has(n, "type", "evdev") ? "dev" : "evdev");
    }
    if (streq(name, "memory") && (has(n, "model", "nvdimm") || has(n, "model", "virtio-pmem"))) {
        _cleanup_free_ char *path = xml_text(xml_child(xml_child(n, "source"), "path"));
        return xasprintf("persistent memory %s", path ? path : "");
    }
    return NULL;
}

/* ---- files and sockets of the host ------------------------------------------------------------------------------- */

static void add_path(Drover__V1__Guest *g, char *device, char *path, bool made)
{
    if (!path || path[0] != '/' || g->n_paths >= MAX_LIST) {
        free(device);
        free(path);
        return;
    }
    Drover__V1__DevicePath *p = new0(Drover__V1__DevicePath);
    drover__v1__device_path__init(p);
    xml_set(&p->device, device);
    xml_set(&p->path, path);
    p->made = made;
    message_append(&g->paths, &g->n_paths, p);
}

/* libvirt gives channels a socket in a directory of its own, and makes that again at each start. */
static bool is_libvirts_own(const char *path)
{
    return starts(path, "/var/lib/libvirt/qemu/") || starts(path, "/run/libvirt/qemu/") ||
           starts(path, "/var/run/libvirt/qemu/");
}

static void parse_character(Drover__V1__Guest *g, const xmlNode *n)
{
    const xmlNode *target = xml_child(n, "target"), *source = xml_child(n, "source");
    _cleanup_free_ char *type = xml_attr(n, "type"), *path = xml_attr(source, "path");
    _cleanup_free_ char *channel = xml_attr(target, "name"), *port = xml_attr(target, "port");
    bool again = streq(name_of(n), "console") && has(target, "type", "serial"); /* the first serial port */
    bool file = streq(type, "file"), bound = streq(type, "unix") && !has(source, "mode", "connect");
    if (again || !path || is_libvirts_own(path) ||
        !(file || streq(type, "unix") || streq(type, "dev") || streq(type, "pipe")))
        return;
    char *device =
        channel ? xasprintf("channel %s", channel) : xasprintf("%s port %s", name_of(n), port ? port : "0");
    add_path(g, device, steal(&path), file || bound);
}

static void parse_random(Drover__V1__Guest *g, const xmlNode *n)
{
    const xmlNode *backend = xml_child(n, "backend");
    _cleanup_free_ char *path = has(backend, "model", "random") ? xml_text(backend) : NULL;
    if (path && !streq(path, "/dev/urandom") && !streq(path, "/dev/random"))
        add_path(g, xstrdup("random numbers"), steal(&path), false);
}

static void parse_boot(Drover__V1__Guest *g, const xmlNode *os)
{
    static const char *const files[] = {"kernel", "initrd", "dtb", "loader"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        add_path(g, xstrdup(files[i]), xml_text(xml_child(os, files[i])), false);
}

/* ---- memory, CPU, features --------------------------------------------------------------------------------------- */

static void parse_hugepages(Drover__V1__Guest *g, const xmlNode *hugepages)
{
    if (!hugepages)
        return;
    g->hugepages = xcalloc(MAX_LIST, sizeof(*g->hugepages));
    for (const xmlNode *p = xml_child(hugepages, "page"); p && g->n_hugepages < MAX_LIST;
         p = xml_next(p, "page")) {
        _cleanup_free_ char *size = xml_attr(p, "size"), *unit = xml_attr(p, "unit");
        g->hugepages[g->n_hugepages++] = xml_bytes(size, unit);
    }
    if (!g->n_hugepages)
        g->hugepages[g->n_hugepages++] = 0;
}

static void parse_cpu(Drover__V1__Guest *g, const xmlNode *cpu)
{
    char *text = xml_dump(cpu);
    if (text && strlen(text) <= MAX_CPU)
        xml_set(&g->cpu, text);
    else
        free(text);
}

static void add_feature(Drover__V1__Guest *g, char *feature)
{
    message_append(&g->features, &g->n_features, feature);
}

static void parse_features(Drover__V1__Guest *g, const xmlNode *domain)
{
    const xmlNode *features = xml_child(domain, "features"), *hyperv = xml_child(features, "hyperv");
    for (const xmlNode *f = hyperv ? hyperv->children : NULL; f && g->n_features < MAX_LIST; f = f->next)
        if (f->type == XML_ELEMENT_NODE && has(f, "state", "on"))
            add_feature(g, xasprintf("hyperv-%s", name_of(f)));
    const xmlNode *coreinfo = xml_child(features, "vmcoreinfo");
    if (coreinfo && !has(coreinfo, "state", "off"))
        add_feature(g, xstrdup("vmcoreinfo-on"));
    if (xml_child(domain, "genid"))
        add_feature(g, xstrdup("genid-on"));
}

static void parse_device(Drover__V1__Guest *g, const xmlNode *n)
{
    const char *name = name_of(n);
    char *fixed = unmovable(n);
    if (fixed)
        add_hostdev(g, fixed);
    if (streq(name, "serial") || streq(name, "parallel") || streq(name, "console") || streq(name, "channel"))
        parse_character(g, n);
    else if (streq(name, "rng"))
        parse_random(g, n);
    else if (streq(name, "tpm") && has(xml_child(n, "backend"), "type", "emulator"))
        add_feature(g, xstrdup("tpm-emulator"));
}

void guest_needs_parse(const xmlNode *domain, Drover__V1__Guest *g)
{
    const xmlNode *devices = xml_child(domain, "devices");
    parse_cpu(g, xml_child(domain, "cpu"));
    parse_hugepages(g, xml_child(xml_child(domain, "memoryBacking"), "hugepages"));
    parse_features(g, domain);
    parse_boot(g, xml_child(domain, "os"));
    for (const xmlNode *d = devices ? devices->children : NULL; d; d = d->next)
        if (d->type == XML_ELEMENT_NODE)
            parse_device(g, d);
    const xmlNode *sealed = xml_child(domain, "launchSecurity");
    if (sealed)
        add_hostdev(g, named("encrypted memory", sealed, "type"));
}
