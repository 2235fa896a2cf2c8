#include "coordinator/probes.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/message/message.h"
#include "coordinator/core/probe_plan.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>
#include <time.h>
#include <uuid/uuid.h>

enum { FAREWELL_MS = 5000 };

/* One call; outlives the interest in it, and is freed by its closure. */
struct probe_call {
    struct probes *probes; /* NULL: nobody waits any more */
    size_t index;          /* of its ask */
    struct rpc_client *client;
    uint64_t id;
    bool sending, ended;
};

struct probes {
    struct loop *loop;
    const struct agents *agents;
    struct evidence evidence;
    struct probe_call **calls; /* by ask; NULL: none in flight */
    size_t n_calls;
    unsigned named; /* groups that have a nonce */
    struct loop_timer *deadline, *turn;
    int64_t ends_ms;
    unsigned seconds; /* that all have */
    void (*done)(void *arg, struct evidence *evidence);
    void *arg;
};

static int64_t realtime_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- end --------------------------------------------------------------------------------------------------------- */

static void drop(struct probe_call **slot)
{
    struct probe_call *call = steal(slot);
    if (!call)
        return;
    call->probes = NULL;
    rpc_client_cancel(call->client, call->id);
}

static void probes_free(struct probes *p)
{
    for (size_t i = 0; i < p->n_calls; i++)
        drop(&p->calls[i]);
    loop_timer_cancel(p->deadline);
    loop_timer_cancel(p->turn);
    evidence_deinit(&p->evidence);
    free(p->calls);
    free(p);
}

static void send_due(struct probes *p);

/* The requests of a group are about the same thing, and name it by the same nonce. */
static void name_group(struct evidence *e, unsigned g)
{
    char nonce[37];
    uuid_t uuid;
    uuid_generate(uuid);
    uuid_unparse_lower(uuid, nonce);
    for (size_t i = 0; i < e->n; i++)
        if (e->asks[i].group == g && e->asks[i].probe)
            e->asks[i].probe->nonce = xstrdup(nonce);
}

/* What can be asked now; answers may have brought new questions. */
static bool advance(struct probes *p)
{
    struct evidence *e = &p->evidence;
    bool waiting = evidence_advance(e);
    p->calls = xrealloc(p->calls, e->n + 1, sizeof(p->calls[0]));
    for (; p->n_calls < e->n; p->n_calls++)
        p->calls[p->n_calls] = NULL;
    for (; p->named < e->groups; p->named++)
        name_group(e, p->named);
    return waiting;
}

/* What is not over will not be waited for; farewells whose turn comes by that are sent. */
static void give_up(struct probes *p, const char *why)
{
    for (size_t i = 0; i < p->evidence.n; i++) {
        struct ask *a = &p->evidence.asks[i];
        if (a->farewell || (a->state != ASK_NEW && a->state != ASK_DUE && a->state != ASK_SENT))
            continue;
        a->code = STATUS_DEADLINE_EXCEEDED;
        a->why = a->state == ASK_SENT ? xasprintf("%s gave no answer %s", a->host->name, why)
                                      : xasprintf("there was no time left to ask %s", a->host->name);
        a->state = ASK_FAILED;
        if (i < p->n_calls)
            drop(&p->calls[i]);
    }
    p->evidence.closed = true;
    advance(p);
    send_due(p);
}

static void finish(struct probes *p)
{
    struct evidence evidence = p->evidence;
    p->evidence = (struct evidence){0};
    void (*done)(void *, struct evidence *) = p->done;
    void *arg = p->arg;
    probes_free(p);
    done(arg, &evidence);
}

static void on_deadline(void *arg)
{
    struct probes *p = arg;
    p->deadline = NULL;
    _cleanup_free_ char *why = xasprintf("in %u s", p->seconds);
    give_up(p, why);
    finish(p);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void on_turn(void *arg)
{
    struct probes *p = arg;
    p->turn = NULL;
    bool waiting = advance(p);
    for (size_t i = 0; i < p->evidence.n; i++)
        if (p->evidence.asks[i].state == ASK_ENOUGH)
            drop(&p->calls[i]);
    send_due(p);
    if (!waiting)
        finish(p);
}

/* Answers that came in one go are looked at together, and never within the call that asked. */
static void take_turn(struct probes *p)
{
    if (!p->turn)
        p->turn = loop_timer_start(p->loop, 0, on_turn, p);
}

static const char *probe_name(Drover__V1__ProbeKind kind)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&drover__v1__probe_kind__descriptor, (int)kind);
    return value ? value->name : "probe";
}

