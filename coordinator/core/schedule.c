#include "coordinator/core/schedule.h"

#include "common/base/memory.h"
#include "coordinator/core/schedule_view.h"

#include <stdlib.h>
#include <string.h>

enum { NEAR_MS = 4000 }; /* until the data of the next one flows: 1 to 3 s, with the checks before it */

/* 0: no limit. */
uint64_t schedule_rate(const struct schedule *s, const struct schedule_move *m)
{
    uint64_t rate = m->rate_max;
    for (uint32_t i = 0; i < m->n_links; i++) {
        uint64_t capacity = s->links[m->links[i]].capacity;
        if (capacity && (!rate || capacity < rate))
            rate = capacity;
    }
    return rate;
}

/* A guest that changes a quarter of what its links carry has them to itself: there, a tenth less bandwidth is a seventh more time. */
static bool is_dirty(const struct schedule *s, const struct schedule_move *m)
{
    uint64_t rate = schedule_rate(s, m);
    return rate && m->dirty_rate > rate / 4;
}

uint64_t schedule_near(const struct schedule *s, const struct schedule_move *m)
{
    uint64_t rate = schedule_rate(s, m);
    return rate ? (uint64_t)((double)rate * (double)(s->near_ms ? s->near_ms : NEAR_MS) / 1000) : UINT64_MAX;
}

int64_t schedule_ms(uint64_t bytes, uint64_t rate)
{
    return rate ? (int64_t)((double)bytes * 1000 / (double)rate + 0.999) : 0;
}

static bool is_sent(const struct schedule_move *m)
{
    return m->state == SCHEDULE_ENDING || m->state == SCHEDULE_DONE || m->state == SCHEDULE_DROPPED;
}

static bool flows(const struct schedule_move *m)
{
    return m->state == SCHEDULE_STARTING || m->state == SCHEDULE_TRANSFER;
}

static bool runs(const struct schedule_move *m)
{
    return flows(m) || m->state == SCHEDULE_ENDING;
}

static void take(struct schedule_view *v, uint32_t move, uint32_t link, bool more)
{
    uint64_t rate = schedule_rate(v->schedule, &v->schedule->moves[move]);
    v->links[link].taken += more ? rate : -rate;
}

static void count(struct schedule_view *v, uint32_t move, int by)
{
    const struct schedule_move *m = &v->schedule->moves[move];
    for (uint32_t i = 0; i < m->n_links; i++) {
        v->links[m->links[i]].active += (uint32_t)by;
        v->links[m->links[i]].dirty += v->dirty[move] ? (uint32_t)by : 0;
        if (v->far[move])
            take(v, move, m->links[i], by > 0);
    }
}

static void occupy(struct schedule_view *v, uint32_t move)
{
    const struct schedule *s = v->schedule;
    const struct schedule_move *m = &s->moves[move];
    if (v->room)
        v->room[m->to] -= (int64_t)m->memory;
    v->hosts[m->from]++;
    v->hosts[m->to]++;
    v->pairs[m->pair].running++;
    for (uint32_t i = 0; i < m->n_apart; i++)
        v->apart[m->apart[i]]++;
}

static void next_turn(struct schedule_view *v)
{
    while (v->turn < v->n_turns && !v->open[v->turn])
        v->turn++;
}

void schedule_view_init(struct schedule_view *v, const struct schedule *s)
{
    uint32_t n_apart = 0, n_hosts = s->n_room, n_pairs = 1, n_turns = 1;
    for (uint32_t i = 0; i < s->n_moves; i++) {
        const struct schedule_move *m = &s->moves[i];
        for (uint32_t k = 0; k < m->n_apart; k++)
            n_apart = m->apart[k] >= n_apart ? m->apart[k] + 1 : n_apart;
        n_hosts = m->from >= n_hosts ? m->from + 1 : n_hosts;
        n_hosts = m->to >= n_hosts ? m->to + 1 : n_hosts;
        n_pairs = m->pair >= n_pairs ? m->pair + 1 : n_pairs;
        n_turns = m->turn >= n_turns ? m->turn + 1 : n_turns;
        for (uint32_t k = 0; k < m->n_links; k++)
            if (m->n_links > SCHEDULE_LINKS || m->links[k] >= s->n_links)
                abort();
    }
    if (s->room && n_hosts > s->n_room)
        abort();
    *v = (struct schedule_view){
        .schedule = s,
        .links = xcalloc(s->n_links ? s->n_links : 1, sizeof(*v->links)),
        .hosts = xcalloc(n_hosts ? n_hosts : 1, sizeof(*v->hosts)),
        .leaving = xcalloc(n_hosts ? n_hosts : 1, sizeof(*v->leaving)),
        .apart = xcalloc(n_apart ? n_apart : 1, sizeof(*v->apart)),
        .pairs = xcalloc(n_pairs, sizeof(*v->pairs)),
        .open = xcalloc(n_turns, sizeof(*v->open)),
        .n_turns = n_turns,
        .dirty = xcalloc(s->n_moves ? s->n_moves : 1, sizeof(*v->dirty)),
        .far = xcalloc(s->n_moves ? s->n_moves : 1, sizeof(*v->far)),
        .room = s->room ? xcalloc(n_hosts ? n_hosts : 1, sizeof(*v->room)) : NULL,
    };
    memset(v->leaving, 0xff, n_hosts * sizeof(*v->leaving));
    for (uint32_t i = 0; i < n_hosts && v->room; i++)
        v->room[i] = s->room[i];
    for (uint32_t i = 0; i < s->n_moves; i++) {
        const struct schedule_move *m = &s->moves[i];
        v->dirty[i] = is_dirty(s, m);
        v->far[i] = (m->state == SCHEDULE_TRANSFER ? m->bytes_left : m->bytes) > schedule_near(s, m);
        for (uint32_t k = 0; k < m->n_links; k++)
            v->links[m->links[k]].bytes += is_sent(m) ? 0 : m->bytes;
        if (m->state != SCHEDULE_DONE && v->leaving[m->from] == SCHEDULE_NONE)
            v->leaving[m->from] = i;
        if (flows(m))
            count(v, i, 1);
        if (runs(m))
            occupy(v, i);
        v->open[m->turn] += m->state != SCHEDULE_DONE && m->state != SCHEDULE_DROPPED;
        v->pairs[m->pair].proven |= m->state == SCHEDULE_DONE;
        if (v->room && m->state == SCHEDULE_DONE) {
            v->room[m->to] -= (int64_t)m->memory;
            v->room[m->from] += (int64_t)m->frees;
        }
    }
    next_turn(v);
}

