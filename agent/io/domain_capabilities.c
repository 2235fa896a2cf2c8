#include "agent/io/domain_capabilities.h"

#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

enum { MAX_LIST = 256 };

static void add(Drover__V1__Accelerated *to, char *feature)
{
    if (to->n_features < MAX_LIST)
        message_append(&to->features, &to->n_features, feature);
    else
        free(feature);
}

/* <GROUP supported='yes'/> */
static void parse_switch(const xmlNode *at, const char *group, Drover__V1__Accelerated *to)
{
    const xmlNode *n = xml_child(at, group);
    _cleanup_free_ char *supported = xml_attr(n, "supported");
    if (!n)
        return;
    add(to, xstrdup(group));
    if (streq(supported, "yes"))
        add(to, xasprintf("%s-on", group));
}

/* <GROUP supported='yes'><enum name='NAME'><value>...</value></enum></GROUP> */
static void parse_values(const xmlNode *at, const char *group, const char *name, Drover__V1__Accelerated *to)
{
    const xmlNode *n = xml_child(at, group);
    if (!n)
        return;
    add(to, xstrdup(group));
    for (const xmlNode *e = xml_child(n, "enum"); e; e = xml_next(e, "enum")) {
        _cleanup_free_ char *is = xml_attr(e, "name");
        for (const xmlNode *v = streq(is, name) ? xml_child(e, "value") : NULL; v; v = xml_next(v, "value")) {
            _cleanup_free_ char *value = xml_text(v);
            add(to, xasprintf("%s-%s", group, value));
        }
    }
}

/* The content of host-model's <mode>, as a <cpu> that can be compared. */
static void parse_cpu(const xmlNode *cpu, Drover__V1__Accelerated *to)
{
    const xmlNode *mode = xml_child(cpu, "mode");
    for (; mode; mode = xml_next(mode, "mode")) {
        _cleanup_free_ char *name = xml_attr(mode, "name");
        if (streq(name, "host-model"))
            break;
    }
    if (!mode || !xml_child(mode, "model"))
        return;
    char *text = xstrdup("<cpu mode='custom' match='exact'>");
    for (const xmlNode *n = mode->children; n; n = n->next) {
        _cleanup_free_ char *one = n->type == XML_ELEMENT_NODE ? xml_dump(n) : NULL;
        char *more = one ? xasprintf("%s%s", text, one) : NULL;
        if (more) {
            free(text);
            text = more;
        }
    }
    xml_set(&to->cpu, xasprintf("%s</cpu>", text));
    free(text);
}

int domain_capabilities_parse(const char *xml, size_t length, Drover__V1__Accelerated *to, struct error *err)
{
    _cleanup_(xml_freep) xmlDocPtr doc = NULL;
    int r = xml_parse("libvirt's domain capabilities", xml, length, "domainCapabilities", &doc, err);
    if (r < 0)
        return r;
    const xmlNode *top = xmlDocGetRootElement(doc), *features = xml_child(top, "features");
    parse_cpu(xml_child(top, "cpu"), to);
    parse_values(xml_child(top, "devices"), "tpm", "backendModel", to);
    parse_switch(features, "vmcoreinfo", to);
    parse_switch(features, "genid", to);
    parse_values(features, "hyperv", "features", to);
    return 0;
}
