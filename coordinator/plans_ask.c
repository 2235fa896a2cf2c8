/* Questions to agents, for plans. Each is answered once, never within the call that asks. */
#include "coordinator/plans_internal.h"

#include "common/base/memory.h"
#include "coordinator/io/agents.h"

enum { ASK_MS = 15000 };

struct plan_call {
    struct rpc_client *client;
    uint64_t id;
    void (*done)(void *arg, const void *reply, const struct error *why);
    void *arg;
    struct loop *loop;
    struct loop_timer *later; /* it failed before it was asked: `why` */
    struct error why;
    bool sending, dropped;
};

static void on_later(void *arg)
{
    struct plan_call *c = arg;
    c->done(c->arg, NULL, &c->why);
    free(c);
}

static void on_reply(const ProtobufCMessage *reply, void *data)
{
    struct plan_call *c = data;
    if (c->sending) {
        c->why = *rpc_status();
        c->later = loop_timer_start(c->loop, 0, on_later, c);
        return;
    }
    if (!c->dropped)
        c->done(c->arg, reply, reply ? NULL : rpc_status());
    free(c);
}

static struct plan_call *ask(const struct plans *plans, const char *host, const char *method,
                             const ProtobufCMessage *request,
                             void (*done)(void *arg, const void *reply, const struct error *why), void *arg)
{
    struct plan_call *c = new0(struct plan_call);
    c->client = plans->config.agents ? agents_client(plans->config.agents, host) : NULL;
    c->done = done;
    c->arg = arg;
    c->loop = plans->config.loop;
    if (!c->client) {
        error_set(&c->why, STATUS_UNAVAILABLE, "%s is not in the coordinator's configuration (`hosts:`)",
                  host);
        c->later = loop_timer_start(c->loop, 0, on_later, c);
        return c;
    }
    c->sending = true;
    const ProtobufCServiceDescriptor *service = &drover__v1__agent__descriptor;
    const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(service, method);
    struct rpc_stub stub = rpc_stub(c->client, service, .timeout_ms = ASK_MS, .wait = true);
    rpc_stub_invoke(&stub.base, (unsigned)(m - service->methods), request, on_reply, c);
    c->sending = false;
    c->id = stub.id;
    return c;
}

struct plan_call *plan_ask_survey(const struct plans *plans, const char *host,
                                  void (*done)(void *arg, const Drover__V1__SurveyReply *reply,
                                               const struct error *why),
                                  void *arg)
{
    const Drover__V1__SurveyRequest request = DROVER__V1__SURVEY_REQUEST__INIT;
    return ask(plans, host, "Survey", &request.base,
               (void (*)(void *, const void *, const struct error *))done, arg);
}

struct plan_call *
plan_ask_look(const struct plans *plans, const char *host, const char *guest_uuid,
              void (*done)(void *arg, const Drover__V1__LookReply *reply, const struct error *why), void *arg)
{
    Drover__V1__LookRequest request = DROVER__V1__LOOK_REQUEST__INIT;
    request.guest = (char *)guest_uuid;
    return ask(plans, host, "Look", &request.base, (void (*)(void *, const void *, const struct error *))done,
               arg);
}

struct plan_call *plan_call_drop(struct plan_call *c)
{
    if (!c)
        return NULL;
    if (c->later) {
        loop_timer_cancel(c->later);
        free(c);
        return NULL;
    }
    c->dropped = true;
    rpc_client_cancel(c->client, c->id);
    return NULL;
}
