/* Frames that come from clients. */
#include "common/rpc/server.h"

#include "common/base/memory.h"
#include "common/rpc/wire.h"

#include <stdio.h>

/* "drover.v1.Agent/Prepare" */
static struct service_entry *find_method(struct rpc_server *s, const char *name, unsigned *ret_index)
{
    const char *slash = strrchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : 0;
    struct service_entry *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; slash && !found && i < s->service_count; i++) {
        const ProtobufCServiceDescriptor *d = s->services[i]->service->descriptor;
        if (strncmp(d->name, name, n) != 0 || d->name[n])
            continue;
        const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(d, slash + 1);
        if (m) {
            found = s->services[i];
            *ret_index = (unsigned)(m - d->methods);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static bool same_peer(const struct conn *a, const struct conn *b)
{
    const struct rpc_peer *x = conn_peer(a), *y = conn_peer(b);
    return x->role == y->role && streq(x->name, y->name);
}

static int check_caller(const struct service_entry *e, const char *method, const struct rpc_peer *peer,
                        struct error *err)
{
    if (!e)
        return error_set(
            err, STATUS_UNIMPLEMENTED,
            "%.200s is not known here (Drover %s): is this the right program, and of the same version?",
            method, DROVER_VERSION);
    if (peer->role & e->roles)
        return 0;
    char needed[64];
    peer_roles_text(e->roles, needed, sizeof(needed));
    return error_set(
        err, STATUS_PERMISSION_DENIED, "%.200s may be called by: %s; %s at %s is %s%s", method, needed,
        peer->name[0] ? peer->name : "the caller", peer->address, peer_role_name(peer->role),
        peer->role == RPC_NOBODY ? " (make the user a member of the group in the configuration)" : "");
}

/* Copies what must outlive the frame. */
static int copy_metadata(struct rpc_call *call, const Drover__V1__Frame *f, struct error *err)
{
    ProtobufCAllocator *a = &call->arena.allocator;
    size_t n = f->n_metadata;
    const char **list = n ? a->alloc(a->allocator_data, (2 * n + 1) * sizeof(char *)) : NULL;
    for (size_t i = 0; list && i < 2 * n; i++) {
        const char *text = i % 2 ? f->metadata[i / 2]->value : f->metadata[i / 2]->key;
        size_t len = strlen(text) + 1;
        char *copy = a->alloc(a->allocator_data, len);
        if (!copy)
            list = NULL;
        else
            list[i] = memcpy(copy, text, len);
    }
    if (n && !list)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%zu metadata entries need too much memory", n);
    if (list)
        list[2 * n] = NULL;
    call->metadata = list;
    return 0;
}

/* A repeated call: attaches to the one in progress, or gives the stored answer. True when it was one. */
static bool repeat_locked(struct rpc_server *s, struct server_conn *p, const struct call_id *id,
                          const Drover__V1__Frame *f)
{
    struct idmap_node *n = idmap_get(&s->calls, id);
    struct answer *answer = n ? NULL : answers_get(&s->answers, id);
    if (!n && !answer)
        return false;
    struct rpc_call *call = n ? container_of(n, struct rpc_call, node) : NULL;
    if (answer && answer->owner == p->account) {
        if (answer->code != STATUS_OK) {
            call_send_end(p->conn, id, 0, answer->code, (const char *)answer->bytes,
                          (ProtobufCBinaryData){0});
        } else {
            Drover__V1__Frame reply = FRAME(RESPONSE, .call = {sizeof(*id), (uint8_t *)id->bytes},
                                            .payload = {answer->len, answer->bytes});
            conn_send(p->conn, &reply, NULL, NULL);
        }
        return true;
    }
    if (call && same_peer(call->origin, p->conn)) {
        if (call->stream && stream_resume_locked(call, p, 0, f->credit))
            return true;
        if (call->once && !call->stream) {
            call->at = p;
            return true;
        }
    }
    call_send_end(p->conn, id, 0, STATUS_INVALID_ARGUMENT, "this call id was used before",
                  (ProtobufCBinaryData){0});
    return true;
}

/* Puts the call in the table; refuses what goes over a bound. */
static int admit_locked(struct rpc_server *s, struct server_conn *p, struct rpc_call *call, struct error *err)
{
    if (s->closing)
        return error_set(err, STATUS_UNAVAILABLE, "the server is shutting down");
    uint32_t max = s->config.limits.calls;
    unsigned here = 0;
    if (p->account->calls >= max)
        list_for_each(l, next, &s->all_calls) here += container_of(l, struct rpc_call, link)->at == p;
    if (here >= max || p->account->calls >= 4 * max)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "%u calls are in progress here for %s, the limit: wait for some of them",
                         p->account->calls, p->account->key);
    if (call->once && !answers_room(&s->answers, s->once_calls, clock_monotonic_ms()))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "%u answers are kept for calls that may be repeated, the limit: try again later",
                         s->config.limits.stored_answers);
    s->once_calls += call->once;
    p->account->calls++;
    call->account = p->account;
    call->at = p;
    call->listed = true;
    rpc_call_ref(call);
    idmap_put(&s->calls, &call->node);
    link_append(&s->all_calls, &call->link);
    return 0;
}