void schedule_view_deinit(struct schedule_view *v)
{
    free(v->links);
    free(v->hosts);
    free(v->leaving);
    free(v->apart);
    free(v->pairs);
    free(v->open);
    free(v->dirty);
    free(v->far);
    free(v->room);
}

void schedule_view_near(struct schedule_view *v, uint32_t move)
{
    const struct schedule_move *m = &v->schedule->moves[move];
    for (uint32_t i = 0; i < m->n_links && v->far[move]; i++)
        take(v, move, m->links[i], false);
    v->far[move] = false;
}

void schedule_view_sent(struct schedule_view *v, uint32_t move)
{
    const struct schedule_move *m = &v->schedule->moves[move];
    count(v, move, -1);
    for (uint32_t k = 0; k < m->n_links; k++)
        v->links[m->links[k]].bytes -= m->bytes;
}

void schedule_view_done(struct schedule_view *v, uint32_t move)
{
    const struct schedule *s = v->schedule;
    const struct schedule_move *m = &s->moves[move];
    uint32_t next = v->leaving[m->from];
    v->hosts[m->from]--;
    v->hosts[m->to]--;
    v->pairs[m->pair].running--;
    v->pairs[m->pair].proven = true;
    v->open[m->turn]--;
    next_turn(v);
    for (uint32_t i = 0; i < m->n_apart; i++)
        v->apart[m->apart[i]]--;
    if (v->room)
        v->room[m->from] += (int64_t)m->frees;
    while (next < s->n_moves && (s->moves[next].from != m->from || s->moves[next].state == SCHEDULE_DONE))
        next++;
    v->leaving[m->from] = next < s->n_moves ? next : SCHEDULE_NONE;
}

/* Where a transfer can't use all of a link, as one that goes on over a slower one, the rest is another's. */
static bool is_taken(const struct link_view *link, uint64_t capacity)
{
    return capacity && link->taken >= capacity - capacity / 8;
}

enum schedule_why schedule_view_why(const struct schedule_view *v, uint32_t move, uint32_t *ret_about)
{
    const struct schedule *s = v->schedule;
    const struct schedule_move *m = &s->moves[move];
    uint32_t per_link = s->per_link ? s->per_link : 2, per_host = s->per_host ? s->per_host : 4;
    if (m->state == SCHEDULE_HELD)
        return WAITS_HELD;
    *ret_about = v->turn;
    if (v->turn < m->turn)
        return WAITS_TURN;
    *ret_about = m->after;
    if (m->after != SCHEDULE_NONE && s->moves[m->after].state != SCHEDULE_DONE)
        return WAITS_AFTER;
    *ret_about = v->leaving[m->to];
    if (m->waits && v->leaving[m->to] < move)
        return WAITS_LEAVING;
    *ret_about = m->to;
    if (v->room && m->memory && v->room[m->to] < (int64_t)m->memory)
        return WAITS_ROOM;
    for (uint32_t i = 0; i < m->n_apart; i++) {
        *ret_about = m->apart[i];
        if (v->apart[m->apart[i]])
            return WAITS_APART;
    }
    *ret_about = m->pair;
    if (m->pair && v->pairs[m->pair].running && !v->pairs[m->pair].proven)
        return WAITS_PAIR;
    for (uint32_t i = 0; i < 2; i++) {
        *ret_about = i ? m->to : m->from;
        if (v->hosts[*ret_about] >= per_host)
            return WAITS_HOST;
    }
    for (uint32_t i = 0; i < m->n_links; i++) {
        const struct link_view *l = &v->links[m->links[i]];
        *ret_about = m->links[i];
        if (l->reserved || l->dirty || (v->dirty[move] && l->active))
            return WAITS_ALONE;
        if (l->active >= per_link || is_taken(l, s->links[m->links[i]].capacity))
            return WAITS_LINK;
    }
    return WAITS_NOT;
}

