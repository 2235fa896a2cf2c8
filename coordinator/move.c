#include "coordinator/move.h"

#include "common/base/memory.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/link_table.h"
#include "coordinator/core/message.h"
#include "coordinator/core/placement.h"
#include "coordinator/core/places.h"
#include "coordinator/core/post_copy.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/relocation.h"
#include "coordinator/core/under_way.h"
#include "coordinator/probes.h"

#include <string.h>

/* For a destination: the shell waits a minute (cli/client.c), and the agents of the last one have PROBES_MS. */
enum { LOOK_MS = 45000, LINK_MS = 10000 /* a measurement takes a second, and may wait 8 for others */ };

const Drover__V1__Job **move_open(const struct driver *driver, size_t *ret_n)
{
    *ret_n = driver_jobs(driver, NULL, 0);
    const Drover__V1__Job **jobs = xcalloc(*ret_n + 1, sizeof(*jobs));
    driver_jobs(driver, jobs, *ret_n);
    return jobs;
}

struct link_ask {
    struct move *move; /* NULL: nobody waits any more */
    struct rpc_client *client;
    uint64_t id;
};

/* First by what the agents have reported, then, with the same eyes, by what they prove when they are asked. */
struct move {
    struct move_config config;
    Drover__V1__MigrateGuestRequest *request; /* owned */
    char *by;
    uint64_t plan;
    void (*done)(void *arg, const Drover__V1__MigrateGuestReply *reply, const struct error *why);
    void *arg;
    struct loop_timer *begin;
    int64_t begun_ms;
    struct link_ask *link; /* NULL: not asked now */
    bool link_asked;       /* of this destination */
    struct probes *probes;
    char *source, *destination, *why; /* as chosen before the agents were asked; owned */
    Drover__V1__Guest *asked;         /* as it was when they were asked; owned */
    struct preflight in;
    Drover__V1__Policy wanted, policy; /* of the guest, and what of it the destination can do */
    const struct intent *intent;       /* whose; NULL: the default's */
    struct placement placement;
    struct findings findings;
    Drover__V1__Relocation *relocation; /* NULL: nothing differs at the destination */
    Drover__V1__Change **changes;
    size_t n_changes;
    struct placement_tried
        *tried; /* where the agents were asked and spoke against it; the findings are owned, too */
    size_t n_tried;
};

/* What was found, and what follows from it. */
static void forget(struct move *m)
{
    placement_deinit(&m->placement);
    findings_deinit(&m->findings);
    drover__v1__relocation__free_unpacked(steal(&m->relocation), NULL);
    for (size_t i = 0; i < m->n_changes; i++)
        drover__v1__change__free_unpacked(m->changes[i], NULL);
    free(steal(&m->changes));
    m->n_changes = 0;
}

static void drop_link(struct move *m)
{
    struct link_ask *ask = steal(&m->link);
    if (!ask)
        return;
    ask->move = NULL;
    rpc_client_cancel(ask->client, ask->id);
}

static void move_free(struct move *m)
{
    forget(m);
    drop_link(m);
    for (size_t i = 0; i < m->n_tried; i++) {
        findings_deinit((struct findings *)m->tried[i].findings);
        free((struct findings *)m->tried[i].findings);
    }
    free(m->tried);
    drover__v1__guest__free_unpacked(m->asked, NULL);
    free(m->source);
    free(m->destination);
    free(m->why);
    free(m->by);
    drover__v1__migrate_guest_request__free_unpacked(m->request, NULL);
    free(m);
}

static uint64_t in_the_way(const struct move *m, const struct fleet_host *to)
{
    const Drover__V1__Job *open = driver_in_the_way(m->config.driver, m->in.guest->guest->uuid,
                                                    m->in.source->name, to ? to->name : NULL);
    return open ? open->id : 0;
}

/* Guest, mode and policy from the request. */
static int resolve(struct move *m, struct error *err)
{
    const struct move_config *c = &m->config;
    const Drover__V1__MigrateGuestRequest *request = m->request;
    int r = fleet_find_guest(c->fleet, request->guest, &m->in.guest, err);
    if (r < 0)
        return r;
    r = policies_hold(c->policies, c->policy, m->in.guest->guest, request->policy, request->policy_given,
                      request->n_policy_given, &m->wanted, &m->intent, err);
    if (r < 0)
        return r;
    if (request->mode < DROVER__V1__MODE__MODE_AUTO || request->mode > DROVER__V1__MODE__MODE_DEFINITION)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "unknown mode %d; is the shell newer than the coordinator (%s)?", (int)request->mode,
                         DROVER_VERSION);
    m->in.fleet = c->fleet;
    m->in.policy = &m->policy;
    m->in.accept = request->accept;
    m->in.n_accept = request->n_accept;
    m->in.source = m->in.guest->host;
    m->in.open_job = in_the_way(m, NULL);
    m->in.mode = preflight_mode(request->mode, m->in.guest->guest);
    m->in.copy_storage = request->copy_storage;
    return 0;
}

