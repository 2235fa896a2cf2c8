#include "random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

/* splitmix64 */
static uint64_t next(uint64_t *rng)
{
    uint64_t z = (*rng += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint32_t random_below(uint64_t *rng, uint32_t n)
{
    return (uint32_t)(next(rng) % n);
}

static const char *why_not(void *arg, uint32_t guest, uint32_t host)
{
    const struct random_fleet *f = arg;
    static const char *const texts[] = {NULL, "no bridge br5", "another CPU"};
    return texts[f->forbidden[guest][host]];
}

static void make_hosts(struct random_fleet *f, uint64_t *rng, uint32_t tightness)
{
    static const char *const sites[] = {"tokyo", "tokyo", "tokyo", "osaka", NULL};
    uint32_t n_sites = random_below(rng, 3) ? 1 : 5;
    for (uint32_t i = 0; i < f->fleet.n_hosts; i++) {
        struct planner_host *h = &f->hosts[i];
        snprintf(f->host_names[i], sizeof(f->host_names[i]), "kvm%u", i + 1);
        h->name = f->host_names[i];
        h->site = sites[random_below(rng, n_sites)];
        h->memory_free = random_below(rng, tightness) * GIB;
        h->huge_free[PLANNER_HUGE_2M] = random_below(rng, 4) * 2 * GIB;
        h->huge_free[PLANNER_HUGE_1G] = random_below(rng, 4) * 2 * GIB;
        h->memory_total = 64 * GIB;
        h->cpus = 4 + 4 * random_below(rng, 3);
        h->vcpus = random_below(rng, 3);
        h->cpu_load = f->measured ? random_below(rng, 2000) : 0;
        h->labels = random_below(rng, 4);
        h->takes = random_below(rng, 12) != 0;
        h->maintenance = random_below(rng, 15) == 0;
    }
}

static void make_guests(struct random_fleet *f, uint64_t *rng, uint32_t ease)
{
    static const uint32_t percents[] = {0, 150, 100, 225};
    for (uint32_t i = 0; i < f->fleet.n_guests; i++) {
        struct planner_guest *g = &f->guests[i];
        snprintf(f->guest_names[i], sizeof(f->guest_names[i]), "vm%02u", i);
        g->name = g->uuid = f->guest_names[i];
        g->host = random_below(rng, f->fleet.n_hosts);
        g->memory = (1 + random_below(rng, 6)) * GIB;
        g->memory_now = f->exact || random_below(rng, 3) ? g->memory : g->memory / 2;
        g->used =
            !f->exact && f->measured && random_below(rng, 8) ? random_below(rng, 100) * g->memory / 100 : 0;
        if (g->used && g->used < g->memory_now)
            g->memory_now = g->used;
        if (random_below(rng, 6) == 0) { /* what is left of ordinary memory is QEMU's own */
            g->huge = 1 + random_below(rng, 2);
            g->pages = g->memory;
            g->memory = random_below(rng, 2) * 64 * MIB;
            g->memory_now = g->memory;
            g->used = 0;
        }
        g->vcpus = 1 + random_below(rng, 4);
        g->vcpu_percent = percents[f->ratios != OWN_RATIOS ? f->ratios : random_below(rng, 4)];
        g->cpu_load = f->measured ? random_below(rng, 1500) : 0;
        if (random_below(rng, 12) == 0) {
            g->memory = g->memory_now = g->used = g->pages = g->vcpus = g->cpu_load = 0;
            g->huge = PLANNER_HUGE_NONE;
        }
        g->stays = random_below(rng, 20 * ease) ? NULL : "pinned";
        g->require = random_below(rng, 8 * ease) ? 0 : 1;
        g->prefer = random_below(rng, 8) ? 0 : 2;
        g->recent = random_below(rng, 8) == 0;
        g->groups = f->groups_of[i];
        for (uint32_t k = 0; f->fleet.n_groups && k < IN_GROUPS; k++) {
            uint32_t group = random_below(rng, f->fleet.n_groups);
            if (random_below(rng, 4) == 0 && !(g->n_groups && f->groups_of[i][0] == group))
                f->groups_of[i][g->n_groups++] = group;
        }
        for (uint32_t h = 0; h < f->fleet.n_hosts; h++)
            f->forbidden[i][h] = random_below(rng, 10 * ease) ? 0 : (uint8_t)(1 + random_below(rng, 2));
    }
}

static void make_request(struct random_fleet *f, uint64_t *rng)
{
    struct planner_request *r = &f->request;
    bool any_from = random_below(rng, 4) == 0, any_to = random_below(rng, 3);
    r->goal = random_below(rng, 4);
    for (uint32_t i = 0; i < f->fleet.n_hosts; i++) {
        f->from[i] = i == 0 || random_below(rng, 6) == 0;
        f->to[i] = random_below(rng, 2);
    }
    for (uint32_t i = 0; i < f->fleet.n_guests; i++)
        f->chosen[i] = random_below(rng, 2);
    r->from = r->goal != PLANNER_EVACUATE && any_from ? NULL : f->from;
    r->to = any_to && r->goal != PLANNER_MOVE ? NULL : f->to;
    r->guests = r->goal == PLANNER_MOVE || random_below(rng, 4) == 0 ? f->chosen : NULL;
    r->across_sites = random_below(rng, 3) == 0;
    r->others_stay = random_below(rng, 2);
    r->headroom = random_below(rng, 2) ? 0 : -1;
    r->max_moves = random_below(rng, 4) ? 0 : 3;
    if (f->measured && random_below(rng, 2)) /* as plans that go by what was measured */
        r->weights = (struct planner_weights){
            .memory = 1, .memory_max = 0.25, .vcpus = 0.1, .cpu_load = 1, .guests = 0.01};
    if (f->full) {
        r->goal = PLANNER_BALANCE;
        r->from = r->to = NULL;
        r->min_gain = 0.005;
    }
    if (r->goal == PLANNER_BALANCE || r->goal == PLANNER_CONSOLIDATE)
        r->guests = NULL;
}

void random_fleet(struct random_fleet *f, uint64_t seed)
{
    uint64_t rng = seed;
    *f = (struct random_fleet){0};
    f->fleet = (struct planner_fleet){
        .hosts = f->hosts,
        .guests = f->guests,
        .groups = f->groups,
        .n_hosts = 2 + random_below(&rng, HOSTS - 1),
        .n_guests = random_below(&rng, GUESTS + 1),
        .n_groups = random_below(&rng, 2) ? random_below(&rng, GROUPS + 1) : 0,
        .why_not = why_not,
        .arg = f,
    };
    for (uint32_t i = 0; i < f->fleet.n_groups; i++)
        f->groups[i] = (struct planner_group){.name = "group", .apart = random_below(&rng, 3) != 0};
    f->ratios = random_below(&rng, 4);
    f->measured = random_below(&rng, 4) != 0;
    f->exact = random_below(&rng, 2);
    f->full = random_below(&rng, 8) == 0;
    make_hosts(f, &rng, f->full ? 4 : 2 + random_below(&rng, 30));
    make_guests(f, &rng, f->full ? 10 : 1 + random_below(&rng, 2) * 9);
    make_request(f, &rng);
}

/* The copy has its own arrays. */
static void copy(const struct random_fleet *f, struct random_fleet *ret)
{
    *ret = *f;
    ret->fleet.hosts = ret->hosts;
    ret->fleet.guests = ret->guests;
    ret->fleet.groups = ret->groups;
    ret->fleet.arg = ret;
    for (uint32_t i = 0; i < f->fleet.n_guests; i++)
        ret->guests[i].groups = ret->groups_of[i];
    ret->request.from = f->request.from ? ret->from : NULL;
    ret->request.to = f->request.to ? ret->to : NULL;
    ret->request.guests = f->request.guests ? ret->chosen : NULL;
}

void random_carry_out(const struct random_fleet *f, const struct planner_plan *plan, struct random_fleet *ret)
{
    copy(f, ret);
    for (uint32_t i = 0; i < plan->n_moves; i++) {
        const struct planner_move *m = &plan->moves[i];
        struct planner_guest *g = &ret->guests[m->guest];
        ret->hosts[m->from].memory_free += g->recent && m->after != PLANNER_NONE ? g->memory : g->memory_now;
        ret->hosts[m->to].memory_free -= g->memory;
        if (g->pages) {
            ret->hosts[m->from].huge_free[g->huge] += g->pages;
            ret->hosts[m->to].huge_free[g->huge] -= g->pages;
        }
        g->host = m->to;
        g->recent = true;
    }
}

static void permutation(uint32_t *ret, uint32_t n, uint64_t *rng)
{
    for (uint32_t i = 0; i < n; i++)
        ret[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = random_below(rng, i), was = ret[k];
        ret[k] = ret[i - 1];
        ret[i - 1] = was;
    }
}

void random_shuffle(const struct random_fleet *f, struct random_fleet *ret, uint64_t seed)
{
    uint64_t rng = seed;
    uint32_t hosts[HOSTS], guests[GUESTS];
    permutation(hosts, f->fleet.n_hosts, &rng);
    permutation(guests, f->fleet.n_guests, &rng);
    copy(f, ret);
    for (uint32_t i = 0; i < f->fleet.n_hosts; i++) {
        ret->hosts[hosts[i]] = f->hosts[i];
        ret->from[hosts[i]] = f->from[i];
        ret->to[hosts[i]] = f->to[i];
    }
    for (uint32_t i = 0; i < f->fleet.n_guests; i++) {
        struct planner_guest *g = &ret->guests[guests[i]];
        *g = f->guests[i];
        g->host = hosts[f->guests[i].host];
        g->groups = ret->groups_of[guests[i]];
        memcpy(ret->groups_of[guests[i]], f->groups_of[i], sizeof(f->groups_of[i]));
        ret->chosen[guests[i]] = f->chosen[i];
        for (uint32_t h = 0; h < f->fleet.n_hosts; h++)
            ret->forbidden[guests[i]][hosts[h]] = f->forbidden[i][h];
    }
}
