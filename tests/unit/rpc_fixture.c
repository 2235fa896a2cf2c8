#include "tests/unit/rpc_fixture.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct fixture *fixture; /* for the handlers; one at a time */

static void bump(unsigned *counter)
{
    pthread_mutex_lock(&fixture->lock);
    (*counter)++;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static void on_cancel(void *arg)
{
    struct error why;
    error_set(&why, STATUS_CANCELLED, "the handler has seen it");
    bump(&fixture->cancelled);
    rpc_call_fail(arg, &why);
}

static void count_cancel(void *arg)
{
    (void)arg;
    bump(&fixture->cancelled);
}

static void hold(struct rpc_call *call)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->held[fixture->held_count++] = rpc_call_ref(call);
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

struct nested {
    struct rpc_call *call;
    Drover__Test__EchoReply_Closure reply;
};

static void on_nested(const Drover__Test__EchoReply *reply, void *arg)
{
    struct nested *n = arg;
    if (reply)
        n->reply(reply, n->call);
    else
        rpc_call_fail(n->call, rpc_status());
    free(n);
}

static void nest(const Drover__Test__EchoRequest *request, Drover__Test__EchoReply_Closure reply,
                 struct rpc_call *call)
{
    struct nested *n = new0(struct nested);
    *n = (struct nested){call, reply};
    struct rpc_stub stub = ECHO(fixture->next, .parent = call, .wait = true);
    Drover__Test__EchoRequest inner = *request;
    inner.command = (char *)rpc_call_metadata(call, "inner");
    drover__test__echo__say(&stub.base, &inner, on_nested, n);
}

/* On a worker: asks the next server and waits. */
static void ask_and_wait(const Drover__Test__EchoRequest *request, Drover__Test__EchoReply_Closure reply,
                         struct rpc_call *call)
{
    struct rpc_stub stub = QUICK(fixture->next, .parent = call, .wait = true);
    Drover__Test__EchoRequest inner = *request;
    ProtobufCMessage *m = NULL;
    struct error err;
    inner.command = (char *)rpc_call_metadata(call, "inner");
    int r = rpc_call_sync(&stub, "Say", &inner.base, &m, &err);
    bump(&fixture->synced);
    if (r < 0)
        rpc_call_fail(call, &err);
    else
        reply((Drover__Test__EchoReply *)m, call);
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
}

static void answer(const Drover__Test__EchoRequest *request, Drover__Test__EchoReply_Closure reply,
                   struct rpc_call *call)
{
    Drover__Test__EchoReply r = DROVER__TEST__ECHO_REPLY__INIT;
    const char *command = request->command;
    char text[64];
    struct error why;
    bump(&fixture->begun);
    r.number = request->number;
    r.data = request->data;
    if (streq(command, "fail")) {
        Drover__Test__EchoReply details = DROVER__TEST__ECHO_REPLY__INIT;
        details.text = (char *)"more";
        error_set(&why, STATUS_NOT_FOUND, "no such thing: %llu", (unsigned long long)request->number);
        rpc_call_fail_with(call, &why, &details.base);
    } else if (streq(command, "hold")) {
        hold(call);
    } else if (streq(command, "cancel")) {
        hold(call);
        rpc_call_on_cancel(call, on_cancel, call);
    } else if (streq(command, "nest")) {
        nest(request, reply, call);
    } else if (streq(command, "sync")) {
        ask_and_wait(request, reply, call);
    } else if (streq(command, "remaining")) {
        r.number = (uint64_t)rpc_call_remaining_ms(call);
        reply(&r, call);
    } else if (streq(command, "who")) {
        const struct rpc_peer *p = rpc_call_peer(call);
        snprintf(text, sizeof(text), "%d %.50s", (int)p->role, p->name);
        r.text = text;
        reply(&r, call);
    } else if (streq(command, "begun")) {
        r.number = fixture->begun;
        reply(&r, call);
    } else if (streq(command, "large")) {
        r.data.len = request->number;
        r.data.data = xcalloc(1, r.data.len);
        reply(&r, call);
        free(r.data.data);
    } else if (streq(command, "block")) {
        wait_for(fixture, fixture->released > request->number);
        reply(&r, call);
    } else {
        reply(&r, call);
    }
}

static void echo_say(Drover__Test__Echo_Service *s, const Drover__Test__EchoRequest *request,
                     Drover__Test__EchoReply_Closure reply, void *call)
{
    (void)s;
    answer(request, reply, call);
}

static void work_say(Drover__Test__Work_Service *s, const Drover__Test__EchoRequest *request,
                     Drover__Test__EchoReply_Closure reply, void *call)
{
    (void)s;
    answer(request, reply, call);
}

static void quick_say(Drover__Test__Quick_Service *s, const Drover__Test__EchoRequest *request,
                      Drover__Test__EchoReply_Closure reply, void *call)
{
    (void)s;
    answer(request, reply, call);
}

/* Counts as far as the window allows, and goes on when there is room. */
struct counting {
    struct rpc_call *call;
    uint64_t next, last;
};

static void go_on(void *arg)
{
    struct counting *c = arg;
    Drover__Test__EchoReply item = DROVER__TEST__ECHO_REPLY__INIT;
    struct error why;
    for (; c->next <= c->last; c->next++) {
        item.number = c->next;
        int r = rpc_call_item(c->call, &item.base);
        if (r == -STATUS_RESOURCE_EXHAUSTED) {
            rpc_call_on_ready(c->call, go_on, c);
            return;
        }
        if (r < 0) {
            error_set(&why, STATUS_CANCELLED, "nobody listens");
            bump(&fixture->cancelled);
            rpc_call_fail(c->call, &why);
            free(c);
            return;
        }
    }
    rpc_call_end(c->call);
    free(c);
}

static void echo_count(Drover__Test__Echo_Service *s, const Drover__Test__EchoRequest *request,
                       Drover__Test__EchoReply_Closure reply, void *call)
{
    (void)s;
    (void)reply;
    bump(&fixture->begun);
    if (streq(request->command, "hold")) { /* the test sends the items */
        rpc_call_on_cancel(call, count_cancel, NULL);
        hold(call);
        return;
    }
    struct counting *c = new0(struct counting);
    *c = (struct counting){call, 1, request->number};
    go_on(c);
}

static Drover__Test__Echo_Service echo_service = DROVER__TEST__ECHO__INIT(echo_);
static Drover__Test__Work_Service work_service = DROVER__TEST__WORK__INIT(work_);
static Drover__Test__Quick_Service quick_service = DROVER__TEST__QUICK__INIT(quick_);

bool fixture_wait(struct fixture *f, int64_t until)
{
    struct timespec t = {until / 1000, until % 1000 * 1000000};
    return pthread_cond_clockwait(&f->changed, &f->lock, CLOCK_MONOTONIC, &t) == 0;
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

struct errand {
    struct fixture *f;
    void (*fn)(void *arg);
    void *arg;
    bool done;
};

static void run_errand(void *arg)
{
    struct errand *e = arg;
    e->fn(e->arg);
    pthread_mutex_lock(&e->f->lock);
    e->done = true;
    pthread_cond_broadcast(&e->f->changed);
    pthread_mutex_unlock(&e->f->lock);
}

void fixture_on_loop(struct fixture *f, void (*fn)(void *arg), void *arg)
{
    struct errand e = {f, fn, arg, false};
    loop_post(f->loop, run_errand, &e);
    wait_for(f, e.done);
}

static void on_refused(void *arg, const struct rpc_peer *peer, const struct error *why)
{
    struct fixture *f = arg;
    (void)peer;
    pthread_mutex_lock(&f->lock);
    f->refusal = *why;
    f->refused++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

struct server_start {
    struct fixture *f;
    const struct rpc_server_config *config;
    struct error err;
    int r;
};

static void start_server(void *arg)
{
    struct server_start *s = arg;
    struct fixture *f = s->f;
    struct rpc_server_config config = s->config ? *s->config : (struct rpc_server_config){0};
    config.loop = f->loop;
    config.workers = f->workers;
    config.on_refused = on_refused;
    config.arg = f;
    s->r = rpc_server_new(&config, &f->server, &s->err);
    if (s->r < 0)
        return;
    unsigned roles = config.tls ? RPC_AGENT | RPC_COORDINATOR : RPC_ANYBODY;
    rpc_server_add(f->server, &echo_service.base, roles, RPC_ON_LOOP);
    rpc_server_add(f->server, &work_service.base, roles, RPC_ON_WORKER);
    rpc_server_add(f->server, &quick_service.base, RPC_ANYBODY, RPC_INLINE);
    s->r = rpc_server_listen(f->server, f->url, &s->err);
    if (s->r == 0)
        snprintf(f->url, sizeof(f->url), "%s", rpc_server_url(f->server, 0));
}

void fixture_restart(struct fixture *f, const struct rpc_server_config *config)
{
    struct server_start s = {.f = f, .config = config};
    fixture_on_loop(f, start_server, &s);
    if (s.r < 0)
        fail_msg("server: %s", s.err.text);
}

void fixture_start(struct fixture *f, const char *scheme, const struct rpc_server_config *config)
{
    *f = (struct fixture){0};
    fixture = f;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    snprintf(f->dir, sizeof(f->dir), "/tmp/rpc_test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    if (streq(scheme, "ipc"))
        snprintf(f->url, sizeof(f->url), "ipc://%s/socket", f->dir);
    else
        snprintf(f->url, sizeof(f->url), "%s://127.0.0.1:0", scheme);
    assert_int_equal(loop_new(&f->loop, NULL), 0);
    f->workers = workers_new(f->loop, 4);
    assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
    fixture_restart(f, config);
}

static void free_server(void *arg)
{
    rpc_server_free(arg);
}

void fixture_stop_server(struct fixture *f)
{
    if (f->server)
        fixture_on_loop(f, free_server, f->server);
    f->server = NULL;
}

static void end_held(struct fixture *f)
{
    for (unsigned i = 0; i < f->held_count; i++) {
        struct error why;
        error_set(&why, STATUS_ABORTED, "the test is over");
        rpc_call_fail(f->held[i], &why);
        rpc_call_unref(f->held[i]);
    }
    f->held_count = 0;
}

void fixture_stop(struct fixture *f)
{
    fixture_stop_server(f);
    end_held(f);
    workers_free(f->workers);
    loop_stop(f->loop, 0);
    pthread_join(f->thread, NULL);
    loop_free(f->loop);
    char path[128];
    static const char *const leftovers[] = {"socket",     "ca.pem",     "cert.pem",
                                            "server.pem", "client.pem", "new.pem"};
    for (unsigned i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, leftovers[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
}

static void on_state(void *arg, bool up, const struct error *why)
{
    struct fixture *f = arg;
    pthread_mutex_lock(&f->lock);
    *(up ? &f->ups : &f->downs) += 1;
    if (!up)
        f->down = *why;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

struct rpc_client *fixture_client(struct fixture *f, const char *url, const struct rpc_client_config *config)
{
    struct rpc_client_config c = config ? *config : (struct rpc_client_config){0};
    struct rpc_client *client = NULL;
    struct error err;
    c.url = url;
    c.loop = f->loop;
    c.on_state = on_state;
    c.arg = f;
    if (!c.backoff_min_ms)
        c.backoff_min_ms = 10;
    if (rpc_client_new(&c, &client, &err) < 0)
        fail_msg("client: %s", err.text);
    return client;
}

static void free_client(void *arg)
{
    rpc_client_free(arg);
}

void fixture_client_free(struct fixture *f, struct rpc_client *client)
{
    fixture_on_loop(f, free_client, client);
}

void outcome_init(struct outcome *o, struct fixture *f)
{
    *o = (struct outcome){.f = f, .ordered = true};
}

void on_reply(const Drover__Test__EchoReply *reply, void *arg)
{
    struct outcome *o = arg;
    pthread_mutex_lock(&o->f->lock);
    if (reply) {
        o->items++;
        o->ordered = o->ordered && reply->number == o->items;
        o->number = reply->number;
        o->data_len = reply->data.len;
        snprintf(o->text, sizeof(o->text), "%s", reply->text);
    } else {
        o->ends++;
        o->why = *rpc_status();
        const ProtobufCBinaryData *d = rpc_status_details();
        Drover__Test__EchoReply *m = d->len ? drover__test__echo_reply__unpack(NULL, d->len, d->data) : NULL;
        snprintf(o->details, sizeof(o->details), "%s", m ? m->text : "");
        if (m)
            drover__test__echo_reply__free_unpacked(m, NULL);
    }
    pthread_cond_broadcast(&o->f->changed);
    pthread_mutex_unlock(&o->f->lock);
}

void say(struct rpc_stub *stub, const char *command, uint64_t number, struct outcome *o)
{
    Drover__Test__EchoRequest request = DROVER__TEST__ECHO_REQUEST__INIT;
    request.command = (char *)command;
    request.number = number;
    rpc_stub_invoke(&stub->base, 0, &request.base, (ProtobufCClosure)on_reply, o);
}

void count(struct rpc_stub *stub, const char *command, uint64_t number, struct outcome *o)
{
    Drover__Test__EchoRequest request = DROVER__TEST__ECHO_REQUEST__INIT;
    request.command = (char *)command;
    request.number = number;
    rpc_stub_invoke(&stub->base, 1, &request.base, (ProtobufCClosure)on_reply, o);
}
