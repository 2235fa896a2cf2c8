/* Calls of a client: begun, sent again, answered, given up. */
#include "common/rpc/client.h"

#include "common/base/memory.h"
#include "common/rpc/wire.h"

#include <stdio.h>

#define DEFAULT_TIMEOUT_MS 60000

static _Thread_local const struct error *current_status;
static _Thread_local const ProtobufCBinaryData *current_details;
static const struct error status_ok = {.code = STATUS_OK};

static struct call_id call_id(const struct rpc_client *c, uint64_t counter)
{
    struct call_id id;
    memcpy(id.bytes, c->id, 8);
    for (unsigned i = 0; i < 8; i++)
        id.bytes[8 + i] = (uint8_t)(counter >> (56 - 8 * i));
    return id;
}

static int send_request_locked(struct client_call *call, const ProtobufCMessage *input, struct error *err)
{
    struct rpc_client *c = call->client;
    char method[300];
    snprintf(method, sizeof(method), "%s/%s", call->service->name, call->method->name);
    Drover__V1__Frame f = FRAME(REQUEST, .call = {16, call->node.id.bytes}, .method = method,
                                .n_metadata = call->metadata_count, .metadata = call->metadata);
    f.flags = (call->once ? DROVER__V1__FRAME__FLAG__ONCE : 0u) |
              (call->stream ? DROVER__V1__FRAME__FLAG__STREAM : 0u) |
              (call->default_deadline ? DROVER__V1__FRAME__FLAG__DEFAULT_DEADLINE : 0u);
    f.credit = c->config.limits.stream_items;
    if (call->deadline != INT64_MAX) {
        int64_t left = call->deadline - clock_monotonic_ms();
        f.remaining_ms = left > 0 ? (uint64_t)left : 1;
    }
    if (!input)
        f.payload = call->request;
    call->sent = true;
    return conn_send(c->conn, &f, input, err);
}

static void send_short_locked(struct client_call *call, Drover__V1__Frame__Kind kind, uint64_t sequence)
{
    struct rpc_client *c = call->client;
    Drover__V1__Frame f = FRAME(NONE, .call = {16, call->node.id.bytes}, .sequence = sequence);
    f.kind = kind;
    if (kind == DROVER__V1__FRAME__KIND__RESUME)
        f.credit = c->config.limits.stream_items;
    if (c->up && c->conn && call->sent)
        conn_send(c->conn, &f, NULL, NULL);
}

static void call_free(struct client_call *call)
{
    if (call->parent) {
        call_remove_child(call->parent, &call->child);
        rpc_call_unref(call->parent);
    }
    for (size_t i = 0; i < call->metadata_count; i++) {
        free(call->metadata[i]->key);
        free(call->metadata[i]->value);
        free(call->metadata[i]);
    }
    free(call->metadata);
    free(call->request.data);
    free(call->done.why);
    free(call->done.details.data);
    arena_clear(&call->done.arena, 0);
    client_unref(call->client);
    free(call);
}

/* Runs the closure with what `rpc_status` and `rpc_status_details` give inside it. */
static void run_closure(struct client_call *call, const struct event *e)
{
    const struct error *outer_status = current_status;
    const ProtobufCBinaryData *outer_details = current_details;
    current_status = e->why ? e->why : &status_ok;
    current_details = &e->details;
    call->closure(e->message, call->closure_data);
    current_status = outer_status;
    current_details = outer_details;
}

/* A unary reply is the end as well: one event. */
static void end_locked(struct client_call *call)
{
    struct rpc_client *c = call->client;
    idmap_remove(&c->calls, &call->node);
    link_remove(&call->link);
    call->done.call = call;
    if (call->direct)
        run_closure(call, &call->done);
    client_push_locked(c, &call->done);
}

void client_finish_locked(struct client_call *call, const struct error *why,
                          const ProtobufCBinaryData *details)
{
    call->done.message = NULL;
    if (why && why->code != STATUS_OK) {
        call->done.why = new0(struct error);
        *call->done.why = *why;
    }
    if (details && details->len) {
        call->done.details.data = xcalloc(1, details->len);
        call->done.details.len = details->len;
        memcpy(call->done.details.data, details->data, details->len);
    }
    end_locked(call);
}

