#include "coordinator/core/broker.h"

#include "common/base/memory.h"

#include <stdlib.h>

enum {
    WAITS_BELOW = 2,  /* half of what it could have */
    WORTH_PERCENT = 5 /* a smaller rise is not told */
};

/* A link as it is, whatever of it is set aside. */
struct whole {
    uint64_t capacity; /* 0: not known */
    uint64_t users;    /* moves that go over it */
};

static struct whole *whole_links(const struct link_table *t, const struct schedule_move *list, size_t n)
{
    struct whole *whole = xcalloc(t->n + 1, sizeof(*whole));
    for (uint32_t i = 0; i < t->n; i++)
        whole[i].capacity = t->list[i].capacity;
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < list[i].n_links; k++)
            whole[list[i].links[k]].users++;
    return whole;
}

/* As schedule.h has it: no transfer gets less, if its links hold that much for each. Never 0, which is no limit. */
static uint64_t least(const struct whole *link)
{
    uint64_t even = link->capacity / link->users;
    return even > SCHEDULE_FLOOR ? SCHEDULE_FLOOR : even ? even : 1;
}

static bool waits(const struct whole *whole, const struct schedule_move *m, uint64_t rate)
{
    uint64_t alone = m->rate_max ? m->rate_max : SCHEDULE_UNLIMITED;
    for (uint32_t i = 0; i < m->n_links; i++) {
        uint64_t capacity = whole[m->links[i]].capacity;
        alone = capacity && capacity < alone ? capacity : alone;
    }
    return rate < alone / WAITS_BELOW;
}

bool broker_keeps(const Drover__V1__Job *job, bool copies)
{
    bool memory_flows = job->progress && job->progress->bytes_total;
    return copies && (job->mode == DROVER__V1__MODE__MODE_DEFINITION || !memory_flows);
}

static bool is_set(const struct broker_move *m)
{
    return m->once && m->transfers;
}

/* Of `once` that begins now: as much as each other that has not begun with its own for good. One that begins alone leaves half, for
 * who comes later. */
static uint64_t even_part(const struct link_table *t, const struct whole *whole,
                          const struct schedule_move *list, const struct broker_move *moves, size_t n,
                          size_t i)
{
    uint64_t part = list[i].rate_max ? list[i].rate_max : SCHEDULE_UNLIMITED;
    for (uint32_t k = 0; k < list[i].n_links; k++) {
        uint64_t capacity = t->list[list[i].links[k]].capacity, users = 0;
        for (size_t j = 0; j < n; j++)
            for (uint32_t l = 0; l < list[j].n_links && !moves[j].keeps; l++)
                users += list[j].links[l] == list[i].links[k];
        if (!capacity)
            continue;
        uint64_t even = capacity / (users < 2 ? 2 : users), floor = least(&whole[list[i].links[k]]);
        even = even < floor ? floor : even;
        part = even < part ? even : part;
    }
    return part;
}

/* A link that is taken up is not one without a limit. */
static void take_off(const struct link_table *t, const struct schedule_move *m, uint64_t rate)
{
    for (uint32_t k = 0; k < m->n_links; k++) {
        uint64_t *capacity = &t->list[m->links[k]].capacity;
        if (*capacity)
            *capacity = *capacity > rate ? *capacity - rate : 1;
    }
}

/* Those that are told their part have the least of it, whatever is set aside. */
static void leave_some(const struct link_table *t, const struct whole *whole,
                       const struct schedule_move *list, const struct broker_move *moves, size_t n)
{
    uint64_t *rest = xcalloc(t->n + 1, sizeof(*rest));
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < list[i].n_links && !is_set(&moves[i]); k++)
            rest[list[i].links[k]] += least(&whole[list[i].links[k]]);
    for (uint32_t k = 0; k < t->n; k++)
        if (t->list[k].capacity && t->list[k].capacity < rest[k])
            t->list[k].capacity = rest[k];
    free(rest);
}

/* A computed 0 would be no limit. */
static uint64_t told_rate(uint64_t rate)
{
    return rate == SCHEDULE_UNLIMITED ? 0 : rate ? rate : 1;
}

