/* The planner's own constraints, and what it says of them. */
#include "common/base/memory.h"
#include "coordinator/core/planner_state.h"

#include <stdlib.h>

/* A member of one of the unit's anti-affinity groups there, that is not of the unit; PLANNER_NONE if there is none. */
static uint32_t apart_member(const struct state *s, uint32_t unit, uint32_t host, uint32_t *ret_group)
{
    const struct planner *p = s->planner;
    const struct unit *u = &p->units[unit];
    for (uint32_t i = 0; u->apart && i < u->n_guests; i++) {
        const struct planner_guest *g = guest_of(p, u->guests[i]);
        for (uint32_t k = 0; k < g->n_groups; k++) {
            uint32_t group = g->groups[k];
            if (!p->fleet->groups[group].apart)
                continue;
            for (uint32_t m = p->first_member[group]; m < p->first_member[group + 1]; m++)
                if (p->unit_of[p->members[m]] != unit && s->at[p->unit_of[p->members[m]]] == host) {
                    *ret_group = group;
                    return p->members[m];
                }
        }
    }
    return PLANNER_NONE;
}

/* A unit of the same affinity group that has its place elsewhere, while none has its place there. */
static uint32_t kin_elsewhere(const struct state *s, uint32_t unit, uint32_t host)
{
    const struct planner *p = s->planner;
    uint32_t kin = p->units[unit].kin, elsewhere = PLANNER_NONE;
    if (kin == PLANNER_NONE)
        return PLANNER_NONE;
    for (uint32_t i = p->first_kin[kin]; i < p->first_kin[kin + 1]; i++) {
        uint32_t other = p->kin[i];
        if (other == unit || s->open[other] || s->at[other] == state_nowhere(s))
            continue;
        if (s->at[other] == host)
            return PLANNER_NONE;
        elsewhere = other;
    }
    return elsewhere;
}

bool state_left_kin(const struct state *s)
{
    for (uint32_t u = 0; u < s->planner->n_units; u++)
        if (s->done[u] && kin_elsewhere(s, u, s->at[u]) != PLANNER_NONE)
            return true;
    return false;
}

bool planner_fits(struct planner *p, uint32_t unit, uint32_t host)
{
    const struct planner_fleet *f = p->fleet;
    const struct unit *u = &p->units[unit];
    if (!f->why_not)
        return true;
    if (!p->fits[unit])
        p->fits[unit] = xcalloc(p->n_hosts, 1);
    uint8_t *known = &p->fits[unit][host];
    if (!*known) {
        *known = 1;
        for (uint32_t i = 0; i < u->n_guests && *known == 1; i++)
            if (f->why_not(f->arg, p->guests[u->guests[i]], p->hosts[host]))
                *known = 2;
    }
    return *known == 1;
}

enum obstacle state_obstacle(const struct state *s, uint32_t unit, uint32_t host)
{
    struct planner *p = s->planner;
    const struct unit *u = &p->units[unit];
    const struct load *l = &s->hosts[host];
    const struct planner_host *h = host_of(p, host);
    uint32_t group;
    if (s->at[unit] == host)
        return FITS;
    if (!h->takes)
        return HOST_TAKES_NONE;
    if (h->maintenance)
        return HOST_MAINTENANCE;
    if (s->emptied[host])
        return HOST_EMPTIED;
    if (!s->takes[host])
        return HOST_NOT_ASKED;
    if (!s->request->across_sites && p->site[host] != p->site[u->home])
        return OTHER_SITE;
    if (u->require & ~h->labels)
        return NO_LABEL;
    if (too_many_vcpus(h, l, u))
        return NO_CPU;
    if (u->need[0] && l->free[0] - (int64_t)u->need[0] < s->spare[host])
        return NO_MEMORY;
    for (int k = 1; k < PLANNER_HUGE_SIZES; k++)
        if (u->need[k] && l->free[k] < (int64_t)u->need[k])
            return NO_HUGE;
    if (s->busiest[host] > 0 && u->cpu_load && (double)(l->cpu_load + u->cpu_load) > s->busiest[host])
        return NO_LOAD;
    if (apart_member(s, unit, host, &group) != PLANNER_NONE)
        return NOT_APART;
    if (kin_elsewhere(s, unit, host) != PLANNER_NONE)
        return NOT_TOGETHER;
    return planner_fits(p, unit, host) ? FITS : WHY_NOT;
}

