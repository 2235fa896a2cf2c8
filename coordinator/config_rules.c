#include "coordinator/config_rules.h"

#include "common/base/memory.h"
#include "coordinator/core/text.h"

#include <string.h>

enum { TOGETHER, APART, MAX_LABELS = 64 };

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define LIST(key, flags, type, member, min)                                                                  \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | (flags), type, member, &text_value, min, 1024)

static const cyaml_schema_value_t text_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4096)};
static const cyaml_strval_t keep_words[] = {{"together", TOGETHER}, {"apart", APART}};

static const cyaml_schema_field_t group_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_group, name, 1, 256),
    LIST("guests", 0, struct raw_group, guests, 1),
    CYAML_FIELD_ENUM("keep", CYAML_FLAG_STRICT, struct raw_group, keep, keep_words, 2),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t config_group_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_group, group_fields)};

static const cyaml_schema_field_t guest_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_guest, name, 1, 256),
    CYAML_FIELD_BOOL("pinned", OPTIONAL, struct raw_guest, pinned),
    LIST("hosts", OPTIONAL, struct raw_guest, hosts, 1),
    LIST("require", OPTIONAL, struct raw_guest, require, 1),
    LIST("prefer", OPTIONAL, struct raw_guest, prefer, 1),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t config_guest_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_guest, guest_fields)};

static size_t count_labels(const struct guest_rules *rules)
{
    struct names all = {0};
    for (size_t i = 0; i < rules->n_hosts; i++)
        for (size_t k = 0; k < rules->hosts[i].labels.n; k++)
            if (!names_have(&all, rules->hosts[i].labels.list[k]))
                names_add(&all, rules->hosts[i].labels.list[k]);
    size_t n = all.n;
    names_deinit(&all);
    return n;
}

int config_take_labels(const struct config_source *s, const char *path, const char *host, char *const *labels,
                       unsigned n, struct guest_rules *rules)
{
    if (!n)
        return 0;
    rules->hosts = xrealloc(rules->hosts, rules->n_hosts + 1, sizeof(*rules->hosts));
    struct host_labels *out = &rules->hosts[rules->n_hosts++];
    *out = (struct host_labels){.host = xstrdup(host)};
    for (unsigned i = 0; i < n; i++) {
        _cleanup_free_ char *at = xasprintf("%s[%u]", path, i);
        if (!config_is_name(labels[i]))
            return config_bad(s, at, "'%s' is no label: expected letters, digits, '.', '_' and '-'",
                              labels[i]);
        names_add(&out->labels, labels[i]);
        if (count_labels(rules) > MAX_LABELS)
            return config_bad(s, at, "'%s' is one label more than the fleet can have (%d)", labels[i],
                              MAX_LABELS);
    }
    return 0;
}

static void take_names(char *const *list, unsigned n, struct names *out)
{
    for (unsigned i = 0; i < n; i++)
        names_add(out, list[i]);
}

/* A label that no host has is a mistake in writing: with `require` the guest could go nowhere. */
static int take_wanted(const struct config_source *s, const char *path, char *const *list, unsigned n,
                       const struct guest_rules *rules, struct names *out)
{
    for (unsigned i = 0; i < n; i++) {
        _cleanup_free_ char *at = xasprintf("%s[%u]", path, i), *known = NULL;
        bool found = false;
        for (size_t h = 0; h < rules->n_hosts && !found; h++) {
            found = names_have(&rules->hosts[h].labels, list[i]);
            for (size_t k = 0; k < rules->hosts[h].labels.n; k++)
                if (!known || !strstr(known, rules->hosts[h].labels.list[k]))
                    text_append(&known, ", ", "%s", rules->hosts[h].labels.list[k]);
        }
        if (!found)
            return config_bad(s, at, "no host has the label '%s'; there are: %s", list[i],
                              known ? known : "none (hosts: - {name: ..., labels: [...]})");
        names_add(out, list[i]);
    }
    return 0;
}

static int take_hosts(const struct config_source *s, const char *path, const struct raw_guest *raw,
                      const struct coordinator_config *c, struct names *out)
{
    take_names(raw->hosts, raw->hosts_count, out);
    for (unsigned i = 0; i < raw->hosts_count; i++) {
        _cleanup_free_ char *at = xasprintf("%s[%u]", path, i);
        const struct names one = {&raw->hosts[i], 1};
        bool found = false;
        for (size_t h = 0; h < c->n_hosts && !found; h++)
            found = names_match(&one, c->hosts[h].name);
        if (!found)
            return config_bad(s, at, "'%s' is no host's name, and no pattern that fits one of `hosts`",
                              raw->hosts[i]);
    }
    return 0;
}

static int take_guest(const struct config_source *s, unsigned i, const struct raw_guest *raw,
                      struct coordinator_config *c)
{
    _cleanup_free_ char *hosts = xasprintf("guests[%u].hosts", i);
    _cleanup_free_ char *require = xasprintf("guests[%u].require", i);
    _cleanup_free_ char *prefer = xasprintf("guests[%u].prefer", i);
    struct guest_rule *out = &c->rules.rules[c->rules.n_rules++];
    out->pinned = raw->pinned;
    names_add(&out->guests, raw->name);
    int r = take_hosts(s, hosts, raw, c, &out->hosts);
    if (r == 0)
        r = take_wanted(s, require, raw->require, raw->require_count, &c->rules, &out->require);
    if (r == 0)
        r = take_wanted(s, prefer, raw->prefer, raw->prefer_count, &c->rules, &out->prefer);
    return r;
}

int config_take_rules(const struct config_source *s, const struct raw_group *groups, unsigned n_groups,
                      const struct raw_guest *guests, unsigned n_guests, struct coordinator_config *c)
{
    int r = 0;
    c->rules.groups = xcalloc(n_groups ? n_groups : 1, sizeof(*c->rules.groups));
    c->rules.rules = xcalloc(n_guests ? n_guests : 1, sizeof(*c->rules.rules));
    for (unsigned i = 0; i < n_groups; i++) {
        _cleanup_free_ char *path = xasprintf("groups[%u].name", i);
        for (unsigned k = 0; k < i; k++)
            if (streq(groups[i].name, groups[k].name))
                return config_bad(s, path, "a second group '%s' (the first is groups[%u])", groups[i].name,
                                  k);
        struct guest_group *out = &c->rules.groups[c->rules.n_groups++];
        out->name = xstrdup(groups[i].name);
        out->apart = groups[i].keep == APART;
        take_names(groups[i].guests, groups[i].guests_count, &out->guests);
    }
    for (unsigned i = 0; i < n_guests && r == 0; i++)
        r = take_guest(s, i, &guests[i], c);
    return r;
}
