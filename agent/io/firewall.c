/* Whether something may refuse what comes in: nftables' chains that packets to this host pass. Which ports are open is for probes to
 * tell: no reading of rules replaces a connection. */
#include "agent/io/host_facts.h"
#include "agent/io/run.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <jansson.h>
#include <string.h>

static void drop(json_t **j)
{
    json_decref(*j);
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    return text ? text : "";
}

static void add_chain(const json_t *chain, Drover__V1__Firewall *f)
{
    const char *hook = text_of(chain, "hook");
    if (streq(text_of(chain, "type"), "nat")) /* it changes addresses, and refuses nothing */
        return;
    if (!streq(hook, "input") && !streq(hook, "prerouting") && !streq(hook, "ingress"))
        return;
    Drover__V1__FirewallChain *c = new0(Drover__V1__FirewallChain);
    drover__v1__firewall_chain__init(c);
    xml_set(&c->family, xstrdup(text_of(chain, "family")));
    xml_set(&c->table, xstrdup(text_of(chain, "table")));
    xml_set(&c->name, xstrdup(text_of(chain, "name")));
    xml_set(&c->policy, xstrdup(text_of(chain, "policy")));
    message_append(&f->chains, &f->n_chains, c);
    c->refuses = streq(c->policy, "drop");
    if (c->refuses)
        f->filters = DROVER__V1__ANSWER__YES;
}

/* Anything but accept, count and log may end in a refusal. */
static bool may_refuse(const json_t *rule)
{
    static const char *const words[] = {"drop", "reject", "jump", "goto", "queue", "vmap", "xt", "synproxy"};
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(rule, "expr"), i,
                       one) for (size_t k = 0; k < sizeof(words) / sizeof(words[0]);
                                 k++) if (json_object_get(one, words[k])) return true;
    return false;
}

static void add_rule(const json_t *rule, Drover__V1__Firewall *f)
{
    for (size_t i = 0; i < f->n_chains; i++) {
        Drover__V1__FirewallChain *c = f->chains[i];
        if (!streq(c->family, text_of(rule, "family")) || !streq(c->table, text_of(rule, "table")) ||
            !streq(c->name, text_of(rule, "chain")))
            continue;
        c->rules++;
        if (!may_refuse(rule))
            continue;
        c->refuses = true;
        f->filters = DROVER__V1__ANSWER__YES;
    }
}

bool firewall_parse(const char *json, Drover__V1__Firewall *f)
{
    _cleanup_(drop) json_t *root = json_loads(json, 0, NULL);
    const json_t *items = json_object_get(root, "nftables");
    size_t i;
    json_t *one;
    if (!json_is_array(items))
        return false;
    f->readable = true;
    f->filters = DROVER__V1__ANSWER__NO;
    json_array_foreach(items, i, one) if (json_object_get(one, "chain"))
        add_chain(json_object_get(one, "chain"), f);
    json_array_foreach(items, i, one) if (json_object_get(one, "rule"))
        add_rule(json_object_get(one, "rule"), f);
    return true;
}

void firewall_read(const struct limit *limit, const char *ip_tables, Drover__V1__HostFacts *facts)
{
    static const char *const argv[] = {"nft", "--json", "list", "ruleset", NULL};
    struct error err = {0};
    _cleanup_free_ char *output = NULL, *old = tree_text("%s", ip_tables);
    Drover__V1__Firewall *f = new0(Drover__V1__Firewall);
    drover__v1__firewall__init(f);
    facts->firewall = f;
    if (run_program(limit, argv, &output, &err) < 0)
        xml_set(&f->error, xstrdup(err.text));
    else if (!firewall_parse(output, f))
        xml_set(&f->error, xstrdup("nft gave no list of rules"));
    if (old && *old &&
        f->filters == DROVER__V1__ANSWER__NO) { /* rules of iptables-legacy, which nft doesn't show */
        f->filters = DROVER__V1__ANSWER__ANSWER_UNKNOWN;
        xml_set(&f->error, xstrdup("there are tables of iptables-legacy, which nft does not show"));
    }
}
