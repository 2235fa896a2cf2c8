#include "coordinator/core/schedule_view.h"

#include "common/base/memory.h"

#include <stdlib.h>

struct flowing {
    uint64_t left;
    uint32_t move;
    bool starting, paused;
};

/* A guest that stands still goes first; then what is nearest to its end, so that the link soon has one less on it. */
static int by_left(const void *a, const void *b)
{
    const struct flowing *x = a, *y = b;
    if (x->starting != y->starting)
        return x->starting ? 1 : -1;
    if (x->paused != y->paused)
        return x->paused ? -1 : 1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return x->move < y->move ? -1 : x->move > y->move;
}

static void share_out(const struct schedule *s, const struct flowing *list, uint32_t n, uint64_t *free_of,
                      const uint32_t *users, bool only_floor, uint64_t *ret)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct schedule_move *m = &s->moves[list[i].move];
        uint64_t *share = &ret[list[i].move], most = SCHEDULE_UNLIMITED, floor = SCHEDULE_FLOOR;
        if (m->rate_max)
            most = m->rate_max - *share;
        for (uint32_t k = 0; k < m->n_links; k++) {
            const struct schedule_link *link = &s->links[m->links[k]];
            uint64_t even = link->capacity / users[m->links[k]];
            if (!link->capacity)
                continue;
            most = free_of[m->links[k]] < most ? free_of[m->links[k]] : most;
            floor = even < floor ? even : floor;
        }
        if (only_floor)
            most = most < floor ? most : floor;
        if (most == SCHEDULE_UNLIMITED) {
            *share = most;
            continue;
        }
        *share += most;
        for (uint32_t k = 0; k < m->n_links; k++)
            if (s->links[m->links[k]].capacity)
                free_of[m->links[k]] -= most;
    }
}

/* Every transfer has a little, or QEMU would stand still; then the first has all it can use, and so on. */
void schedule_shares_of(const struct schedule *s, const uint32_t *moves, uint32_t n, uint64_t *ret)
{
    struct flowing *list = xcalloc(n ? n : 1, sizeof(*list));
    uint64_t *free_of = xcalloc(s->n_links ? s->n_links : 1, sizeof(*free_of));
    uint32_t *users = xcalloc(s->n_links ? s->n_links : 1, sizeof(*users));
    for (uint32_t i = 0; i < s->n_links; i++)
        free_of[i] = s->links[i].capacity;
    for (uint32_t i = 0; i < n; i++) {
        const struct schedule_move *m = &s->moves[moves[i]];
        bool starting = m->state == SCHEDULE_STARTING;
        ret[moves[i]] = 0;
        list[i] = (struct flowing){.left = starting ? m->bytes : m->bytes_left,
                                   .move = moves[i],
                                   .starting = starting,
                                   .paused = m->paused};
        for (uint32_t k = 0; k < m->n_links; k++)
            users[m->links[k]]++;
    }
    qsort(list, n, sizeof(*list), by_left);
    share_out(s, list, n, free_of, users, true, ret);
    share_out(s, list, n, free_of, users, false, ret);
    free(list);
    free(free_of);
    free(users);
}

void schedule_shares(const struct schedule *s, uint64_t *ret)
{
    uint32_t n = 0, *moves = xcalloc(s->n_moves ? s->n_moves : 1, sizeof(*moves));
    for (uint32_t i = 0; i < s->n_moves; i++) {
        ret[i] = 0;
        if (s->moves[i].state == SCHEDULE_STARTING || s->moves[i].state == SCHEDULE_TRANSFER)
            moves[n++] = i;
    }
    schedule_shares_of(s, moves, n, ret);
    free(moves);
}
