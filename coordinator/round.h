/* The same or different questions to several agents, side by side; one end when all have answered or failed. On the loop. */
#pragma once

#include "coordinator/io/agents.h"

struct round;

struct round_answer {
    char *host;
    ProtobufCMessage *reply; /* NULL: err says why */
    struct error err;
    bool over; /* the rest is round.c's */
    struct round *round;
    struct rpc_client *client;
    uint64_t id;
};

struct round {
    struct round_answer **list;
    size_t n;
    struct loop *loop;
    struct loop_timer *end;
    void (*done)(void *arg);
    void *arg;
};

/* done(arg) comes once, later, after round_go; never when the round was freed. */
struct round *round_new(struct loop *loop, void (*done)(void *arg), void *arg);
void round_ask(struct round *round, const struct agents *agents, const char *host, const char *method,
               const ProtobufCMessage *request, int64_t timeout_ms);
void round_go(struct round *round);
struct round *round_free(struct round *round); /* returns NULL */
