/* Fencing at the storage: a job in doubt is given to the destination once nobody else can reach the guest's disks; what is closed
 * is listed, and opened again when no copy is left at the host that is shut out. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/evidence.h"
#include "coordinator/core/fence.h"
#include "coordinator/core/message.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/io/store.h"
#include "coordinator/round.h"

#include <string.h>

enum { ASK_MS = 5000, CLOSE_MS = 15000 };

struct fencing {
    const struct api *api;
    struct rpc_call *call;
    Drover__V1__ResolveJobReply_Closure reply;
    uint64_t job;
    char *transaction, *guest, *guest_uuid, *source, *destination;
    Drover__V1__Disk **disks; /* of the image at the destination; those that it writes to; owned */
    size_t n_disks;
    char **keep; /* the destination's addresses */
    size_t n_keep;
    bool with_memory;
    bool closing; /* it is being done, or was */
    struct error why;
    struct round *round;
};

static void fencing_free(struct fencing *f)
{
    round_free(f->round);
    for (size_t i = 0; i < f->n_disks; i++)
        drover__v1__disk__free_unpacked(f->disks[i], NULL);
    free(f->disks);
    for (size_t i = 0; i < f->n_keep; i++)
        free(f->keep[i]);
    free(f->keep);
    free(f->transaction);
    free(f->guest);
    free(f->guest_uuid);
    free(f->source);
    free(f->destination);
    free(f);
}

static void fail(struct fencing *f)
{
    struct rpc_call *call = f->call;
    struct error why = f->why;
    fencing_free(f);
    rpc_call_fail(call, &why);
}

/* What was closed for nothing is opened again. */
static void on_opened(void *arg)
{
    struct fencing *f = arg;
    for (size_t i = 0; i < f->round->n; i++)
        if (!f->round->list[i]->reply) {
            struct error before = f->why;
            error_set(&f->why, before.code, "%s; and %s may keep something closed (drover fence list): %s",
                      before.text, f->round->list[i]->host, f->round->list[i]->err.text);
        }
    fail(f);
}

static void open_again(struct fencing *f)
{ /* model: C22 */
    struct round *round = round_new(f->api->config.loop, on_opened, f);
    Drover__V1__OpenStorageRequest request = DROVER__V1__OPEN_STORAGE_REQUEST__INIT;
    request.transaction = f->transaction;
    request.epoch = store_epoch(f->api->config.store);
    for (size_t i = 0; i < f->round->n; i++)
        round_ask(round, f->api->config.agents, f->round->list[i]->host, "OpenStorage", &request.base,
                  CLOSE_MS);
    round_free(f->round);
    f->round = round;
    round_go(round);
}

static int judge(struct fencing *f, struct error *err)
{
    _cleanup_free_ struct fence_word *words = xcalloc(f->round->n + 1, sizeof(*words));
    for (size_t i = 0; i < f->round->n; i++)
        words[i] = (struct fence_word){.node = f->round->list[i]->host,
                                       .reply = (const void *)f->round->list[i]->reply,
                                       .error = f->round->list[i]->err.text};
    return fence_judge(f->disks, f->n_disks, words, f->round->n, err);
}

static void on_closed(void *arg)
{ /* model: C22 */
    struct fencing *f = arg;
    const struct api *api = f->api;
    _cleanup_free_ char *text = NULL;
    /* Between the look and the deed the source may have come back. */
    if (judge(f, &f->why) < 0 || driver_resolve(api->config.driver, f->job, RESOLVE_FENCED, f->with_memory,
                                                api_operator(f->call), &text, &f->why) < 0) {
        open_again(f);
        return;
    }
    _cleanup_free_ char *all =
        xasprintf("%s's disks are closed to %s (drover fence list); %s", f->guest, f->source, text);
    Drover__V1__ResolveJobReply answer = DROVER__V1__RESOLVE_JOB_REPLY__INIT;
    answer.text = all;
    f->reply(&answer, f->call);
    fencing_free(f);
}

static void on_planned(void *arg);

