#include "check.h"

#include <string.h>

void world_init(struct world *w, const struct random_fleet *fleet)
{
    *w = (struct world){.fleet = fleet};
    for (uint32_t i = 0; i < fleet->fleet.n_guests; i++) {
        w->at[i] = fleet->guests[i].host;
        w->coming[i] = PLANNER_NONE;
    }
}

static bool shares_a_group(const struct random_fleet *f, uint32_t a, uint32_t b, bool apart)
{
    const struct planner_guest *x = &f->guests[a], *y = &f->guests[b];
    for (uint32_t i = 0; i < x->n_groups; i++)
        for (uint32_t k = 0; k < y->n_groups; k++)
            if (x->groups[i] == y->groups[k] && f->groups[x->groups[i]].apart == apart)
                return true;
    return false;
}

/* Guests that share an affinity group, over any number of others. */
static bool are_kin(const struct random_fleet *f, uint32_t a, uint32_t b)
{
    uint32_t reached[GUESTS] = {a}, n = 1;
    bool seen[GUESTS] = {false};
    seen[a] = true;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < f->fleet.n_guests; k++)
            if (!seen[k] && shares_a_group(f, reached[i], k, false)) {
                seen[k] = true;
                reached[n++] = k;
            }
    return seen[b];
}

/* These move as one, even if they are told to be apart, too. */
static bool inseparable(const struct random_fleet *f, uint32_t a, uint32_t b)
{
    return f->guests[a].host == f->guests[b].host && are_kin(f, a, b);
}

const char *world_fault(const struct world *w, uint32_t host)
{
    const struct random_fleet *f = w->fleet;
    const struct planner_host *h = &f->hosts[host];
    int64_t free_of[PLANNER_HUGE_SIZES] = {(int64_t)h->memory_free, (int64_t)h->huge_free[1],
                                           (int64_t)h->huge_free[2]};
    bool came[PLANNER_HUGE_SIZES] = {false};
    uint32_t vcpus = h->vcpus, percent = 0;
    uint64_t load = h->cpu_load;
    bool headroom = f->request.goal == PLANNER_CONSOLIDATE && f->request.headroom == 0, load_came = false;
    for (uint32_t i = 0; i < f->fleet.n_guests; i++) {
        const struct planner_guest *g = &f->guests[i];
        bool here = w->at[i] == host, comes = w->coming[i] == host;
        if (g->host == host && (w->away[i] && !here)) {
            free_of[0] += (int64_t)g->memory_now;
            free_of[g->huge] += (int64_t)g->pages;
        }
        if (comes || (here && w->away[i])) {
            free_of[0] -= (int64_t)g->memory;
            free_of[g->huge] -= (int64_t)g->pages;
            came[0] |= g->memory > 0;
            came[g->huge] |= g->pages > 0;
            if (g->vcpus && g->vcpu_percent && (!percent || g->vcpu_percent < percent))
                percent = g->vcpu_percent;
            load_came |= g->cpu_load > 0;
        }
        load += here || comes ? g->cpu_load : 0;
        vcpus += here || comes ? g->vcpus : 0;
        for (uint32_t k = 0; (comes || (here && w->away[i])) && k < f->fleet.n_guests; k++)
            if (k != i && (w->at[k] == host || w->coming[k] == host) && shares_a_group(f, i, k, true) &&
                !inseparable(f, i, k))
                return "two of an anti-affinity group on one host";
    }
    for (int k = 0; k < PLANNER_HUGE_SIZES; k++)
        if (came[k] && free_of[k] < 0)
            return "more memory than there is";
    if (headroom && came[0] && free_of[0] < (int64_t)(h->memory_total / 10))
        return "less memory left than the headroom";
    if (headroom && load_came && load > 900 * (uint64_t)h->cpus)
        return "less CPU time left than the headroom";
    if (percent && 100 * vcpus > percent * h->cpus)
        return "more vCPUs than the ratio of a guest that came allows";
    return NULL;
}

static bool same_site(const struct planner_host *a, const struct planner_host *b)
{
    return strcmp(a->site ? a->site : "", b->site ? b->site : "") == 0;
}

static const char *move_fault(const struct random_fleet *f, const struct planner_move *m)
{
    const struct planner_request *r = &f->request;
    const struct planner_guest *g = &f->guests[m->guest];
    const struct planner_host *to = &f->hosts[m->to];
    if (g->stays)
        return "moves a guest that stays";
    if (!to->takes || to->maintenance)
        return "to a host that takes none";
    if (r->to && !f->to[m->to])
        return "to a host that is not among the destinations";
    if (r->goal == PLANNER_EVACUATE && r->from && f->from[m->to])
        return "to a host that is to be emptied";
    if (!r->across_sites && !same_site(to, &f->hosts[g->host]))
        return "to another site";
    if (g->require & ~to->labels)
        return "to a host without a label that it requires";
    if (f->forbidden[m->guest][m->to])
        return "to a host where why_not forbids it";
    if (r->goal == PLANNER_BALANCE && g->recent)
        return "balances a guest that moved a short while ago";
    if (r->others_stay && m->reason == PLANNER_MAKES_ROOM)
        return "moves another guest aside, though the others stay";
    return NULL;
}

