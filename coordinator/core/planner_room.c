/* Room for those that fit nowhere: smaller units make way to other hosts, and these, if need be, for others again. */
#include "common/base/memory.h"
#include "coordinator/core/planner_search.h"

#include <stdlib.h>

enum { DEPTH = 2, ASIDE = 3 /* units that make way at once on one host */, CHOICES = 64 };

/* What was done, to undo it when it leads nowhere. */
struct trail {
    struct {
        uint32_t unit, host;
    } steps[64];
    uint32_t n;
};

static bool put(struct state *s, struct trail *t, uint32_t unit, uint32_t host)
{
    if (t->n == sizeof(t->steps) / sizeof(t->steps[0]))
        return false;
    t->steps[t->n].unit = unit;
    t->steps[t->n++].host = s->at[unit];
    state_put(s, unit, host);
    return true;
}

static void undo(struct state *s, struct trail *t, uint32_t to)
{
    while (t->n > to) {
        t->n--;
        state_put(s, t->steps[t->n].unit, t->steps[t->n].host);
    }
}

/* May this unit be asked to make way. One that is to leave its host anyway and has not yet is no help. */
static bool may_yield(const struct search *search, uint32_t unit)
{
    const struct state *s = search->state;
    const struct unit *u = &s->planner->units[unit];
    if (u->staying != PLANNER_NONE || s->open[unit])
        return false;
    return search->wanted[unit] || !s->request->others_stay;
}

struct choice {
    double size;
    uint32_t unit;
    bool extra; /* a move that would not be made otherwise */
};

static int cheapest(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    if (x->extra != y->extra)
        return x->extra ? 1 : -1;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static uint32_t list_choices(const struct search *search, uint32_t host, uint32_t except, struct choice *ret)
{
    const struct state *s = search->state;
    uint32_t n = 0;
    for (uint32_t u = s->first[host]; u != PLANNER_NONE && n < CHOICES; u = s->next[u])
        if (u != except && may_yield(search, u))
            ret[n++] = (struct choice){s->planner->units[u].size, u,
                                       !search->wanted[u] && s->at[u] == s->planner->units[u].home};
    qsort(ret, n, sizeof(*ret), cheapest);
    return n;
}

/* Could a change elsewhere help. */
static bool may_clear(enum obstacle o)
{
    return o >= NO_CPU && o <= NOT_APART;
}

static bool find_room(struct search *search, struct trail *t, uint32_t unit, int depth);

/* Puts the unit on the host after those in aside[] have been taken out, and finds these a place. */
static bool with_aside(struct search *search, struct trail *t, uint32_t unit, uint32_t host,
                       const uint32_t *aside, uint32_t n, int depth)
{
    struct state *s = search->state;
    uint32_t start = t->n;
    bool ok = true, open = s->open[unit];
    search->effort -= n + 1;
    for (uint32_t i = 0; i < n && ok; i++)
        ok = put(s, t, aside[i], state_nowhere(s));
    ok = ok && state_obstacle(s, unit, host) == FITS && planner_fits(s->planner, unit, host) &&
         put(s, t, unit, host);
    s->open[unit] = open && !ok; /* where it is now binds its kin */
    for (uint32_t i = n; i > 0 && ok; i--) {
        search->effort -= s->planner->n_hosts;
        uint32_t other = search_best(s, aside[i - 1]);
        ok = other != PLANNER_NONE ? put(s, t, aside[i - 1], other)
                                   : depth > 1 && find_room(search, t, aside[i - 1], depth - 1);
    }
    if (!ok) {
        undo(s, t, start);
        s->open[unit] = open;
    }
    return ok;
}

static bool one_aside(struct search *search, struct trail *t, uint32_t unit, uint32_t host, int depth)
{
    struct choice choices[CHOICES];
    uint32_t n = list_choices(search, host, unit, choices);
    for (uint32_t i = 0; i < n && search->effort > 0; i++)
        if (with_aside(search, t, unit, host, &choices[i].unit, 1, depth))
            return true;
    return false;
}

/* As many of the cheapest as it takes. */
static bool several_aside(struct search *search, struct trail *t, uint32_t unit, uint32_t host, int depth)
{
    struct choice choices[CHOICES];
    uint32_t aside[ASIDE], n = list_choices(search, host, unit, choices);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < ASIDE && i + k < n && search->effort > 0; k++) {
            aside[k] = choices[i + k].unit;
            if (k && with_aside(search, t, unit, host, aside, k + 1, depth))
                return true;
        }
    }
    return false;
}

static bool find_room(struct search *search, struct trail *t, uint32_t unit, int depth)
{
    struct state *s = search->state;
    bool (*const ways[])(struct search *, struct trail *, uint32_t, uint32_t, int) = {one_aside,
                                                                                      several_aside};
    for (int level = 1; level <= depth; level++)
        for (int way = 0; way < 2; way++)
            for (uint32_t h = 0; h < s->planner->n_hosts && search->effort > 0; h++, search->effort--)
                if (s->takes[h] && may_clear(state_obstacle(s, unit, h)) &&
                    planner_fits(s->planner, unit, h) && ways[way](search, t, unit, h, level))
                    return true;
    return false;
}

void search_make_room(struct search *search)
{
    struct state *s = search->state;
    for (uint32_t i = 0; i < search->n_todo && search->effort > 0; i++) {
        uint32_t unit = search->todo[i];
        struct trail trail = {0};
        if (!s->open[unit] || !find_room(search, &trail, unit, DEPTH))
            continue;
        s->open[unit] = false;
        for (uint32_t k = 0; k < trail.n; k++) {
            uint32_t other = trail.steps[k].unit;
            if (!search->wanted[other] && s->room_for[other] == PLANNER_NONE)
                s->room_for[other] = unit;
        }
    }
}
