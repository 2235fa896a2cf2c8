/* FreeGuest: a host was prepared for a guest by a coordinator that never came back, and refuses every other move of it there. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/io/store.h"
#include "coordinator/round.h"

#include <string.h>

enum { ASK_MS = 5000, ABORT_MS = 30000 };

struct freeing {
    const struct api *api;
    struct rpc_call *call;
    Drover__V1__FreeGuestReply_Closure reply;
    char *host, *guest, *name;
    struct round *round;
};

static void freeing_free(struct freeing *f)
{
    round_free(f->round);
    free(f->host);
    free(f->guest);
    free(f->name);
    free(f);
}

static void fail(struct freeing *f, const struct error *why)
{
    struct rpc_call *call = f->call;
    struct error copy = *why;
    freeing_free(f);
    rpc_call_fail(call, &copy);
}

static void on_freed(void *arg)
{
    struct freeing *f = arg;
    const struct round_answer *a = f->round->list[0];
    if (!a->reply) {
        fail(f, &a->err);
        return;
    }
    _cleanup_free_ char *text = xasprintf("%s holds nothing for %s any more: %s", f->host, f->name,
                                          ((Drover__V1__AbortReply *)a->reply)->text);
    Drover__V1__FreeGuestReply answer = DROVER__V1__FREE_GUEST_REPLY__INIT;
    answer.text = text;
    f->reply(&answer, f->call);
    freeing_free(f);
}

/* An image that is there is ended by it: only where the guest runs elsewhere, so that this is not all that is left of it. */
static int may_free(const struct freeing *f, const Drover__V1__OpenTransaction *t, struct error *err)
{
    const struct fleet *fleet = f->api->config.fleet;
    const struct fleet_host *here = fleet_host(fleet, f->host);
    const struct fleet_guest *image = here ? fleet_guest_on(here, f->guest) : NULL;
    const Drover__V1__Job *job = driver_job_of_transaction(f->api->config.driver, t->step->transaction);
    if (job)
        return error_set(err, STATUS_FAILED_PRECONDITION, "that is job %llu, which is open: drover job %llu",
                         (unsigned long long)job->id, (unsigned long long)job->id);
    if (t->role != DROVER__V1__ROLE__DESTINATION || !streq(t->state, "PREPARED"))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s is the %s of it (%s), so the guest may be this host's: look at both hosts",
                         f->host, t->role == DROVER__V1__ROLE__SOURCE ? "source" : "destination", t->state);
    if (!here || !here->up || !here->synced)
        return error_set(err, STATUS_FAILED_PRECONDITION, "what is on %s is not known yet: try again",
                         f->host);
    bool elsewhere = !image || !fleet_guest_active(image->guest);
    for (size_t i = 0; i < fleet->n_hosts && !elsewhere; i++) {
        const struct fleet_host *h = &fleet->hosts[i];
        const struct fleet_guest *g = h != here && h->up ? fleet_guest_on(h, f->guest) : NULL;
        elsewhere = g && g->told && g->guest->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    }
    return elsewhere ? 0
                     : error_set(err, STATUS_FAILED_PRECONDITION,
                                 "%s has an image of %s, which runs on no other host that can be asked: it "
                                 "may be all that "
                                 "is left of its memory",
                                 f->host, f->name);
}

static void on_listed(void *arg)
{
    struct freeing *f = arg;
    const struct round_answer *a = f->round->list[0];
    const Drover__V1__ListTransactionsReply *list = (const Drover__V1__ListTransactionsReply *)a->reply;
    struct error err = {0};
    const Drover__V1__OpenTransaction *t = NULL;
    for (size_t i = 0; list && i < list->n_transactions && !t; i++)
        if (streq(list->transactions[i]->step->guest, f->guest))
            t = list->transactions[i];
    if (!list)
        err = a->err;
    else if (!t)
        error_set(&err, STATUS_NOT_FOUND, "%s holds nothing for %s", f->host, f->name);
    if (!t || err.code || may_free(f, t, &err) < 0) {
        fail(f, &err);
        return;
    }
    Drover__V1__AbortRequest request = DROVER__V1__ABORT_REQUEST__INIT;
    Drover__V1__Step step = *t->step;
    step.epoch = store_epoch(f->api->config.store);
    request.step = &step;
    request.role = DROVER__V1__ROLE__DESTINATION;
    request.reason = (char *)"an operator frees it";
    struct round *round = round_new(f->api->config.loop, on_freed, f);
    round_ask(round, f->api->config.agents, f->host, "Abort", &request.base, ABORT_MS);
    round_free(f->round);
    f->round = round;
    round_go(round);
}

void api_free_guest(Drover__V1__Coordinator_Service *service, const Drover__V1__FreeGuestRequest *request,
                    Drover__V1__FreeGuestReply_Closure reply, void *call)
{
    const struct api *api = (const struct api *)service;
    const struct fleet_guest *guest;
    struct fleet_host *host;
    struct error err = {0};
    if (fleet_find_host(api->config.fleet, request->host, &host, &err) < 0 ||
        fleet_find_guest(api->config.fleet, request->guest, &guest, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    struct freeing *f = new0(struct freeing);
    *f = (struct freeing){.api = api,
                          .call = call,
                          .reply = reply,
                          .host = xstrdup(host->name),
                          .guest = xstrdup(guest->guest->uuid),
                          .name = xstrdup(guest->guest->name)};
    f->round = round_new(api->config.loop, on_listed, f);
    Drover__V1__ListTransactionsRequest list = DROVER__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    round_ask(f->round, api->config.agents, f->host, "ListTransactions", &list.base, ASK_MS);
    round_go(f->round);
}