static void set_aside(const struct link_table *t, const struct whole *whole, const struct schedule_move *list,
                      const struct broker_move *moves, size_t n, struct broker_part *ret)
{
    for (size_t i = 0; i < n; i++)
        if (is_set(&moves[i]) && moves[i].keeps) {
            ret[i].rate = moves[i].keeps;
            take_off(t, &list[i], ret[i].rate);
        }
    for (size_t i = 0; i < n; i++)
        if (is_set(&moves[i]) && !moves[i].keeps)
            ret[i].rate = told_rate(even_part(t, whole, list, moves, n, i));
    for (size_t i = 0; i < n; i++)
        if (is_set(&moves[i]) && !moves[i].keeps)
            take_off(t, &list[i], ret[i].rate);
    leave_some(t, whole, list, moves, n);
}

void broker_share(const struct fleet *fleet, const struct broker_move *moves, size_t n,
                  struct broker_part *ret)
{
    struct link_table links = {0};
    struct schedule_move *list = xcalloc(n + 1, sizeof(*list));
    uint64_t *rates = xcalloc(n + 1, sizeof(*rates));
    for (size_t i = 0; i < n; i++) {
        ret[i] = (struct broker_part){0};
        list[i] = (struct schedule_move){.state = is_set(&moves[i])    ? SCHEDULE_ENDING
                                                  : moves[i].transfers ? SCHEDULE_TRANSFER
                                                                       : SCHEDULE_STARTING,
                                         .bytes = moves[i].bytes_left,
                                         .bytes_left = moves[i].bytes_left,
                                         .rate_max = moves[i].rate_max,
                                         .paused = moves[i].paused,
                                         .after = SCHEDULE_NONE};
        link_table_take(&links, fleet, moves[i].from, moves[i].to, &list[i]);
    }
    struct whole *whole = whole_links(&links, list, n);
    set_aside(&links, whole, list, moves, n, ret);
    const struct schedule schedule = {
        .links = links.list, .n_links = links.n, .moves = list, .n_moves = (uint32_t)n};
    schedule_shares(&schedule, rates);
    for (size_t i = 0; i < n; i++)
        if (!is_set(&moves[i]))
            ret[i] =
                (struct broker_part){.rate = told_rate(rates[i]), .waits = waits(whole, &list[i], rates[i])};
    free(whole);
    free(rates);
    free(list);
    link_table_deinit(&links);
}

/* A rate of 0 is no limit. */
static bool exceeds(uint64_t rate, uint64_t limit)
{
    return limit && (!rate || rate > limit);
}

static bool may_use_more(const struct broker_told *t, const struct broker_part *part)
{
    return (t->unsure && part->rate) || exceeds(t->part.rate, part->rate) ||
           (t->is_asked && exceeds(t->asked.rate, part->rate));
}

static bool grows(const struct broker_told *t, const struct broker_part *part)
{
    return !t->unsure && exceeds(part->rate, t->part.rate);
}

/* What is to be less is worth telling, however little it is: else the sum would be more than the link has. */
static bool worth(uint64_t before, uint64_t now)
{
    if (before == 0 || now == 0)
        return before != now;
    return now < before || (now - before) * 100 > now * WORTH_PERCENT;
}

static bool share_a_link(const struct link_table *links, const struct schedule_move *a,
                         const struct schedule_move *b)
{
    for (uint32_t i = 0; i < a->n_links; i++)
        for (uint32_t k = 0; k < b->n_links; k++)
            if (a->links[i] == b->links[k] && links->list[a->links[i]].capacity)
                return true;
    return false;
}

void broker_news(const struct fleet *fleet, const struct broker_move *moves, const struct broker_part *parts,
                 const struct broker_told *told, size_t n, bool *ret)
{
    struct link_table links = {0};
    struct schedule_move *list = xcalloc(n + 1, sizeof(*list));
    for (size_t i = 0; i < n; i++)
        link_table_take(&links, fleet, moves[i].from, moves[i].to, &list[i]);
    for (size_t i = 0; i < n; i++) {
        const struct broker_told *t = &told[i];
        bool limited = parts[i].rate || t->part.rate || t->asked.rate;
        bool news =
            (t->unsure && limited) || worth(t->part.rate, parts[i].rate) || t->part.waits != parts[i].waits;
        ret[i] = moves[i].transfers && !moves[i].once && !t->is_asked && news;
        for (size_t k = 0; k < n && ret[i] && grows(t, &parts[i]); k++)
            if (k != i && moves[k].transfers && !moves[k].once && may_use_more(&told[k], &parts[k]))
                ret[i] = !share_a_link(&links, &list[i], &list[k]);
    }
    free(list);
    link_table_deinit(&links);
}
