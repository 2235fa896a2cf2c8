#include "agent/watch.h"

#include "agent/io/guests.h"
#include "agent/io/host_report.h"
#include "agent/io/measure.h"
#include "agent/transactions.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "proto/agent.pb-c.h"

#include <string.h>

enum { BEAT_MS = 15000 };

struct watcher {
    struct watcher *next;
    struct watches *owner;
    struct rpc_call *call;
    uint64_t epoch;                         /* of the coordinator; 0: it only looks */
    bool host, measured, synced;            /* still to be told */
    char (*guests)[VIR_UUID_STRING_BUFLEN]; /* still to be told, oldest first */
    size_t n_guests, told;                  /* told of those in `guests` */
};

/* A call whose epoch is being made durable. */
struct admission {
    struct admission *next;
    struct watches *owner; /* NULL: gone meanwhile */
    struct transactions *transactions;
    struct rpc_call *call;
    uint64_t epoch;
    struct error err;
};

struct watches {
    struct agent *agent;
    struct watcher *first;
    struct loop_timer *beat;
    struct workers *workers; /* for admissions */
    struct admission *admissions;
};

static void watcher_free(struct watcher *w)
{
    for (struct watcher **p = &w->owner->first; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            break;
        }
    free(w->guests);
    free(w);
}

static void on_cancel(void *arg)
{
    struct watcher *w = arg;
    struct rpc_call *call = w->call;
    watcher_free(w);
    rpc_call_end(call);
}

static void add_guest(struct watcher *w, const char *uuid)
{
    for (size_t i = w->told; i < w->n_guests; i++)
        if (strcmp(w->guests[i], uuid) == 0)
            return;
    if (w->told && w->told == w->n_guests)
        w->told = w->n_guests = 0;
    w->guests = xrealloc(w->guests, w->n_guests + 1, sizeof(*w->guests));
    snprintf(w->guests[w->n_guests++], sizeof(*w->guests), "%s", uuid);
}

/* ---- telling ---- */

static int tell_host(struct watcher *w)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.host = (Drover__V1__HostReport *)host_report_last(w->owner->agent->report);
    return rpc_call_item(w->call, &event.base);
}

static int tell_guest(struct watcher *w, char *uuid)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.guest = (Drover__V1__Guest *)guests_find(w->owner->agent->guests, uuid);
    if (!event.guest)
        event.guest_gone = uuid;
    return rpc_call_item(w->call, &event.base);
}

static int tell_measured(struct watcher *w)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.measured = (Drover__V1__Measured *)measure_last(w->owner->agent->measure);
    return event.measured ? rpc_call_item(w->call, &event.base) : 0;
}

static int tell_synced(struct watcher *w)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.synced = true;
    return rpc_call_item(w->call, &event.base);
}

static int tell_all(struct watcher *w)
{
    const struct agent *agent = w->owner->agent;
    int r;
    if (w->host) {
        if ((r = tell_host(w)) < 0)
            return r;
        w->host = false;
    }
    for (; w->told < w->n_guests; w->told++)
        if ((r = tell_guest(w, w->guests[w->told])) < 0)
            return r;
    if (w->measured) {
        if ((r = tell_measured(w)) < 0)
            return r;
        w->measured = false;
    }
    if (w->synced && (!agent->guests || guests_synced(agent->guests))) {
        if ((r = tell_synced(w)) < 0)
            return r;
        w->synced = false;
    }
    return 0;
}

static void on_ready(void *arg);

static void tell(struct watcher *w)
{
    int r = tell_all(w);
    if (r == -STATUS_RESOURCE_EXHAUSTED)
        rpc_call_on_ready(w->call, on_ready, w);
    /* Of any other failure on_cancel is told, or has been. */
}

static void on_ready(void *arg)
{
    tell(arg);
}

/* ---- what has changed ---- */

void watches_host_changed(struct watches *ws)
{
    for (struct watcher *w = ws->first, *next; w; w = next) {
        next = w->next;
        w->host = true;
        tell(w);
    }
}

void watches_measured(struct watches *ws)
{
    for (struct watcher *w = ws->first, *next; w; w = next) {
        next = w->next;
        w->measured = true;
        tell(w);
    }
}

