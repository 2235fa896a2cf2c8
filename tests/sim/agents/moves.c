/* The agents' half of a migration: yes to everything, and a transfer that takes as long as it was told to. The order of the calls is
 * what is real; there is nothing that could be lost, and nothing is written. */
#include "tests/sim/agents/agents.h"
#include "tests/sim/agents/made.h"

#include "common/base/memory.h"

#include <stdlib.h>

enum { SAMPLE_MS = 250, MIB = 1048576, BYTES = 400 * MIB };

struct transfer {
    struct made_guest *guest;
    struct rpc_call *call; /* NULL: nobody listens any more */
    struct loop_timer *timer;
    int64_t began_ms;
};

static struct made_guest *guest_of(const Drover__V1__Step *step, void *call)
{
    struct made_guest *g = step ? made_find(step->guest) : NULL;
    struct error err;
    error_set(&err, STATUS_NOT_FOUND, "no guest %s was made", step ? step->guest : "");
    if (!g)
        rpc_call_fail(call, &err);
    return g;
}

static Drover__V1__Endpoint *endpoint(const struct made_agent *a)
{
    Drover__V1__Endpoint *e = new0(Drover__V1__Endpoint);
    drover__v1__endpoint__init(e);
    e->host = xasprintf("kvm%04u", a->number);
    e->agent_url = xstrdup(made_url(a));
    e->libvirt_remote = xasprintf("qemu+tls://kvm%04u/system", a->number);
    e->migration_uri = xasprintf("tcp://10.%u.%u.1", a->number / 250, a->number % 250);
    return e;
}

static void prepare(Drover__V1__Agent_Service *service, const Drover__V1__PrepareRequest *request,
                    Drover__V1__Vote_Closure reply, void *call)
{
    const struct made_agent *a = (struct made_agent *)service;
    struct made_guest *g = guest_of(request->step, call);
    if (!g)
        return;
    Drover__V1__Definition definition = DROVER__V1__DEFINITION__INIT;
    definition.xml = (char *)"<domain/>";
    definition.persistent = true;
    Drover__V1__Vote vote = DROVER__V1__VOTE__INIT;
    vote.yes = true;
    vote.lease = 60000;
    if (request->role == DROVER__V1__ROLE__SOURCE) {
        vote.guest = made_guest(g->home, g->number);
        vote.definition = &definition;
    } else {
        vote.endpoint = endpoint(a);
    }
    reply(&vote, call);
    if (vote.guest)
        drover__v1__guest__free_unpacked(vote.guest, NULL);
    if (vote.endpoint)
        drover__v1__endpoint__free_unpacked(vote.endpoint, NULL);
}

/* ---- the transfer ------------------------------------------------------------------------------------------------ */

static void transfer_end(struct transfer *t, bool sent)
{
    struct rpc_call *call = t->call;
    loop_timer_cancel(t->timer);
    t->guest->sent = sent;
    t->guest->transfer = NULL;
    free(t);
    if (call)
        rpc_call_end(call);
}

static void on_sample(void *arg)
{
    struct transfer *t = arg;
    Drover__V1__Progress progress = DROVER__V1__PROGRESS__INIT;
    Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
    int64_t elapsed = clock_monotonic_ms() - t->began_ms, all = (int64_t)world.transfer_ms;
    t->timer = NULL;
    if (elapsed >= all) {
        event.ended = event.succeeded = true;
        if (t->call)
            rpc_call_item(t->call, &event.base);
        transfer_end(t, true);
        return;
    }
    progress.phase = (char *)"transfer";
    progress.bytes_total = BYTES;
    progress.bytes_done = (uint64_t)(BYTES / all * elapsed);
    progress.bytes_left = BYTES - progress.bytes_done;
    progress.rate = (uint64_t)(BYTES / all * 1000);
    progress.iteration = 1;
    progress.elapsed = elapsed;
    progress.remaining = all - elapsed;
    event.progress = &progress;
    if (t->call)
        rpc_call_item(t->call, &event.base); /* one that is not taken is followed by the next */
    t->timer =
        loop_timer_start(world.loop, all - elapsed < SAMPLE_MS ? all - elapsed : SAMPLE_MS, on_sample, t);
}