/* Asks the storage nodes, or with `apply` those that have said that they serve a disk. */
static void ask_nodes(struct fencing *f, bool apply)
{ /* model: C21 */
    const struct api *api = f->api;
    Drover__V1__CloseStorageRequest request = DROVER__V1__CLOSE_STORAGE_REQUEST__INIT;
    request.transaction = f->transaction;
    request.epoch = store_epoch(api->config.store);
    request.guest = f->guest_uuid;
    request.guest_name = f->guest;
    request.source = f->source;
    request.destination = f->destination;
    request.keep = f->keep;
    request.n_keep = f->n_keep;
    request.disks = f->disks;
    request.n_disks = f->n_disks;
    request.apply = apply;
    struct round *round = round_new(api->config.loop, apply ? on_closed : on_planned, f);
    for (size_t i = 0; apply && i < f->round->n; i++) {
        const struct fence_word w = {.reply = (const void *)f->round->list[i]->reply};
        if (fence_serves(&w))
            round_ask(round, api->config.agents, f->round->list[i]->host, "CloseStorage", &request.base,
                      CLOSE_MS);
    }
    for (size_t i = 0; !apply && i < api->config.fleet->n_hosts; i++)
        if (host_exports(&api->config.fleet->hosts[i]))
            round_ask(round, api->config.agents, api->config.fleet->hosts[i].name, "CloseStorage",
                      &request.base, CLOSE_MS);
    round_free(f->round);
    f->round = round;
    f->closing = apply;
    round_go(round);
}

static void on_planned(void *arg)
{
    struct fencing *f = arg;
    if (judge(f, &f->why) < 0)
        fail(f);
    else
        ask_nodes(f, true);
}

static void on_addresses(void *arg)
{
    struct fencing *f = arg;
    const struct round_answer *a = f->round->list[0];
    const Drover__V1__Inspection *seen = (const Drover__V1__Inspection *)a->reply;
    if (!seen || !seen->host || !seen->host->n_addresses) {
        error_set(&f->why, STATUS_FAILED_PRECONDITION, "the addresses of %s are not known: %s", a->host,
                  seen ? "its agent tells none" : a->err.text);
        fail(f);
        return;
    }
    for (size_t i = 0; i < seen->host->n_addresses; i++) {
        f->keep = xrealloc(f->keep, f->n_keep + 1, sizeof(*f->keep));
        f->keep[f->n_keep++] = xstrdup(seen->host->addresses[i]);
    }
    ask_nodes(f, false);
}

/* A shell that does not wait leaves what is being done to its end: the outcome is in `drover job` and `drover fence list`. */
void api_resolve_fenced(const struct api *api, const Drover__V1__ResolveJobRequest *request,
                        Drover__V1__ResolveJobReply_Closure reply, struct rpc_call *call)
{
    struct error err = {0};
    const Drover__V1__Job *job = NULL;
    if (driver_may_resolve(api->config.driver, request->id, RESOLVE_FENCED, request->with_memory, &err))
        job = driver_job(api->config.driver, request->id);
    const struct fleet_host *host = job ? fleet_host(api->config.fleet, job->destination) : NULL;
    const struct fleet_guest *image = host ? fleet_guest_on(host, job->guest_uuid) : NULL;
    if (!image || !api->config.agents) {
        if (!err.code)
            error_set(&err, STATUS_FAILED_PRECONDITION, "the image at the destination is not known");
        rpc_call_fail(call, &err);
        return;
    }
    struct fencing *f = new0(struct fencing);
    *f = (struct fencing){.api = api,
                          .call = call,
                          .reply = reply,
                          .job = request->id,
                          .with_memory = request->with_memory,
                          .transaction = xstrdup(job->transaction),
                          .guest = xstrdup(job->guest),
                          .guest_uuid = xstrdup(job->guest_uuid),
                          .source = xstrdup(job->source),
                          .destination = xstrdup(job->destination)};
    for (size_t i = 0; i < image->guest->n_disks; i++)
        if (disk_is_written(image->guest->disks[i]) && image->guest->disks[i]->source[0]) {
            f->disks = xrealloc(f->disks, f->n_disks + 1, sizeof(*f->disks));
            f->disks[f->n_disks++] = (Drover__V1__Disk *)message_copy(&image->guest->disks[i]->base);
        }
    f->round = round_new(api->config.loop, on_addresses, f);
    Drover__V1__InspectRequest look = DROVER__V1__INSPECT_REQUEST__INIT;
    look.host = true;
    round_ask(f->round, api->config.agents, f->destination, "Inspect", &look.base, ASK_MS);
    round_go(f->round);
}