void client_run_event(struct rpc_client *c, struct event *e)
{
    struct client_call *call = e->call;
    if (e == &call->done) {
        if (!call->direct)
            run_closure(call, e);
        call_free(call);
        return;
    }
    run_closure(call, e);
    pthread_mutex_lock(&c->lock);
    call->taken++;
    uint64_t step = c->config.limits.stream_items / 2;
    if (call->taken >= call->credited + (step ? step : 1)) {
        call->credited = call->taken;
        send_short_locked(call, DROVER__V1__FRAME__KIND__CREDIT, call->taken);
    }
    pthread_mutex_unlock(&c->lock);
    arena_clear(&e->arena, 0);
    free(e);
}

static void copy_metadata(struct client_call *call, const char *const *list)
{
    size_t n = 0;
    while (list && list[2 * n])
        n++;
    call->metadata = n ? xcalloc(n, sizeof(*call->metadata)) : NULL;
    call->metadata_count = n;
    for (size_t i = 0; i < n; i++) {
        call->metadata[i] = new0(Drover__V1__Metadata);
        drover__v1__metadata__init(call->metadata[i]);
        call->metadata[i]->key = xstrdup(list[2 * i]);
        call->metadata[i]->value = xstrdup(list[2 * i + 1] ? list[2 * i + 1] : "");
    }
}

/* Why it can't begin, if so; DEADLINE_EXCEEDED is left to the alarm. */
static int begin_locked(struct rpc_client *c, struct client_call *call, bool wait,
                        const ProtobufCMessage *input, struct error *err)
{
    if (c->closing)
        return error_set(err, STATUS_CANCELLED, "the client ends");
    /* Its cancellation looked for this call before it was in the table. */
    if (call->parent && call->parent->cancelled)
        return error_set(err, STATUS_CANCELLED, "the call on whose behalf %s was made is cancelled",
                         call->method->name);
    if (c->calls.count > c->config.limits.calls)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "%u calls to %s are in progress, the limit: wait for some of them",
                         c->config.limits.calls, c->text);
    if (!c->up && !wait)
        return error_set(err, STATUS_UNAVAILABLE, "not connected: %s", c->why.text);
    if (!c->up || call->once || call->stream) {
        call->request.len = protobuf_c_message_get_packed_size(input);
        call->request.data = xcalloc(1, call->request.len + 1);
        protobuf_c_message_pack(input, call->request.data);
        input = NULL;
    }
    if (c->up && send_request_locked(call, input, err) == -STATUS_RESOURCE_EXHAUSTED)
        return -STATUS_RESOURCE_EXHAUSTED;
    return 0; /* a connection that was just lost: on_closed decides */
}

uint64_t client_invoke(struct rpc_stub *stub, unsigned method, const ProtobufCMessage *input,
                       ProtobufCClosure closure, void *closure_data, bool direct)
{
    struct rpc_client *c = stub->client;
    struct error why;
    struct client_call *call = new0(struct client_call);
    call->client = c;
    atomic_fetch_add(&c->refs, 1);
    call->service = stub->base.descriptor;
    call->method = &stub->base.descriptor->methods[method];
    call->closure = closure;
    call->closure_data = closure_data;
    call->once = stub->once;
    call->stream = stub->stream;
    call->direct = direct;
    call->deadline = INT64_MAX;
    int64_t now = clock_monotonic_ms();
    call->default_deadline = stub->timeout_ms <= 0 && !stub->stream;
    if (stub->timeout_ms > 0 || call->default_deadline)
        call->deadline = now + (stub->timeout_ms > 0 ? stub->timeout_ms : DEFAULT_TIMEOUT_MS);
    if (stub->parent && stub->parent->deadline < call->deadline) {
        call->deadline = stub->parent->deadline;
        call->default_deadline = false;
    }
    if (stub->metadata)
        copy_metadata(call, stub->metadata);
    arena_init(&call->done.arena, call->done.memory, sizeof(call->done.memory),
               c->config.limits.unpack_bytes);

    uint64_t id = atomic_fetch_add(&c->counter, 1) + 1;
    call->node.id = call_id(c, id);
    if (stub->parent) {
        call->parent = rpc_call_ref((struct rpc_call *)stub->parent);
        call->child = (struct child){.client = c, .id = id};
        call_add_child(call->parent, &call->child);
    }

    pthread_mutex_lock(&c->lock);
    idmap_put(&c->calls, &call->node);
    link_append(&c->all_calls, &call->link);
    int64_t deadline = call->deadline;
    int r = begin_locked(c, call, stub->wait, input, &why);
    if (r < 0)
        client_finish_locked(call, &why, NULL);
    pthread_mutex_unlock(&c->lock);
    if (r < 0)
        client_wake(c, false);
    else if (deadline != INT64_MAX)
        alarm_at(c->alarm, deadline);
    stub->id = id;
    return id;
}

