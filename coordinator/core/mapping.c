#include "coordinator/core/mapping.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"

#include <stdlib.h>
#include <string.h>

#define PATH DROVER__V1__MAPPING_KIND__MAPPING_PATH

struct mapping_pair *mappings_add(struct mappings *m, const char *from, const char *to, bool hosts,
                                  struct error *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->pairs[i].hosts == hosts && streq(m->pairs[i].from, from) && streq(m->pairs[i].to, to)) {
            error_set(err, STATUS_ALREADY_EXISTS,
                      "there is a mapping from %s to %s already; put the rules of both into one", from, to);
            return NULL;
        }
    m->pairs = xrealloc(m->pairs, m->n + 1, sizeof(*m->pairs));
    struct mapping_pair *p = &m->pairs[m->n++];
    *p = (struct mapping_pair){.from = xstrdup(from), .to = xstrdup(to), .hosts = hosts};
    return p;
}

/* "/srv//vms/" is no prefix of "/srv/vms/a": libvirt's paths are compared as they are written. */
static const char *path_fault(const char *path)
{
    if (path[0] != '/')
        return "expected an absolute path, such as /srv/vms";
    if (strstr(path, "//"))
        return "two slashes in a row are never part of a path as libvirt writes it";
    for (const char *p = path; (p = strstr(p, "/.")); p++)
        if (p[2] == 0 || p[2] == '/' || (p[2] == '.' && (p[3] == 0 || p[3] == '/')))
            return "'.' and '..' are not followed: give the path itself";
    return NULL;
}

static const char *name_fault(Drover__V1__MappingKind kind, const char *name)
{
    if (!name[0])
        return "is empty";
    if (kind == PATH)
        return path_fault(name);
    if (strchr(name, '/'))
        return "has a slash in it; expected a name";
    if (kind == DROVER__V1__MAPPING_KIND__MAPPING_BRIDGE && strlen(name) > 15)
        return "is longer than an interface's name can be (15)";
    return NULL;
}

static char *trimmed(const char *text)
{
    size_t n = strlen(text);
    while (n > 1 && text[0] == '/' && text[n - 1] == '/')
        n--;
    return xasprintf("%.*s", (int)n, text);
}

int mapping_pair_add(struct mapping_pair *pair, Drover__V1__MappingKind kind, const char *from,
                     const char *to, struct error *err)
{
    const char *names[2] = {from, to};
    for (unsigned i = 0; i < 2; i++) {
        const char *fault = name_fault(kind, names[i]);
        if (fault)
            return error_set(err, STATUS_INVALID_ARGUMENT, "'%s': %s", names[i], fault);
    }
    _cleanup_free_ char *mine = trimmed(from);
    for (size_t i = 0; i < pair->n_rules; i++)
        if (pair->rules[i].kind == kind && streq(pair->rules[i].from, mine))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "'%s' is '%s' on %s by an earlier rule (perhaps one that goes both ways); keep "
                             "one of them",
                             mine, pair->rules[i].to, pair->to);
    pair->rules = xrealloc(pair->rules, pair->n_rules + 1, sizeof(*pair->rules));
    pair->rules[pair->n_rules++] =
        (struct mapping_rule){.kind = kind, .from = steal(&mine), .to = trimmed(to)};
    return 0;
}

void mappings_deinit(struct mappings *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct mapping_pair *p = &m->pairs[i];
        for (size_t r = 0; r < p->n_rules; r++) {
            free(p->rules[r].from);
            free(p->rules[r].to);
        }
        free(p->rules);
        free(p->from);
        free(p->to);
    }
    free(m->pairs);
    *m = (struct mappings){0};
}

/* ---- between two hosts ------------------------------------------------------------------------------------------- */

/* Longest first; rules of equal length can't both fit. */
static int by_length(const void *a, const void *b)
{
    const struct mapping_rule *x = a, *y = b;
    size_t n = strlen(x->from), k = strlen(y->from);
    return n != k ? (n < k ? 1 : -1) : strcmp(x->from, y->from);
}

