/* What handlers do with a call. */
#include "common/rpc/server.h"

#include "common/base/memory.h"

struct rpc_call *rpc_call_ref(struct rpc_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    return call;
}

void rpc_call_unref(struct rpc_call *call)
{
    if (!call || atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct rpc_server *s = call->server;
    while (call->items) {
        struct stream_item *next = call->items->next;
        free(call->items);
        call->items = next;
    }
    arena_clear(&call->arena, 0);
    conn_unref(call->origin);
    free(call);
    server_unref(s);
}

void call_unlist_locked(struct rpc_call *call)
{
    struct rpc_server *s = call->server;
    if (!call->listed)
        return;
    call->listed = false;
    call->at = NULL;
    idmap_remove(&s->calls, &call->node);
    link_remove(&call->link);
    s->once_calls -= call->once;
    call->account->calls--;
}

void call_send_end(struct conn *conn, const struct call_id *id, uint64_t sequence, enum status_code code,
                   const char *text, ProtobufCBinaryData details)
{
    Drover__V1__Frame end = FRAME(END, .call = {sizeof(*id), (uint8_t *)id->bytes}, .sequence = sequence,
                                  .status = code, .text = (char *)text, .details = details);
    conn_send(conn, &end, NULL, NULL);
}

static void end_unary(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *why,
                      ProtobufCBinaryData details)
{
    struct rpc_server *s = call->server;
    struct error late = {0};
    uint8_t *packed = NULL;
    size_t len = 0;
    if (call->once && reply) {
        len = protobuf_c_message_get_packed_size(reply);
        if (len + 256 > s->config.limits.frame_bytes) {
            error_set(&late, STATUS_RESOURCE_EXHAUSTED,
                      "the answer has %zu bytes, more than a frame may have", len);
            why = &late;
            reply = NULL;
        } else {
            packed = xcalloc(1, len + 1);
            protobuf_c_message_pack(reply, packed);
        }
    }
    struct conn *conn = NULL;
    pthread_mutex_lock(&s->lock);
    call->handler = false;
    bool listed = call->listed;
    if (call->at)
        conn = conn_ref(call->at->conn);
    if (listed && call->once && !s->closing) {
        int64_t now = clock_monotonic_ms();
        int64_t expires = call->deadline == INT64_MAX ? now + 600000 : call->deadline;
        if (why)
            answers_put(&s->answers, &call->node.id, call->account, expires, now, why->code, why->text,
                        strlen(why->text));
        else
            answers_put(&s->answers, &call->node.id, call->account, expires, now, STATUS_OK, packed, len);
    }
    call_unlist_locked(call);
    pthread_mutex_unlock(&s->lock);
    if (conn && reply) {
        Drover__V1__Frame f = FRAME(RESPONSE, .call = {16, call->node.id.bytes}, .payload = {len, packed});
        if (conn_send(conn, &f, packed ? NULL : reply, &late) == -STATUS_RESOURCE_EXHAUSTED)
            why = &late;
    }
    if (conn && why)
        call_send_end(conn, &call->node.id, 0, why->code, why->text, details);
    conn_unref(conn);
    free(packed);
    if (listed)
        rpc_call_unref(call);
}

/* Ends the call with a reply, or with `why`; both NULL: nobody is told. Drops the handler's reference. */
static void finish(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *why,
                   const ProtobufCMessage *details)
{
    struct rpc_server *s = call->server;
    pthread_mutex_lock(&s->lock);
    if (!call->handler) {
        pthread_mutex_unlock(&s->lock);
        return; /* a second end of a call to which somebody holds a reference */
    }
    call->on_cancel = call->on_ready = NULL;
    bool stream = call->stream && !reply && why;
    bool done = false;
    if (stream) {
        call->handler = false;
        if (call->listed && !call->forgotten && !s->closing) {
            stream_end_locked(call, why, details);
        } else if (call->listed) {
            call_unlist_locked(call);
            done = true;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (done)
        rpc_call_unref(call);
    if (!stream) {
        ProtobufCBinaryData d = {0};
        if (details) {
            d.len = protobuf_c_message_get_packed_size(details);
            d.data = xcalloc(1, d.len + 1);
            protobuf_c_message_pack(details, d.data);
        }
        end_unary(call, reply, why, d);
        free(d.data);
    }
    rpc_call_unref(call);
}

void call_reply(const ProtobufCMessage *reply, void *arg)
{
    struct error none;
    if (!reply)
        error_set(&none, STATUS_INTERNAL, "the handler gave no message");
    finish(arg, reply, reply ? NULL : &none, NULL);
}

void call_end(struct rpc_call *call, const struct error *why, const ProtobufCMessage *details)
{
    finish(call, NULL, why, details);
}

void rpc_call_fail(struct rpc_call *call, const struct error *why)
{
    rpc_call_fail_with(call, why, NULL);
}

void rpc_call_fail_with(struct rpc_call *call, const struct error *why, const ProtobufCMessage *details)
{
    struct error unknown;
    if (!why || why->code == STATUS_OK)
        error_set(&unknown, STATUS_UNKNOWN, "the handler gave no reason");
    finish(call, NULL, why && why->code != STATUS_OK ? why : &unknown, details);
}

void rpc_call_end(struct rpc_call *call)
{
    static const struct error ok = {.code = STATUS_OK};
    pthread_mutex_lock(&call->server->lock);
    call->stream = true;
    pthread_mutex_unlock(&call->server->lock);
    finish(call, NULL, &ok, NULL);
}

/* Marks it, passes it on to calls made on its behalf, and queues the handler's on_cancel. */
void call_cancel_locked(struct rpc_call *call)
{
    if (call->cancelled)
        return;
    call->cancelled = true;
    list_for_each(l, next, &call->children)
    {
        struct child *child = container_of(l, struct child, link);
        rpc_client_cancel(child->client, child->id);
    }
    notice_locked(call);
}

static void run_posted(void *arg)
{
    struct rpc_server *s = arg;
    pthread_mutex_lock(&s->lock);
    s->notices_posted = false;
    pthread_mutex_unlock(&s->lock);
    server_run_notices(s);
    server_unref(s);
}

/* on_cancel and on_ready run on the loop (without a loop: on an nng thread), each at most once per request for it. */
void notice_locked(struct rpc_call *call)
{
    struct rpc_server *s = call->server;
    bool due = (call->cancelled && call->on_cancel) || (call->ready && call->on_ready);
    if (!call->handler || !due || call->noticed)
        return;
    call->noticed = true;
    call->next_notice = s->notices;
    s->notices = rpc_call_ref(call);
    if (!s->config.loop) {
        alarm_at(s->alarm, 0);
    } else if (!s->notices_posted) {
        s->notices_posted = true;
        atomic_fetch_add(&s->refs, 1);
        loop_post(s->config.loop, run_posted, s);
    }
}

void server_run_notices(struct rpc_server *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->notices) {
        struct rpc_call *call = s->notices;
        s->notices = call->next_notice;
        call->noticed = false;
        void (*fn)(void *) = NULL;
        void *arg = NULL;
        if (call->handler && call->cancelled && call->on_cancel) {
            fn = call->on_cancel;
            arg = call->cancel_arg;
            call->on_cancel = NULL;
        } else if (call->handler && call->ready && call->on_ready) {
            fn = call->on_ready;
            arg = call->ready_arg;
            call->on_ready = NULL;
        }
        notice_locked(call); /* the other one may be due, too */
        pthread_mutex_unlock(&s->lock);
        if (fn)
            fn(arg);
        rpc_call_unref(call);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

void rpc_call_on_cancel(struct rpc_call *call, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&call->server->lock);
    call->on_cancel = fn;
    call->cancel_arg = arg;
    notice_locked(call);
    pthread_mutex_unlock(&call->server->lock);
}

void rpc_call_on_ready(struct rpc_call *call, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&call->server->lock);
    call->on_ready = fn;
    call->ready_arg = arg;
    call->ready = stream_room_locked(call);
    notice_locked(call);
    pthread_mutex_unlock(&call->server->lock);
}

bool rpc_call_cancelled(const struct rpc_call *call)
{
    return call->cancelled;
}

const struct rpc_peer *rpc_call_peer(const struct rpc_call *call)
{
    return conn_peer(call->origin);
}

int64_t rpc_call_remaining_ms(const struct rpc_call *call)
{
    if (call->deadline == INT64_MAX)
        return INT64_MAX;
    int64_t left = call->deadline - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

const char *rpc_call_metadata(const struct rpc_call *call, const char *key)
{
    for (unsigned i = 0; call->metadata && call->metadata[i]; i += 2)
        if (streq(call->metadata[i], key))
            return call->metadata[i + 1];
    return NULL;
}

void call_add_child(const struct rpc_call *parent, struct child *child)
{
    struct rpc_call *call =
        (struct rpc_call *)parent; /* the caller may only look at its parent; the list is ours */
    pthread_mutex_lock(&call->server->lock);
    link_append(&call->children, &child->link);
    pthread_mutex_unlock(&call->server->lock);
}

void call_remove_child(const struct rpc_call *parent, struct child *child)
{
    pthread_mutex_lock(&parent->server->lock);
    link_remove(&child->link);
    pthread_mutex_unlock(&parent->server->lock);
}
