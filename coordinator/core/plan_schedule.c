#include "coordinator/core/plan_schedule.h"

#include "common/base/memory.h"
#include "coordinator/core/broker.h"
#include "coordinator/core/guest_rules.h"

#include <stdlib.h>

enum {
    START_MS = 700, /* checks, prepare, QEMU at the destination: measured 0.5 to 1.2 s */
    END_MS = 400,   /* switch-over, settle, release */
};

typedef Drover__V1__PlanStep Step;

struct pair {
    const char *from, *to;
};

struct building {
    struct plan_schedule *out;
    const struct fleet *fleet;
    const Drover__V1__Job *const *open;
    size_t n_open;
    struct pair *pairs;
    uint32_t n_pairs;
    bool *touched; /* by host: the plan's steps come from or go there */
    size_t last;   /* index of the host that was asked for last: a plan's steps name few */
};

bool plan_step_known(const Step *s)
{
    return s->forecast && s->forecast->way[0] && s->forecast->bandwidth;
}

/* A host that is not configured has a place of its own. */
static uint32_t host_index(struct building *b, const char *name)
{
    if (b->last < b->fleet->n_hosts && streq(b->fleet->hosts[b->last].name, name))
        return (uint32_t)b->last;
    const struct fleet_host *h = fleet_host(b->fleet, name);
    b->last = h ? (size_t)(h - b->fleet->hosts) : b->fleet->n_hosts;
    return (uint32_t)b->last;
}

static bool is_apart(const struct guest_group *group, const char *guest)
{
    return group->apart && names_match(&group->guests, guest);
}

static void take_groups(const struct fleet *fleet, const char *guest, struct schedule_move *m)
{
    const struct guest_rules *rules = fleet->rules;
    uint32_t n = 0, *list = NULL;
    for (size_t i = 0; rules && i < rules->n_groups; i++)
        if (is_apart(&rules->groups[i], guest)) {
            list = xrealloc(list, n + 1, sizeof(*list));
            list[n++] = (uint32_t)i;
        }
    m->apart = list;
    m->n_apart = n;
}

static uint32_t pair_of(struct building *b, const Step *s)
{
    for (uint32_t i = 0; i < b->n_pairs; i++)
        if (streq(b->pairs[i].from, s->from) && streq(b->pairs[i].to, s->to))
            return i + 1;
    b->pairs = xrealloc(b->pairs, b->n_pairs + 1, sizeof(*b->pairs));
    b->pairs[b->n_pairs] = (struct pair){s->from, s->to};
    return ++b->n_pairs;
}

/* ---- where a move is --------------------------------------------------------------------------------------------- */

/* 0: not known. */
static uint64_t left_of(const Drover__V1__Job *job)
{
    const Drover__V1__Progress *p = job->progress;
    if (p && job->mode == DROVER__V1__MODE__MODE_DEFINITION && p->disk_total > p->disk_done)
        return p->disk_total - p->disk_done;
    return p ? p->bytes_left : 0;
}

static void take_phase(const Drover__V1__Job *job, struct schedule_move *m)
{
    m->state = SCHEDULE_ENDING;
    if (streq(job->phase, "preparing"))
        m->state = SCHEDULE_STARTING;
    if (streq(job->phase, "transfer"))
        m->state = SCHEDULE_TRANSFER;
    uint64_t left = left_of(job);
    m->bytes_left = left ? left : m->bytes;
}

static void take_running(const struct building *b, const Step *s, struct schedule_move *m)
{
    m->state = s->job ? SCHEDULE_ENDING : SCHEDULE_STARTING;
    if (s->care == DROVER__V1__STEP_CARE__CARE_LOOKING)
        return;
    for (size_t i = 0; s->job && i < b->n_open; i++)
        if (b->open[i]->id == s->job)
            take_phase(b->open[i], m);
}

