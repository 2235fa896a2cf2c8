/* FreeGuest: hosts hold something for a guest's move that no job knows (its coordinator never came back), and refuse every other move of
 * it. Both are asked, one deed is done (core/freeing.h), both are asked again, until nothing is left or nothing may be done. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/freeing.h"
#include "coordinator/core/image_users.h"
#include "coordinator/core/message.h"
#include "coordinator/io/store.h"
#include "coordinator/round.h"

#include <stdarg.h>
#include <string.h>

enum { ASK_MS = 5000, DEED_MS = 30000, MOST_DEEDS = 6, LOOK_AGAIN_MS = 250, MOST_LOOKS = 60 };

struct freeing_call {
    const struct api *api;
    struct rpc_call *call;
    Drover__V1__FreeGuestReply_Closure reply;
    char *host, *guest, *name;
    char *peer; /* NULL: not known (yet) */
    bool host_is_source;
    Drover__V1__OpenTransaction *open; /* the one that is cleared away; NULL: it is looked for */
    struct freeing seen;               /* borrows from `round` and the fleet, as do the next two */
    const Drover__V1__CopiedImages *source_images, *destination_images; /* NULL: not told */
    enum freeing_deed deed;
    const char *untold; /* a host whose guests may use the images of this deed; NULL: none */
    unsigned deeds, looks;
    char *done; /* what was, in words */
    struct round *round;
    struct loop_timer *again;
};

static void freeing_free(struct freeing_call *f)
{
    round_free(f->round);
    loop_timer_cancel(f->again);
    if (f->open)
        drover__v1__open_transaction__free_unpacked(f->open, NULL);
    free(f->host);
    free(f->guest);
    free(f->name);
    free(f->peer);
    free(f->done);
    free(f);
}

static void fail(struct freeing_call *f, const struct error *why)
{
    struct rpc_call *call = f->call;
    struct error copy = *why;
    if (f->done)
        error_prefix(&copy, "%s; then", f->done);
    freeing_free(f);
    rpc_call_fail(call, &copy);
}

static void __attribute__((format(printf, 2, 3))) add_done(struct freeing_call *f, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *more = NULL;
    if (vasprintf(&more, format, ap) < 0)
        abort();
    va_end(ap);
    char *all = f->done ? xasprintf("%s; %s", f->done, more) : xstrdup(more);
    free(more);
    free(f->done);
    f->done = all;
}

static void succeed(struct freeing_call *f, const char *besides)
{
    _cleanup_free_ char *text = xasprintf("%s%s%s", f->done, besides ? "; " : "", besides ? besides : "");
    Drover__V1__FreeGuestReply answer = DROVER__V1__FREE_GUEST_REPLY__INIT;
    answer.text = text;
    f->reply(&answer, f->call);
    freeing_free(f);
}

static void ask_both(struct freeing_call *f);

/* ---- deeds ------------------------------------------------------------------------------------------------------- */

static bool take_settled(struct freeing_call *f, const Drover__V1__SettleReply *reply, struct error *err)
{
    if (reply->outcome == DROVER__V1__OUTCOME__OUTCOME_UNKNOWN) {
        error_set(err, STATUS_FAILED_PRECONDITION, "%s can't say yet whose %s is: %s", f->seen.source.host,
                  f->name, reply->text);
        return false;
    }
    f->seen.kept = reply->outcome == DROVER__V1__OUTCOME__KEPT;
    add_done(f, f->seen.kept ? "%s keeps %s" : "%s has given %s away", f->seen.source.host, f->name);
    return true;
}

static void take_released(struct freeing_call *f, const Drover__V1__ReleaseReply *reply, const char *host)
{
    f->seen.released |= f->deed == FREEING_RELEASE_SOURCE;
    add_done(f, "%s holds nothing for %s any more", host, f->name);
    for (size_t i = 0; i < reply->n_left; i++)
        add_done(f, "its disk is kept there as %s", reply->left[i]);
}

static void on_deed(void *arg)
{
    struct freeing_call *f = arg;
    const struct round_answer *a = f->round->list[0];
    struct error err = a->err;
    bool good = a->reply;
    if (good && f->deed == FREEING_SETTLE)
        good = take_settled(f, (const Drover__V1__SettleReply *)a->reply, &err);
    else if (good && f->deed == FREEING_ABORT)
        add_done(f, "%s holds nothing for %s any more: %s", a->host, f->name,
                 ((const Drover__V1__AbortReply *)a->reply)->text);
    else if (good)
        take_released(f, (const Drover__V1__ReleaseReply *)a->reply, a->host);
    if (good && f->untold)
        add_done(f,
                 "%s has not told what images its guests use, and none that it may use is renamed or removed",
                 f->untold);
    if (good && ++f->deeds == MOST_DEEDS) {
        error_set(&err, STATUS_INTERNAL, "it does not end; see both agents' logs");
        good = false;
    }
    if (good)
        ask_both(f);
    else
        fail(f, &err);
}

