/* RPC in gRPC's style on nng's byte streams: unary calls and server streams, deadlines, cancellation, canonical status
 * codes. Services are protobuf-c's: adding a method is a line in a .proto and a handler.
 *
 * Threads. Everything here is called on the loop given in the configuration, and calls back on it, except where a
 * service asks for RPC_INLINE or RPC_ON_WORKER. A client without a loop calls back on nng's threads, one call at a time:
 * for tests, benchmarks and rpc_call_sync only (rpc_client_free must then not be called from a closure).
 *
 * URLs: ipc:///path (the peer's uid and group are checked), tls+tcp://host:port (both sides show a certificate),
 * tcp://host:port (a lab; nobody is checked). */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/loop.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- who is at the other end ------------------------------------------------------------------------------------ */

/* From the certificate's URI SAN, drover://ROLE/NAME; on ipc:// root and members of the configured group are operators. */
enum rpc_role { RPC_NOBODY = 0, RPC_AGENT = 1, RPC_COORDINATOR = 2, RPC_OPERATOR = 4, RPC_ANYBODY = 7 };

struct rpc_peer {
    enum rpc_role role; /* RPC_ANYBODY on plain tcp:// */
    char name[128];     /* "kvm1", "oncall", "uid 0" */
    char address[128];  /* "10.0.0.11:43210", "ipc" */
};

/* Credentials: the CA that peers must be signed by, and one PEM file with this program's certificate and key. Files that
 * have changed (time, inode or size) are read again at the next handshake: rotation without restart. Bad new files leave
 * the old ones in use; rpc_tls_check says so.
 *
 * A server takes any certificate of the CA with the extended key usage clientAuth and one URI SAN drover://ROLE/NAME.
 * A client wants serverAuth, the role and the name it expects, and, when it expects no name, a DNS or IP SAN that fits
 * the host of its URL. */
struct rpc_tls;
int rpc_tls_new(const char *ca_file, const char *cert_file, struct rpc_tls **ret, struct error *err);

/* Reads files that have changed; fails while the files as they are can't be used. Any thread. For a program to call now
 * and then, to log what it returns: nothing else tells of a rotation that went wrong. */
int rpc_tls_check(struct rpc_tls *tls, struct error *err);
void rpc_tls_free(struct rpc_tls *tls);
DEFINE_CLEANUP(struct rpc_tls *, rpc_tls_free);

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

/* 0 means the default in brackets. */
struct rpc_limits {
    uint32_t frame_bytes;  /* one frame, checked before allocating [4 MiB] */
    uint32_t unpack_bytes; /* memory that unpacking one message may take [16 MiB] */
    uint32_t calls;        /* in flight per connection [256] */
    uint32_t
        queued_bytes; /* waiting to be written per connection; items of one stream; stored answers [16 MiB] */
    uint32_t connections;  /* per listener [1024] */
    uint32_t handshake_ms; /* TLS handshake and first frame [3000] */
    uint32_t
        keepalive_ms; /* a ping when idle for so long; the connection is dead after two without an answer [5000] */
    uint32_t stream_items;   /* window of a server stream, items not yet taken by the client [64] */
    uint32_t stored_answers; /* answers kept for repeated calls (rpc_stub.once), per listener [4096] */
};

/* ---- server ------------------------------------------------------------------------------------------------------ */

struct rpc_server;
struct rpc_call;

enum rpc_dispatch {
    RPC_ON_LOOP,   /* handlers run on the server's loop and must not block */
    RPC_ON_WORKER, /* handlers run on a worker thread and may block */
    RPC_INLINE,    /* handlers run on nng's thread: short and never blocking */
};

struct rpc_server_config {
    struct loop *loop;
    struct workers *workers; /* needed for RPC_ON_WORKER only */
    struct rpc_tls *tls;     /* needed for tls+tcp:// only; borrowed */
    const char
        *ipc_group; /* group whose members are operators on ipc://, beside root and the server's own user */
    struct rpc_limits limits;
    /* Told on the loop, for logging, of connections that ended before they could make a call: no certificate, a wrong one,
     * a hang-up, garbage. A flood is summed up. May be NULL. */
    void (*on_refused)(void *arg, const struct rpc_peer *peer, const struct error *why);
    void *arg;
};

int rpc_server_new(const struct rpc_server_config *config, struct rpc_server **ret, struct error *err);

/* `roles`: bits of enum rpc_role that may call it. The service stays the caller's and must outlive the server. */
void rpc_server_add(struct rpc_server *server, ProtobufCService *service, unsigned roles,
                    enum rpc_dispatch dispatch);

/* May be called for several URLs. A bound TCP port 0 is replaced by the real one in rpc_server_url. */
int rpc_server_listen(struct rpc_server *server, const char *url, struct error *err);
const char *rpc_server_url(const struct rpc_server *server, unsigned index); /* NULL past the last */

/* Stops listening, ends calls in flight with UNAVAILABLE, runs their on_cancel, waits for handlers on workers, frees. A call
 * that its handler has not ended yet may be ended later: nobody hears it. Not from an RPC_INLINE handler. */
void rpc_server_free(struct rpc_server *server);
DEFINE_CLEANUP(struct rpc_server *, rpc_server_free);

/* A handler is the function that protobuf-c's service struct asks for:
 *     static void get_host(Drover__V1__Agent_Service *service, const Drover__V1__GetHostRequest *request,
 *                          Drover__V1__HostReport_Closure reply, void *call)
 * `call` is a struct rpc_call *, and the request lives as long as the call. It ends the call exactly once, now or later,
 * on any thread:
 *   unary:  reply(&message, call)               or  rpc_call_fail(call, &error)
 *   stream: rpc_call_item(call, &message.base)... then  rpc_call_end(call)  or  rpc_call_fail(call, &error)
 * After that the call is gone, unless a reference is held. A message is packed at once and stays the caller's. */
