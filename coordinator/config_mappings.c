/* mappings: [{from: SITE, to: SITE, both: true, paths: [{from: PREFIX, to: PREFIX}], pools: ..., bridges: ..., networks: ...}] */
#include "coordinator/config_internal.h"

#include "common/base/memory.h"

#include <string.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, flags, type, member)                                                                       \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, 4096)

static const cyaml_schema_field_t rule_fields[] = {
    TEXT("from", 0, struct raw_rule, from),
    TEXT("to", 0, struct raw_rule, to),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t rule_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_rule, rule_fields)};

#define RULES(key)                                                                                           \
    CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER | OPTIONAL, struct raw_mapping, key, &rule_value, 0, 4096)

static const cyaml_schema_field_t mapping_fields[] = {
    TEXT("from", 0, struct raw_mapping, from),
    TEXT("to", 0, struct raw_mapping, to),
    CYAML_FIELD_BOOL("both", OPTIONAL, struct raw_mapping, both),
    RULES(paths),
    RULES(pools),
    RULES(bridges),
    RULES(networks),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t config_mapping_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_mapping, mapping_fields)};

enum place { NOTHING = 0, HOST = 1, SITE = 2 };

static unsigned place_of(const struct coordinator_config *c, const char *name)
{
    unsigned found = NOTHING;
    for (size_t i = 0; i < c->n_hosts; i++)
        found |= (streq(c->hosts[i].name, name) ? HOST : 0U) | (streq(c->hosts[i].site, name) ? SITE : 0U);
    return found;
}

/* *ret_hosts: a pair of hosts, else of sites. */
static int check_ends(const struct config_source *s, const struct raw_mapping *raw, unsigned i,
                      const struct coordinator_config *c, bool *ret_hosts)
{
    const char *names[2] = {raw->from, raw->to};
    unsigned places[2];
    for (unsigned e = 0; e < 2; e++) {
        _cleanup_free_ char *path = xasprintf("mappings[%u].%s", i, e ? "to" : "from");
        places[e] = place_of(c, names[e]);
        if (places[e] == NOTHING)
            return config_bad(s, path, "'%s' is neither a host nor the site of one (hosts:)", names[e]);
        if (places[e] == (HOST | SITE))
            return config_bad(s, path, "'%s' is a host's name and a site's: rename one of them", names[e]);
    }
    _cleanup_free_ char *path = xasprintf("mappings[%u].to", i);
    if (places[0] != places[1])
        return config_bad(s, path, "'%s' is a %s and '%s' a %s: a mapping is between two hosts or two sites",
                          raw->from, places[0] == HOST ? "host" : "site", raw->to,
                          places[1] == HOST ? "host" : "site");
    if (streq(raw->from, raw->to))
        return config_bad(s, path, "'%s' is where it begins, too; within a site, give mappings between hosts",
                          raw->to);
    *ret_hosts = places[0] == HOST;
    return 0;
}

static int take_rules(const struct config_source *s, const struct raw_mapping *raw, unsigned i, bool back,
                      struct mapping_pair *pair)
{
    const struct {
        const char *key;
        const struct raw_rule *list;
        Drover__V1__MappingKind kind;
        unsigned n;
    } kinds[] = {
        {"paths", raw->paths, DROVER__V1__MAPPING_KIND__MAPPING_PATH, raw->paths_count},
        {"pools", raw->pools, DROVER__V1__MAPPING_KIND__MAPPING_POOL, raw->pools_count},
        {"bridges", raw->bridges, DROVER__V1__MAPPING_KIND__MAPPING_BRIDGE, raw->bridges_count},
        {"networks", raw->networks, DROVER__V1__MAPPING_KIND__MAPPING_NETWORK, raw->networks_count},
    };
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (unsigned r = 0; r < kinds[k].n; r++) {
            const struct raw_rule *rule = &kinds[k].list[r];
            struct error why = {0};
            if (mapping_pair_add(pair, kinds[k].kind, back ? rule->to : rule->from,
                                 back ? rule->from : rule->to, &why) == 0)
                continue;
            _cleanup_free_ char *path =
                xasprintf("mappings[%u].%s[%u].%s", i, kinds[k].key, r, back ? "to" : "from");
            return config_bad(s, path, "%s", why.text);
        }
    return 0;
}

static int take_pair(const struct config_source *s, const struct raw_mapping *raw, unsigned i, bool hosts,
                     bool back, struct coordinator_config *c)
{
    struct error why = {0};
    struct mapping_pair *pair =
        mappings_add(&c->mappings, back ? raw->to : raw->from, back ? raw->from : raw->to, hosts, &why);
    if (pair)
        return take_rules(s, raw, i, back, pair);
    _cleanup_free_ char *path = xasprintf("mappings[%u].%s", i, back ? "both" : "from");
    return config_bad(s, path, "%s", why.text);
}

int config_take_mappings(const struct config_source *s, const struct raw_mapping *list, unsigned n,
                         struct coordinator_config *c)
{
    for (unsigned i = 0; i < n; i++) {
        const struct raw_mapping *raw = &list[i];
        _cleanup_free_ char *path = xasprintf("mappings[%u].from", i);
        bool hosts = false;
        if (!raw->paths_count && !raw->pools_count && !raw->bridges_count && !raw->networks_count)
            return config_bad(s, path,
                              "nothing is mapped from %s to %s; give paths, pools, bridges or networks",
                              raw->from, raw->to);
        int r = check_ends(s, raw, i, c, &hosts);
        if (r == 0)
            r = take_pair(s, raw, i, hosts, false, c);
        if (r == 0 && raw->both)
            r = take_pair(s, raw, i, hosts, true, c);
        if (r < 0)
            return r;
    }
    return 0;
}