static char *label_text(const struct state *s, uint64_t missing)
{
    const struct planner_fleet *f = s->planner->fleet;
    uint32_t label = (uint32_t)__builtin_ctzll(missing);
    return xasprintf("no label %s", label < f->n_labels ? f->labels[label] : "that it requires");
}

/* Of several guests that move as one, the first that why_not has a word against. */
static char *why_not_text(const struct state *s, const struct unit *u, uint32_t host)
{
    const struct planner *p = s->planner;
    const struct planner_fleet *f = p->fleet;
    for (uint32_t i = 0; i < u->n_guests; i++) {
        const char *why = f->why_not(f->arg, p->guests[u->guests[i]], p->hosts[host]);
        if (why && u->n_guests > 1)
            return xasprintf("%s: %s", guest_of(p, u->guests[i])->name, why);
        if (why)
            return xstrdup(why);
    }
    return xstrdup("it was refused and now is not");
}

static char *huge_text(const struct state *s, const struct unit *u, uint32_t host)
{
    static const char *const sizes[] = {[PLANNER_HUGE_2M] = "2 MiB", [PLANNER_HUGE_1G] = "1 GiB"};
    int k = PLANNER_HUGE_2M;
    while (k < PLANNER_HUGE_1G && !(u->need[k] && s->hosts[host].free[k] < (int64_t)u->need[k]))
        k++;
    return xasprintf("less than %llu MiB of huge pages of %s free", (unsigned long long)(u->need[k] >> 20),
                     sizes[k]);
}

static char *cpu_text(const struct unit *u, const struct load *l)
{
    uint32_t percent = stricter(u->vcpu_percent, l->vcpu_percent);
    return xasprintf("no room for %u vCPUs at %g per CPU%s", u->vcpus, percent / 100.0,
                     percent == u->vcpu_percent ? "" : ", which a guest that comes there asks for");
}

char *state_obstacle_text(const struct state *s, uint32_t unit, uint32_t host, enum obstacle obstacle)
{
    const struct planner *p = s->planner;
    const struct unit *u = &p->units[unit];
    const struct planner_host *h = host_of(p, host);
    uint32_t other, group = 0;
    switch (obstacle) {
    case HOST_TAKES_NONE: return xstrdup(h->why_takes_not ? h->why_takes_not : "it is not up");
    case HOST_MAINTENANCE: return xstrdup("in maintenance");
    case HOST_EMPTIED: return xstrdup("to be emptied itself");
    case HOST_NOT_ASKED: return xstrdup("not among the destinations");
    case OTHER_SITE: return xstrdup("on another site");
    case NO_LABEL: return label_text(s, u->require & ~h->labels);
    case NO_CPU: return cpu_text(u, &s->hosts[host]);
    case NO_MEMORY:
        return xasprintf("less than %llu MiB of memory free%s", (unsigned long long)(u->need[0] >> 20),
                         s->spare[host] ? " beside the headroom" : "");
    case NO_HUGE: return huge_text(s, u, host);
    case NO_LOAD:
        return xasprintf("it would use %.1f of its %u CPUs, and %.1f are to stay free",
                         (double)(s->hosts[host].cpu_load + u->cpu_load) / 1000, h->cpus,
                         h->cpus - s->busiest[host] / 1000);
    case NOT_APART:
        other = apart_member(s, unit, host, &group);
        return xasprintf("%s of group %s is there", guest_of(p, other)->name, p->fleet->groups[group].name);
    case NOT_TOGETHER:
        other = kin_elsewhere(s, unit, host);
        return xasprintf("%s, which it is to be with, is on %s", guest_of(p, p->units[other].guests[0])->name,
                         host_of(p, s->at[other])->name);
    case WHY_NOT: return why_not_text(s, u, host);
    case FITS: break;
    }
    return xstrdup("none");
}