static void take_answer(struct ask *a, const ProtobufCMessage *reply)
{
    a->answered_us = realtime_us();
    if (reply && a->probe)
        a->result = (Drover__V1__ProbeResult *)message_copy(reply);
    else if (reply)
        a->inspection = (Drover__V1__Inspection *)message_copy(reply);
    a->state = reply ? ASK_ANSWERED : ASK_FAILED;
    if (reply)
        return;
    a->code = rpc_status()->code;
    a->why = xstrdup(rpc_status()->text);
}

static void on_answer(const ProtobufCMessage *reply, void *data)
{
    struct probe_call *call = data;
    struct probes *p = call->probes;
    if (p) {
        struct ask *a = &p->evidence.asks[call->index];
        p->calls[call->index] = NULL;
        take_answer(a, reply);
        log_debug("%s of %s%s%s: %s, %lld ms", a->probe ? probe_name(a->probe->kind) : "inspection",
                  a->host->name, a->key[0] ? " about " : "", a->key,
                  a->result ? a->result->seen
                  : a->why  ? a->why
                            : "answered",
                  (long long)((a->answered_us - a->sent_us) / 1000));
        take_turn(p);
    }
    call->ended = true;
    if (!call->sending)
        free(call);
}

static void on_result(const Drover__V1__ProbeResult *result, void *call)
{
    on_answer(result ? &result->base : NULL, call);
}

static void on_inspection(const Drover__V1__Inspection *inspection, void *call)
{
    on_answer(inspection ? &inspection->base : NULL, call);
}

static void send_one(struct probes *p, size_t index)
{
    struct ask *a = &p->evidence.asks[index];
    struct rpc_client *client = agents_client(p->agents, a->host->name);
    int64_t left = p->ends_ms - clock_monotonic_ms();
    a->state = a->farewell ? ASK_ENOUGH : ASK_SENT;
    if (!client) {
        a->state = ASK_FAILED;
        a->code = STATUS_NOT_FOUND;
        a->why = xstrdup("it is not in the coordinator's configuration");
        take_turn(p);
        return;
    }
    a->sent_us = realtime_us();
    struct probe_call *call = new0(struct probe_call);
    *call = (struct probe_call){
        .probes = a->farewell ? NULL : p, .index = index, .client = client, .sending = true};
    if (!a->farewell)
        p->calls[index] = call;
    if (a->probe && a->probe->wait > left)
        a->probe->wait = left > 1 ? left : 1;
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor,
                                    .timeout_ms = a->farewell ? FAREWELL_MS
                                                  : left > 1  ? left
                                                              : 1);
    if (a->probe)
        drover__v1__agent__probe(&stub.base, a->probe, on_result, call);
    else
        drover__v1__agent__inspect(&stub.base, a->inspect, on_inspection, call);
    call->sending = false;
    call->id = stub.id;
    if (call->ended)
        free(call);
}

static void send_due(struct probes *p)
{
    for (size_t i = 0; i < p->evidence.n; i++)
        if (p->evidence.asks[i].state == ASK_DUE)
            send_one(p, i);
}

static bool asks_names(const struct evidence *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->asks[i].inspect && e->asks[i].inspect->n_names)
            return true;
    return false;
}

struct probes *probes_start(struct loop *loop, const struct agents *agents, struct evidence *evidence,
                            void (*done)(void *arg, struct evidence *evidence), void *arg)
{
    struct probes *p = new0(struct probes);
    *p = (struct probes){.loop = loop, .agents = agents, .evidence = *evidence, .done = done, .arg = arg};
    *evidence = (struct evidence){0};
    int64_t wait_ms = asks_names(&p->evidence) ? PROBES_NAMES_MS : PROBES_MS;
    p->seconds = (unsigned)(wait_ms / 1000);
    p->ends_ms = clock_monotonic_ms() + wait_ms;
    p->deadline = loop_timer_start(loop, wait_ms, on_deadline, p);
    take_turn(p);
    return p;
}

struct probes *probes_cancel(struct probes *p)
{
    if (!p)
        return NULL;
    give_up(p, "before the question was withdrawn");
    probes_free(p);
    return NULL;
}
