/* The operators' service over real RPC on loopback, with a made fleet, a made driver and a real store. */
#pragma once

#include "coordinator/api.h"
#include "coordinator_made.h"
#include "made_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* What came of a call: the last message and the status. */
struct answer {
    struct loop *loop;
    ProtobufCMessage *last;
    unsigned items;
    bool ended;
    struct error status;
    unsigned stop_at; /* stop the loop after so many items; 0: at the end */
    char phases[256]; /* of a watched job, each once, in order */
};

struct world {
    struct loop *loop;
    struct fleet fleet;
    struct driver *driver;
    struct store *store;
    struct plans *plans;
    struct api *api;
    struct rpc_server *server;
    struct rpc_client *client;
    Drover__V1__Policy policy;
    char directory[64], path[96];
    struct answer answer;
};

/* kvm1 with web1 (UUID_A), kvm2, and kvm3, which has the most room. */
void api_setup(struct world *w);
void api_teardown(struct world *w);

/* Runs the loop until the answer stops it. */
void api_run(struct world *w);

/* Starts a call; `items` to wait for (0: the end). Returns its id. */
uint64_t api_begin(struct world *w, const char *method, const ProtobufCMessage *request, unsigned items);

/* A unary call's answer, good until the next; NULL when it failed. */
const void *api_call(struct world *w, const char *method, const void *request);

/* Why a call failed, as it must. */
enum status_code api_status(struct world *w, const char *method, const void *request);
