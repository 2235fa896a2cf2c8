#include "coordinator/core/link_table.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"

#include <stdlib.h>
#include <string.h>

uint64_t link_of_host(const struct fleet *fleet, const struct fleet_host *host)
{
    return host && host->bandwidth ? host->bandwidth : fleet->bandwidth;
}

/* Takes over the name. */
static uint32_t find_or_add(struct link_table *t, char *name, uint64_t capacity)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (streq(t->list[i].name, name)) {
            free(name);
            return i;
        }
    t->list = xrealloc(t->list, t->n + 1, sizeof(*t->list));
    t->list[t->n] = (struct schedule_link){.name = name, .capacity = capacity};
    return t->n++;
}

static const struct fleet_site_link *between(const struct fleet *fleet, const char *a, const char *b)
{
    for (size_t i = 0; i < fleet->n_site_links; i++) {
        const struct fleet_site_link *l = &fleet->site_links[i];
        if ((streq(l->sites[0], a) && streq(l->sites[1], b)) ||
            (streq(l->sites[0], b) && streq(l->sites[1], a)))
            return l;
    }
    return NULL;
}

void link_table_take(struct link_table *t, const struct fleet *fleet, const char *from, const char *to,
                     struct schedule_move *move)
{
    const struct fleet_host *a = fleet_host(fleet, from), *b = fleet_host(fleet, to);
    move->n_links = 0;
    move->links[move->n_links++] = find_or_add(t, xasprintf("%s out", from), link_of_host(fleet, a));
    move->links[move->n_links++] = find_or_add(t, xasprintf("%s in", to), link_of_host(fleet, b));
    if (!a || !b || streq(a->site, b->site))
        return;
    bool in_order = strcmp(a->site, b->site) < 0;
    const char *first = in_order ? a->site : b->site, *second = in_order ? b->site : a->site;
    const struct fleet_site_link *l = between(fleet, first, second);
    if (l && l->bandwidth)
        move->links[move->n_links++] = find_or_add(t, xasprintf("%s-%s", first, second), l->bandwidth);
}

uint64_t link_between(const struct fleet *fleet, const char *from, const char *to)
{
    struct link_table t = {0};
    struct schedule_move move = {0};
    uint64_t least = 0;
    link_table_take(&t, fleet, from, to, &move);
    for (uint32_t i = 0; i < move.n_links; i++) {
        uint64_t capacity = t.list[move.links[i]].capacity;
        least = capacity && (!least || capacity < least) ? capacity : least;
    }
    link_table_deinit(&t);
    return least;
}

uint64_t link_limit(const struct fleet *fleet, const char *from, const char *to, uint64_t limit)
{
    uint64_t share = link_between(fleet, from, to);
    return share && (!limit || share < limit) ? share : limit;
}

int64_t link_delay(const struct fleet *fleet, const char *from, const char *to)
{
    const struct fleet_host *a = fleet_host(fleet, from), *b = fleet_host(fleet, to);
    const struct fleet_site_link *l =
        a && b && !streq(a->site, b->site) ? between(fleet, a->site, b->site) : NULL;
    return l ? l->delay_ms : 0;
}

void link_table_deinit(struct link_table *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        free((char *)t->list[i].name);
    free(t->list);
    *t = (struct link_table){0};
}
