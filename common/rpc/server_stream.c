/* Items of a stream: numbered, kept until the client says that it has taken them, sent as far as its window allows. */
#include "common/rpc/server.h"

#include "common/base/memory.h"

static void push(struct rpc_call *call, struct stream_item *item)
{
    item->sequence = ++call->last;
    *call->items_end = item;
    call->items_end = &item->next;
    call->item_count++;
    call->item_bytes += item->len + item->details_len;
}

static bool send_item(struct rpc_call *call, struct stream_item *item)
{
    struct conn *conn = call->at->conn;
    if (item->end) {
        call_send_end(conn, &call->node.id, item->sequence, item->code, (const char *)item->bytes,
                      (ProtobufCBinaryData){item->details_len, item->bytes + item->len + 1});
        return true;
    }
    Drover__V1__Frame f = FRAME(ITEM, .call = {16, call->node.id.bytes}, .sequence = item->sequence,
                                .payload = {item->len, item->bytes});
    return conn_send(conn, &f, NULL, NULL) == 0;
}

/* The END needs no credit: without it the client would never learn of it. */
void stream_send_locked(struct rpc_call *call)
{
    if (!call->at)
        return;
    for (struct stream_item *i = call->items; i; i = i->next) {
        if (i->sequence <= call->sent)
            continue;
        if (!i->end && i->sequence > call->taken + call->window)
            break;
        if (!send_item(call, i))
            break;
        call->sent = i->sequence;
    }
}

/* Half of the window is free: worth waking the handler for. */
bool stream_room_locked(const struct rpc_call *call)
{
    const struct rpc_limits *l = &call->server->config.limits;
    return call->item_count <= l->stream_items / 2 && call->item_bytes <= l->queued_bytes / 2;
}

bool stream_taken_locked(struct rpc_call *call, uint64_t sequence)
{
    bool end = false;
    while (call->items && call->items->sequence <= sequence) {
        struct stream_item *i = call->items;
        call->items = i->next;
        if (!call->items)
            call->items_end = &call->items;
        call->item_count--;
        call->item_bytes -= i->len + i->details_len;
        end = i->end;
        free(i);
    }
    if (sequence > call->taken && sequence <= call->last)
        call->taken = sequence;
    stream_send_locked(call);
    if (!call->ready && stream_room_locked(call)) {
        call->ready = true;
        notice_locked(call);
    }
    return end && !call->handler;
}

void stream_drop_locked(struct rpc_call *call)
{
    if (call->stream && !call->forgotten) {
        call->forgotten = true;
        call->at = NULL;
        call->kept_until = 0;
        stream_taken_locked(call, UINT64_MAX);
    }
}

void stream_end_locked(struct rpc_call *call, const struct error *why, const ProtobufCMessage *details)
{
    size_t len = strlen(why->text), details_len = details ? protobuf_c_message_get_packed_size(details) : 0;
    struct stream_item *item = xcalloc(1, sizeof(*item) + len + 1 + details_len);
    item->end = true;
    item->code = why->code;
    item->len = len;
    item->details_len = details_len;
    memcpy(item->bytes, why->text, len);
    if (details)
        protobuf_c_message_pack(details, item->bytes + len + 1);
    push(call, item);
    stream_send_locked(call);
}

bool stream_resume_locked(struct rpc_call *call, struct server_conn *p, uint64_t sequence, uint32_t window)
{
    if (call->forgotten || sequence < call->taken || sequence > call->last)
        return false;
    call->at = p;
    call->window = window ? window : 1;
    call->sent = sequence;
    stream_taken_locked(call, sequence);
    return true;
}

int rpc_call_item(struct rpc_call *call, const ProtobufCMessage *message)
{
    struct rpc_server *s = call->server;
    size_t len = protobuf_c_message_get_packed_size(message);
    if (len + 256 > s->config.limits.frame_bytes)
        return -STATUS_OUT_OF_RANGE; /* it will never fit: another word than for a full window */
    struct stream_item *item = xcalloc(1, sizeof(*item) + len);
    item->len = len;
    protobuf_c_message_pack(message, item->bytes);
    int r = 0;
    pthread_mutex_lock(&s->lock);
    call->stream = true; /* also for a client that did not know it */
    if (call->default_deadline)
        call->deadline = INT64_MAX;
    if (call->cancelled || call->forgotten || !call->handler || !call->listed) {
        r = -STATUS_CANCELLED;
    } else if (call->item_count >= s->config.limits.stream_items ||
               (call->item_count && call->item_bytes + len > s->config.limits.queued_bytes)) {
        r = -STATUS_RESOURCE_EXHAUSTED;
        call->ready = false;
    } else {
        push(call, item);
        item = NULL;
        stream_send_locked(call);
    }
    pthread_mutex_unlock(&s->lock);
    free(item);
    return r;
}
