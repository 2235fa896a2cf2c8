/* Reads a fleet for the planner: sorts it, and finds what moves as one. */
#include "common/base/memory.h"
#include "coordinator/core/planner_state.h"

#include <stdlib.h>
#include <string.h>

static int by_host_name(const void *a, const void *b, void *arg)
{
    const struct planner_fleet *f = arg;
    return strcmp(f->hosts[*(const uint32_t *)a].name, f->hosts[*(const uint32_t *)b].name);
}

static int by_uuid(const void *a, const void *b, void *arg)
{
    const struct planner_guest *guests = ((const struct planner_fleet *)arg)->guests;
    const struct planner_guest *x = &guests[*(const uint32_t *)a], *y = &guests[*(const uint32_t *)b];
    int order = strcmp(x->uuid, y->uuid);
    return order ? order : strcmp(x->name, y->name);
}

static void sort(uint32_t n, int (*compare)(const void *, const void *, void *),
                 const struct planner_fleet *fleet, uint32_t **ret_sorted, uint32_t **ret_rank)
{
    uint32_t *sorted = xcalloc(n ? n : 1, sizeof(*sorted)), *rank = xcalloc(n ? n : 1, sizeof(*rank));
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = i;
    qsort_r(sorted, n, sizeof(*sorted), compare, (void *)fleet);
    for (uint32_t i = 0; i < n; i++)
        rank[sorted[i]] = i;
    *ret_sorted = sorted;
    *ret_rank = rank;
}

struct named {
    const char *site;
    uint32_t host;
};

static int by_site(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->site, ((const struct named *)b)->site);
}

static void number_sites(struct planner *p)
{
    struct named *list = xcalloc(p->n_hosts ? p->n_hosts : 1, sizeof(*list));
    for (uint32_t i = 0; i < p->n_hosts; i++)
        list[i] = (struct named){host_of(p, i)->site ? host_of(p, i)->site : "", i};
    qsort(list, p->n_hosts, sizeof(*list), by_site);
    for (uint32_t i = 0, site = 0; i < p->n_hosts; i++) {
        site += i && strcmp(list[i].site, list[i - 1].site) != 0;
        p->site[list[i].host] = site;
    }
    free(list);
}

/* Sorts things into numbered boxes: those of box b are ret_things[ret_first[b] .. ret_first[b + 1]), in their own order. */
static void into_boxes(const uint32_t *box, const uint32_t *thing, uint32_t n, uint32_t n_boxes,
                       uint32_t **ret_things, uint32_t **ret_first)
{
    uint32_t *first = xcalloc((size_t)n_boxes + 2, sizeof(*first));
    uint32_t *things = xcalloc(n ? n : 1, sizeof(*things));
    for (uint32_t i = 0; i < n; i++)
        first[box[i] + 2]++;
    for (uint32_t b = 2; b < n_boxes + 2; b++)
        first[b] += first[b - 1];
    for (uint32_t i = 0; i < n; i++)
        things[first[box[i] + 1]++] = thing[i];
    *ret_things = things;
    *ret_first = first;
}

static void list_members(struct planner *p)
{
    uint32_t n = 0, i = 0;
    for (uint32_t g = 0; g < p->n_guests; g++)
        n += guest_of(p, g)->n_groups;
    uint32_t *box = xcalloc(n ? n : 1, sizeof(*box)), *thing = xcalloc(n ? n : 1, sizeof(*thing));
    for (uint32_t g = 0; g < p->n_guests; g++)
        for (uint32_t k = 0; k < guest_of(p, g)->n_groups; k++, i++) {
            box[i] = guest_of(p, g)->groups[k];
            thing[i] = g;
        }
    into_boxes(box, thing, n, p->fleet->n_groups, &p->members, &p->first_member);
    free(box);
    free(thing);
}