void rpc_call_fail(struct rpc_call *call, const struct error *why);

/* The same, with a message that the client gets packed from rpc_status_details; `details` may be NULL. */
void rpc_call_fail_with(struct rpc_call *call, const struct error *why, const ProtobufCMessage *details);

/* Puts an item on the stream. Returns 0, -STATUS_CANCELLED when the client is gone for good (the handler should stop and
 * end the call), -STATUS_RESOURCE_EXHAUSTED when the client does not keep up (the item was not queued; rpc_call_on_ready),
 * or -STATUS_OUT_OF_RANGE when the item is larger than a frame may be. */
int rpc_call_item(struct rpc_call *call, const ProtobufCMessage *item);
void rpc_call_end(struct rpc_call *call);

/* Runs fn(arg) once, on the loop, when the client has taken half of what was queued; for after RESOURCE_EXHAUSTED.
 * Never after the call has ended. */
void rpc_call_on_ready(struct rpc_call *call, void (*fn)(void *arg), void *arg);

/* Runs fn(arg) when nobody waits for the answer any more: the client has cancelled, the deadline has passed, the connection
 * was lost (a unary call without `once`), or the client stayed away for longer than a stream or a `once` call is kept
 * (30 s); or when the server is freed. On the loop, at most once, never after the call has ended on the loop (an end on
 * another thread may overlap with fn). The handler still ends the call. */
void rpc_call_on_cancel(struct rpc_call *call, void (*fn)(void *arg), void *arg);
bool rpc_call_cancelled(const struct rpc_call *call);

const struct rpc_peer *rpc_call_peer(const struct rpc_call *call);
int64_t rpc_call_remaining_ms(const struct rpc_call *call); /* INT64_MAX without a deadline */
const char *rpc_call_metadata(const struct rpc_call *call, const char *key); /* NULL when absent */
struct rpc_call *rpc_call_ref(struct rpc_call *call);
void rpc_call_unref(struct rpc_call *call);

/* ---- client ------------------------------------------------------------------------------------------------------ */

struct rpc_client;

struct rpc_client_config {
    const char *url;
    struct loop *loop;                       /* NULL: call back on nng's threads */
    struct rpc_tls *tls;                     /* needed for tls+tcp:// only; borrowed */
    enum rpc_role peer_role;                 /* the server must be this... */
    const char *peer_name;                   /* ...and have this name (NULL: any) */
    uint32_t backoff_min_ms, backoff_max_ms; /* reconnecting; defaults 200 and 5000 */
    struct rpc_limits limits;
    /* Told on each change: why is NULL when connected, else what went wrong. May be NULL. */
    void (*on_state)(void *arg, bool up, const struct error *why);
    void *arg;
};

/* One connection, made at once and remade when lost, for as long as the client lives. */
int rpc_client_new(const struct rpc_client_config *config, struct rpc_client **ret, struct error *err);
bool rpc_client_up(const struct rpc_client *client);

/* Ends calls in flight: their closures get NULL with CANCELLED before this returns. */
void rpc_client_free(struct rpc_client *client);
DEFINE_CLEANUP(struct rpc_client *, rpc_client_free);

/* A stub gives the next calls their options; make it on the stack and pass &stub.base to protobuf-c's functions:
 *     struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor, .timeout_ms = 5000, .once = true);
 *     drover__v1__agent__prepare(&stub.base, &request, on_prepare, arg);
 * The closure is called with each reply, which is only valid during the call, and
 *   unary:  exactly once, with NULL when it failed;
 *   stream: for each item, then exactly once with NULL at the end.
 * With NULL, rpc_status() says why (a stream's good end is STATUS_OK).
 * A call made while the connection is down waits for it until its deadline (`wait`), or fails at once with UNAVAILABLE.
 * A stream goes on after a lost connection without losing or repeating an item; if the server has lost it (restarted), it
 * ends with DATA_LOSS, and the caller starts anew. */
struct rpc_stub {
    ProtobufCService base;
    struct rpc_client *client;
    int64_t timeout_ms; /* 0: none, for streams; unary calls without one get 60 s */
    bool once;          /* mutating: sent again after a lost connection, carried out at most once */
    bool stream;        /* the method is a stream: no deadline by default, goes on after a lost connection.
                                    * Without it both begin to hold with the first item */
    bool wait;          /* wait for the connection when it is down */
    const struct rpc_call *parent; /* its deadline and its cancellation hold for this call, too */
    const char *const *metadata;   /* {"key", "value", ..., NULL}; copied */
    uint64_t id;                   /* out: the call just made, for rpc_client_cancel */
};

#define rpc_stub(client_, descriptor_, ...)                                                                  \
    ((struct rpc_stub){.base = {(descriptor_), rpc_stub_invoke, NULL}, .client = (client_), __VA_ARGS__})

void rpc_stub_invoke(ProtobufCService *service, unsigned method, const ProtobufCMessage *input,
                     ProtobufCClosure closure, void *closure_data);

/* Why the closure that runs now was called with NULL; only inside a closure. */
const struct error *rpc_status(void);

/* What rpc_call_fail_with sent along, packed: empty when nothing; only inside a closure. */
const ProtobufCBinaryData *rpc_status_details(void);

/* The closure gets NULL with CANCELLED (later, on the loop), unless the call has ended already. */
void rpc_client_cancel(struct rpc_client *client, uint64_t id);

/* For threads that may block: waits for a unary call. The reply is freed with protobuf_c_message_free_unpacked. */
int rpc_call_sync(struct rpc_stub *stub, const char *method, const ProtobufCMessage *request,
                  ProtobufCMessage **ret, struct error *err);
