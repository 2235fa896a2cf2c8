#include "agent/io/xml.h"

#include "common/base/memory.h"

#include <ctype.h>
#include <inttypes.h>
#include <libxml/parser.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_BYTES = 4 << 20 };

/* Without XML_PARSE_NOENT entities are not replaced, and a document that declares a DTD is refused before it is
 * looked at: libvirt never writes one. libxml2 itself bounds depth (256) and text (10 MB) without XML_PARSE_HUGE. */
int xml_parse(const char *what, const char *xml, size_t length, const char *root, xmlDocPtr *ret,
              struct error *err)
{
    if (length > MAX_BYTES)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s has %zu bytes; at most %d are read", what,
                         length, MAX_BYTES);
    xmlParserCtxtPtr ctxt = xmlNewParserCtxt();
    if (!ctxt)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s can't be read: out of memory", what);
    int options =
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA | XML_PARSE_COMPACT;
    _cleanup_(xml_freep) xmlDocPtr doc = xmlCtxtReadMemory(ctxt, xml, (int)length, NULL, NULL, options);
    int r = 0;
    if (!doc) {
        const xmlError *e = xmlCtxtGetLastError(ctxt);
        r = error_set(err, STATUS_INVALID_ARGUMENT, "%s is not well-formed: line %d: %.*s", what,
                      e ? e->line : 0, e && e->message ? (int)strcspn(e->message, "\n") : 7,
                      e && e->message ? e->message : "unknown");
    } else if (doc->intSubset || doc->extSubset) {
        r = error_set(err, STATUS_INVALID_ARGUMENT, "%s declares a document type; libvirt's never do", what);
    }
    xmlFreeParserCtxt(ctxt);
    if (r < 0)
        return r;
    const xmlNode *top = xmlDocGetRootElement(doc);
    if (!top || !streq((const char *)top->name, root))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s begins with <%.64s>, not with <%s>", what,
                         top ? (const char *)top->name : "", root);
    *ret = steal(&doc);
    return 0;
}

static const xmlNode *from(const xmlNode *n, const char *name)
{
    while (n && (n->type != XML_ELEMENT_NODE || !streq((const char *)n->name, name)))
        n = n->next;
    return n;
}

const xmlNode *xml_child(const xmlNode *node, const char *name)
{
    return node ? from(node->children, name) : NULL;
}

const xmlNode *xml_next(const xmlNode *node, const char *name)
{
    return node ? from(node->next, name) : NULL;
}

static char *own(xmlChar *text)
{
    char *copy = xstrdup((char *)text);
    xmlFree(text);
    return copy;
}

char *xml_text(const xmlNode *node)
{
    char *text = node ? own(xmlNodeGetContent(node)) : NULL;
    if (!text)
        return NULL;
    size_t skip = strspn(text, " \t\r\n"), length = strlen(text + skip);
    while (length && isspace((unsigned char)text[skip + length - 1]))
        length--;
    memmove(text, text + skip, length);
    text[length] = 0;
    return text;
}

char *xml_attr(const xmlNode *node, const char *name)
{
    return node ? own(xmlGetNoNsProp(node, (const xmlChar *)name)) : NULL;
}

uint64_t xml_attr_number(const xmlNode *node, const char *name)
{
    _cleanup_free_ char *text = xml_attr(node, name);
    return text ? strtoull(text, NULL, strncmp(text, "0x", 2) == 0 ? 16 : 10) : 0;
}

uint64_t xml_bytes(const char *number, const char *unit)
{
    uint64_t value = number ? strtoull(number, NULL, 10) : 0, scale = 1024;
    static const struct {
        const char *name;
        uint64_t scale;
    } units[] = {
        {"b", 1},
        {"bytes", 1},
        {"KB", 1000},
        {"k", 1024},
        {"KiB", 1024},
        {"MB", 1000000},
        {"M", 1ULL << 20},
        {"MiB", 1ULL << 20},
        {"GB", 1000000000},
        {"G", 1ULL << 30},
        {"GiB", 1ULL << 30},
        {"T", 1ULL << 40},
        {"TiB", 1ULL << 40},
        {"TB", 1000000000000},
    };
    for (size_t i = 0; unit && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcasecmp(unit, units[i].name) == 0)
            scale = units[i].scale;
    return value > UINT64_MAX / scale ? UINT64_MAX : value * scale;
}

char *xml_vlan(const xmlNode *node)
{
    char *tags = NULL;
    for (const xmlNode *t = xml_child(xml_child(node, "vlan"), "tag"); t; t = xml_next(t, "tag")) {
        _cleanup_free_ char *before = tags;
        tags = xasprintf("%s%s%" PRIu64, before ? before : "", before ? "," : "", xml_attr_number(t, "id"));
    }
    return tags;
}

char *xml_dump(const xmlNode *node)
{
    xmlBufferPtr buffer = node ? xmlBufferCreate() : NULL;
    char *text = NULL;
    if (buffer && xmlNodeDump(buffer, node->doc, (xmlNodePtr)node, 0, 0) >= 0)
        text = xstrdup((const char *)xmlBufferContent(buffer));
    if (buffer)
        xmlBufferFree(buffer);
    return text;
}

void xml_set(char **field, char *value)
{
    if (!value)
        return;
    if (*field != protobuf_c_empty_string)
        free(*field);
    *field = value;
}
