#include "coordinator/round.h"

#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

static void answer_free(struct round_answer *a)
{
    if (a->reply)
        protobuf_c_message_free_unpacked(a->reply, NULL);
    free(a->host);
    free(a);
}

static void on_end(void *arg)
{
    struct round *r = arg;
    r->end = NULL;
    r->done(r->arg);
}

static void look(struct round *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (!r->list[i]->over)
            return;
    if (!r->end)
        r->end = loop_timer_start(r->loop, 0, on_end, r);
}

static void on_answer(const ProtobufCMessage *reply, void *data)
{
    struct round_answer *a = data;
    a->over = true;
    if (!a->round) { /* nobody waits any more */
        answer_free(a);
        return;
    }
    if (reply)
        a->reply = message_copy(reply);
    else
        a->err = *rpc_status();
    look(a->round);
}

struct round *round_new(struct loop *loop, void (*done)(void *arg), void *arg)
{
    struct round *r = new0(struct round);
    *r = (struct round){.loop = loop, .done = done, .arg = arg};
    return r;
}

void round_ask(struct round *r, const struct agents *agents, const char *host, const char *method,
               const ProtobufCMessage *request, int64_t timeout_ms)
{
    const ProtobufCServiceDescriptor *service = &drover__v1__agent__descriptor;
    const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(service, method);
    struct round_answer *a = new0(struct round_answer);
    *a = (struct round_answer){.host = xstrdup(host), .round = r, .client = agents_client(agents, host)};
    r->list = xrealloc(r->list, r->n + 1, sizeof(*r->list));
    r->list[r->n++] = a;
    if (!a->client || !m) {
        error_set(&a->err, STATUS_NOT_FOUND, "%s is not in the coordinator's configuration (`hosts:`)", host);
        a->over = true;
        return;
    }
    struct rpc_stub stub = rpc_stub(a->client, service, .timeout_ms = timeout_ms);
    rpc_stub_invoke(&stub.base, (unsigned)(m - service->methods), request, (ProtobufCClosure)on_answer, a);
    a->id = stub.id;
}

void round_go(struct round *r)
{
    look(r);
}

struct round *round_free(struct round *r)
{
    if (!r)
        return NULL;
    loop_timer_cancel(r->end);
    for (size_t i = 0; i < r->n; i++) {
        struct round_answer *a = r->list[i];
        if (a->over) {
            answer_free(a);
            continue;
        }
        a->round = NULL;
        rpc_client_cancel(a->client, a->id);
    }
    free(r->list);
    free(r);
    return NULL;
}