void watches_guest_changed(struct watches *ws, const char *uuid)
{
    for (struct watcher *w = ws->first, *next; w; w = next) {
        next = w->next;
        if (uuid)
            add_guest(w, uuid);
        tell(w);
    }
}

/* An event with nothing in it says that this loop still turns: the connection's own ping is answered by another thread. */
static void on_beat(void *arg)
{
    struct watches *ws = arg;
    const Drover__V1__AgentEvent nothing = DROVER__V1__AGENT_EVENT__INIT;
    ws->beat = loop_timer_start(ws->agent->loop, BEAT_MS, on_beat, ws);
    for (struct watcher *w = ws->first, *next; w; w = next) {
        next = w->next;
        rpc_call_item(w->call, &nothing.base);
    }
}

/* ---- made and freed ---- */

static void begin(struct watches *ws, struct rpc_call *call, uint64_t epoch)
{
    struct watcher *w = new0(struct watcher);
    *w = (struct watcher){.next = ws->first,
                          .owner = ws,
                          .call = call,
                          .epoch = epoch,
                          .host = true,
                          .measured = true,
                          .synced = true};
    ws->first = w;
    for (size_t i = 0; ws->agent->guests && i < guests_count(ws->agent->guests); i++)
        add_guest(w, guests_at(ws->agent->guests, i)->uuid);
    rpc_call_on_cancel(call, on_cancel, w);
    tell(w);
}

/* Those of coordinators that the newer one has replaced: they learn of it now. */
static void end_older(struct watches *ws, const struct transactions *transactions)
{
    struct error err;
    for (struct watcher *w = ws->first, *next; w; w = next) {
        next = w->next;
        if (!w->epoch || transactions_check_epoch(transactions, w->epoch, &err) == 0)
            continue;
        struct rpc_call *call = w->call;
        watcher_free(w);
        rpc_call_fail(call, &err);
    }
}

static void admit_work(void *arg)
{
    struct admission *a = arg;
    transactions_admit_epoch(a->transactions, a->epoch, &a->err);
}

static void admit_done(void *arg)
{
    struct admission *a = arg;
    struct watches *ws = a->owner;
    for (struct admission **p = ws ? &ws->admissions : NULL; p && *p; p = &(*p)->next)
        if (*p == a) {
            *p = a->next;
            break;
        }
    if (!ws)
        error_set(&a->err, STATUS_UNAVAILABLE, "the agent is stopping");
    if (!ws || a->err.code == STATUS_ABORTED) {
        rpc_call_fail(a->call, &a->err);
        free(a);
        return;
    }
    if (a->err
            .code) /* its orders will be refused until the disk takes it; what there is may be seen all the same */
        log_error("the epoch of a coordinator that watches: %s", a->err.text);
    else
        end_older(ws, a->transactions);
    begin(ws, a->call, a->epoch);
    free(a);
}

void watches_add(struct watches *ws, struct rpc_call *call, uint64_t epoch)
{
    if (!epoch) {
        begin(ws, call, 0);
        return;
    }
    struct admission *a = new0(struct admission);
    *a = (struct admission){.next = ws->admissions,
                            .owner = ws,
                            .transactions = ws->agent->transactions,
                            .call = call,
                            .epoch = epoch};
    ws->admissions = a;
    workers_submit(ws->workers, admit_work, admit_done, a);
}

struct watches *watches_new(struct agent *agent)
{
    struct watches *ws = new0(struct watches);
    ws->agent = agent;
    ws->workers = workers_new(agent->loop, 1);
    ws->beat = loop_timer_start(agent->loop, BEAT_MS, on_beat, ws);
    return ws;
}

void watches_free(struct watches *ws)
{
    if (!ws)
        return;
    for (struct admission *a = ws->admissions; a; a = a->next)
        a->owner = NULL;
    loop_timer_cancel(ws->beat);
    workers_free(ws->workers);
    while (ws->first) {
        struct rpc_call *call = ws->first->call;
        watcher_free(ws->first);
        rpc_call_fail(call, &(struct error){STATUS_UNAVAILABLE, "the agent is stopping"});
    }
    free(ws);
}
