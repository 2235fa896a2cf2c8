#include "images.h"

#include <string.h>

const char *const mutation_names[MUTATIONS] = {
    [SOUND] = "none",
    [SEND_FIRST] = "send-before-journal",
    [IGNORE_EPOCH] = "ignore-the-epoch",
    [END_EARLY] = "end-the-source-before-settle",
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
    [LET_RUN] = "let-run-what-is-paused",
    [GO_ON_UNSURE] = "go-on-unsure",
    [SAY_UNWRITTEN] = "say-unwritten",
    [TIDY_BY_WALL] = "tidy-by-wall-clock",
    [TIDY_OWED] = "tidy-what-is-owed",
    [ASK_UNWRITTEN] = "ask-post-copy-unwritten",
    [STOP_POST_COPY] = "stop-post-copy",
    [RESUME_LEFT] = "resume-left-paused",
    [LEAVE_BROKEN] = "leave-post-copy-broken",
    [LEAVE_AUTOSTART] = "leave-autostart-on",
    [LOSE_COPIED] = "lose-what-was-copied",
    [UNDO_OWNED] = "undo-owned-images",
    [LOSE_FINISH] = "lose-finish",
};

enum { AFTER_CALM_MS = 250000, MAX_STEPS = 20000 };

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

/* ---- one schedule ------------------------------------------------------------------------------------------------ */

static void prepare(struct world *w, uint64_t seed, enum mutation mutation, FILE *trace,
                    struct coverage *coverage)
{
    memset(w, 0, offsetof(struct world, events));
    memset((char *)w + offsetof(struct world, n_events), 0, sizeof(*w) - offsetof(struct world, n_events));
    w->rng = w->seed = seed;
    w->mutation = mutation;
    w->trace = trace;
    w->coverage = coverage;
    next(w);
    w->persistent = !world_chance(w, 200);
    w->copies = seed % 4 == 3; /* not drawn: what it was before stays as it was */
    w->definition_only = w->persistent && (world_chance(w, 100) || (w->copies && seed % 8 == 7));
    w->autostart = w->persistent && world_chance(w, 500);
    w->locked = world_chance(w, 500);
    bool allowed = !w->definition_only && world_chance(w, 400);
    w->post_copy = allowed && !w->copies; /* libvirt does not combine the two */
    for (int h = 0; h < HOSTS; h++) {
        struct host *host = &w->hosts[h];
        host->libvirt_up = host->agent.alive = true;
        for (int t = 0; t < TXNS; t++)
            host->agent.listener[t] = -1;
    }
    w->hosts[0].domain = (struct domain){.qemu = w->definition_only ? Q_OFF : Q_RUN,
                                         .defined = w->persistent,
                                         .locks = true,
                                         .autostart = w->autostart};
    images_init(w);
    w->coordinator.alive = true;
    w->coordinator.life = ++w->lives;
    w->coordinator.epoch = 1;
    faults_plan(w);
    world_after(w, 0, EV_ORDER);
    if (world_chance(w, 300))
        world_after(w, 10000 + (int64_t)world_random(w, 50000), EV_GRANT);
    world_after(w, 1000 + (int64_t)world_random(w, 60000), EV_CALM);
    world_trace(w, "seed %llu%s%s%s%s%s%s", (unsigned long long)seed, w->persistent ? "" : ", transient",
                w->definition_only ? ", shut off" : "", w->copies ? ", disks are copied" : "",
                w->autostart ? ", autostart" : "", w->locked ? ", disk with a lock" : "",
                w->post_copy ? ", post-copy allowed" : "");
}

static void heal(struct world *w)
{
    if (w->cut_off)
        world_saw(w, SEEN_HEALED);
    w->cut_off = 0;
    memset(w->lost, 0, sizeof(w->lost));
}

static void happen(struct world *w, const struct event *e)
{
    switch (e->kind) {
    case EV_CALM: faults_end(w); break;
    case EV_HOST_LOST: faults_lose_host(w, e->host); break;
    case EV_HEAL: heal(w); break;
    case EV_TAKE_UP: libvirt_take_up(w); break;
    case EV_OPERATOR:
    case EV_SUSPEND:
    case EV_RESUME:
    case EV_GRANT: operator_event(w, e); break;
    case EV_JOB:
    case EV_LIBVIRT_START:
    case EV_LIBVIRT_TELLS: libvirt_event(w, e); break;
    case EV_DELIVER:
    case EV_AGENT_STEP:
    case EV_AGENT_START:
    case EV_LOOK:
    case EV_PEER:
    case EV_PEER_ANSWER:
    case EV_ASK:
    case EV_TELL: agent_event(w, e); break;
    default: coordinator_event(w, e); break;
    }
}

bool world_play(struct world *w, uint64_t seed, enum mutation mutation, FILE *trace,
                struct coverage *coverage)
{
    prepare(w, seed, mutation, trace, coverage);
    int64_t calm_at = INT64_MAX;
    while (w->n_events && !w->violated && w->steps < MAX_STEPS) {
        const struct event e = w->events[--w->n_events];
        w->now = e.at;
        if (w->calm && calm_at == INT64_MAX)
            calm_at = w->now;
        if (w->calm && w->now - calm_at > AFTER_CALM_MS)
            break;
        if (faults_postpone(w, &e))
            continue;
        happen(w, &e);
        invariants_check(w);
        images_check(w);
        w->steps++;
        faults_strike(w);
    }
    if (!w->violated)
        invariants_check_end(w);
    return !w->violated;
}
