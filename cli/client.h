/* The connection to the coordinator. */
#pragma once

#include "cli/command.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/rpc/rpc.h"

#include <protobuf-c/protobuf-c.h>

struct client;

/* Connects. With a loop it returns at once, and `on_state` (may be NULL) hears of the connection on the loop; without,
 * it waits until the connection is there. Errors: UNAVAILABLE, with the URL, why, and what to do. */
int client_open(const struct cli *cli, struct loop *loop,
                void (*on_state)(void *arg, bool up, const struct error *why), void *arg, struct client **ret,
                struct error *err);
void client_close(struct client *client);
DEFINE_CLEANUP(struct client *, client_close);

struct rpc_client *client_rpc(struct client *client);

/* Waits for a unary call; for clients without a loop. `once` for calls that change something. */
int client_call(struct client *client, const char *method, const ProtobufCMessage *request, bool once,
                ProtobufCMessage **ret, struct error *err);

/* Connects, calls (and asks for all pages of a list), closes: all that most commands need. On failure it has been told, and the exit code is returned;
 * `refused` is the one for what the coordinator refuses (an unknown guest, a guest that has a job). */
int client_ask(struct cli *cli, const char *method, const ProtobufCMessage *request, bool once, int refused,
               ProtobufCMessage **ret);

/* The same, and the caller tells what has failed. */
int client_try(const struct cli *cli, const char *method, const ProtobufCMessage *request, bool once,
               int refused, ProtobufCMessage **ret, struct error *err);

/* Without the coordinator's URL in front: the message that it goes into names it. */
const char *client_without_url(const struct cli *cli, const char *why);

/* The exit code that fits an error from the coordinator. */
int client_exit(const struct error *why, int refused);

/* Frees a reply; NULL is fine. */
void reply_free(void *reply);
static inline void reply_free_p(void *reply)
{
    reply_free(*(void **)reply);
}
#define _cleanup_reply_ _cleanup_(reply_free_p)
