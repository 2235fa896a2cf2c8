#include "world.h"

#include <string.h>

const char *const mutation_names[MUTATIONS] = {
    [SOUND] = "none",
    [SEND_FIRST] = "send-first",
    [NO_GENERATION] = "no-generation",
    [ABORT_ON_TIMEOUT] = "abort-on-timeout",
    [AUTORESUME] = "autoresume",
    [LEASE_DESTROYS] = "lease-destroys",
    [KEEP_UNASKED] = "keep-unasked",
    [RESUME_OLD] = "resume-old",
    [ACTIVATE_EARLY] = "activate-early",
    [FORGET_TRANSFER] = "forget-transfer",
    [RESUME_UNOWED] = "resume-unowed",
    [OLD_IMAGE] = "old-image",
    [GO_ON_UNSURE] = "go-on-unsure",
};

enum { AFTER_CALM_MS = 250000, MAX_STEPS = 20000, HOUR_MS = 3600 * 1000, KEEP_MS = 24 * HOUR_MS };

enum fault {
    COORDINATOR_DIES,
    AGENT_DIES,
    LIBVIRT_DIES,
    NETWORK_CUT,
    CANCELLED,
    A_DAY_PASSES,
    HOST_DIES,
    QEMU_DIES,
    CLOCK_JUMPS,
    STATE_RESTORED,
    FAULT_KINDS
};

/* ---- chance and time --------------------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t next(struct world *w)
{
    uint64_t z = (w->rng += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint64_t world_random(struct world *w, uint64_t below)
{
    return below ? next(w) % below : 0;
}

bool world_chance(struct world *w, unsigned per_mille)
{
    return per_mille && next(w) % 1000 < per_mille;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

struct event *world_after(struct world *w, int64_t ms, enum event_kind kind)
{
    static struct event spare;
    if (w->n_events == EVENTS) {
        world_violate(w, "more than %d events wait", EVENTS);
        return &spare;
    }
    /* Kept in order, the next one last: what is soon is near the end. */
    struct event e = {.at = w->now + ms, .order = w->order++, .kind = kind};
    unsigned i = w->n_events++;
    while (i > 0 && before(&w->events[i - 1], &e)) {
        w->events[i] = w->events[i - 1];
        i--;
    }
    w->events[i] = e;
    return &w->events[i];
}

void world_trace(struct world *w, const char *fmt, ...)
{
    if (!w->trace)
        return;
    va_list ap;
    va_start(ap, fmt);
    fprintf(w->trace, "%9.3f %4u  ", (double)w->now / 1000, w->steps);
    vfprintf(w->trace, fmt, ap);
    fputc('\n', w->trace);
    va_end(ap);
}

void world_violate(struct world *w, const char *fmt, ...)
{
    if (w->violated)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->violation, sizeof(w->violation), fmt, ap);
    va_end(ap);
    w->violated = true;
    world_trace(w, "VIOLATED: %s", w->violation);
}

