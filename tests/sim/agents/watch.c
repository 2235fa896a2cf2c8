/* What the agents tell: their host, their guests, and who comes and goes. */
#include "tests/sim/agents/agents.h"
#include "tests/sim/agents/made.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEAT_MS = 15000 };

/* In a watcher's queue, else a guest's index. */
enum { TELL_HOST = -1, TELL_MEASURED = -2, TELL_SYNCED = -3 };

struct watcher {
    struct watcher *next;
    struct rpc_call *call;
    struct made_agent *agent;
    int *queue;
    size_t n, told;
    bool waits; /* the client does not keep up */
};

struct made_guest *made_find(const char *uuid)
{
    unsigned home, number;
    if (sscanf(uuid, "%8u-%4u-", &home, &number) != 2 || home >= world.n_agents || number >= world.per_agent)
        return NULL;
    return &world.guests[home * world.per_agent + number];
}

unsigned made_count(const struct made_agent *a)
{
    unsigned n = 0;
    for (unsigned g = 0; g < world.n_agents * world.per_agent; g++)
        n += world.guests[g].at == a->number;
    return n;
}

unsigned made_number(const char *host)
{
    return (unsigned)strtoul(host + strcspn(host, "0123456789"), NULL, 10);
}

const char *made_url(const struct made_agent *a)
{
    return rpc_server_url(a->server, 0);
}

/* ---- Watch ------------------------------------------------------------------------------------------------------- */

static int tell_one(struct watcher *w, int what)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    if (what == TELL_SYNCED)
        event.synced = true;
    else if (what == TELL_HOST)
        event.host = made_host(w->agent->number, made_url(w->agent), made_count(w->agent));
    else if (what == TELL_MEASURED)
        event.measured = made_measured(w->agent->number, world.per_agent);
    else {
        const struct made_guest *g = &world.guests[what];
        event.guest = made_guest(g->home, g->number);
        if (g->at != w->agent->number)
            event.guest_gone = xstrdup(event.guest->uuid);
    }
    Drover__V1__Guest *guest = event.guest;
    if (event.guest_gone && event.guest_gone[0])
        event.guest = NULL;
    int r = rpc_call_item(w->call, &event.base);
    if (guest)
        drover__v1__guest__free_unpacked(guest, NULL);
    if (event.host)
        drover__v1__host_report__free_unpacked(event.host, NULL);
    if (event.measured)
        drover__v1__measured__free_unpacked(event.measured, NULL);
    if (event.guest_gone != protobuf_c_empty_string)
        free(event.guest_gone);
    return r;
}

static void tell(void *arg)
{
    struct watcher *w = arg;
    w->waits = false;
    for (; w->told < w->n; w->told++) {
        int r = tell_one(w, w->queue[w->told]);
        w->waits = r == -(int)STATUS_RESOURCE_EXHAUSTED;
        if (w->waits)
            rpc_call_on_ready(w->call, tell, w);
        if (r < 0)
            return;
    }
    w->told = w->n = 0;
}

static void put(struct watcher *w, int what)
{
    w->queue = xrealloc(w->queue, w->n + 1, sizeof(*w->queue));
    w->queue[w->n++] = what;
}

static void tell_all(struct made_agent *a, int what)
{
    for (struct watcher *w = a->watchers; w; w = w->next) {
        put(w, what);
        put(w, TELL_HOST);
        if (!w->waits)
            tell(w);
    }
}

void made_moved(struct made_guest *g, unsigned to)
{
    unsigned from = g->at;
    int index = (int)(g - world.guests);
    g->at = to;
    tell_all(&world.agents[from], index);
    tell_all(&world.agents[to], index);
}

void made_beat(void *arg)
{
    (void)arg;
    const Drover__V1__AgentEvent nothing = DROVER__V1__AGENT_EVENT__INIT;
    for (unsigned i = 0; i < world.n_agents; i++)
        for (struct watcher *w = world.agents[i].watchers; w; w = w->next)
            rpc_call_item(w->call, &nothing.base);
    world.beat = loop_timer_start(world.loop, BEAT_MS, made_beat, NULL);
}

static void on_cancel(void *arg)
{
    struct watcher *w = arg;
    struct rpc_call *call = w->call;
    struct watcher **p = &w->agent->watchers;
    while (*p != w)
        p = &(*p)->next;
    *p = w->next;
    free(w->queue);
    free(w);
    rpc_call_end(call);
}

static void watch(Drover__V1__Agent_Service *service, const Drover__V1__WatchRequest *request,
                  Drover__V1__AgentEvent_Closure item, void *call)
{
    (void)request;
    (void)item;
    struct made_agent *a = (struct made_agent *)service;
    struct watcher *w = new0(struct watcher);
    *w = (struct watcher){.next = a->watchers, .call = call, .agent = a};
    a->watchers = w;
    put(w, TELL_HOST);
    for (unsigned g = 0; g < world.n_agents * world.per_agent; g++)
        if (world.guests[g].at == a->number)
            put(w, (int)g);
    put(w, TELL_MEASURED);
    put(w, TELL_SYNCED);
    rpc_call_on_cancel(call, on_cancel, w);
    tell(w);
}

/* ---- what is asked once ------------------------------------------------------------------------------------------ */

static void get_host(Drover__V1__Agent_Service *service, const Drover__V1__GetHostRequest *request,
                     Drover__V1__HostReport_Closure reply, void *call)
{
    (void)request;
    const struct made_agent *a = (struct made_agent *)service;
    Drover__V1__HostReport *report = made_host(a->number, made_url(a), made_count(a));
    reply(report, call);
    drover__v1__host_report__free_unpacked(report, NULL);
}

static void get_guest(Drover__V1__Agent_Service *service, const Drover__V1__GetGuestRequest *request,
                      Drover__V1__GetGuestReply_Closure reply, void *call)
{
    const struct made_agent *a = (struct made_agent *)service;
    const struct made_guest *g = made_find(request->guest);
    Drover__V1__GetGuestReply answer = DROVER__V1__GET_GUEST_REPLY__INIT;
    answer.exists = g && g->at == a->number;
    if (answer.exists)
        answer.guest = made_guest(g->home, g->number);
    answer.xml = (char *)"<domain/>";
    reply(&answer, call);
    if (answer.guest)
        drover__v1__guest__free_unpacked(answer.guest, NULL);
}

static void survey(Drover__V1__Agent_Service *service, const Drover__V1__SurveyRequest *request,
                   Drover__V1__SurveyReply_Closure reply, void *call)
{
    (void)request;
    const struct made_agent *a = (struct made_agent *)service;
    Drover__V1__SurveyReply answer = DROVER__V1__SURVEY_REPLY__INIT;
    answer.guests = xcalloc(made_count(a) + 1, sizeof(*answer.guests));
    for (unsigned g = 0; g < world.n_agents * world.per_agent; g++)
        if (world.guests[g].at == a->number)
            answer.guests[answer.n_guests++] = made_guest(world.guests[g].home, world.guests[g].number);
    reply(&answer, call);
    for (size_t i = 0; i < answer.n_guests; i++)
        drover__v1__guest__free_unpacked(answer.guests[i], NULL);
    free(answer.guests);
}

void made_serve_watch(Drover__V1__Agent_Service *service)
{
    service->watch = watch;
    service->get_host = get_host;
    service->get_guest = get_guest;
    service->survey = survey;
}