static uint32_t hosts_of_group(const struct random_fleet *f, const uint32_t *at, uint32_t group)
{
    bool on[HOSTS] = {false};
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->fleet.n_guests; i++)
        for (uint32_t k = 0; k < f->guests[i].n_groups; k++)
            if (f->guests[i].groups[k] == group && !on[at[i]]) {
                on[at[i]] = true;
                n++;
            }
    return n;
}

static bool must_move(const struct random_fleet *f, uint32_t guest)
{
    const struct planner_request *r = &f->request;
    uint32_t host = f->guests[guest].host;
    if (r->goal == PLANNER_EVACUATE)
        return f->from[host] && (!r->guests || f->chosen[guest]);
    return r->goal == PLANNER_MOVE && f->chosen[guest] && !(r->to && f->to[host]);
}

/* Kin on several hosts: one that moved has gone to where another is, unless that one should have moved and is stuck. */
static bool left_its_kin(const struct random_fleet *f, const struct world *w, uint32_t guest,
                         const bool *stuck)
{
    bool elsewhere = false;
    for (uint32_t k = 0; w->away[guest] && k < f->fleet.n_guests; k++) {
        if (k == guest || f->guests[k].host == f->guests[guest].host || !are_kin(f, guest, k))
            continue;
        if (w->at[k] == w->at[guest] || stuck[k])
            return false;
        elsewhere = true;
    }
    return elsewhere;
}

static const char *end_fault(const struct random_fleet *f, const struct world *w,
                             const struct planner_plan *plan)
{
    bool stuck[GUESTS] = {false};
    uint32_t there[HOSTS] = {0}, before[HOSTS] = {0};
    for (uint32_t i = 0; i < f->fleet.n_groups; i++) {
        uint32_t was[GUESTS];
        for (uint32_t k = 0; k < f->fleet.n_guests; k++)
            was[k] = f->guests[k].host;
        if (!f->groups[i].apart && hosts_of_group(f, w->at, i) > hosts_of_group(f, was, i))
            return "an affinity group is on more hosts than before";
    }
    for (uint32_t i = 0; i < plan->n_stuck; i++) {
        if (w->away[plan->stuck[i].guest])
            return "a guest that moves is said to be stuck";
        if (!plan->stuck[i].why || !plan->stuck[i].why[0])
            return "stuck without a reason";
        stuck[plan->stuck[i].guest] = true;
    }
    for (uint32_t i = 0; i < f->fleet.n_guests; i++) {
        there[w->at[i]]++;
        before[f->guests[i].host]++;
        if (must_move(f, i) && !w->away[i] && !stuck[i])
            return "a guest that must move neither moves nor is stuck";
        if (left_its_kin(f, w, i, stuck))
            return "a guest is on a host of its own, away from its affinity group";
    }
    uint32_t emptied = 0;
    for (uint32_t i = 0; i < f->fleet.n_hosts; i++)
        emptied += before[i] && !there[i];
    for (uint32_t i = 0; i < plan->n_emptied; i++)
        if (there[plan->emptied[i]])
            return "a host that is said to be emptied isn't";
    return emptied == plan->n_emptied ? NULL : "an emptied host is not told of";
}

const char *check_plan(const struct random_fleet *f, const struct planner_plan *plan)
{
    struct world w;
    uint32_t moves_of[GUESTS] = {0}, moved = 0;
    world_init(&w, f);
    for (uint32_t i = 0; i < plan->n_moves; i++) {
        const struct planner_move *m = &plan->moves[i];
        const char *fault = move_fault(f, m);
        if (fault)
            return fault;
        if (w.at[m->guest] != m->from || m->to == m->from)
            return "moves a guest from where it is not";
        if (++moves_of[m->guest] > 2)
            return "moves a guest more than twice";
        if (moves_of[m->guest] == 2 && (m->after >= i || plan->moves[m->after].guest != m->guest))
            return "does not name the move to the stopover";
        moved += moves_of[m->guest] == 1;
        w.at[m->guest] = m->to;
        w.away[m->guest] = true;
        /* Guests that move as one are looked at when the last has arrived. */
        bool last = i + 1 == plan->n_moves || plan->moves[i + 1].score != m->score ||
                    plan->moves[i + 1].to != m->to || plan->moves[i + 1].from != m->from;
        fault = last ? world_fault(&w, m->to) : NULL;
        if (fault)
            return fault;
    }
    if (f->request.max_moves && f->request.goal >= PLANNER_BALANCE && moved > f->request.max_moves)
        return "more guests moved than asked for";
    return end_fault(f, &w, plan);
}