bool world_guest_runs_on(const struct world *w, int *ret_host)
{
    for (int h = 0; h < HOSTS; h++) {
        const struct domain *d = &w->hosts[h].domain;
        if (w->definition_only ? d->defined : d->qemu == Q_RUN) {
            *ret_host = h;
            return true;
        }
    }
    return false;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

/* As transactions.c: the records of what has ended are tidied away. */
static bool owes(const struct record *r)
{
    return r->state == PARTICIPANT_TOMBSTONE ? r->image || r->definition
                                             : r->state == PARTICIPANT_KEPT && r->owed;
}

static void tidy(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    if (!a->alive || a->n_ops > 0)
        return;
    for (int t = 0; t < TXNS; t++) {
        struct record *r = &a->records[t];
        if (!r->exists || participant_is_open(r->role, r->state) || owes(r) ||
            clock_real(w, host) - r->changed < KEEP_MS || clock_up(w, host) - a->heard[t] < HOUR_MS)
            continue;
        uint64_t old = a->generation;
        if (a->generation < r->generation)
            a->generation = r->generation;
        if (a->generation != old && !disk_write_fence(w, host)) {
            a->generation = old;
            continue;
        }
        w->spoilt |= w->coordinator.open && w->coordinator.current == t; /* it has slept as long */
        *r = (struct record){0};
        disk_remove_record(w, host, t);
    }
}

static void a_day_passes(struct world *w)
{
    world_trace(w, "FAULT: a day passes");
    for (int h = 0; h < HOSTS; h++) {
        w->hosts[h].clock += KEEP_MS + HOUR_MS;
        w->hosts[h].slept += KEEP_MS + HOUR_MS;
        w->hosts[h].agent.connection++;
        tidy(w, h);
    }
}

static void clock_jumps(struct world *w, int host)
{
    static const int64_t jumps[] = {-KEEP_MS - HOUR_MS, -HOUR_MS, HOUR_MS, KEEP_MS + HOUR_MS,
                                    (int64_t)4000 * HOUR_MS};
    int64_t jump = jumps[world_random(w, sizeof(jumps) / sizeof(jumps[0]))];
    world_trace(w, "FAULT: the clock of %d jumps by %lld h", host, (long long)(jump / HOUR_MS));
    w->hosts[host].clock += jump;
    tidy(w, host);
}

static void cut(struct world *w)
{
    w->cut_off = (unsigned)world_random(w, 8);
    world_trace(w, "FAULT: the network is cut: %u", w->cut_off);
    world_after(w, (int64_t)world_random(w, world_chance(w, 300) ? 60000 : 8000), EV_HEAL);
}

static void strike(struct world *w, enum fault fault)
{
    int host = (int)world_random(w, HOSTS);
    switch (fault) {
    case COORDINATOR_DIES: coordinator_crash(w); break;
    case AGENT_DIES: agent_crash(w, host); break;
    case LIBVIRT_DIES: libvirt_crash(w, host); break;
    case NETWORK_CUT: cut(w); break;
    case CANCELLED: world_after(w, 0, EV_CANCEL); break;
    case A_DAY_PASSES: a_day_passes(w); break;
    case HOST_DIES:
        libvirt_qemu_dies(w, host);
        libvirt_crash(w, host);
        agent_crash(w, host);
        disk_power_cut(w, host);
        break;
    case CLOCK_JUMPS: clock_jumps(w, host); break;
    case STATE_RESTORED:
        agent_crash(w, host);
        disk_restore(w, host);
        break;
    case QEMU_DIES: libvirt_qemu_dies(w, host); break;
    case FAULT_KINDS: break;
    }
}

static enum fault some_fault(struct world *w)
{
    static const unsigned weight[FAULT_KINDS] = {20, 20, 11, 10, 9, 9, 7, 6, 5, 3};
    unsigned n = (unsigned)world_random(w, 100);
    for (unsigned f = 0; f < FAULT_KINDS; f++) {
        if (n < weight[f])
            return (enum fault)f;
        n -= weight[f];
    }
    return COORDINATOR_DIES;
}

static void plan_faults(struct world *w)
{
    static const unsigned losses[] = {0, 0, 20, 100, 300}, repeats[] = {0, 100, 300}, slows[] = {0, 50, 300};
    w->loss = losses[world_random(w, 5)];
    w->repeat = repeats[world_random(w, 3)];
    w->slow = slows[world_random(w, 3)];
    w->n_faults = (unsigned)world_random(w, FAULTS + 1);
    for (unsigned i = 0; i < w->n_faults; i++) {
        w->faults[i].step = (unsigned)world_random(w, 220);
        w->faults[i].kind = (int)some_fault(w);
    }
}

static void calm(struct world *w)
{
    world_trace(w, "no more faults");
    w->calm = true;
    w->loss = w->repeat = w->slow = w->cut_off = w->n_faults = 0;
    if (world_chance(w, 500))
        world_after(w, DOUBT_MS, EV_OPERATOR);
}

/* ---- one schedule ------------------------------------------------------------------------------------------------ */

static void prepare(struct world *w, uint64_t seed, enum mutation mutation, FILE *trace)
{
    memset(w, 0, offsetof(struct world, events));
    memset((char *)w + offsetof(struct world, n_events), 0, sizeof(*w) - offsetof(struct world, n_events));
    w->rng = w->seed = seed;
    w->mutation = mutation;
    w->trace = trace;
    next(w);
    w->persistent = !world_chance(w, 200);
    w->definition_only = w->persistent && world_chance(w, 100);
    for (int h = 0; h < HOSTS; h++) {
        struct host *host = &w->hosts[h];
        host->libvirt_up = host->agent.alive = true;
        for (int t = 0; t < TXNS; t++)
            host->agent.listener[t] = -1;
    }
    w->hosts[0].domain =
        (struct domain){.qemu = w->definition_only ? Q_OFF : Q_RUN, .defined = w->persistent};
    w->coordinator.alive = true;
    w->coordinator.epoch = 1;
    plan_faults(w);
    world_after(w, 0, EV_ORDER);
    if (world_chance(w, 300))
        world_after(w, 10000 + (int64_t)world_random(w, 50000), EV_GRANT);
    world_after(w, 1000 + (int64_t)world_random(w, 60000), EV_CALM);
    world_trace(w, "seed %llu%s%s", (unsigned long long)seed, w->persistent ? "" : ", transient",
                w->definition_only ? ", shut off" : "");
}

static void happen(struct world *w, const struct event *e)
{
    switch (e->kind) {
    case EV_CALM: calm(w); break;
    case EV_HEAL: w->cut_off = 0; break;
    case EV_JOB:
    case EV_LIBVIRT_START:
    case EV_LIBVIRT_TELLS: libvirt_event(w, e); break;
    case EV_DELIVER:
    case EV_AGENT_STEP:
    case EV_AGENT_START:
    case EV_LOOK:
    case EV_PEER:
    case EV_PEER_ANSWER: agent_event(w, e); break;
    default: coordinator_event(w, e); break;
    }
}

bool world_play(struct world *w, uint64_t seed, enum mutation mutation, FILE *trace)
{
    prepare(w, seed, mutation, trace);
    int64_t calm_at = INT64_MAX;
    while (w->n_events && !w->violated && w->steps < MAX_STEPS) {
        const struct event e = w->events[--w->n_events];
        w->now = e.at;
        if (w->calm && calm_at == INT64_MAX)
            calm_at = w->now;
        if (w->calm && w->now - calm_at > AFTER_CALM_MS)
            break;
        happen(w, &e);
        invariants_check(w);
        w->steps++;
        for (unsigned i = 0; i < w->n_faults; i++)
            if (w->faults[i].step == w->steps)
                strike(w, (enum fault)w->faults[i].kind);
    }
    if (!w->violated)
        invariants_check_end(w);
    return !w->violated;
}