/* ---- drover fence list | release --------------------------------------------------------------------------------- */

struct listing {
    const struct api *api;
    struct rpc_call *call;
    Drover__V1__ListFencesReply_Closure reply; /* or: */
    Drover__V1__ReleaseFenceReply_Closure released;
    char *host; /* to be released */
    bool source_off;
    struct round *round;
    char *text; /* what was opened */
};

static void listing_free(struct listing *l)
{
    round_free(l->round);
    free(l->host);
    free(l->text);
    free(l);
}

static void fail_listing(struct listing *l, const struct error *why)
{
    struct rpc_call *call = l->call;
    struct error copy = *why;
    listing_free(l);
    rpc_call_fail(call, &copy);
}

static void on_listed(void *arg)
{
    struct listing *l = arg;
    Drover__V1__ListFencesReply answer = DROVER__V1__LIST_FENCES_REPLY__INIT;
    Drover__V1__Closure **fences = NULL;
    char **unknown = xcalloc(l->round->n + 1, sizeof(*unknown));
    for (size_t i = 0; i < l->round->n; i++) {
        struct round_answer *a = l->round->list[i];
        Drover__V1__Closures *c = (Drover__V1__Closures *)a->reply;
        if (!c)
            unknown[answer.n_unknown++] = xasprintf("%s: %s", a->host, a->err.text);
        for (size_t k = 0; c && k < c->n_closures; k++) {
            set_text(&c->closures[k]->node, a->host);
            fences = xrealloc(fences, answer.n_fences + 1, sizeof(*fences));
            fences[answer.n_fences++] = c->closures[k];
        }
    }
    answer.fences = fences;
    answer.unknown = unknown;
    l->reply(&answer, l->call);
    for (size_t i = 0; i < answer.n_unknown; i++)
        free(unknown[i]);
    free(unknown);
    free(fences);
    listing_free(l);
}

static const struct fleet_guest *active_on(const struct fleet_host *h, const char *uuid)
{
    const struct fleet_guest *g = fleet_guest_on(h, uuid);
    return g && fleet_guest_active(g->guest) ? g : NULL;
}

/* Unless its job is open and not granted, or has ended with the guest at the source. */
static bool was_given(const struct listing *l, const Drover__V1__Closure *c)
{
    const struct api_config *config = &l->api->config;
    const Drover__V1__Job *job = driver_job_of_transaction(config->driver, c->transaction);
    if (job)
        return driver_gave_away(config->driver, job->id);
    Drover__V1__ListJobsReply *ended = NULL;
    bool kept = false;
    if (store_list_ended(config->store, 0, c->guest, &ended, NULL) < 0)
        return true;
    for (size_t i = 0; i < ended->n_jobs; i++)
        if (streq(ended->jobs[i]->transaction, c->transaction))
            kept = streq(ended->jobs[i]->runs_on, c->source);
    drover__v1__list_jobs_reply__free_unpacked(ended, NULL);
    return !kept;
}

static int may_open(const struct listing *l, const Drover__V1__Closure *c, struct error *err)
{ /* model: C23 */
    const struct fleet *fleet = l->api->config.fleet;
    const struct fleet_host *source = fleet_host(fleet, c->source), *to = fleet_host(fleet, c->destination);
    bool up = source && source->up; /* a host whose agent answers is not off, whatever its libvirt does */
    struct fence_copies copies = {.asked = source && fleet_host_tells(source), .off = l->source_off && !up};
    copies.here = copies.asked && active_on(source, c->guest);
    copies.elsewhere = !to || !fleet_host_tells(to);
    for (size_t i = 0; i < fleet->n_hosts; i++)
        copies.elsewhere |= &fleet->hosts[i] != source && active_on(&fleet->hosts[i], c->guest);
    copies.given = copies.here && was_given(l, c);
    if (fence_may_open(&copies))
        return 0;
    if (!copies.asked)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "whether a copy of %s is left on %s is not known, because its %s can't be asked: "
                         "start it%s",
                         c->guest_name, c->source, up ? "libvirt" : "agent",
                         up ? "" : "; or if the host is switched off for good, add --source-is-off");
    return error_set(
        err, STATUS_FAILED_PRECONDITION,
        "a copy of %s is left on %s, which was given to %s: end it first (virsh destroy %s on %s)",
        c->guest_name, c->source, c->destination, c->guest_name, c->source);
}

