/* Calls of one host of a rolling maintenance, and what passes. */
#include "cli/roll_internal.h"

#include "common/base/memory.h"

enum {
    AGAIN_MS = 1000,
    FAILURES = 10, /* in a row, while the coordinator is connected */
};

struct asking {
    struct roll_task *t;
    roll_answered *fn;
};

bool roll_is_over(const struct roll_task *t)
{
    return t->roll->closing || t->h->stopped;
}

static void on_reply(const ProtobufCMessage *reply, void *data)
{
    struct asking *a = data;
    struct asking asked = *a;
    free(a);
    if (roll_is_over(asked.t))
        return;
    if (reply)
        asked.t->failures = 0;
    asked.fn(asked.t, reply, reply ? NULL : rpc_status());
}

void roll_ask(struct roll_task *t, const char *method, const ProtobufCMessage *request, int64_t ms, bool once,
              roll_answered *fn)
{
    const ProtobufCServiceDescriptor *service = &drover__v1__coordinator__descriptor;
    const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(service, method);
    struct asking *a = new0(struct asking);
    *a = (struct asking){t, fn};
    struct rpc_stub stub =
        rpc_stub(client_rpc(t->roll->client), service, .timeout_ms = ms, .once = once, .wait = true);
    rpc_stub_invoke(&stub.base, (unsigned)(m - service->methods), request, on_reply, a);
}

static void on_later(void *arg)
{
    struct roll_task *t = arg;
    t->timer = NULL;
    if (!roll_is_over(t) && !t->roll->rolling.leaving)
        t->later(t);
}

void roll_later(struct roll_task *t, int64_t ms, void (*fn)(struct roll_task *t))
{
    loop_timer_cancel(t->timer);
    t->later = fn;
    t->timer = loop_timer_start(t->roll->loop, ms, on_later, t);
}

void roll_host_stop(struct roll_task *t, int exit, const char *why, const char *todo)
{
    rolling_stop(t->h, exit, why, todo);
    roll_tell(t->roll, t->h->name, "stopped", t->h->job, "STOPPED: %s", why);
    roll_turn(t->roll);
}

static bool is_passing(enum status_code code)
{
    return code == STATUS_OK || code == STATUS_UNAVAILABLE || code == STATUS_DATA_LOSS ||
           code == STATUS_CANCELLED || code == STATUS_RESOURCE_EXHAUSTED ||
           code == STATUS_DEADLINE_EXCEEDED || code == STATUS_ABORTED;
}

/* Asked again what may pass; roll.c loses patience with a coordinator that stays away. */
void roll_failed(struct roll_task *t, const struct error *why, void (*again)(struct roll_task *t))
{
    if (is_passing(why->code) && (t->roll->down || ++t->failures < FAILURES)) {
        roll_later(t, AGAIN_MS, again);
        return;
    }
    struct error copy = *why;
    roll_host_stop(t, client_exit(&copy, EXIT_REFUSED), copy.text, NULL);
}
