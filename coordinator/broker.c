#include "coordinator/broker.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/core/broker.h"
#include "coordinator/core/link_table.h"
#include "coordinator/move.h"

enum {
    SETTLE_MS = 20,  /* changes come in bursts */
    SET_MS = 5000,   /* an agent that doesn't answer */
    AGAIN_MS = 1000, /* is asked again after that */
};

struct told {
    uint64_t job;
    uint64_t call; /* the last one */
    struct broker_told what;
};

/* A call to an agent. */
struct asking {
    struct asking *next;
    struct broker *broker; /* NULL: it is gone */
    uint64_t job, call;
};

struct broker {
    struct loop *loop;
    const struct fleet *fleet;
    struct driver *driver;
    const struct agents *agents;
    const struct store *store;
    struct loop_timer *timer, *again;
    struct told *told; /* of jobs that transferred at the last sharing */
    size_t n_told;
    struct asking *asking;
    uint64_t calls;
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

/* Or it waits for each page that is not there yet, which is post-copy. */
static bool stands_still(const Drover__V1__Progress *p)
{
    return p && (p->paused || p->post_copy);
}

static struct told *told_of(const struct broker *b, uint64_t job)
{
    for (size_t i = 0; i < b->n_told; i++)
        if (b->told[i].job == job)
            return &b->told[i];
    return NULL;
}

/* A definition's move has nothing but disks to send. `transfers`: this job counts as transferring already. */
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
        bool copies = driver_copies(b->driver, j->id), once = broker_keeps(j, copies);
        const struct told *told = told_of(b, j->id);
        if ((j->mode == DROVER__V1__MODE__MODE_DEFINITION && !copies) || !(flows || prepares))
            continue;
        ret->jobs[ret->n] = j;
        ret->moves[ret->n++] =
            (struct broker_move){.from = j->source,
                                 .to = j->destination,
                                 .transfers = flows || j->id == transfers,
                                 .bytes_left = bytes_left(j->progress),
                                 .rate_max = policy ? policy->bandwidth : 0,
                                 .paused = stands_still(j->progress),
                                 .once = once,
                                 .keeps = once && flows && told ? told->what.part.rate : 0};
    }
    broker_share(b->fleet, ret->moves, ret->n, ret->parts);
}

static void on_timer(void *arg);

static void on_change(void *arg)
{
    struct broker *b = arg;
    if (!b->timer)
        b->timer = loop_timer_start(b->loop, SETTLE_MS, on_timer, b);
}

static void on_again(void *arg)
{
    struct broker *b = arg;
    b->again = NULL;
    on_change(b);
}

static void ask_again(struct broker *b, struct told *told, const char *why)
{
    if (!told->what.unsure)
        log_info("job %llu: what it may use of its links can't be told, and is again: %s",
                 (unsigned long long)told->job, why);
    told->what.unsure = true;
    if (!b->again)
        b->again = loop_timer_start(b->loop, AGAIN_MS, on_again, b);
}

static void on_set(const Drover__V1__SetBandwidthReply *reply, void *data)
{
    struct asking *a = data;
    struct broker *b = a->broker;
    if (b) {
        struct asking **p = &b->asking;
        while (*p != a)
            p = &(*p)->next;
        *p = a->next;
        struct told *told = told_of(b, a->job);
        if (told && told->what.is_asked && told->call == a->call) {
            told->what.is_asked = false;
            if (reply && reply->set) {
                told->what.part = told->what.asked;
                told->what.unsure = false;
                on_change(b); /* others may have waited for this */
            } else {
                ask_again(b, told, reply ? "its source knows nothing of it" : rpc_status()->text);
            }
        }
    }
    free(a);
}

static void set(struct broker *b, const Drover__V1__Job *job, const struct broker_part *part,
                struct told *told)
{
    struct rpc_client *client = agents_client(b->agents, job->source);
    if (!client) {
        ask_again(b, told, "its source has no agent that could be asked");
        return;
    }
    struct asking *a = new0(struct asking);
    *a = (struct asking){.next = b->asking, .broker = b, .job = job->id, .call = ++b->calls};
    b->asking = a;
    told->call = a->call;
    told->what.asked = *part;
    told->what.is_asked = true;
    Drover__V1__Step step = DROVER__V1__STEP__INIT;
    step.transaction = job->transaction;
    step.guest = job->guest_uuid;
    step.epoch = store_epoch(b->store);
    Drover__V1__SetBandwidthRequest request = DROVER__V1__SET_BANDWIDTH_REQUEST__INIT;
    request.step = &step;
    request.bandwidth = part->rate;
    request.waits = part->waits;
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor, .timeout_ms = SET_MS);
    drover__v1__agent__set_bandwidth(&stub.base, &request, on_set, a);
}

/* What was told of those that transfer now; of one that is not known, since before a restart, nobody can say. */
static void keep_told(struct broker *b, const struct shares *s)
{
    struct told *told = xcalloc(s->n + 1, sizeof(*told));
    for (size_t i = 0; i < s->n; i++) {
        const struct told *before = told_of(b, s->jobs[i]->id);
        told[i] = before ? *before : (struct told){.job = s->jobs[i]->id, .what = {.unsure = true}};
    }
    free(b->told);
    b->told = told;
    b->n_told = s->n;
}

static void on_timer(void *arg)
{
    struct broker *b = arg;
    struct shares s;
    b->timer = NULL;
    share(b, 0, &s);
    keep_told(b, &s);
    struct broker_told *what = xcalloc(s.n + 1, sizeof(*what));
    bool *news = xcalloc(s.n + 1, sizeof(*news));
    for (size_t i = 0; i < s.n; i++)
        what[i] = b->told[i].what;
    broker_news(b->fleet, s.moves, s.parts, what, s.n, news);
    for (size_t i = 0; i < s.n; i++)
        if (news[i])
            set(b, s.jobs[i], &s.parts[i], &b->told[i]);
    free(what);
    free(news);
    shares_deinit(&s);
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
    struct told *told = told_of(b, job->id);
    bool again =
        told && (told->call || !told->what.unsure); /* it may run already, by what it was told since */
    if (!told) {
        b->told = xrealloc(b->told, b->n_told + 1, sizeof(*b->told));
        told = &b->told[b->n_told++];
    }
    *told = (struct told){.job = job->id, .what = {.part = part, .unsure = again}};
    request->begin_bandwidth = part.rate;
    request->waits = part.waits;
    request->delay = link_delay(b->fleet, job->source, job->destination);
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
    loop_timer_cancel(b->again);
    for (struct asking *a = b->asking; a; a = a->next)
        a->broker = NULL;
    free(b->told);
    free(b);
}
