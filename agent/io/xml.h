/* What is asked of libvirt's XML documents, on libxml2: no network, no entities, no DTD, at most 4 MiB. Strings
 * that are returned are the caller's (free). Every function takes NULL for the node and then finds nothing. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <libxml/tree.h>
#include <stdint.h>

/* `what` is for the error: INVALID_ARGUMENT unless it is a well-formed document whose root is <root>. */
int xml_parse(const char *what, const char *xml, size_t length, const char *root, xmlDocPtr *ret,
              struct error *err);

static inline void xml_freep(xmlDocPtr *doc)
{
    if (*doc)
        xmlFreeDoc(*doc);
}

/* The first child element of that name, or the next sibling of it. */
const xmlNode *xml_child(const xmlNode *node, const char *name);
const xmlNode *xml_next(const xmlNode *node, const char *name);

char *xml_text(const xmlNode *node);                   /* without space around it; NULL if there is no node */
char *xml_attr(const xmlNode *node, const char *name); /* NULL if absent */

/* Decimal, or hexadecimal with 0x as libvirt writes addresses; 0 if absent or no number. */
uint64_t xml_attr_number(const xmlNode *node, const char *name);

/* "64" and "MiB" (libvirt's scaled integers; NULL: KiB) in bytes, at most UINT64_MAX; 0 if it is no number. */
uint64_t xml_bytes(const char *number, const char *unit);

/* The tags of its <vlan>: "42", "42,123". NULL if it has none. */
char *xml_vlan(const xmlNode *node);

/* The element as text; NULL if there is no node. */
char *xml_dump(const xmlNode *node);

/* Puts a string of its own (NULL: leaves the field as it is) into a protobuf-c message's field, whose "" is not to be freed. */
void xml_set(char **field, char *value);
