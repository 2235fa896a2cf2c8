/* How much of the network moves may use: `bandwidth:` of all hosts or of one, `links:` between sites, with their delay. */
#include "coordinator/config_internal.h"

#include "common/base/memory.h"

static const cyaml_schema_value_t site_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4096)};

static const cyaml_schema_field_t link_fields[] = {
    CYAML_FIELD_SEQUENCE("sites", CYAML_FLAG_POINTER, struct raw_link, sites, &site_value, 2, 2),
    CYAML_FIELD_STRING_PTR("bandwidth", CYAML_FLAG_POINTER, struct raw_link, bandwidth, 1, 64),
    CYAML_FIELD_STRING_PTR("delay", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_link, delay, 1, 64),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t config_link_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_link, link_fields)};

int config_take_rate(const struct config_source *s, const char *path, const char *text, uint64_t *ret)
{
    struct error why = {0};
    int64_t rate = 0;
    if (!text)
        return 0;
    if (parse_rate(text, &rate, &why) < 0)
        return config_bad(s, path, "%s", why.text);
    if (rate <= 0)
        return config_bad(s, path, "'%s': expected more than nothing, such as 1gbit", text);
    *ret = (uint64_t)rate;
    return 0;
}

static bool is_site(const struct coordinator_config *c, const char *name)
{
    for (size_t i = 0; i < c->n_hosts; i++)
        if (streq(c->hosts[i].site, name))
            return true;
    return false;
}

static bool joins(const struct raw_link *l, const char *a, const char *b)
{
    return (streq(l->sites[0], a) && streq(l->sites[1], b)) ||
           (streq(l->sites[0], b) && streq(l->sites[1], a));
}

int config_take_links(const struct config_source *s, const struct raw_link *list, unsigned n,
                      struct coordinator_config *c)
{
    c->links = xcalloc(n + 1, sizeof(*c->links));
    for (unsigned i = 0; i < n; i++) {
        _cleanup_free_ char *sites_path = xasprintf("links[%u].sites", i);
        _cleanup_free_ char *rate_path = xasprintf("links[%u].bandwidth", i);
        uint64_t rate = 0;
        for (unsigned k = 0; k < 2; k++)
            if (!is_site(c, list[i].sites[k]))
                return config_bad(s, sites_path, "no host is at site '%s'; see `site:` of hosts",
                                  list[i].sites[k]);
        if (streq(list[i].sites[0], list[i].sites[1]))
            return config_bad(s, sites_path, "'%s' twice; a link is between two sites", list[i].sites[0]);
        for (unsigned j = 0; j < i; j++)
            if (joins(&list[j], list[i].sites[0], list[i].sites[1]))
                return config_bad(s, sites_path,
                                  "a second link between %s and %s (the first is links[%u]); one holds for "
                                  "both directions: keep one of them",
                                  list[i].sites[0], list[i].sites[1], j);
        int r = config_take_rate(s, rate_path, list[i].bandwidth, &rate);
        if (r < 0)
            return r;
        int64_t delay = 0;
        struct error why = {0};
        _cleanup_free_ char *delay_path = xasprintf("links[%u].delay", i);
        if (list[i].delay && parse_duration_ms(list[i].delay, &delay, &why) < 0)
            return config_bad(s, delay_path, "%s", why.text);
        c->links[c->n_links++] =
            (struct config_link){.sites = {xstrdup(list[i].sites[0]), xstrdup(list[i].sites[1])},
                                 .bandwidth = rate,
                                 .delay_ms = delay};
    }
    return 0;
}