/* The destination: the one that was named, or chosen before, or the one with room; then all findings. */
static int choose(struct move *m, const char *name, struct error *err)
{
    const struct move_config *c = &m->config;
    _cleanup_free_ const Drover__V1__Job **open = move_open(c->driver, &m->in.n_open);
    _cleanup_free_ struct promised *sums = under_way_promised(c->fleet, open, m->in.n_open, NULL);
    m->in.open = open;
    m->policy = m->wanted;
    if (name[0]) {
        struct fleet_host *to;
        int r = fleet_find_host(c->fleet, name, &to, err);
        if (r < 0) {
            m->in.n_open = 0;
            return r;
        }
        m->in.destination = to;
    } else {
        placement_choose(&m->in, sums, m->tried, m->n_tried, &m->placement);
        m->in.destination = m->placement.host;
    }
    m->in.open_job = in_the_way(m, m->in.destination);
    if (m->in.destination) {
        m->in.promised = sums[m->in.destination - c->fleet->hosts];
        preflight_run(&m->in, &m->findings);
        m->relocation = relocation_make(&m->in);
        m->n_changes = relocation_changes(&m->in, m->relocation, &m->changes);
        accept_apply(&m->findings, m->request->accept, m->request->n_accept);
        post_copy_fit(&m->policy, m->in.mode, m->in.destination->report);
    }
    m->in.open = NULL;
    m->in.n_open = 0;
    return 0;
}

static int order(const struct move *m, uint64_t *ret_job, struct error *err)
{
    const struct move_config *c = &m->config;
    int r = store_ready(c->store, err);
    if (r < 0)
        return r;
    const struct migration_order order = {
        .guest_uuid = m->in.guest->guest->uuid,
        .guest_name = m->in.guest->guest->name,
        .source = m->in.source->name,
        .destination = m->in.destination->name,
        .operator_name = m->by,
        .mode = m->in.mode,
        .policy = &m->policy,
        .findings = m->findings.list,
        .n_findings = m->findings.n,
        .relocation = m->relocation,
        .accept = m->request->accept,
        .n_accept = m->request->n_accept,
        .plan = m->plan,
    };
    return driver_migrate(c->driver, &order, ret_job, err);
}

static void fail(struct move *m, const struct error *why)
{
    void (*done)(void *arg, const Drover__V1__MigrateGuestReply *reply, const struct error *why) = m->done;
    void *arg = m->arg;
    move_free(m);
    done(arg, NULL, why);
}

/* All is known: refuse, or go. */
static void decide(struct move *m)
{
    const Drover__V1__MigrateGuestRequest *request = m->request;
    struct error err = {0};
    uint64_t job = 0;
    /* What the fleet owns may change as soon as the driver works. */
    _cleanup_free_ char *guest = xstrdup(m->in.guest->guest->name);
    const struct findings *findings = m->in.destination ? &m->findings : &m->placement.refusals;
    bool go = m->in.destination && !request->dry_run && !findings_block(findings);
    if (go && order(m, &job, &err) < 0) {
        fail(m, &err);
        return;
    }
    Drover__V1__MigrateGuestReply answer = DROVER__V1__MIGRATE_GUEST_REPLY__INIT;
    answer.job = job;
    answer.guest = guest;
    answer.source = m->in.source->name;
    if (m->in.destination)
        answer.destination = m->in.destination->name;
    answer.why = m->why ? m->why : m->placement.why ? m->placement.why : (char *)"asked for";
    answer.mode = m->in.mode;
    _cleanup_free_ char *policy = policies_say(m->intent, &m->policy);
    answer.policy = policy;
    answer.findings = findings->list;
    answer.n_findings = findings->n;
    answer.changes = m->changes;
    answer.n_changes = m->n_changes;
    answer.disk_bytes = relocation_bytes(m->relocation);
    m->done(m->arg, &answer, NULL);
    move_free(m);
}

static void prove(struct move *m);

/* The host that was chosen turned out not to do: the next best, unless the operator named it. */
static bool try_next(struct move *m)
{
    struct error err = {0};
    if (m->request->to[0] || !m->in.destination || !findings_block(&m->findings))
        return false;
    struct findings *found = new0(struct findings);
    *found = m->findings;
    m->tried = xrealloc(m->tried, m->n_tried + 1, sizeof(*m->tried));
    m->tried[m->n_tried++] = (struct placement_tried){m->in.destination, found};
    m->findings = (struct findings){0};
    forget(m);
    m->link_asked = false;
    m->in.enough = clock_monotonic_ms() - m->begun_ms >= LOOK_MS;
    if (choose(m, "", &err) < 0)
        fail(m, &err);
    else
        prove(m);
    return true;
}

/* A disk that was plugged in meanwhile nobody was asked about. */
static int still_the_same(const struct move *m, struct error *err)
{
    const char *guest = m->in.guest->guest->name;
    if (!streq(m->in.source->name, m->source))
        return error_set(err, STATUS_ABORTED, "%s went from %s to %s while it was checked: ask again", guest,
                         m->source, m->in.source->name);
    _cleanup_free_ char *what = places_changed(m->asked, m->in.guest->guest);
    return what ? error_set(err, STATUS_ABORTED, "%s was changed while it was checked (%s): ask again", guest,
                            what)
                : 0;
}