/* Everyone's of a third host count, also the guest's own: it may have been started there. The list is the caller's. */
static size_t keep_of(struct freeing_call *f, char ***ret)
{
    bool release = f->deed == FREEING_RELEASE_SOURCE, undo = f->deed == FREEING_ABORT;
    const Drover__V1__CopiedImages *images = release ? f->source_images : undo ? f->destination_images : NULL;
    const struct fleet *fleet = f->api->config.fleet;
    const char *source = f->seen.source.host ? f->seen.source.host : "";
    const char *destination = f->seen.destination.host ? f->seen.destination.host : "";
    const struct fleet_host *unknown = image_users_unknown(fleet, source, destination);
    f->untold = unknown && images && images->n_paths ? unknown->name : NULL;
    return image_users_of(fleet, source, destination, "", images ? images->paths : NULL,
                          images ? images->n_paths : 0, ret);
}

static void deed(struct freeing_call *f)
{
    static const char reason[] = "an operator frees it";
    const struct agents *agents = f->api->config.agents;
    const char *source = f->seen.source.host, *destination = f->seen.destination.host;
    struct round *round = round_new(f->api->config.loop, on_deed, f);
    Drover__V1__Step step = *f->open->step;
    step.epoch = store_epoch(f->api->config.store);
    Drover__V1__SettleRequest settle = DROVER__V1__SETTLE_REQUEST__INIT;
    Drover__V1__AbortRequest undo = DROVER__V1__ABORT_REQUEST__INIT;
    Drover__V1__ReleaseRequest release = DROVER__V1__RELEASE_REQUEST__INIT;
    _cleanup_free_ char **keep = NULL;
    undo.n_keep = release.n_keep = keep_of(f, &keep);
    undo.keep = release.keep = keep;
    settle.step = undo.step = release.step = &step;
    settle.reason = undo.reason = (char *)reason;
    undo.role = DROVER__V1__ROLE__DESTINATION;
    release.role =
        f->deed == FREEING_RELEASE_SOURCE ? DROVER__V1__ROLE__SOURCE : DROVER__V1__ROLE__DESTINATION;
    switch (f->deed) {
    case FREEING_SETTLE: round_ask(round, agents, source, "Settle", &settle.base, DEED_MS); break;
    case FREEING_ABORT: round_ask(round, agents, destination, "Abort", &undo.base, DEED_MS); break;
    case FREEING_RELEASE_SOURCE: round_ask(round, agents, source, "Release", &release.base, DEED_MS); break;
    case FREEING_RELEASE_DESTINATION:
        round_ask(round, agents, destination, "Release", &release.base, DEED_MS);
        break;
    case FREEING_NOTHING: break;
    }
    round_free(f->round);
    f->round = round;
    round_go(round);
}

/* ---- what both hosts say ----------------------------------------------------------------------------------------- */

static enum freeing_seen seen_on(const struct fleet *fleet, const char *name, const char *uuid)
{
    const struct fleet_host *host = name ? fleet_host(fleet, name) : NULL;
    if (!host || !fleet_host_tells(host))
        return FREEING_UNKNOWN;
    const struct fleet_guest *g = fleet_guest_on(host, uuid);
    return !g                                                          ? FREEING_ABSENT
           : !g->told                                                  ? FREEING_UNKNOWN
           : g->guest->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING ? FREEING_RUNNING
           : fleet_guest_active(g->guest)                              ? FREEING_PAUSED
                                                                       : FREEING_OFF;
}

static struct freeing_side side(const struct freeing_call *f, const char *host, const struct round_answer *a,
                                Drover__V1__Role role, const Drover__V1__CopiedImages **ret_images)
{
    const Drover__V1__ListTransactionsReply *list =
        a ? (const Drover__V1__ListTransactionsReply *)a->reply : NULL;
    struct freeing_side s = {
        .host = host, .asked = list, .seen = seen_on(f->api->config.fleet, host, f->guest)};
    for (size_t i = 0; list && i < list->n_transactions; i++) {
        const Drover__V1__OpenTransaction *t = list->transactions[i];
        if (!streq(t->step->transaction, f->open->step->transaction))
            continue;
        s.state = t->role == role ? t->state : "of the other role";
        *ret_images = t->images;
        s.images = !t->images           ? FREEING_IMAGES_UNTOLD
                   : t->images->n_paths ? FREEING_IMAGES_SOME
                                        : FREEING_IMAGES_NONE;
    }
    return s;
}