static void on_request(struct rpc_server *s, struct server_conn *p, const struct call_id *id,
                       const Drover__V1__Frame *f)
{
    struct error why = {0};
    struct rpc_call *call = new0(struct rpc_call);
    call->refs = 1;
    call->node.id = *id;
    call->server = s;
    call->origin = conn_ref(p->conn);
    call->once = f->flags & DROVER__V1__FRAME__FLAG__ONCE;
    call->stream = f->flags & DROVER__V1__FRAME__FLAG__STREAM;
    call->default_deadline = f->flags & DROVER__V1__FRAME__FLAG__DEFAULT_DEADLINE;
    call->window = f->credit ? f->credit : 1;
    call->handler = true;
    call->deadline = f->remaining_ms && f->remaining_ms < INT64_MAX / 2
                         ? clock_monotonic_ms() + (int64_t)f->remaining_ms
                         : INT64_MAX;
    call->items_end = &call->items;
    link_init(&call->link);
    link_init(&call->children);
    arena_init(&call->arena, call->memory, sizeof(call->memory), s->config.limits.unpack_bytes);
    atomic_fetch_add(&s->refs, 1);

    pthread_mutex_lock(&s->lock);
    bool repeated = repeat_locked(s, p, id, f);
    int r = repeated ? 0 : admit_locked(s, p, call, &why);
    pthread_mutex_unlock(&s->lock);
    if (repeated || r < 0) {
        if (!repeated)
            call_send_end(p->conn, id, 0, why.code, why.text, (ProtobufCBinaryData){0});
        rpc_call_unref(call);
        return;
    }
    if (call->deadline != INT64_MAX)
        alarm_at(s->alarm, call->deadline);
    call->entry = find_method(s, f->method, &call->method);
    r = check_caller(call->entry, f->method, conn_peer(p->conn), &why);
    if (r == 0)
        r = copy_metadata(call, f, &why);
    if (r == 0) {
        const ProtobufCMethodDescriptor *m = &call->entry->service->descriptor->methods[call->method];
        r = wire_unpack(m->input, f->payload.data, f->payload.len, &call->arena,
                        (ProtobufCMessage **)&call->request, &why);
    }
    if (r < 0)
        call_end(call, &why, NULL);
    else
        server_dispatch(call);
}

static void on_credit_locked(struct rpc_server *s, struct server_conn *p, const struct call_id *id,
                             uint64_t sequence, struct rpc_call **ret_done)
{
    struct idmap_node *n = idmap_get(&s->calls, id);
    struct rpc_call *call = n ? container_of(n, struct rpc_call, node) : NULL;
    if (call && call->at == p && call->stream && stream_taken_locked(call, sequence)) {
        call_unlist_locked(call);
        *ret_done = call;
    }
    struct answer *answer = n ? NULL : answers_get(&s->answers, id);
    if (answer && answer->owner == p->account)
        answers_taken(&s->answers, answer);
}

static void on_cancel_locked(struct rpc_server *s, struct server_conn *p, const struct call_id *id,
                             struct rpc_call **ret_done)
{
    struct idmap_node *n = idmap_get(&s->calls, id);
    struct rpc_call *call = n ? container_of(n, struct rpc_call, node) : NULL;
    if (!call || call->at != p)
        return;
    call_cancel_locked(call);
    if (call->stream) {
        stream_drop_locked(call);
        if (!call->handler) {
            call_unlist_locked(call);
            *ret_done = call;
        }
    }
}

