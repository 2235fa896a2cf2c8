/* A loop on a thread of its own, a server with the echo services on it, and clients: over real loopback connections. */
#pragma once

#include "common/rpc/rpc.h"
#include "tests/unit/rpc_echo.pb-c.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WAIT_MS 20000 /* a test that waits longer for anything has failed */

struct fixture {
    struct loop *loop;
    pthread_t thread;
    struct workers *workers;
    struct rpc_server *server;
    char dir[64], url[160];
    pthread_mutex_t lock; /* guards what follows, and every struct outcome */
    pthread_cond_t changed;
    unsigned begun;             /* calls that handlers have seen */
    unsigned cancelled;         /* on_cancel runs */
    struct rpc_call *held[512]; /* command "hold": the test ends them */
    unsigned held_count;
    struct rpc_client *next; /* command "nest": Say there, on behalf of this call */
    unsigned ups, downs;     /* changes of clients' connections */
    struct error down;       /* why, the last time */
    unsigned refused;
    struct error refusal;
    unsigned released; /* command "block" on a worker waits until this is above its number */
    unsigned synced;   /* command "sync" on a worker: calls to `next` that have come back */
};

/* What came of one call. */
struct outcome {
    struct fixture *f;
    unsigned items, ends;
    bool ordered; /* items came as 1, 2, 3... */
    uint64_t number;
    size_t data_len;
    char text[64];
    struct error why;
    char details[64];
};

/* `scheme`: "ipc" or "tcp"; `config` may be NULL, and needs no loop and no workers. */
void fixture_start(struct fixture *f, const char *scheme, const struct rpc_server_config *config);
void fixture_restart(struct fixture *f,
                     const struct rpc_server_config *config); /* a new server on the same URL */
void fixture_stop_server(struct fixture *f);
void fixture_stop(struct fixture *f);

/* On the fixture's loop. */
struct rpc_client *fixture_client(struct fixture *f, const char *url, const struct rpc_client_config *config);
void fixture_client_free(struct fixture *f, struct rpc_client *client);

/* Runs fn(arg) on the loop and waits for it. */
void fixture_on_loop(struct fixture *f, void (*fn)(void *arg), void *arg);

/* Waits until the expression holds. */
#define wait_for(f_, expr_)                                                                                  \
    do {                                                                                                     \
        pthread_mutex_lock(&(f_)->lock);                                                                     \
        int64_t until_ = clock_monotonic_ms() + WAIT_MS;                                                     \
        bool held_;                                                                                          \
        while (!(held_ = (expr_)) && fixture_wait(f_, until_))                                               \
            ;                                                                                                \
        pthread_mutex_unlock(&(f_)->lock);                                                                   \
        if (!held_)                                                                                          \
            fail_msg("waited %d ms for: %s", WAIT_MS, #expr_);                                               \
    } while (0)
bool fixture_wait(struct fixture *f, int64_t until);

void outcome_init(struct outcome *o, struct fixture *f);
void on_reply(const Drover__Test__EchoReply *reply, void *outcome);

/* Say(command, number) with the stub given. */
void say(struct rpc_stub *stub, const char *command, uint64_t number, struct outcome *o);
void count(struct rpc_stub *stub, const char *command, uint64_t number, struct outcome *o);
#define ECHO(client_, ...) rpc_stub(client_, &drover__test__echo__descriptor, __VA_ARGS__)
#define WORK(client_, ...) rpc_stub(client_, &drover__test__work__descriptor, __VA_ARGS__)
#define QUICK(client_, ...) rpc_stub(client_, &drover__test__quick__descriptor, __VA_ARGS__)

/* A proxy between client and server on tcp://, that cuts connections when told. */
struct proxy;
struct proxy *proxy_new(const char *server_url, char *ret_url, size_t size);
void proxy_cut(struct proxy *p);               /* those there are; new ones go through */
void proxy_block(struct proxy *p, bool block); /* new ones are closed at once */
void proxy_free(struct proxy *p);
