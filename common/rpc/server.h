/* Inside the server: what server.c (listeners, connections), server_request.c (frames in), server_dispatch.c (to handlers),
 * server_call.c (what handlers call) and server_stream.c (items) share.
 *
 * One lock guards all of a server and its calls. It may be held when a connection's lock, the loop's or a client's is
 * taken, never the other way round, and never while a handler or a callback runs.
 *
 * A call is in server->calls from its REQUEST until the client has its answer: a unary call until it ends, a stream
 * until the client has taken its END, has cancelled, or has stayed away too long. References: the table's, the
 * handler's (until the call ends), and those of whoever else holds it. A call holds its server's memory. */
#pragma once

#include "common/rpc/alarm.h"
#include "common/rpc/answers.h"
#include "common/rpc/conn.h"
#include "common/rpc/idmap.h"
#include "common/rpc/list.h"
#include "common/rpc/peer.h"
#include "common/rpc/rpc.h"

#include <pthread.h>
#include <stdatomic.h>

#define STREAM_KEPT_MS 30000

struct service_entry {
    ProtobufCService *service;
    unsigned roles;
    enum rpc_dispatch dispatch;
};

/* What one peer may take, over all its connections and those it has lost, and what of it waits for a handler. */
struct account {
    struct account *next;
    char key[2 * 128];
    unsigned calls;
    struct waiting {
        struct rpc_call *first, *last;
    } waiting[2];                 /* for the loop, for a worker */
    struct account *next_turn[2]; /* in struct turns */
};

/* Peers that have calls waiting, served in turn. */
struct turns {
    unsigned kind; /* index in struct account */
    struct account *first, *last;
};

struct listener {
    struct rpc_server *server;
    nng_stream_listener *listener;
    nng_aio *aio;
    struct url url;
    char text[600]; /* with the real port */
    unsigned connections;
    bool resting; /* out of descriptors: sleeps before it accepts again */
};

struct server_conn {
    struct link link; /* server->conns */
    struct server_conn *next_dead;
    struct rpc_server *server;
    struct listener *listener;
    struct conn *conn;
    struct account *account; /* once up */
};

struct stream_item {
    struct stream_item *next;
    uint64_t sequence;
    bool end;
    enum status_code code;
    size_t len,
        details_len; /* of the packed message; for END of the text, and of the packed details after it */
    uint8_t bytes[];
};

struct child {
    struct link link; /* call->children */
    struct rpc_client *client;
    uint64_t id;
};

struct rpc_call {
    atomic_uint refs;
    struct idmap_node node; /* server->calls */
    struct link link;       /* server->all_calls */
    struct rpc_server *server;
    struct conn *origin;     /* where it came from first: for the peer's name */
    struct server_conn *at;  /* where answers go; NULL while the client is away */
    struct account *account; /* charged while the call is in the table */
    struct service_entry *entry;
    unsigned method;
    bool once, stream;
    bool handler;   /* the handler holds the call: it has not ended it yet */
    bool listed;    /* in the table */
    bool forgotten; /* nobody wants the answer any more */
    atomic_bool cancelled;
    bool noticed;          /* in server->notices */
    bool ready;            /* a stream that was full has room again */
    bool default_deadline; /* void once it turns out to be a stream */
    int64_t deadline;      /* clock_monotonic_ms; INT64_MAX: none */
    int64_t kept_until;
    void (*on_cancel)(void *arg), (*on_ready)(void *arg);
    void *cancel_arg, *ready_arg;
    struct rpc_call *next_ready, *next_notice;
    struct link children;

    struct stream_item *items, **items_end; /* not yet taken by the client */
    uint64_t last, sent, taken;             /* sequence numbers */
    size_t item_count, item_bytes;
    uint32_t window;

    const ProtobufCMessage *request;
    const char **metadata; /* key, value, ..., NULL; in the arena */
    struct arena arena;
    char memory[768];
};

struct rpc_server {
    atomic_uint refs;
    struct rpc_server_config config;
    char *ipc_group;
    uint8_t instance[16];
    struct service_entry **services;
    unsigned service_count;
    struct listener **listeners;
    unsigned listener_count;
    struct alarm *alarm;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    bool closing;
    struct link conns, all_calls;
    struct server_conn *dead;
    struct account *accounts;
    struct idmap calls;
    struct answers answers;
    unsigned once_calls; /* in the table */
    unsigned running;    /* handlers on workers */
    struct turns for_loop, for_workers;
    struct rpc_call *notices;
    bool loop_posted, notices_posted;
    unsigned refused_posted, refused_hidden;
};

/* server.c */
void server_unref(struct rpc_server *s);
void server_report(struct rpc_server *s, const struct rpc_peer *peer, const struct error *why);

/* server_request.c */
int server_on_frame(void *owner, struct conn *conn, const Drover__V1__Frame *f, struct error *err);
void server_detach_locked(struct server_conn *p);                /* its connection is gone */
int64_t server_expire_locked(struct rpc_server *s, int64_t now); /* returns when to look again */

/* server_dispatch.c */
void server_dispatch(struct rpc_call *call);
void server_drop_waiting(struct rpc_server *s);

/* server_call.c */
void call_reply(const ProtobufCMessage *reply, void *call);
void call_cancel_locked(struct rpc_call *call);
void call_unlist_locked(
    struct rpc_call *call); /* takes it out of the table; the caller then drops the table's reference */
void notice_locked(struct rpc_call *call);
void server_run_notices(struct rpc_server *s);
void call_end(struct rpc_call *call, const struct error *why, const ProtobufCMessage *details);
void call_send_end(struct conn *conn, const struct call_id *id, uint64_t sequence, enum status_code code,
                   const char *text, ProtobufCBinaryData details);
void call_add_child(const struct rpc_call *parent, struct child *child);
void call_remove_child(const struct rpc_call *parent, struct child *child);

/* server_stream.c */
void stream_end_locked(struct rpc_call *call, const struct error *why, const ProtobufCMessage *details);
void stream_send_locked(struct rpc_call *call);
bool stream_taken_locked(struct rpc_call *call, uint64_t sequence); /* true: the END, too: nothing is left */
bool stream_room_locked(const struct rpc_call *call);
void stream_drop_locked(struct rpc_call *call);
bool stream_resume_locked(struct rpc_call *call, struct server_conn *p, uint64_t sequence, uint32_t window);