int server_on_frame(void *owner, struct conn *conn, const Drover__V1__Frame *f, struct error *err)
{
    struct server_conn *p = owner;
    struct rpc_server *s = p->server;
    struct rpc_call *done = NULL;
    struct call_id id;
    if (f->kind ==
        DROVER__V1__FRAME__KIND__GOAWAY) { /* the client ends for good: what it began is cancelled */
        pthread_mutex_lock(&s->lock);
        list_for_each(l, next, &s->all_calls)
        {
            struct rpc_call *call = container_of(l, struct rpc_call, link);
            if (call->at == p && !call->once)
                call_cancel_locked(call), stream_drop_locked(call);
        }
        pthread_mutex_unlock(&s->lock);
        return error_set(err, STATUS_UNAVAILABLE, "the client says goodbye");
    }
    if (f->call.len != sizeof(id))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a frame of kind %d with a call id of %zu bytes instead of 16", (int)f->kind,
                         f->call.len);
    memcpy(&id, f->call.data, sizeof(id));
    switch (f->kind) {
    case DROVER__V1__FRAME__KIND__REQUEST: on_request(s, p, &id, f); return 0;
    case DROVER__V1__FRAME__KIND__CREDIT:
        pthread_mutex_lock(&s->lock);
        on_credit_locked(s, p, &id, f->sequence, &done);
        break;
    case DROVER__V1__FRAME__KIND__CANCEL:
        pthread_mutex_lock(&s->lock);
        on_cancel_locked(s, p, &id, &done);
        break;
    case DROVER__V1__FRAME__KIND__RESUME: {
        pthread_mutex_lock(&s->lock);
        struct idmap_node *n = idmap_get(&s->calls, &id);
        struct rpc_call *call = n ? container_of(n, struct rpc_call, node) : NULL;
        if (!call || !call->stream || !same_peer(call->origin, conn) ||
            !stream_resume_locked(call, p, f->sequence, f->credit))
            call_send_end(conn, &id, 0, STATUS_DATA_LOSS,
                          "the server does not have this stream any more: start it anew",
                          (ProtobufCBinaryData){0});
        break;
    }
    default:
        return error_set(err, STATUS_INVALID_ARGUMENT, "a client does not send frames of kind %d",
                         (int)f->kind);
    }
    pthread_mutex_unlock(&s->lock);
    if (done)
        rpc_call_unref(done);
    return 0;
}

void server_detach_locked(struct server_conn *p)
{
    struct rpc_server *s = p->server;
    int64_t now = clock_monotonic_ms();
    list_for_each(l, next, &s->all_calls)
    {
        struct rpc_call *call = container_of(l, struct rpc_call, link);
        if (call->at != p)
            continue;
        call->at = NULL;
        call->kept_until = now + STREAM_KEPT_MS;
        if (!call->once && !call->stream)
            call_cancel_locked(call); /* its client has given it up, too */
        alarm_at(s->alarm, call->kept_until);
    }
}

int64_t server_expire_locked(struct rpc_server *s, int64_t now)
{
    int64_t next_time = INT64_MAX;
    list_for_each(l, next, &s->all_calls)
    {
        struct rpc_call *call = container_of(l, struct rpc_call, link);
        if (!call->cancelled && (call->deadline <= now || (!call->at && call->kept_until <= now))) {
            if (call->at &&
                call->handler) /* before the handler, which will soon say something less to the point */
                call_send_end(call->at->conn, &call->node.id, 0, STATUS_DEADLINE_EXCEEDED,
                              "the deadline has passed while the call was in progress",
                              (ProtobufCBinaryData){0});
            call_cancel_locked(call);
        }
        if (call->stream && !call->at && (call->kept_until <= now || call->cancelled)) {
            stream_drop_locked(call);
            if (!call->handler) {
                call_unlist_locked(call);
                rpc_call_unref(
                    call); /* never the last reference that needs the lock: the server outlives it */
                continue;
            }
        }
        int64_t when = call->cancelled ? INT64_MAX : call->deadline;
        if (!call->at && !call->cancelled && call->kept_until < when)
            when = call->kept_until;
        if (when < next_time)
            next_time = when;
    }
    return next_time;
}
