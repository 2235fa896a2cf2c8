/* Lost connections, repeated calls, deadlines, cancellation, shutting down with calls in flight. */
#include "tests/unit/rpc_fixture.h"

#include <stdio.h>
#include <string.h>

static void reply_held(struct fixture *f, unsigned index, uint64_t number)
{
    wait_for(f, f->held_count > index);
    /* The fixture keeps no reply closure: a held call is ended as a failure with a number in its text. */
    struct error why;
    error_set(&why, STATUS_ALREADY_EXISTS, "%llu", (unsigned long long)number);
    rpc_call_fail(f->held[index], &why);
}

static void test_lost_unary(void **state)
{
    (void)state;
    struct fixture f;
    char url[64];
    fixture_start(&f, "tcp", NULL);
    struct proxy *p = proxy_new(f.url, url, sizeof(url));
    struct rpc_client *c = fixture_client(&f, url, NULL);
    struct outcome o, down;
    outcome_init(&o, &f);
    outcome_init(&down, &f);
    struct rpc_stub stub = ECHO(c, .wait = true);
    say(&stub, "cancel", 1, &o);
    wait_for(&f, f.held_count == 1);
    proxy_block(p, true);
    proxy_cut(p);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_UNAVAILABLE);
    wait_for(&f, f.cancelled == 1); /* nobody waits for it any more */
    stub.wait = false;
    say(&stub, "echo", 2, &down);
    wait_for(&f, down.ends == 1);
    assert_int_equal(down.why.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(down.why.text, "not connected"));
    proxy_block(p, false);
    outcome_init(&o, &f);
    stub.wait = true;
    say(&stub, "echo", 3, &o);
    wait_for(&f, o.items == 1);
    fixture_client_free(&f, c);
    proxy_free(p);
    fixture_stop(&f);
}

/* The connection is lost while the call is carried out: the client asks again, and attaches to it. */
static void test_once_in_progress(void **state)
{
    (void)state;
    struct fixture f;
    char url[64];
    fixture_start(&f, "tcp", NULL);
    struct proxy *p = proxy_new(f.url, url, sizeof(url));
    struct rpc_client *c = fixture_client(&f, url, NULL);
    struct outcome o, other;
    outcome_init(&o, &f);
    outcome_init(&other, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .once = true);
    say(&stub, "hold", 1, &o);
    wait_for(&f, f.held_count == 1);
    proxy_cut(p);
    struct rpc_stub after = ECHO(c, .wait = true);
    wait_for(&f, f.downs >= 1);
    say(&after, "echo", 5, &other); /* when this is answered, the repetition has come as well */
    wait_for(&f, other.items == 1);
    assert_int_equal(o.ends, 0);
    reply_held(&f, 0, 77);
    wait_for(&f, o.ends == 1);
    assert_string_equal(o.why.text, "77");
    assert_int_equal(f.begun, 2);
    fixture_client_free(&f, c);
    proxy_free(p);
    fixture_stop(&f);
}

/* The answer is lost with the connection: the repetition gets the stored one. */
static void test_once_stored(void **state)
{
    (void)state;
    struct fixture f;
    char url[64];
    fixture_start(&f, "tcp", NULL);
    struct proxy *p = proxy_new(f.url, url, sizeof(url));
    struct rpc_client *c = fixture_client(&f, url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .once = true);
    say(&stub, "hold", 1, &o);
    wait_for(&f, f.held_count == 1);
    proxy_block(p, true);
    proxy_cut(p);
    wait_for(&f, f.downs >= 1);
    reply_held(&f, 0, 78); /* nobody hears it */
    assert_int_equal(o.ends, 0);
    proxy_block(p, false);
    wait_for(&f, o.ends == 1);
    assert_string_equal(o.why.text, "78");
    assert_int_equal(f.begun, 1);
    fixture_client_free(&f, c);
    proxy_free(p);
    fixture_stop(&f);
}

/* A restarted server has no stored answers: it must not carry the call out again. */
static void test_once_restarted(void **state)
{
    (void)state;
    struct fixture f;
    char url[64];
    fixture_start(&f, "tcp", NULL);
    struct proxy *p = proxy_new(f.url, url, sizeof(url));
    struct rpc_client *c = fixture_client(&f, url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .once = true);
    say(&stub, "hold", 1, &o);
    wait_for(&f, f.held_count == 1);
    proxy_block(p, true);
    proxy_cut(p);
    wait_for(&f, f.downs >= 1);
    fixture_stop_server(&f);
    fixture_restart(&f, NULL);
    proxy_block(p, false);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(o.why.text, "restarted"));
    assert_int_equal(f.begun, 1);
    fixture_client_free(&f, c);
    proxy_free(p);
    fixture_stop(&f);
}

static void test_deadline(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .timeout_ms = 100);
    say(&stub, "cancel", 1, &o);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_DEADLINE_EXCEEDED);
    wait_for(&f, f.cancelled == 1);
    outcome_init(&o, &f);
    stub.timeout_ms = 5000;
    say(&stub, "remaining", 1, &o);
    wait_for(&f, o.items == 1);
    assert_in_range(o.number, 1, 5000);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

