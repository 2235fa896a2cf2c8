/* Inside the client: what client.c (connection), client_call.c (calls) and sync.c share.
 *
 * One lock guards a client; a connection's lock and the loop's may be taken under it. User's functions never run under
 * it: what they are to be told becomes an event, and events run in order, one at a time, on the loop (without a loop:
 * on an nng thread). A call is in client->calls until it has ended; then its `done` event owns it. */
#pragma once

#include "common/rpc/alarm.h"
#include "common/rpc/conn.h"
#include "common/rpc/idmap.h"
#include "common/rpc/list.h"
#include "common/rpc/peer.h"
#include "common/rpc/rpc.h"
#include "common/rpc/server.h"

#include <pthread.h>
#include <stdatomic.h>

struct event {
    struct event *next;
    struct client_call *call;        /* NULL: the state of the connection */
    const ProtobufCMessage *message; /* in the arena; NULL: the end */
    struct error *why;               /* NULL: STATUS_OK */
    ProtobufCBinaryData details;     /* malloc'ed */
    bool up;
    struct arena arena;
    char memory[512];
};

struct client_call {
    struct idmap_node node; /* client->calls */
    struct link link;       /* client->all_calls, in the order of their making */
    struct rpc_client *client;
    const ProtobufCServiceDescriptor *service;
    const ProtobufCMethodDescriptor *method;
    ProtobufCClosure closure;
    void *closure_data;
    int64_t deadline;
    bool once, stream, sent;
    bool default_deadline;
    bool direct; /* the closure runs where the end is noticed, under the lock: rpc_call_sync's own */
    ProtobufCBinaryData request; /* packed, malloc'ed: when it may have to be sent later, or again */
    Drover__V1__Metadata **metadata;
    size_t metadata_count;
    uint64_t last, taken, credited; /* items that came, that the closure has had, that the server knows of */
    struct rpc_call *parent;
    struct child child;
    struct event done;
};

struct rpc_client {
    atomic_uint refs;
    struct rpc_client_config config;
    char *text; /* the URL */
    char *peer_name;
    struct url url;
    uint8_t id[8];
    _Atomic uint64_t counter;
    nng_stream_dialer *dialer;
    nng_aio *dial;
    struct alarm *alarm;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct conn *conn, *dead;
    bool up, dialing, closing, told;
    uint8_t instance[16];
    bool has_instance;
    int64_t retry_at;
    uint32_t backoff;
    struct error why; /* it is down */
    struct idmap calls;
    struct link all_calls;
    struct event *events, **events_end;
    bool posted, running;
};

/* client.c */
void client_unref(struct rpc_client *c);
void client_push_locked(struct rpc_client *c, struct event *e);
void client_wake(struct rpc_client *c,
                 bool here); /* `here`: on an nng thread, where closures may run when there is no loop */

/* client_call.c */
uint64_t client_invoke(struct rpc_stub *stub, unsigned method, const ProtobufCMessage *input,
                       ProtobufCClosure closure, void *closure_data, bool direct);
int client_on_frame(void *owner, struct conn *conn, const Drover__V1__Frame *f, struct error *err);
void client_connected_locked(struct rpc_client *c, bool restarted);
void client_lost_locked(struct rpc_client *c, const struct error *why);
int64_t client_expire_locked(struct rpc_client *c, int64_t now);
void client_finish_locked(struct client_call *call, const struct error *why,
                          const ProtobufCBinaryData *details);
void client_run_event(struct rpc_client *c, struct event *e);
