#include "coordinator/core/guest_rules.h"

#include "common/base/memory.h"

#include <fnmatch.h>
#include <stdlib.h>

bool names_match(const struct names *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (fnmatch(patterns->list[i], name, 0) == 0)
            return true;
    return false;
}

bool names_have(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (streq(names->list[i], name))
            return true;
    return false;
}

void names_add(struct names *names, const char *name)
{
    names->list = xrealloc(names->list, names->n + 1, sizeof(*names->list));
    names->list[names->n++] = xstrdup(name);
}

void names_deinit(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct names){0};
}

void guest_rules_deinit(struct guest_rules *rules)
{
    for (size_t i = 0; i < rules->n_groups; i++) {
        free(rules->groups[i].name);
        names_deinit(&rules->groups[i].guests);
    }
    for (size_t i = 0; i < rules->n_rules; i++) {
        names_deinit(&rules->rules[i].guests);
        names_deinit(&rules->rules[i].hosts);
        names_deinit(&rules->rules[i].require);
        names_deinit(&rules->rules[i].prefer);
    }
    for (size_t i = 0; i < rules->n_hosts; i++) {
        free(rules->hosts[i].host);
        names_deinit(&rules->hosts[i].labels);
    }
    free(rules->groups);
    free(rules->rules);
    free(rules->hosts);
    *rules = (struct guest_rules){0};
}
