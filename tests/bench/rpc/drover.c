/* Drover's RPC: handlers and closures on nng's threads, or on the programs' loops. */
#include "common/rpc/rpc.h"
#include "tests/bench/rpc/bench.h"
#include "tests/unit/rpc_echo.pb-c.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void say(const Drover__Test__EchoRequest *request, Drover__Test__EchoReply_Closure reply, void *call)
{
    Drover__Test__EchoReply r = DROVER__TEST__ECHO_REPLY__INIT;
    r.data = request->data;
    reply(&r, call);
}

static void quick_say(Drover__Test__Quick_Service *s, const Drover__Test__EchoRequest *request,
                      Drover__Test__EchoReply_Closure reply, void *call)
{
    (void)s;
    say(request, reply, call);
}

static void work_say(Drover__Test__Work_Service *s, const Drover__Test__EchoRequest *request,
                     Drover__Test__EchoReply_Closure reply, void *call)
{
    (void)s;
    say(request, reply, call);
}

static Drover__Test__Quick_Service quick = DROVER__TEST__QUICK__INIT(quick_);
static Drover__Test__Work_Service work = DROVER__TEST__WORK__INIT(work_);

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static struct loop *start_loop(void)
{
    struct loop *loop = NULL;
    pthread_t thread;
    if (loop_new(&loop, NULL) < 0 || pthread_create(&thread, NULL, run_loop, loop) != 0)
        abort();
    return loop;
}

static int serve(void)
{
    struct rpc_server_config config = {.loop = start_loop()};
    struct rpc_server *server = NULL;
    if (rpc_server_new(&config, &server, NULL) < 0)
        abort();
    rpc_server_add(server, &quick.base, RPC_ANYBODY, RPC_INLINE);
    rpc_server_add(server, &work.base, RPC_ANYBODY, RPC_ON_LOOP);
    if (rpc_server_listen(server, "tcp://127.0.0.1:0", NULL) < 0)
        abort();
    return atoi(strrchr(rpc_server_url(server, 0), ':') + 1);
}

struct slot {
    struct bench *bench;
    struct rpc_client *client;
    const ProtobufCServiceDescriptor *service;
    unsigned index;
};

static void on_reply(const ProtobufCMessage *reply, void *arg);

static void ask(struct slot *s)
{
    uint8_t data[ECHO_BYTES] = {1};
    Drover__Test__EchoRequest request = DROVER__TEST__ECHO_REQUEST__INIT;
    struct rpc_stub stub = rpc_stub(s->client, s->service, .wait = true);
    request.data = (ProtobufCBinaryData){sizeof(data), data};
    bench_asked(s->bench, s->index);
    rpc_stub_invoke(&stub.base, 0, &request.base, on_reply, s);
}

static void on_reply(const ProtobufCMessage *reply, void *arg)
{
    if (!reply || ((const Drover__Test__EchoReply *)reply)->data.len != ECHO_BYTES)
        abort();
    if (bench_answered(((struct slot *)arg)->bench, ((struct slot *)arg)->index))
        ask(arg);
}

static void run_with(struct bench *b, int port, unsigned in_flight, struct loop *loop,
                     const ProtobufCServiceDescriptor *service)
{
    static struct slot slots[IN_FLIGHT_MAX];
    char url[64];
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
    struct rpc_client_config config = {.url = url, .loop = loop};
    struct rpc_client *client = NULL;
    if (rpc_client_new(&config, &client, NULL) < 0)
        abort();
    struct rpc_stub stub = rpc_stub(client, service, .wait = true);
    Drover__Test__EchoRequest request = DROVER__TEST__ECHO_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    if (rpc_call_sync(&stub, "Say", &request.base, &reply, NULL) < 0)
        abort();
    protobuf_c_message_free_unpacked(reply, NULL);
    bench_start(b);
    for (unsigned i = 0; i < in_flight; i++) {
        slots[i] = (struct slot){b, client, service, i};
        ask(&slots[i]);
    }
    bench_wait(b);
}

static void run(struct bench *b, int port, unsigned in_flight)
{
    run_with(b, port, in_flight, NULL, &drover__test__quick__descriptor);
}

static void run_on_loop(struct bench *b, int port, unsigned in_flight)
{
    run_with(b, port, in_flight, start_loop(), &drover__test__work__descriptor);
}

const struct bench_system bench_drover = {"Drover, inline", serve, run};
const struct bench_system bench_drover_loop = {"Drover, loop to loop", serve, run_on_loop};
