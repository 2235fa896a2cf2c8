#include "api_fixture.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <unistd.h>

void api_setup(struct world *w)
{
    struct error err = {0};
    *w = (struct world){.directory = "/tmp/drover-api-XXXXXX"};
    assert_non_null(mkdtemp(w->directory));
    snprintf(w->path, sizeof(w->path), "%s/jobs.db", w->directory);
    assert_int_equal(loop_new(&w->loop, NULL), 0);
    if (store_open(w->path, &w->store, &err) < 0)
        fail_msg("%s", err.text);
    fleet_init(&w->fleet);
    drover__v1__policy__init(&w->policy);
    w->policy.max_pause = 2000;
    w->policy.deadline = 60000;
    w->policy.offline = true;
    w->driver = made_driver_new();
    const struct move_config moves = {w->loop, &w->fleet, w->driver, w->store, &w->policy};
    if (plans_new(&moves, &w->plans, &err) < 0)
        fail_msg("%s", err.text);
    const struct api_config api = {w->loop, &w->fleet, w->driver, w->store, &w->policy, .plans = w->plans};
    w->api = api_new(&api);
    const struct rpc_server_config server = {.loop = w->loop};
    assert_int_equal(rpc_server_new(&server, &w->server, &err), 0);
    rpc_server_add(w->server, api_service(w->api), RPC_OPERATOR, RPC_ON_LOOP);
    assert_int_equal(rpc_server_listen(w->server, "tcp://127.0.0.1:0", &err), 0);
    const struct rpc_client_config client = {.url = rpc_server_url(w->server, 0), .loop = w->loop};
    assert_int_equal(rpc_client_new(&client, &w->client, &err), 0);
    made_guest(made_host(&w->fleet, "kvm1"), "web1", UUID_A);
    made_host(&w->fleet, "kvm2");
    made_host(&w->fleet, "kvm3")->report->memory_free = 60 * GIB;
}

static void forget(struct answer *a)
{
    if (a->last)
        protobuf_c_message_free_unpacked(a->last, NULL);
    *a = (struct answer){0};
}

void api_teardown(struct world *w)
{
    rpc_client_free(w->client);
    forget(&w->answer);
    rpc_server_free(w->server);
    api_free(w->api);
    plans_free(w->plans);
    assert_int_equal(made_driver_watches(w->driver), 0);
    driver_free(w->driver);
    loop_free(w->loop);
    store_free(w->store);
    fleet_deinit(&w->fleet);
    static const char *const endings[] = {"", "-wal", "-shm", "-ballast", "-lock"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char *name = xasprintf("%s%s", w->path, endings[i]);
        unlink(name);
        free(name);
    }
    assert_int_equal(rmdir(w->directory), 0);
}

static void on_answer(const ProtobufCMessage *message, void *arg)
{
    struct answer *a = arg;
    if (!message) {
        a->status = *rpc_status();
        a->ended = true;
        loop_stop(a->loop, 0);
        return;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = xcalloc(1, size + 1);
    protobuf_c_message_pack(message, bytes);
    if (a->last)
        protobuf_c_message_free_unpacked(a->last, NULL);
    a->last = protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
    free(bytes);
    a->items++;
    if (message->descriptor == &drover__v1__job__descriptor) {
        const char *phase = ((const Drover__V1__Job *)message)->phase;
        if (!strstr(a->phases, phase))
            snprintf(a->phases + strlen(a->phases), sizeof(a->phases) - strlen(a->phases), "%s ", phase);
    }
    if (a->items == a->stop_at)
        loop_stop(a->loop, 0);
}

static void on_limit(void *arg)
{
    loop_stop(arg, -1);
}

void api_run(struct world *w)
{
    struct loop_timer *limit = loop_timer_start(w->loop, 20000, on_limit, w->loop);
    if (loop_run(w->loop) != 0)
        fail_msg("no answer in 20 s");
    loop_timer_cancel(limit);
}

uint64_t api_begin(struct world *w, const char *method, const ProtobufCMessage *request, unsigned items)
{
    const ProtobufCMethodDescriptor *m =
        protobuf_c_service_descriptor_get_method_by_name(&drover__v1__coordinator__descriptor, method);
    forget(&w->answer);
    w->answer.loop = w->loop;
    w->answer.stop_at = items;
    struct rpc_stub stub = rpc_stub(w->client, &drover__v1__coordinator__descriptor, .wait = true,
                                    .timeout_ms = 15000, .stream = streq(method, "WatchJob"));
    rpc_stub_invoke(&stub.base, (unsigned)(m - drover__v1__coordinator__descriptor.methods), request,
                    on_answer, &w->answer);
    return stub.id;
}

const void *api_call(struct world *w, const char *method, const void *request)
{
    api_begin(w, method, request, 1);
    api_run(w);
    return w->answer.last;
}

enum status_code api_status(struct world *w, const char *method, const void *request)
{
    assert_null(api_call(w, method, request));
    return w->answer.status.code;
}