static void on_released(void *arg)
{
    struct listing *l = arg;
    unsigned opened = 0;
    for (size_t i = 0; i < l->round->n; i++) {
        const struct round_answer *a = l->round->list[i];
        if (!a->reply) {
            fail_listing(l, &a->err);
            return;
        }
        opened += ((const Drover__V1__OpenStorageReply *)a->reply)->opened;
    }
    _cleanup_free_ char *text =
        xasprintf("%u target%s open to %s again", opened, opened == 1 ? " is" : "s are", l->host);
    Drover__V1__ReleaseFenceReply answer = DROVER__V1__RELEASE_FENCE_REPLY__INIT;
    answer.text = text;
    l->released(&answer, l->call);
    listing_free(l);
}

static void on_to_release(void *arg)
{
    struct listing *l = arg;
    struct error err = {0};
    struct round *round = round_new(l->api->config.loop, on_released, l);
    for (size_t i = 0; i < l->round->n && !err.code; i++) {
        const struct round_answer *a = l->round->list[i];
        const Drover__V1__Closures *c = (const Drover__V1__Closures *)a->reply;
        for (size_t k = 0; c && k < c->n_closures && !err.code; k++) {
            if (!streq(c->closures[k]->source, l->host) || may_open(l, c->closures[k], &err) < 0)
                continue;
            Drover__V1__OpenStorageRequest request = DROVER__V1__OPEN_STORAGE_REQUEST__INIT;
            request.transaction = c->closures[k]->transaction;
            request.epoch = store_epoch(l->api->config.store);
            round_ask(round, l->api->config.agents, a->host, "OpenStorage", &request.base, CLOSE_MS);
        }
    }
    if (!err.code && !round->n)
        error_set(&err, STATUS_NOT_FOUND, "nothing that can be asked is closed to %s: see drover fence list",
                  l->host);
    if (err.code) {
        round_free(round);
        fail_listing(l, &err);
        return;
    }
    round_free(l->round);
    l->round = round;
    round_go(round);
}

static void list(struct listing *l, void (*done)(void *arg))
{
    const struct fleet *fleet = l->api->config.fleet;
    Drover__V1__ListClosuresRequest request = DROVER__V1__LIST_CLOSURES_REQUEST__INIT;
    l->round = round_new(l->api->config.loop, done, l);
    for (size_t i = 0; l->api->config.agents && i < fleet->n_hosts; i++)
        if (host_exports(&fleet->hosts[i]))
            round_ask(l->round, l->api->config.agents, fleet->hosts[i].name, "ListClosures", &request.base,
                      CLOSE_MS);
    round_go(l->round);
}

void api_list_fences(Drover__V1__Coordinator_Service *service, const Drover__V1__ListFencesRequest *request,
                     Drover__V1__ListFencesReply_Closure reply, void *call)
{
    (void)request;
    struct listing *l = new0(struct listing);
    *l = (struct listing){.api = (const struct api *)service, .call = call, .reply = reply};
    list(l, on_listed);
}

void api_release_fence(Drover__V1__Coordinator_Service *service,
                       const Drover__V1__ReleaseFenceRequest *request,
                       Drover__V1__ReleaseFenceReply_Closure reply, void *call)
{
    struct listing *l = new0(struct listing);
    *l = (struct listing){.api = (const struct api *)service,
                          .call = call,
                          .released = reply,
                          .host = xstrdup(request->host),
                          .source_off = request->source_off};
    list(l, on_to_release);
}