/* The world went on meanwhile, so everything is looked at anew. */
static void on_proofs(void *arg, struct evidence *evidence)
{
    struct move *m = arg;
    struct error err = {0};
    m->probes = NULL;
    forget(m);
    int r = resolve(m, &err);
    if (r == 0)
        r = still_the_same(m, &err);
    m->in.evidence = evidence;
    if (r == 0)
        r = choose(m, m->destination, &err);
    m->in.evidence = NULL;
    evidence_deinit(evidence);
    if (r < 0)
        fail(m, &err);
    else if (!try_next(m))
        decide(m);
}

static void look(void *arg)
{
    struct move *m = arg;
    struct error err = {0};
    m->begin = NULL;
    forget(m);
    if (resolve(m, &err) < 0 || choose(m, m->request->to, &err) < 0)
        fail(m, &err);
    else
        prove(m);
}

static void on_link(const Drover__V1__Forecast *forecast, void *data)
{
    struct link_ask *ask = data;
    struct move *m = ask->move;
    (void)forecast; /* the transfer makes its own, of what the source knows by then */
    free(ask);
    if (!m)
        return;
    m->link = NULL;
    m->begin = loop_timer_start(m->config.loop, 0, look, m); /* it may have failed within the call */
}

/* So that the job of a guest that runs has a forecast, its source measures a link that it knows nothing of. Before the probes, which that
 * would disturb; where the link is known it answers at once. True: it was asked, and look() comes again. */
static bool ask_link(struct move *m)
{
    const struct fleet_host *to = m->in.destination;
    struct rpc_client *client = agents_client(m->config.agents, m->in.source->name);
    if (m->link_asked || m->request->dry_run || !client || !to->report || findings_block(&m->findings) ||
        !fleet_guest_active(m->in.guest->guest))
        return false;
    Drover__V1__Endpoint destination = DROVER__V1__ENDPOINT__INIT;
    destination.host = to->name;
    destination.agent_url = to->report->agent_url;
    Drover__V1__ForecastRequest q = DROVER__V1__FORECAST_REQUEST__INIT;
    q.guest = m->in.guest->guest->uuid;
    q.mode = m->in.mode;
    q.destination = &destination;
    q.delay = link_delay(m->in.fleet, m->in.source->name, to->name);
    q.link = m->link_asked = true;
    struct link_ask *ask = m->link = new0(struct link_ask);
    *ask = (struct link_ask){.move = m, .client = client};
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor, .timeout_ms = LINK_MS);
    drover__v1__agent__make_forecast(&stub.base, &q, on_link, ask);
    if (m->link) /* else it has failed already */
        m->link->id = stub.id;
    return true;
}

/* Asks the agents about the destination, if there is one and anything to ask. */
static void prove(struct move *m)
{
    struct evidence evidence = {0};
    if (m->in.destination && m->config.agents && ask_link(m))
        return;
    if (m->in.destination && m->config.agents)
        plan_check(&evidence, m->in.fleet, m->in.source, m->in.destination, m->in.guest->guest, m->in.mode);
    free(steal(&m->why));
    if (!evidence.n) {
        decide(m);
        return;
    }
    free(m->source);
    free(m->destination);
    drover__v1__guest__free_unpacked(m->asked, NULL);
    m->asked = (Drover__V1__Guest *)message_copy(&m->in.guest->guest->base);
    m->source = xstrdup(m->in.source->name);
    m->destination = xstrdup(m->in.destination->name);
    m->why = xstrdup(m->placement.why);
    m->probes = probes_start(m->config.loop, m->config.agents, &evidence, on_proofs, m);
}

static void on_begin(void *arg)
{
    struct move *m = arg;
    const Drover__V1__MigrateGuestRequest *request = m->request;
    struct error err = {0};
    m->begin = NULL;
    if (accept_check(request->accept, request->n_accept, &err) < 0)
        fail(m, &err);
    else
        look(m);
}

struct move *move_start(const struct move_config *config, const Drover__V1__MigrateGuestRequest *request,
                        const char *by, uint64_t plan,
                        void (*done)(void *arg, const Drover__V1__MigrateGuestReply *reply,
                                     const struct error *why),
                        void *arg)
{
    struct move *m = new0(struct move);
    *m = (struct move){.config = *config, .by = xstrdup(by), .plan = plan, .done = done, .arg = arg};
    m->request = (Drover__V1__MigrateGuestRequest *)message_copy(&request->base);
    m->begin = loop_timer_start(config->loop, 0, on_begin, m);
    m->begun_ms = clock_monotonic_ms();
    return m;
}

struct move *move_cancel(struct move *m)
{
    if (!m)
        return NULL;
    loop_timer_cancel(m->begin);
    probes_cancel(m->probes);
    move_free(m);
    return NULL;
}
