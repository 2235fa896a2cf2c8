#include "common/mapping/mapping.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <string.h>

bool mapping_is_below(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    while (n > 1 && directory[n - 1] == '/')
        n--;
    if (n == 1 && directory[0] == '/')
        return path[0] == '/';
    return n && strncmp(path, directory, n) == 0 && (path[n] == '/' || path[n] == 0);
}

char *mapping_name(const Drover__V1__Mapping *m, Drover__V1__MappingKind kind, const char *name)
{
    for (size_t i = 0; m && i < m->n_rules; i++) {
        const Drover__V1__MappingRule *r = m->rules[i];
        if (r->kind != kind)
            continue;
        if (kind != DROVER__V1__MAPPING_KIND__MAPPING_PATH) {
            if (streq(r->from, name))
                return xstrdup(r->to);
        } else if (mapping_is_below(name, r->from)) {
            const char *rest = streq(r->from, "/") ? name : name + strlen(r->from);
            return streq(r->to, "/") && rest[0] ? xstrdup(rest) : xasprintf("%s%s", r->to, rest);
        }
    }
    return xstrdup(name);
}

char *mapping_volume(const Drover__V1__Mapping *m, const char *volume)
{
    const char *slash = strchr(volume, '/');
    if (!slash)
        return xstrdup(volume);
    _cleanup_free_ char *pool = xasprintf("%.*s", (int)(slash - volume), volume);
    _cleanup_free_ char *there = mapping_name(m, DROVER__V1__MAPPING_KIND__MAPPING_POOL, pool);
    return xasprintf("%s%s", there, slash);
}