static uint32_t root_of(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

static uint32_t *roots(struct planner *p)
{
    uint32_t *parent = xcalloc(p->n_guests ? p->n_guests : 1, sizeof(*parent));
    for (uint32_t g = 0; g < p->n_guests; g++)
        parent[g] = g;
    for (uint32_t k = 0; k < p->fleet->n_groups; k++)
        for (uint32_t m = p->first_member[k] + 1; !p->fleet->groups[k].apart && m < p->first_member[k + 1];
             m++)
            join(parent, p->members[m - 1], p->members[m]);
    return parent;
}

static void add_guest(struct planner *p, struct unit *u, uint32_t guest)
{
    const struct planner_guest *g = guest_of(p, guest);
    u->guests = xrealloc(u->guests, u->n_guests + 1, sizeof(*u->guests));
    u->guests[u->n_guests++] = guest;
    u->need[PLANNER_HUGE_NONE] += g->memory;
    u->now[PLANNER_HUGE_NONE] += g->memory_now;
    u->need[g->huge] += g->pages;
    u->now[g->huge] += g->pages;
    u->used += g->pages + (g->used ? g->used : g->memory);
    u->used_at_home += g->pages + (g->used ? g->used : g->memory_now);
    u->most += g->pages + g->memory;
    u->vcpus += g->vcpus;
    u->vcpu_percent = stricter(u->vcpu_percent, g->vcpus ? g->vcpu_percent : 0);
    u->cpu_load += g->cpu_load;
    u->require |= g->require;
    u->prefer |= g->prefer;
    u->recent |= g->recent;
    if (g->stays && u->staying == PLANNER_NONE)
        u->staying = guest;
    for (uint32_t k = 0; k < g->n_groups; k++)
        u->apart |= p->fleet->groups[g->groups[k]].apart;
}

/* One unit for each host that a set of joined guests is on. A set's guests are few, so its units are looked through. */
static void make_units(struct planner *p, uint32_t *parent)
{
    uint32_t *last = xcalloc(p->n_guests ? p->n_guests : 1, sizeof(*last)); /* unit of a set, newest first */
    uint32_t *before = xcalloc(p->n_guests ? p->n_guests : 1, sizeof(*before));
    memset(last, 0xff, p->n_guests * sizeof(*last));
    p->units = xcalloc(p->n_guests ? p->n_guests : 1, sizeof(*p->units));
    for (uint32_t g = 0; g < p->n_guests; g++) {
        uint32_t root = root_of(parent, g), home = p->host_rank[guest_of(p, g)->host], u = last[root];
        while (u != PLANNER_NONE && p->units[u].home != home)
            u = before[u];
        if (u == PLANNER_NONE) {
            u = p->n_units++;
            p->units[u] = (struct unit){.home = home, .kin = root, .staying = PLANNER_NONE};
            before[u] = last[root];
            last[root] = u;
        }
        p->unit_of[g] = u;
        add_guest(p, &p->units[u], g);
    }
    for (uint32_t u = 0; u < p->n_units; u++)
        if (last[p->units[u].kin] == u && before[u] == PLANNER_NONE)
            p->units[u].kin = PLANNER_NONE;
    free(last);
    free(before);
}

static void list_kin(struct planner *p)
{
    uint32_t n = 0;
    uint32_t *number = xcalloc(p->n_guests ? p->n_guests : 1, sizeof(*number));
    uint32_t *box = xcalloc(p->n_units ? p->n_units : 1, sizeof(*box));
    uint32_t *thing = xcalloc(p->n_units ? p->n_units : 1, sizeof(*thing));
    for (uint32_t u = 0; u < p->n_units; u++) {
        uint32_t *kin = &p->units[u].kin;
        if (*kin == PLANNER_NONE)
            continue;
        if (!number[*kin])
            number[*kin] = ++p->n_kin;
        *kin = number[*kin] - 1;
        box[n] = *kin;
        thing[n++] = u;
    }
    into_boxes(box, thing, n, p->n_kin, &p->kin, &p->first_kin);
    free(number);
    free(box);
    free(thing);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void size_units(struct planner *p)
{
    double memory = 0, cpus = 0;
    for (uint32_t i = 0; i < p->n_hosts; i++) {
        memory += (double)host_of(p, i)->memory_total / p->n_hosts;
        cpus += (double)host_of(p, i)->cpus / p->n_hosts;
    }
    for (uint32_t i = 0; i < p->n_units; i++) {
        struct unit *u = &p->units[i];
        double need = (double)(u->need[0] + u->need[1] + u->need[2]);
        u->size = memory > 0 ? need / memory : 0;
        if (cpus > 0)
            u->size = larger(u->size, larger(u->vcpus, u->cpu_load / 1000.0) / cpus);
    }
}

struct planner *planner_new(const struct planner_fleet *fleet)
{
    struct planner *p = new0(struct planner);
    p->fleet = fleet;
    p->n_hosts = fleet->n_hosts;
    p->n_guests = fleet->n_guests;
    for (uint32_t i = 0; i < fleet->n_guests; i++)
        if (fleet->guests[i].host >= fleet->n_hosts)
            abort();
    sort(p->n_hosts, by_host_name, fleet, &p->hosts, &p->host_rank);
    sort(p->n_guests, by_uuid, fleet, &p->guests, &p->guest_rank);
    p->site = xcalloc(p->n_hosts ? p->n_hosts : 1, sizeof(*p->site));
    p->unit_of = xcalloc(p->n_guests ? p->n_guests : 1, sizeof(*p->unit_of));
    number_sites(p);
    list_members(p);
    uint32_t *parent = roots(p);
    make_units(p, parent);
    free(parent);
    list_kin(p);
    size_units(p);
    p->fits = xcalloc(p->n_units ? p->n_units : 1, sizeof(*p->fits));
    return p;
}

void planner_free(struct planner *p)
{
    if (!p)
        return;
    for (uint32_t u = 0; u < p->n_units; u++) {
        free(p->units[u].guests);
        free(p->fits[u]);
    }
    free(p->units);
    free(p->fits);
    free(p->hosts);
    free(p->guests);
    free(p->host_rank);
    free(p->guest_rank);
    free(p->site);
    free(p->unit_of);
    free(p->members);
    free(p->first_member);
    free(p->kin);
    free(p->first_kin);
    free(p);
}