void rpc_stub_invoke(ProtobufCService *service, unsigned method, const ProtobufCMessage *input,
                     ProtobufCClosure closure, void *closure_data)
{
    client_invoke(container_of(service, struct rpc_stub, base), method, input, closure, closure_data, false);
}

const struct error *rpc_status(void)
{
    return current_status ? current_status : &status_ok;
}

const ProtobufCBinaryData *rpc_status_details(void)
{
    static const ProtobufCBinaryData none;
    return current_details ? current_details : &none;
}

void rpc_client_cancel(struct rpc_client *c, uint64_t id)
{
    struct call_id key = call_id(c, id);
    struct error why;
    error_set(&why, STATUS_CANCELLED, "cancelled by the caller");
    pthread_mutex_lock(&c->lock);
    struct idmap_node *n = idmap_get(&c->calls, &key);
    if (n) {
        struct client_call *call = container_of(n, struct client_call, node);
        send_short_locked(call, DROVER__V1__FRAME__KIND__CANCEL, 0);
        client_finish_locked(call, &why, NULL);
    }
    pthread_mutex_unlock(&c->lock);
    client_wake(c, false);
}

static int take_response_locked(struct client_call *call, const Drover__V1__Frame *f, struct error *err)
{
    ProtobufCMessage *m = NULL;
    int r = wire_unpack(call->method->output, f->payload.data, f->payload.len, &call->done.arena, &m, err);
    if (r < 0)
        return r;
    if (call->once) /* the server may forget its answer */
        send_short_locked(call, DROVER__V1__FRAME__KIND__CREDIT, 0);
    call->done.message = m;
    end_locked(call);
    return 0;
}

static int take_item_locked(struct client_call *call, const Drover__V1__Frame *f, struct error *err)
{
    struct rpc_client *c = call->client;
    if (f->sequence <= call->last)
        return 0; /* it came before the connection was lost */
    if (f->sequence != call->last + 1)
        return error_set(err, STATUS_DATA_LOSS, "item %llu of %s/%s came after item %llu",
                         (unsigned long long)f->sequence, call->service->name, call->method->name,
                         (unsigned long long)call->last);
    struct event *e = new0(struct event);
    ProtobufCMessage *m = NULL;
    arena_init(&e->arena, e->memory, sizeof(e->memory), c->config.limits.unpack_bytes);
    int r = wire_unpack(call->method->output, f->payload.data, f->payload.len, &e->arena, &m, err);
    if (r < 0) {
        arena_clear(&e->arena, 0);
        free(e);
        return r;
    }
    call->stream = true; /* also when the stub did not say so */
    if (call->default_deadline)
        call->deadline = INT64_MAX;
    call->last++;
    e->call = call;
    e->message = m;
    client_push_locked(c, e);
    return 0;
}

static void take_end_locked(struct client_call *call, const Drover__V1__Frame *f)
{
    struct error why = {0};
    if (f->status)
        error_set(&why, f->status <= STATUS_UNAUTHENTICATED ? (enum status_code)f->status : STATUS_UNKNOWN,
                  "%s", f->text);
    else if (!f->sequence)
        error_set(&why, STATUS_INTERNAL, "the server ended %s/%s without an answer", call->service->name,
                  call->method->name);
    if (f->sequence || call->once)
        send_short_locked(call, DROVER__V1__FRAME__KIND__CREDIT, f->sequence);
    client_finish_locked(call, &why, &f->details);
}