static void take_state(struct building *b, const Step *s, struct schedule_move *m)
{
    const struct fleet_host *from = m->from < b->fleet->n_hosts ? &b->fleet->hosts[m->from] : NULL;
    m->pair = s->active && s->to[0] ? pair_of(b, s) : 0;
    switch (s->state) {
    case DROVER__V1__STEP_STATE__STEP_WAITING:
        m->state = s->to[0] && !s->not_before && from && from->up && from->synced &&
                           !plan_may_come_back(b->fleet, s->to)
                       ? SCHEDULE_WAITING
                       : SCHEDULE_HELD;
        break;
    case DROVER__V1__STEP_STATE__STEP_RUNNING: take_running(b, s, m); break;
    default: /* one that failed leaves nothing that others could wait for */
        m->state = SCHEDULE_DONE;
        m->pair = s->care == DROVER__V1__STEP_CARE__CARE_WELL ? m->pair : 0;
    }
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

static void take_links(struct building *b, const char *from, const char *to, bool flows,
                       struct schedule_move *m)
{
    m->from = host_index(b, from);
    m->to = host_index(b, to);
    if (flows)
        link_table_take(&b->out->links, b->fleet, from, to, m);
}

/* Of its disks, what its forecast does not count: that was asked for before the check, or there is none. */
static uint64_t disks_besides(uint64_t bytes, const Drover__V1__Forecast *forecast)
{
    uint64_t counted = forecast ? forecast->disk_bytes : 0;
    return bytes > counted ? bytes - counted : 0;
}

/* A copy of disks begins with half of its links at most, and keeps that (core/broker.h). */
static uint64_t most_of_copy(const struct building *b, const char *from, const char *to)
{
    return link_between(b->fleet, from, to) / 2;
}

/* Of two limits, 0 being none. */
static uint64_t lower(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

static struct schedule_move of_step(struct building *b, const Drover__V1__Job *job, const Step *s)
{
    bool known = plan_step_known(s);
    struct schedule_move m = {
        .start_ms = s->active ? START_MS : START_MS / 2,
        .end_ms = END_MS,
        .after = s->after && s->after <= job->n_steps ? s->after - 1 : SCHEDULE_NONE,
        .waits = s->waits,
        .turn = s->group,
    };
    take_links(b, s->from, s->to, (s->active || s->disk_bytes) && s->to[0], &m);
    m.bytes = disks_besides(s->disk_bytes, known && s->active ? s->forecast : NULL);
    if (s->active) {
        m.bytes += known ? s->forecast->bytes : s->memory;
        m.rate_max = known ? s->forecast->bandwidth : 0;
        m.dirty_rate = known ? s->forecast->dirtied : 0;
        take_groups(b->fleet, s->guest, &m);
    }
    if (s->disk_bytes)
        m.rate_max = lower(m.rate_max, most_of_copy(b, s->from, s->to));
    take_state(b, s, &m);
    b->touched[m.from] = b->touched[m.to] = true;
    return m;
}

static bool between_sites(const struct building *b, const struct schedule_move *m)
{
    return m->from < b->fleet->n_hosts && m->to < b->fleet->n_hosts &&
           !streq(b->fleet->hosts[m->from].site, b->fleet->hosts[m->to].site);
}

/* Only those that share something with the plan. */
static void take_other(struct building *b, const Drover__V1__Job *job)
{
    struct plan_schedule *out = b->out;
    struct schedule_move m = {.after = SCHEDULE_NONE, .end_ms = END_MS, .start_ms = START_MS};
    bool live = job->mode != DROVER__V1__MODE__MODE_DEFINITION;
    m.rate_max =
        broker_keeps(job, !live || job->disk_bytes) ? most_of_copy(b, job->source, job->destination) : 0;
    m.bytes = disks_besides(job->disk_bytes, job->forecast) + (job->forecast ? job->forecast->bytes : 0);
    m.dirty_rate = job->forecast ? job->forecast->dirtied : 0;
    take_links(b, job->source, job->destination, false, &m);
    take_groups(b->fleet, job->guest, &m);
    if (!b->touched[m.from] && !b->touched[m.to] && !m.n_apart && !between_sites(b, &m))
        return;
    take_links(b, job->source, job->destination, live || job->disk_bytes, &m);
    take_phase(job, &m);
    out->moves = xrealloc(out->moves, out->n + 1, sizeof(*out->moves));
    out->moves[out->n++] = m;
}

/* Of a link whose capacity nobody configured, the best that was measured over it. */
static void take_measured(struct plan_schedule *s, const Drover__V1__Job *job)
{
    uint64_t *measured = xcalloc(s->links.n + 1, sizeof(*measured));
    for (size_t i = 0; i < job->n_steps; i++) {
        const struct schedule_move *m = &s->moves[i];
        const Step *step = job->steps[i];
        bool is_of_link =
            step->active && plan_step_known(step) && !streq(step->forecast->bandwidth_source, "limit");
        for (uint32_t k = 0; is_of_link && k < m->n_links; k++)
            if (step->forecast->bandwidth > measured[m->links[k]])
                measured[m->links[k]] = step->forecast->bandwidth;
    }
    for (uint32_t k = 0; k < s->links.n; k++)
        if (!s->links.list[k].capacity)
            s->links.list[k].capacity = measured[k];
    free(measured);
}

void plan_schedule_init(struct plan_schedule *s, const struct fleet *fleet, const Drover__V1__Job *job,
                        const Drover__V1__Job *const *open, size_t n_open)
{
    struct building b = {.out = s, .fleet = fleet, .open = open, .n_open = n_open};
    *s = (struct plan_schedule){.moves = xcalloc(job->n_steps + 1, sizeof(*s->moves)),
                                .n = (uint32_t)job->n_steps};
    b.touched = xcalloc(fleet->n_hosts + 1, sizeof(*b.touched));
    for (size_t i = 0; i < job->n_steps; i++)
        s->moves[i] = of_step(&b, job, job->steps[i]);
    take_measured(s, job);
    for (size_t i = 0; i < n_open; i++)
        if (!job->id || open[i]->plan != job->id)
            take_other(&b, open[i]);
    free(b.touched);
    free(b.pairs);
}

void plan_schedule_deinit(struct plan_schedule *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free((uint32_t *)s->moves[i].apart);
    free(s->moves);
    link_table_deinit(&s->links);
    *s = (struct plan_schedule){0};
}

struct schedule plan_schedule_view(const struct plan_schedule *s)
{
    return (struct schedule){
        .links = s->links.list, .n_links = s->links.n, .moves = s->moves, .n_moves = s->n};
}
