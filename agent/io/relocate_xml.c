#include "agent/io/relocate_xml.h"

#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/mapping/mapping.h"

#include <string.h>

#define PATH DROVER__V1__MAPPING_KIND__MAPPING_PATH
#define is(node, word) ((node)->type == XML_ELEMENT_NODE && streq((const char *)(node)->name, word))

static xmlNode *child(xmlNode *node, const char *name)
{
    return (xmlNode *)xml_child(node, name);
}

/* False if it stays as it is. */
static bool map_attr(xmlNode *node, const char *name, const Drover__V1__Mapping *m,
                     Drover__V1__MappingKind kind)
{
    _cleanup_free_ char *value = xml_attr(node, name);
    if (!value || (kind == PATH && value[0] != '/'))
        return false;
    _cleanup_free_ char *there = mapping_name(m, kind, value);
    if (streq(value, there))
        return false;
    xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)there);
    return true;
}

static void map_text(xmlNode *node, const Drover__V1__Mapping *m)
{
    _cleanup_free_ char *value = xml_text(node);
    if (!value || value[0] != '/' || child(node, "source"))
        return;
    _cleanup_free_ char *there = mapping_name(m, PATH, value);
    if (streq(value, there))
        return;
    xmlNodeSetContent(node, NULL);
    xmlNodeAddContent(node, (const xmlChar *)there);
}

static void map_source(xmlNode *source, const Drover__V1__Mapping *m)
{
    static const char *const paths[] = {"file", "dev", "dir"};
    if (!source)
        return;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        map_attr(source, paths[i], m, PATH);
    map_attr(source, "pool", m, DROVER__V1__MAPPING_KIND__MAPPING_POOL);
}

/* ---- devices ---- */

static const Drover__V1__DiskCopy *copy_of(const Drover__V1__Relocation *r, xmlNode *disk)
{
    _cleanup_free_ char *target = xml_attr(child(disk, "target"), "dev");
    for (size_t i = 0; target && i < r->n_copies; i++)
        if (streq(r->copies[i]->target, target))
            return r->copies[i];
    return NULL;
}

static void remove_backing(xmlNode *disk)
{
    for (xmlNode *b; (b = child(disk, "backingStore"));) {
        xmlUnlinkNode(b);
        xmlFreeNode(b);
    }
}

static void relocate_disk(xmlNode *disk, const Drover__V1__Relocation *r)
{
    const Drover__V1__DiskCopy *copy = copy_of(r, disk);
    xmlNode *source = child(disk, "source");
    if (copy && source) {
        if (xmlHasProp(source, (const xmlChar *)"pool"))
            map_source(source, r->mapping);
        else
            xmlSetProp(source, (const xmlChar *)"file", (const xmlChar *)copy->to);
        remove_backing(disk);
        return;
    }
    map_source(source, r->mapping);
    for (xmlNode *b = child(disk, "backingStore"); b; b = child(b, "backingStore"))
        map_source(child(b, "source"), r->mapping);
}

static void relocate_interface(xmlNode *interface, const Drover__V1__Mapping *m)
{
    _cleanup_free_ char *type = xml_attr(interface, "type");
    xmlNode *source = child(interface, "source");
    if (!source || !type)
        return;
    if (!xmlHasProp(source, (const xmlChar *)"network")) {
        if (streq(type, "bridge"))
            map_attr(source, "bridge", m, DROVER__V1__MAPPING_KIND__MAPPING_BRIDGE);
        return;
    }
    /* A running guest names what the network has given it, which is the source's: a bridge or device, a port, and their type. */
    bool other = map_attr(source, "network", m, DROVER__V1__MAPPING_KIND__MAPPING_NETWORK);
    if (!other && streq(type, "network"))
        return;
    xmlSetProp(interface, (const xmlChar *)"type", (const xmlChar *)"network");
    static const char *const given[] = {"bridge", "dev", "mode", "portid"};
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        xmlUnsetProp(source, (const xmlChar *)given[i]);
}

static void relocate_domain(xmlNode *domain, const Drover__V1__Relocation *r)
{
    xmlNode *os = child(domain, "os"), *devices = child(domain, "devices");
    static const char *const files[] = {"kernel", "initrd", "dtb", "nvram"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        xmlNode *file = child(os, files[i]);
        if (!file)
            continue;
        map_text(file, r->mapping);
        map_source(child(file, "source"), r->mapping);
    }
    for (xmlNode *d = devices ? devices->children : NULL; d; d = d->next) {
        if (is(d, "disk"))
            relocate_disk(d, r);
        else if (is(d, "interface"))
            relocate_interface(d, r->mapping);
    }
}

static void relocate_snapshot(xmlNode *snapshot, const Drover__V1__Relocation *r)
{
    xmlNode *disks = child(snapshot, "disks");
    for (xmlNode *n = snapshot->children; n; n = n->next) {
        if (is(n, "domain") || is(n, "inactiveDomain"))
            relocate_domain(n, r);
        else if (is(n, "memory"))
            map_attr(n, "file", r->mapping, PATH);
    }
    for (xmlNode *d = disks ? disks->children : NULL; d; d = d->next)
        if (is(d, "disk"))
            map_source(child(d, "source"), r->mapping);
}

int relocate_xml(const char *xml, const Drover__V1__Relocation *r, char **ret, struct error *err)
{
    _cleanup_(xml_freep) xmlDocPtr doc = NULL;
    struct error why = {0};
    bool snapshot = false;
    int e = xml_parse("the domain's XML", xml, strlen(xml), "domain", &doc, &why);
    if (e < 0 && xml_parse("the snapshot's XML", xml, strlen(xml), "domainsnapshot", &doc, NULL) == 0) {
        snapshot = true;
        e = 0;
    }
    if (e < 0)
        return error_set(err, why.code, "%s", why.text);
    xmlNode *root = xmlDocGetRootElement(doc);
    if (snapshot)
        relocate_snapshot(root, r);
    else
        relocate_domain(root, r);
    xmlChar *out = NULL;
    int size = 0;
    xmlDocDumpMemory(doc, &out, &size);
    if (!out)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "the domain's XML can't be written: out of memory");
    *ret = xstrdup((const char *)out);
    xmlFree(out);
    return 0;
}