int client_on_frame(void *owner, struct conn *conn, const Drover__V1__Frame *f, struct error *err)
{
    struct rpc_client *c = owner;
    struct call_id id;
    int r = 0;
    if (f->kind == DROVER__V1__FRAME__KIND__GOAWAY)
        return error_set(err, STATUS_UNAVAILABLE, "%s: %s", c->text, f->text);
    if (f->call.len != sizeof(id))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s sent a call id of %zu bytes instead of 16",
                         c->text, f->call.len);
    memcpy(&id, f->call.data, sizeof(id));
    pthread_mutex_lock(&c->lock);
    struct idmap_node *n = c->conn == conn ? idmap_get(&c->calls, &id) : NULL;
    struct client_call *call = n ? container_of(n, struct client_call, node) : NULL;
    struct error why = {0};
    if (!call)
        ; /* it has ended here: cancelled, or its deadline has passed */
    else if (f->kind == DROVER__V1__FRAME__KIND__RESPONSE)
        r = take_response_locked(call, f, &why);
    else if (f->kind == DROVER__V1__FRAME__KIND__ITEM)
        r = take_item_locked(call, f, &why);
    else if (f->kind == DROVER__V1__FRAME__KIND__END)
        take_end_locked(call, f);
    else
        r = error_set(&why, STATUS_INVALID_ARGUMENT, "%s sent a frame of kind %d, which servers do not",
                      c->text, (int)f->kind);
    if (call && r < 0) { /* one bad answer fails its call; the connection goes on */
        send_short_locked(call, DROVER__V1__FRAME__KIND__CANCEL, 0);
        client_finish_locked(call, &why, NULL);
    }
    pthread_mutex_unlock(&c->lock);
    return 0;
}

/* What was begun on an earlier connection goes on, if it can. */
void client_connected_locked(struct rpc_client *c, bool restarted)
{
    struct error why;
    list_for_each(l, next, &c->all_calls)
    {
        struct client_call *call = container_of(l, struct client_call, link);
        if (call->sent && restarted && call->last) {
            error_set(&why, STATUS_DATA_LOSS,
                      "%s was restarted and does not have this stream any more: start it anew", c->text);
            client_finish_locked(call, &why, NULL);
        } else if (call->sent && restarted && call->once) {
            error_set(
                &why, STATUS_UNAVAILABLE,
                "%s was restarted while %s was in progress: whether it was carried out is not known here",
                c->text, call->method->name);
            client_finish_locked(call, &why, NULL);
        } else if (call->last) {
            send_short_locked(call, DROVER__V1__FRAME__KIND__RESUME, call->last);
            call->credited = call->last;
        } else if (send_request_locked(call, NULL, &why) == -STATUS_RESOURCE_EXHAUSTED) {
            client_finish_locked(call, &why, NULL);
        }
    }
}

void client_lost_locked(struct rpc_client *c, const struct error *why)
{
    list_for_each(l, next, &c->all_calls)
    {
        struct client_call *call = container_of(l, struct client_call, link);
        if (call->sent && !call->once && !call->stream)
            client_finish_locked(call, why, NULL);
    }
}

int64_t client_expire_locked(struct rpc_client *c, int64_t now)
{
    int64_t next_time = INT64_MAX;
    list_for_each(l, next, &c->all_calls)
    {
        struct client_call *call = container_of(l, struct client_call, link);
        if (call->deadline <= now) {
            struct error why;
            if (c->up)
                error_set(&why, STATUS_DEADLINE_EXCEEDED, "%s did not answer %s in time", c->text,
                          call->method->name);
            else
                error_set(&why, STATUS_DEADLINE_EXCEEDED, "%s: no connection in time: %s", call->method->name,
                          c->why.text);
            send_short_locked(call, DROVER__V1__FRAME__KIND__CANCEL, 0);
            client_finish_locked(call, &why, NULL);
        } else if (call->deadline < next_time) {
            next_time = call->deadline;
        }
    }
    return next_time;
}