/* The server keeps the deadline by itself, even when no CANCEL comes: here the client is cut off. */
static void test_deadline_on_server(void **state)
{
    (void)state;
    struct fixture f;
    char url[64];
    fixture_start(&f, "tcp", NULL);
    struct proxy *p = proxy_new(f.url, url, sizeof(url));
    struct rpc_client *c = fixture_client(&f, url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .once = true, .timeout_ms = 300);
    say(&stub, "cancel", 1, &o);
    wait_for(&f, f.held_count == 1);
    proxy_block(p, true);
    proxy_cut(p);
    wait_for(&f, f.cancelled == 1);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_DEADLINE_EXCEEDED);
    fixture_client_free(&f, c);
    proxy_free(p);
    fixture_stop(&f);
}

static void test_deadline_while_down(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, "tcp://127.0.0.1:1", NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .timeout_ms = 100);
    say(&stub, "echo", 1, &o);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(o.why.text, "no connection"));
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void say_inner(struct rpc_stub *stub, const char *inner, struct outcome *o)
{
    const char *const metadata[] = {"inner", inner, NULL};
    stub->metadata = metadata;
    say(stub, "nest", 1, o);
}

static void test_nested(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "ipc", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    f.next = fixture_client(&f, f.url, NULL);

    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .timeout_ms = 4000);
    say_inner(&stub, "remaining", &o);
    wait_for(&f, o.items + o.ends == 1);
    assert_string_equal(o.why.text, "");
    assert_in_range(o.number, 1, 4000);

    outcome_init(&o, &f); /* the outer deadline ends the inner call, whose handler sees it */
    stub.timeout_ms = 200;
    say_inner(&stub, "cancel", &o);
    wait_for(&f, o.ends == 1 && f.cancelled == 1);
    assert_int_equal(o.why.code, STATUS_DEADLINE_EXCEEDED);

    outcome_init(&o, &f); /* and so does cancelling the outer call */
    stub.timeout_ms = 0;
    say_inner(&stub, "cancel", &o);
    wait_for(&f, f.held_count == 2);
    rpc_client_cancel(c, stub.id);
    wait_for(&f, o.ends == 1 && f.cancelled == 2);
    assert_int_equal(o.why.code, STATUS_CANCELLED);

    fixture_client_free(&f, f.next);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void block_loop(void *arg)
{
    struct fixture *f = arg;
    wait_for(f, f->released);
}

/* A worker's handler calls and waits: the answer comes although the client's loop is busy; and a cancellation ends it. */
static void test_sync_on_worker(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    f.next = fixture_client(&f, f.url, NULL);
    wait_for(&f, f.ups == 2);
    outcome_init(&o, &f);
    const char *const inner[] = {"inner", "echo", NULL}, *const held[] = {"inner", "hold", NULL};
    struct rpc_stub stub = WORK(c, .metadata = inner);
    loop_post(f.loop, block_loop, &f);
    say(&stub, "sync", 5, &o);
    wait_for(&f, f.synced == 1);
    assert_int_equal(o.items, 0); /* the loop is still busy */
    pthread_mutex_lock(&f.lock);
    f.released = 1;
    pthread_cond_broadcast(&f.changed);
    pthread_mutex_unlock(&f.lock);
    wait_for(&f, o.items == 1);
    assert_int_equal(o.number, 5);

    outcome_init(&o, &f);
    stub.metadata = held;
    say(&stub, "sync", 6, &o);
    wait_for(&f, f.held_count == 1);
    rpc_client_cancel(c, stub.id);
    wait_for(&f, f.synced == 2 && o.ends == 1);
    assert_int_equal(o.why.code, STATUS_CANCELLED);
    fixture_client_free(&f, f.next);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_free_in_flight(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o, blocked;
    outcome_init(&o, &f);
    outcome_init(&blocked, &f);
    struct rpc_stub stub = ECHO(c, .wait = true), work = WORK(c, .wait = true);
    for (unsigned i = 0; i < 10; i++)
        say(&stub, "hold", i, &o);
    wait_for(&f, f.held_count == 10);
    fixture_client_free(&f, c);
    assert_int_equal(o.ends, 10); /* before it returned */
    assert_int_equal(o.why.code, STATUS_CANCELLED);

    c = fixture_client(&f, f.url, NULL);
    outcome_init(&o, &f);
    stub.client = work.client = c;
    for (unsigned i = 0; i < 10; i++)
        say(&stub, "cancel", i, &o);
    say(&work, "block", 0, &blocked);
    wait_for(&f, f.begun == 21);
    pthread_mutex_lock(&f.lock);
    f.released = 1; /* the server waits for the worker's handler */
    pthread_mutex_unlock(&f.lock);
    pthread_cond_broadcast(&f.changed);
    fixture_stop_server(&f);
    wait_for(&f, o.ends == 10);
    assert_int_equal(o.why.code, STATUS_UNAVAILABLE);
    wait_for(&f, blocked.ends + blocked.items == 1);
    assert_int_equal(f.cancelled, 10);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_restart_many(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    for (unsigned i = 0; i < 5; i++) {
        struct outcome o;
        outcome_init(&o, &f);
        struct rpc_stub stub = ECHO(c, .wait = true);
        say(&stub, "echo", i, &o);
        wait_for(&f, o.items + o.ends == 1);
        assert_string_equal(o.why.text, "");
        fixture_stop_server(&f);
        wait_for(&f, f.downs >= i + 1);
        fixture_restart(&f, NULL);
    }
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_unary),
        cmocka_unit_test(test_once_in_progress),
        cmocka_unit_test(test_once_stored),
        cmocka_unit_test(test_once_restarted),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_deadline_on_server),
        cmocka_unit_test(test_deadline_while_down),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_sync_on_worker),
        cmocka_unit_test(test_free_in_flight),
        cmocka_unit_test(test_restart_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