struct ranked {
    double urgent, alone; /* ms: of the busiest of its links; of its own */
    uint32_t move;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->urgent != y->urgent)
        return x->urgent > y->urgent ? -1 : 1;
    if (x->alone != y->alone)
        return x->alone > y->alone ? -1 : 1;
    return x->move < y->move ? -1 : x->move > y->move;
}

static struct ranked rank_of(const struct schedule_view *v, uint32_t move)
{
    const struct schedule *s = v->schedule;
    const struct schedule_move *m = &s->moves[move];
    uint64_t rate = schedule_rate(s, m);
    struct ranked r = {.move = move, .alone = rate ? (double)m->bytes / (double)rate : (double)m->bytes};
    for (uint32_t i = 0; i < m->n_links; i++) {
        const struct schedule_link *link = &s->links[m->links[i]];
        double urgent = link->capacity ? (double)v->links[m->links[i]].bytes / (double)link->capacity : 0;
        r.urgent = urgent > r.urgent ? urgent : r.urgent;
    }
    return r;
}

static void start(struct schedule_view *v, uint32_t move)
{
    count(v, move, 1);
    occupy(v, move);
}

uint32_t schedule_view_next(struct schedule_view *v, const uint32_t *waiting, uint32_t n_waiting,
                            uint32_t *ret)
{
    const struct schedule *s = v->schedule;
    struct ranked *list = xcalloc(n_waiting ? n_waiting : 1, sizeof(*list));
    uint32_t n = 0, started = 0, about;
    /* Most can't start whatever their rank. */
    for (uint32_t i = 0; i < n_waiting; i++) {
        enum schedule_why why = schedule_view_why(v, waiting[i], &about);
        if (why == WAITS_NOT || (why == WAITS_ALONE && v->dirty[waiting[i]]))
            list[n++] = rank_of(v, waiting[i]);
    }
    qsort(list, n, sizeof(*list), by_rank);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t move = list[i].move;
        const struct schedule_move *m = &s->moves[move];
        enum schedule_why why = schedule_view_why(v, move, &about);
        if (why == WAITS_NOT) {
            start(v, move);
            ret[started++] = move;
        }
        /* It would never have its links to itself if others went on starting there. */
        for (uint32_t k = 0; why == WAITS_ALONE && v->dirty[move] && k < m->n_links; k++)
            v->links[m->links[k]].reserved = true;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < s->moves[list[i].move].n_links; k++)
            v->links[s->moves[list[i].move].links[k]].reserved = false;
    free(list);
    return started;
}

uint32_t schedule_next(const struct schedule *s, uint32_t *ret)
{
    struct schedule_view v;
    uint32_t n = 0, *waiting = xcalloc(s->n_moves ? s->n_moves : 1, sizeof(*waiting));
    for (uint32_t i = 0; i < s->n_moves; i++)
        if (s->moves[i].state == SCHEDULE_WAITING)
            waiting[n++] = i;
    schedule_view_init(&v, s);
    n = schedule_view_next(&v, waiting, n, ret);
    schedule_view_deinit(&v);
    free(waiting);
    return n;
}

char *schedule_blocked(const struct schedule *s, uint32_t move)
{
    static const char *const why[] = {
        [WAITS_HELD] = "it is held back",
        [WAITS_TURN] = "the guests of an earlier group move first",
        [WAITS_AFTER] = "another move must be done first",
        [WAITS_LEAVING] = "guests must have left its destination first",
        [WAITS_ROOM] = "its destination has no room for it yet",
        [WAITS_APART] = "another guest of its anti-affinity group moves",
        [WAITS_PAIR] = "the first guest between its two hosts must be seen well first",
        [WAITS_HOST] = "as many moves as may run on one of its hosts do",
        [WAITS_ALONE] = "a guest that changes its memory fast has the link to itself",
        [WAITS_LINK] = "other moves use the link",
    };
    struct schedule_view v;
    uint32_t about = 0;
    if (s->moves[move].state != SCHEDULE_WAITING && s->moves[move].state != SCHEDULE_HELD)
        return NULL;
    schedule_view_init(&v, s);
    enum schedule_why what = schedule_view_why(&v, move, &about);
    schedule_view_deinit(&v);
    if (what == WAITS_NOT)
        return NULL;
    if (what == WAITS_ALONE || what == WAITS_LINK)
        return xasprintf("%s (%s)", why[what], s->links[about].name);
    return xstrdup(why[what]);
}
