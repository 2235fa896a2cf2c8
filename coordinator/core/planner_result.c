#include "coordinator/core/planner_result.h"

#include "common/base/memory.h"
#include "coordinator/core/text.h"

#include <stdlib.h>
#include <string.h>

/* Stable: of equal ones, the one whose first host has the earlier name stays first. */
static void most_hosts_first(struct planner_refusal *list, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = i; k && list[k].n_hosts > list[k - 1].n_hosts; k--) {
            struct planner_refusal earlier = list[k - 1];
            list[k - 1] = list[k];
            list[k] = earlier;
        }
}

static void refuse(struct planner_stuck *stuck, char *why, uint32_t host)
{
    struct planner_refusal *r = NULL;
    for (uint32_t i = 0; i < stuck->n_refusals && !r; i++)
        if (streq(stuck->refusals[i].why, why))
            r = &stuck->refusals[i];
    if (!r) {
        stuck->refusals = xrealloc(stuck->refusals, stuck->n_refusals + 1, sizeof(*stuck->refusals));
        r = &stuck->refusals[stuck->n_refusals++];
        *r = (struct planner_refusal){.why = xstrdup(why)};
    }
    free(why);
    if (host != PLANNER_NONE) {
        r->hosts = xrealloc(r->hosts, r->n_hosts + 1, sizeof(*r->hosts));
        r->hosts[r->n_hosts++] = host;
    }
}

enum { NAMED = 3 }; /* hosts by name in one line; the others are counted */

static void write_why(const struct planner *p, struct planner_stuck *stuck)
{
    for (uint32_t i = 0; i < stuck->n_refusals; i++) {
        const struct planner_refusal *r = &stuck->refusals[i];
        char *names = NULL;
        for (uint32_t k = 0; k < r->n_hosts && (k < NAMED || r->n_hosts == NAMED + 1); k++)
            text_append(&names, ", ", "%s", p->fleet->hosts[r->hosts[k]].name);
        if (r->n_hosts > NAMED + 1)
            text_append(&names, " and ", "%u others", r->n_hosts - NAMED);
        if (names)
            text_append(&stuck->why, "; ", "%s: %s", names, r->why);
        else
            text_append(&stuck->why, "; ", "%s", r->why);
        free(names);
    }
    if (!stuck->why)
        stuck->why = xstrdup("there is no other host");
}

/* Why the unit stays: a guest of it can't move at all, or each host has its reason. */
static void explain(const struct state *end, uint32_t unit, uint32_t guest, struct planner_stuck *stuck)
{
    const struct planner *p = end->planner;
    const struct unit *u = &p->units[unit];
    stuck->guest = p->guests[guest];
    if (u->staying != PLANNER_NONE) {
        const struct planner_guest *pinned = guest_of(p, u->staying);
        bool own = guest_of(p, guest)->stays;
        refuse(stuck,
               own ? xstrdup(guest_of(p, guest)->stays)
                   : xasprintf("it is to be with %s, which stays: %s", pinned->name, pinned->stays),
               PLANNER_NONE);
    }
    for (uint32_t h = 0; u->staying == PLANNER_NONE && h < p->n_hosts; h++) {
        enum obstacle why = state_obstacle(end, unit, h);
        const char *none = host_of(p, h)->why_takes_not;
        if (h != u->home && why != FITS && !(none && !none[0]))
            refuse(stuck, state_obstacle_text(end, unit, h, why), p->hosts[h]);
    }
    most_hosts_first(stuck->refusals, stuck->n_refusals);
    write_why(p, stuck);
}

static void list_emptied(const struct state *now, struct planner_plan *plan)
{
    const struct planner *p = now->planner;
    uint32_t *before = xcalloc(p->n_hosts ? p->n_hosts : 1, sizeof(*before));
    for (uint32_t u = 0; u < p->n_units; u++)
        before[p->units[u].home]++;
    for (uint32_t h = 0; h < p->n_hosts; h++) {
        if (!before[h] || now->hosts[h].guests)
            continue;
        plan->emptied = xrealloc(plan->emptied, plan->n_emptied + 1, sizeof(*plan->emptied));
        plan->emptied[plan->n_emptied++] = p->hosts[h];
    }
    free(before);
}

static bool is_stuck(const struct state *now, const bool *wanted, uint32_t unit)
{
    return wanted[unit] && now->at[unit] == now->planner->units[unit].home;
}

void result_score(const struct state *now, const bool *wanted, struct planner_plan *plan)
{
    plan->n_stuck = 0;
    for (uint32_t u = 0; u < now->planner->n_units; u++)
        plan->n_stuck += is_stuck(now, wanted, u) ? now->planner->units[u].n_guests : 0;
    plan->score_after = state_score(now);
}

void result_explain(const struct state *now, const bool *wanted, struct planner_plan *plan)
{
    const struct planner *p = now->planner;
    uint32_t n = 0;
    plan->stuck = xcalloc(plan->n_stuck ? plan->n_stuck : 1, sizeof(*plan->stuck));
    for (uint32_t u = 0; u < p->n_units; u++)
        for (uint32_t i = 0; is_stuck(now, wanted, u) && i < p->units[u].n_guests; i++)
            explain(now, u, p->units[u].guests[i], &plan->stuck[n++]);
    list_emptied(now, plan);
}

void planner_plan_deinit(struct planner_plan *plan)
{
    for (uint32_t i = 0; plan->stuck && i < plan->n_stuck; i++) {
        for (uint32_t k = 0; k < plan->stuck[i].n_refusals; k++) {
            free(plan->stuck[i].refusals[k].why);
            free(plan->stuck[i].refusals[k].hosts);
        }
        free(plan->stuck[i].refusals);
        free(plan->stuck[i].why);
    }
    free(plan->stuck);
    free(plan->moves);
    free(plan->emptied);
    *plan = (struct planner_plan){0};
}

char *planner_move_why(const struct planner_fleet *fleet, const struct planner_move *move)
{
    const char *from = fleet->hosts[move->from].name;
    switch (move->reason) {
    case PLANNER_EMPTIES: return xasprintf("%s is to be emptied", from);
    case PLANNER_ASKED: return xstrdup("it was asked to move");
    case PLANNER_MAKES_ROOM:
        return move->for_guest == PLANNER_NONE
                   ? xstrdup("makes room")
                   : xasprintf("makes room for %s", fleet->guests[move->for_guest].name);
    case PLANNER_STOPOVER: return xstrdup("a stopover: its place is not free yet");
    case PLANNER_SPREADS: return xstrdup("a better balance");
    case PLANNER_JOINS: return xstrdup("fewer hosts");
    }
    return xstrdup("");
}
