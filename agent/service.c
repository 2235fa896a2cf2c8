#include "agent/service.h"

#include "agent/care.h"
#include "agent/closures.h"
#include "agent/io/guests.h"
#include "agent/io/host_report.h"
#include "agent/io/xml.h"
#include "agent/probe.h"
#include "agent/transactions.h"
#include "agent/watch.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

struct service {
    Drover__V1__Agent_Service base; /* first: service_agent goes back from it */
    struct agent *agent;
    struct watches *watches;
    struct probes *probes;
    struct closures *closures;
};

struct agent *service_agent(Drover__V1__Agent_Service *service)
{
    return ((struct service *)service)->agent;
}

/* ---- GetHost ---- */

struct get_host {
    Drover__V1__HostReport_Closure reply;
    void *call;
};

static void host_ready(void *arg, const Drover__V1__HostReport *report)
{
    struct get_host *g = arg;
    if (report)
        g->reply(report, g->call);
    else
        rpc_call_fail(g->call, &(struct error){STATUS_UNAVAILABLE, "the agent is stopping"});
    free(g);
}

static void get_host(Drover__V1__Agent_Service *base, const Drover__V1__GetHostRequest *request,
                     Drover__V1__HostReport_Closure reply, void *call)
{
    (void)request;
    struct get_host *g = new0(struct get_host);
    *g = (struct get_host){reply, call};
    host_report_fresh(service_agent(base)->report, host_ready, g);
}

/* ---- Watch ---- */

static void watch(Drover__V1__Agent_Service *base, const Drover__V1__WatchRequest *request,
                  Drover__V1__AgentEvent_Closure reply, void *call)
{
    (void)reply;
    watches_add(((struct service *)base)->watches, call, request->epoch);
}

/* ---- GetGuest ---- */

struct get_guest {
    struct agent *agent;
    Drover__V1__GetGuestReply_Closure reply;
    void *call;
    char uuid[64];
    Drover__V1__Guest *guest;
    char *xml;
    struct error err;
};

static void read_guest(void *arg)
{
    struct get_guest *g = arg;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(g->agent->libvirt, &g->err);
    if (conn)
        guests_get(conn, g->uuid, &g->guest, &g->xml, &g->err);
}

static void guest_read(void *arg)
{
    struct get_guest *g = arg;
    Drover__V1__GetGuestReply answer = DROVER__V1__GET_GUEST_REPLY__INIT;
    if (g->guest) {
        const struct transactions *t = g->agent->transactions;
        xml_set(&g->guest->transaction, xstrdup(t ? transactions_of_guest(t, g->guest->uuid) : NULL));
        answer.exists = true;
        answer.guest = g->guest;
        answer.xml = g->xml;
    }
    if (g->guest || g->err.code == STATUS_NOT_FOUND)
        g->reply(&answer, g->call);
    else
        rpc_call_fail(g->call, &g->err);
    if (g->guest)
        drover__v1__guest__free_unpacked(g->guest, NULL);
    free(g->xml);
    free(g);
}

static void get_guest(Drover__V1__Agent_Service *base, const Drover__V1__GetGuestRequest *request,
                      Drover__V1__GetGuestReply_Closure reply, void *call)
{
    struct agent *agent = service_agent(base);
    struct error err;
    if (!agent->libvirt) {
        error_set(&err, STATUS_FAILED_PRECONDITION, "%s is no hypervisor: it has no guests",
                  agent->config->name);
        rpc_call_fail(call, &err);
        return;
    }
    struct get_guest *g = new0(struct get_guest);
    *g = (struct get_guest){.agent = agent, .reply = reply, .call = call};
    snprintf(g->uuid, sizeof(g->uuid), "%s", request->guest);
    workers_submit(agent->workers, read_guest, guest_read, g);
}

/* ---- Inspect, Probe ---- */

static void inspect(Drover__V1__Agent_Service *base, const Drover__V1__InspectRequest *request,
                    Drover__V1__Inspection_Closure reply, void *call)
{
    inspect_call(((struct service *)base)->probes, request, reply, call);
}

static void probe(Drover__V1__Agent_Service *base, const Drover__V1__ProbeRequest *request,
                  Drover__V1__ProbeResult_Closure reply, void *call)
{
    probe_call(((struct service *)base)->probes, request, reply, call);
}

/* ---- CloseStorage, OpenStorage, ListClosures ---- */

static void close_storage(Drover__V1__Agent_Service *base, const Drover__V1__CloseStorageRequest *request,
                          Drover__V1__CloseStorageReply_Closure reply, void *call)
{
    closures_close(((struct service *)base)->closures, request, reply, call);
}

static void open_storage(Drover__V1__Agent_Service *base, const Drover__V1__OpenStorageRequest *request,
                         Drover__V1__OpenStorageReply_Closure reply, void *call)
{
    closures_open(((struct service *)base)->closures, request, reply, call);
}

static void list_closures(Drover__V1__Agent_Service *base, const Drover__V1__ListClosuresRequest *request,
                          Drover__V1__Closures_Closure reply, void *call)
{
    (void)request;
    closures_list(((struct service *)base)->closures, reply, call);
}

/* ---- made and freed ---- */

struct service *service_new(struct agent *agent)
{
    struct service *s = new0(struct service);
    drover__v1__agent__init(&s->base, NULL);
    s->agent = agent;
    s->watches = watches_new(agent);
    s->probes = probes_new(agent);
    s->closures = closures_new(agent);
    s->base.close_storage = close_storage;
    s->base.open_storage = open_storage;
    s->base.list_closures = list_closures;
    s->base.get_host = get_host;
    s->base.watch = watch;
    s->base.get_guest = get_guest;
    s->base.inspect = inspect;
    s->base.probe = probe;
    s->base.survey = rpc_survey;
    s->base.look = rpc_look;
    s->base.set_bandwidth = rpc_set_bandwidth;
    transactions_serve(&s->base);
    return s;
}

void service_free(struct service *s)
{
    if (!s)
        return;
    watches_free(s->watches);
    probes_free(s->probes);
    closures_free(s->closures);
    free(s);
}

ProtobufCService *service_base(struct service *s)
{
    return &s->base.base;
}

void service_host_changed(struct service *s)
{
    watches_host_changed(s->watches);
}

void service_guest_changed(struct service *s, const char *uuid)
{
    watches_guest_changed(s->watches, uuid);
}

void service_measured(struct service *s)
{
    watches_measured(s->watches);
}
