#include "coordinator/broker.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/core/broker.h"
#include "coordinator/move.h"

enum {
    SETTLE_MS = 20,   /* changes come in bursts */
    SET_MS = 5000,    /* an agent that doesn't answer is asked again at the next change */
    WORTH_PERCENT = 5 /* a smaller rise is not told */
};

struct told { /* what a transfer was told to use */
    uint64_t job;
    struct broker_part part;
};

struct broker {
    struct loop *loop;
    const struct fleet *fleet;
    struct driver *driver;
    const struct agents *agents;
    const struct store *store;
    struct loop_timer *timer;
    struct told *told; /* of jobs that transferred at the last sharing */
    size_t n_told;
};

struct shares {
    const Drover__V1__Job **jobs;
    struct broker_move *moves;
    struct broker_part *parts;
    size_t n;
};

static void shares_deinit(struct shares *s)
{
    free(s->jobs);
    free(s->moves);
    free(s->parts);
}

/* Of a transfer that has only begun nothing is known: it is the farthest from its end. */
static uint64_t bytes_left(const Drover__V1__Progress *p)
{
    if (!p || !p->bytes_total)
        return UINT64_MAX;
    return p->bytes_left + (p->disk_total > p->disk_done ? p->disk_total - p->disk_done : 0);
}

static struct broker_part last_told(const struct broker *b, uint64_t job)
{
    for (size_t i = 0; i < b->n_told; i++)
        if (b->told[i].job == job)
            return b->told[i].part;
    return (struct broker_part){0};
}

/* A definition's move has only disks to send, by a program that can't be told another rate (agent/send_disks.c).
 * `transfers`: this job counts as transferring already. */
static void share(const struct broker *b, uint64_t transfers, struct shares *ret)
{
    size_t n;
    const Drover__V1__Job **jobs = move_open(b->driver, &n);
    *ret = (struct shares){.jobs = jobs};
    ret->moves = xcalloc(n + 1, sizeof(*ret->moves));
    ret->parts = xcalloc(n + 1, sizeof(*ret->parts));
    for (size_t i = 0; i < n; i++) {
        const Drover__V1__Job *j = jobs[i];
        bool flows = streq(j->phase, "transfer"), prepares = streq(j->phase, "preparing");
        const Drover__V1__Policy *policy = driver_policy(b->driver, j->id);
        bool once = j->mode == DROVER__V1__MODE__MODE_DEFINITION;
        if ((once && !driver_copies(b->driver, j->id)) || !(flows || prepares))
            continue;
        ret->jobs[ret->n] = j;
        ret->moves[ret->n++] = (struct broker_move){.from = j->source,
                                                    .to = j->destination,
                                                    .transfers = flows || j->id == transfers,
                                                    .bytes_left = bytes_left(j->progress),
                                                    .rate_max = policy ? policy->bandwidth : 0,
                                                    .paused = j->progress && j->progress->paused,
                                                    .once = once,
                                                    .keeps = once && flows ? last_told(b, j->id).rate : 0};
    }
    broker_share(b->fleet, ret->moves, ret->n, ret->parts);
}

static void on_set(const Drover__V1__SetBandwidthReply *reply, void *data)
{
    (void)data;
    if (!reply)
        log_info("a transfer keeps its bandwidth for now: %s", rpc_status()->text);
}

static void set(const struct broker *b, const Drover__V1__Job *job, const struct broker_part *part)
{
    struct rpc_client *client = agents_client(b->agents, job->source);
    if (!client)
        return;
    Drover__V1__Step step = DROVER__V1__STEP__INIT;
    step.transaction = job->transaction;
    step.guest = job->guest_uuid;
    step.epoch = store_epoch(b->store);
    Drover__V1__SetBandwidthRequest request = DROVER__V1__SET_BANDWIDTH_REQUEST__INIT;
    request.step = &step;
    request.bandwidth = part->rate;
    request.waits = part->waits;
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor, .timeout_ms = SET_MS);
    drover__v1__agent__set_bandwidth(&stub.base, &request, on_set, NULL);
}

/* What is to be less is told, however little it is: else the sum would be more than the link has. */
static bool worth(uint64_t before, uint64_t now)
{
    if (before == 0 || now == 0)
        return before != now;
    return now < before || (now - before) * 100 > now * WORTH_PERCENT;
}

/* Who is to use less is told before who may use more. */
static void on_timer(void *arg)
{
    struct broker *b = arg;
    struct shares s;
    b->timer = NULL;
    share(b, 0, &s);
    struct told *told = xcalloc(s.n + 1, sizeof(*told));
    size_t n = 0;
    for (int more = 0; more < 2; more++)
        for (size_t i = 0; i < s.n; i++) {
            const struct broker_part *now = &s.parts[i], before = last_told(b, s.jobs[i]->id);
            bool grows = before.rate && (now->rate == 0 || now->rate > before.rate);
            if (!s.moves[i].transfers || grows != more)
                continue;
            bool news = !s.moves[i].once && (worth(before.rate, now->rate) || before.waits != now->waits);
            if (news)
                set(b, s.jobs[i], now);
            told[n++] = (struct told){s.jobs[i]->id, news ? *now : before};
        }
    free(b->told);
    b->told = told;
    b->n_told = n;
    shares_deinit(&s);
}

static void on_change(void *arg)
{
    struct broker *b = arg;
    if (!b->timer)
        b->timer = loop_timer_start(b->loop, SETTLE_MS, on_timer, b);
}

/* What a transfer that begins now may use. */
static void on_begin(void *arg, const Drover__V1__Job *job, Drover__V1__MigrateRequest *request)
{
    struct broker *b = arg;
    struct shares s;
    struct broker_part part = {0};
    share(b, job->id, &s);
    for (size_t i = 0; i < s.n; i++)
        if (s.jobs[i]->id == job->id)
            part = s.parts[i];
    shares_deinit(&s);
    b->told = xrealloc(b->told, b->n_told + 1, sizeof(*b->told));
    b->told[b->n_told++] = (struct told){job->id, part};
    request->begin_bandwidth = part.rate;
    request->waits = part.waits;
    on_change(b);
}

struct broker *broker_new(struct loop *loop, const struct fleet *fleet, struct driver *driver,
                          const struct agents *agents, const struct store *store)
{
    struct broker *b = new0(struct broker);
    *b = (struct broker){.loop = loop, .fleet = fleet, .driver = driver, .agents = agents, .store = store};
    driver_hook(driver, &(struct driver_hooks){.changed = on_change, .begins = on_begin, .arg = b});
    return b;
}

void broker_free(struct broker *b)
{
    if (!b)
        return;
    driver_hook(b->driver, &(struct driver_hooks){0});
    loop_timer_cancel(b->timer);
    free(b->told);
    free(b);
}