static void append_rules(Drover__V1__Mapping *out, const struct mapping_pair *pair)
{
    _cleanup_free_ struct mapping_rule *sorted = xcalloc(pair->n_rules + 1, sizeof(*sorted));
    if (pair->n_rules)
        memcpy(sorted, pair->rules, pair->n_rules * sizeof(*sorted));
    qsort(sorted, pair->n_rules, sizeof(*sorted), by_length);
    for (size_t i = 0; i < pair->n_rules; i++) {
        Drover__V1__MappingRule *r = new0(Drover__V1__MappingRule);
        drover__v1__mapping_rule__init(r);
        r->kind = sorted[i].kind;
        r->from = xstrdup(sorted[i].from);
        r->to = xstrdup(sorted[i].to);
        out->rules = xrealloc(out->rules, out->n_rules + 1, sizeof(*out->rules));
        out->rules[out->n_rules++] = r;
    }
}

static void append_pair(const struct mappings *m, bool hosts, const char *from, const char *to,
                        Drover__V1__Mapping *out)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->pairs[i].hosts == hosts && streq(m->pairs[i].from, from) && streq(m->pairs[i].to, to))
            append_rules(out, &m->pairs[i]);
}

Drover__V1__Mapping *mapping_between(const struct mappings *m, const struct fleet_host *from,
                                     const struct fleet_host *to)
{
    if (!m || !m->n || from == to)
        return NULL;
    Drover__V1__Mapping *out = new0(Drover__V1__Mapping);
    drover__v1__mapping__init(out);
    append_pair(m, true, from->name, to->name, out);
    append_pair(m, false, from->site, to->site, out);
    if (!out->n_rules) {
        drover__v1__mapping__free_unpacked(out, NULL);
        return NULL;
    }
    return out;
}

/* ---- a guest as the destination names it ------------------------------------------------------------------------- */

/* Takes over the name. */
static void rename_to(char **field, char *name)
{
    set_text(field, name);
    free(name);
}

/* Of the files and sockets of the host, the agents rewrite (agent/io/relocate_xml.c) these. */
static bool is_mapped(const Drover__V1__DevicePath *p)
{
    return streq(p->device, "kernel") || streq(p->device, "initrd") || streq(p->device, "dtb");
}

Drover__V1__Guest *mapping_guest(const Drover__V1__Mapping *m, const Drover__V1__Guest *guest)
{
    Drover__V1__Guest *g = (Drover__V1__Guest *)message_copy(&guest->base);
    for (size_t i = 0; m && i < g->n_disks; i++) {
        Drover__V1__Disk *d = g->disks[i];
        if (streq(d->type, "volume"))
            rename_to(&d->source, mapping_volume(m, d->source));
        else if (!streq(d->type, "network") && d->source[0] == '/')
            rename_to(&d->source, mapping_name(m, PATH, d->source));
        for (size_t b = 0; b < d->n_backing; b++)
            if (d->backing[b][0] == '/')
                rename_to(&d->backing[b], mapping_name(m, PATH, d->backing[b]));
    }
    for (size_t i = 0; m && i < g->n_paths; i++)
        if (is_mapped(g->paths[i]))
            rename_to(&g->paths[i]->path, mapping_name(m, PATH, g->paths[i]->path));
    if (m && g->nvram[0] == '/')
        rename_to(&g->nvram, mapping_name(m, PATH, g->nvram));
    for (size_t i = 0; m && i < g->n_interfaces; i++) {
        Drover__V1__Interface *nic = g->interfaces[i];
        Drover__V1__MappingKind kind = streq(nic->type, "bridge") ? DROVER__V1__MAPPING_KIND__MAPPING_BRIDGE
                                       : streq(nic->type, "network")
                                           ? DROVER__V1__MAPPING_KIND__MAPPING_NETWORK
                                           : DROVER__V1__MAPPING_KIND__MAPPING_UNSET;
        if (kind)
            rename_to(&nic->source, mapping_name(m, kind, nic->source));
    }
    return g;
}