static void on_cancel(void *arg)
{
    struct transfer *t = arg;
    struct rpc_call *call = t->call;
    t->call = NULL;
    rpc_call_end(call);
}

static void migrate(Drover__V1__Agent_Service *service, const Drover__V1__MigrateRequest *request,
                    Drover__V1__TransferEvent_Closure item, void *call)
{
    (void)service;
    (void)item;
    struct made_guest *g = guest_of(request->step, call);
    if (!g)
        return;
    struct transfer *t = g->transfer ? g->transfer : new0(struct transfer);
    bool begins = t != g->transfer;
    if (!begins && t->call)
        rpc_call_end(t->call);
    t->guest = g;
    t->call = call;
    g->transfer = t;
    g->to = made_number(request->destination->host);
    rpc_call_on_cancel(call, on_cancel, t);
    if (!begins)
        return;
    t->began_ms = clock_monotonic_ms();
    if (request->mode == DROVER__V1__MODE__MODE_DEFINITION)
        t->began_ms -= (int64_t)world.transfer_ms;
    on_sample(t);
}

static void settle(Drover__V1__Agent_Service *service, const Drover__V1__SettleRequest *request,
                   Drover__V1__SettleReply_Closure reply, void *call)
{
    const struct made_agent *a = (struct made_agent *)service;
    struct made_guest *g = guest_of(request->step, call);
    if (!g)
        return;
    if (g->transfer)
        transfer_end(g->transfer, false);
    Drover__V1__Result result = DROVER__V1__RESULT__INIT;
    result.transfer = (int64_t)world.transfer_ms;
    result.downtime = result.pause = 60;
    result.bytes = BYTES;
    Drover__V1__SettleReply answer = DROVER__V1__SETTLE_REPLY__INIT;
    bool gone = g->sent || g->at != a->number;
    answer.outcome = gone ? DROVER__V1__OUTCOME__GONE : DROVER__V1__OUTCOME__KEPT;
    answer.result = gone ? &result : NULL;
    reply(&answer, call);
}

static void activate(Drover__V1__Agent_Service *service, const Drover__V1__ActivateRequest *request,
                     Drover__V1__ActivateReply_Closure reply, void *call)
{
    const struct made_agent *a = (struct made_agent *)service;
    struct made_guest *g = guest_of(request->step, call);
    if (!g)
        return;
    Drover__V1__ActivateReply answer = DROVER__V1__ACTIVATE_REPLY__INIT;
    answer.activation = DROVER__V1__ACTIVATION__RUNNING;
    if (g->at != a->number)
        made_moved(g, a->number);
    g->sent = false;
    reply(&answer, call);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void release(Drover__V1__Agent_Service *service, const Drover__V1__ReleaseRequest *request,
                    Drover__V1__ReleaseReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__ReleaseReply answer = DROVER__V1__RELEASE_REPLY__INIT;
    reply(&answer, call);
}

static void undo(Drover__V1__Agent_Service *service, const Drover__V1__AbortRequest *request,
                 Drover__V1__AbortReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__AbortReply answer = DROVER__V1__ABORT_REPLY__INIT;
    reply(&answer, call);
}

static void set_bandwidth(Drover__V1__Agent_Service *service, const Drover__V1__SetBandwidthRequest *request,
                          Drover__V1__SetBandwidthReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__SetBandwidthReply answer = DROVER__V1__SET_BANDWIDTH_REPLY__INIT;
    answer.set = true;
    reply(&answer, call);
}

static void list(Drover__V1__Agent_Service *service, const Drover__V1__ListTransactionsRequest *request,
                 Drover__V1__ListTransactionsReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__ListTransactionsReply answer = DROVER__V1__LIST_TRANSACTIONS_REPLY__INIT;
    reply(&answer, call);
}

void made_serve_moves(Drover__V1__Agent_Service *service)
{
    service->prepare = prepare;
    service->migrate = migrate;
    service->settle = settle;
    service->activate = activate;
    service->release = release;
    service->abort = undo;
    service->set_bandwidth = set_bandwidth;
    service->list_transactions = list;
}