static void look(struct freeing_call *f)
{
    const struct fleet *fleet = f->api->config.fleet;
    const struct round_answer *peer = f->round->n > 1 ? f->round->list[1] : NULL;
    const Drover__V1__CopiedImages *images_here = NULL, *images_there = NULL;
    struct freeing_side here = side(f, f->host, f->round->list[0], f->open->role, &images_here);
    struct freeing_side there =
        side(f, f->peer, peer, f->host_is_source ? DROVER__V1__ROLE__DESTINATION : DROVER__V1__ROLE__SOURCE,
             &images_there);
    f->source_images = f->host_is_source ? images_here : images_there;
    f->destination_images = f->host_is_source ? images_there : images_here;
    f->seen.guest = f->name;
    f->seen.source = f->host_is_source ? here : there;
    f->seen.destination = f->host_is_source ? there : here;
    f->seen.third = f->seen.maybe = NULL;
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        const struct fleet_host *host = &fleet->hosts[i];
        if (streq(host->name, f->host) || (f->peer && streq(host->name, f->peer)))
            continue;
        const struct fleet_guest *g = fleet_guest_on(host, f->guest);
        if (seen_on(fleet, host->name, f->guest) == FREEING_RUNNING)
            f->seen.third = host->name;
        else if (!fleet_host_tells(host) && g && fleet_guest_active(g->guest))
            f->seen.maybe = host->name;
    }
}

/* A job of ours carries it on, or another coordinator does. */
static int is_nobodys(const struct freeing_call *f, struct error *err)
{
    const Drover__V1__Job *job = driver_job_of_transaction(f->api->config.driver, f->open->step->transaction);
    if (job)
        return error_set(err, STATUS_FAILED_PRECONDITION, "that is job %llu, which is open: drover job %llu",
                         (unsigned long long)job->id, (unsigned long long)job->id);
    for (size_t i = 0; i < f->round->n; i++) {
        const struct round_answer *a = f->round->list[i];
        const Drover__V1__ListTransactionsReply *list = (const Drover__V1__ListTransactionsReply *)a->reply;
        if (list && list->epoch > store_epoch(f->api->config.store))
            return error_set(err, STATUS_FAILED_PRECONDITION,
                             "a newer coordinator has taken over at %s: ask that one", a->host);
    }
    return 0;
}

static void on_again(void *arg)
{
    struct freeing_call *f = arg;
    f->again = NULL;
    ask_both(f);
}

/* Its agent has just come up (as after the crash that is cleared away), and is about to tell its guests. */
static bool is_about_to_tell(const struct fleet *fleet, const struct freeing_side *side)
{
    const struct fleet_host *host = side->host ? fleet_host(fleet, side->host) : NULL;
    return side->asked && side->seen == FREEING_UNKNOWN && host && host->up;
}

static bool look_again(struct freeing_call *f)
{
    const struct fleet *fleet = f->api->config.fleet;
    if ((!is_about_to_tell(fleet, &f->seen.source) && !is_about_to_tell(fleet, &f->seen.destination)) ||
        ++f->looks > MOST_LOOKS)
        return false;
    f->again = loop_timer_start(f->api->config.loop, LOOK_AGAIN_MS, on_again, f);
    return true;
}

static void on_both(void *arg)
{
    struct freeing_call *f = arg;
    const struct round_answer *a = f->round->list[0];
    struct error err = a->err;
    if (!a->reply || is_nobodys(f, &err) < 0) {
        fail(f, &err);
        return;
    }
    look(f);
    bool refused = freeing_next(&f->seen, &f->deed, &err) < 0;
    if (refused && look_again(f))
        return;
    bool free_here = !(f->host_is_source ? f->seen.source.state : f->seen.destination.state);
    if (refused && f->done && free_here)
        succeed(f, err.text);
    else if (refused)
        fail(f, &err);
    else if (f->deed == FREEING_NOTHING && !f->done)
        fail(f, (error_set(&err, STATUS_NOT_FOUND, "%s holds nothing for %s", f->host, f->name), &err));
    else if (f->deed == FREEING_NOTHING)
        succeed(f, NULL);
    else
        deed(f);
}

static void ask_both(struct freeing_call *f)
{
    Drover__V1__ListTransactionsRequest list = DROVER__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    struct round *round = round_new(f->api->config.loop, on_both, f);
    round_ask(round, f->api->config.agents, f->host, "ListTransactions", &list.base, ASK_MS);
    if (f->peer)
        round_ask(round, f->api->config.agents, f->peer, "ListTransactions", &list.base, ASK_MS);
    round_free(f->round);
    f->round = round;
    round_go(round);
}

static void on_listed(void *arg)
{
    struct freeing_call *f = arg;
    const struct round_answer *a = f->round->list[0];
    const Drover__V1__ListTransactionsReply *list = (const Drover__V1__ListTransactionsReply *)a->reply;
    struct error err = a->err;
    const Drover__V1__OpenTransaction *t = NULL;
    for (size_t i = 0; list && i < list->n_transactions && !t; i++)
        if (streq(list->transactions[i]->step->guest, f->guest))
            t = list->transactions[i];
    if (!t) {
        if (list)
            error_set(&err, STATUS_NOT_FOUND, "%s holds nothing for %s", f->host, f->name);
        fail(f, &err);
        return;
    }
    f->open = (Drover__V1__OpenTransaction *)message_copy(&t->base);
    f->host_is_source = t->role == DROVER__V1__ROLE__SOURCE;
    f->peer = t->peer[0] && !streq(t->peer, f->host) ? xstrdup(t->peer) : NULL;
    ask_both(f);
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
    struct freeing_call *f = new0(struct freeing_call);
    *f = (struct freeing_call){.api = api,
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
