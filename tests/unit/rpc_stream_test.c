/* Server streams: order, flow control, going on after a lost connection, and what a restarted server means. */
#include "tests/unit/rpc_fixture.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <string.h>

static void test_flow_control(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "ipc", NULL);
    struct rpc_client_config config = {.limits.stream_items = 8};
    struct rpc_client *c = fixture_client(&f, f.url, &config);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .stream = true);
    count(&stub, "", 5000, &o);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_OK);
    assert_int_equal(o.items, 5000);
    assert_true(o.ordered);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_unmarked_stream(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true);
    count(&stub, "", 100, &o);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.items, 100);
    assert_true(o.ordered);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static int put(struct rpc_call *call, uint64_t number)
{
    Drover__Test__EchoReply item = DROVER__TEST__ECHO_REPLY__INIT;
    item.number = number;
    return rpc_call_item(call, &item.base);
}

/* Hands a held call over to the test. */
static struct rpc_call *take_held(struct fixture *f, unsigned index)
{
    wait_for(f, f->held_count > index);
    return f->held[index];
}

static void test_window(void **state)
{
    (void)state;
    struct fixture f;
    struct rpc_server_config config = {.limits.stream_items = 16};
    fixture_start(&f, "tcp", &config);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    char proxied[64];
    struct proxy *p = proxy_new(f.url, proxied, sizeof(proxied));
    struct rpc_client *away = fixture_client(&f, proxied, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(away, .wait = true, .stream = true);
    count(&stub, "hold", 0, &o);
    struct rpc_call *call = take_held(&f, 0);
    assert_int_equal(put(call, 1), 0);
    wait_for(&f, o.items == 1);
    proxy_block(p, true);
    proxy_cut(p);
    wait_for(&f, f.downs >= 1);
    unsigned queued = 1; /* a client that is away: the window fills, then items are refused */
    while (put(call, queued + 1) == 0)
        queued++;
    assert_in_range(queued, 15, 17);
    assert_int_equal(put(call, queued + 1), -STATUS_RESOURCE_EXHAUSTED);
    proxy_block(p, false);
    wait_for(&f, o.items == queued);
    assert_true(o.ordered);
    rpc_call_end(call);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_OK);
    fixture_client_free(&f, away);
    fixture_client_free(&f, c);
    proxy_free(p);
    rpc_call_unref(call);
    f.held_count = 0;
    fixture_stop(&f);
}

/* The connection is cut again and again while 3000 items come: none is lost, none comes twice. */
static void test_resume(void **state)
{
    (void)state;
    struct fixture f;
    char url[64];
    fixture_start(&f, "tcp", NULL);
    struct proxy *p = proxy_new(f.url, url, sizeof(url));
    struct rpc_client_config config = {.limits.stream_items = 16};
    struct rpc_client *c = fixture_client(&f, url, &config);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .stream = true);
    count(&stub, "", 3000, &o);
    for (unsigned i = 1; i <= 10; i++) {
        wait_for(&f, o.items >= i * 200);
        proxy_cut(p);
    }
    wait_for(&f, o.ends == 1);
    assert_string_equal(o.why.text, "");
    assert_int_equal(o.items, 3000);
    assert_true(o.ordered);
    assert_int_equal(f.begun, 1);
    fixture_client_free(&f, c);
    proxy_free(p);
    fixture_stop(&f);
}

static void test_restarted(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "ipc", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o, fresh;
    outcome_init(&o, &f);
    outcome_init(&fresh, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .stream = true);
    count(&stub, "hold", 0, &o);
    struct rpc_call *call = take_held(&f, 0);
    put(call, 1);
    wait_for(&f, o.items == 1);
    fixture_stop_server(&f);
    wait_for(&f, f.cancelled == 1);
    assert_int_equal(put(call, 2), -STATUS_CANCELLED);
    fixture_restart(&f, NULL);
    wait_for(&f, o.ends == 1);
    assert_true(o.why.code == STATUS_DATA_LOSS || o.why.code == STATUS_UNAVAILABLE);
    count(&stub, "", 10, &fresh);
    wait_for(&f, fresh.ends == 1);
    assert_int_equal(fresh.items, 10);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_cancelled_by_client(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .stream = true);
    count(&stub, "hold", 0, &o);
    struct rpc_call *call = take_held(&f, 0);
    put(call, 1);
    wait_for(&f, o.items == 1);
    rpc_client_cancel(c, stub.id);
    wait_for(&f, o.ends == 1 && f.cancelled == 1);
    assert_int_equal(o.why.code, STATUS_CANCELLED);
    assert_true(rpc_call_cancelled(call));
    assert_int_equal(put(call, 2), -STATUS_CANCELLED);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

/* A client that is freed says goodbye: its streams are cancelled at once and not kept. */
static void test_client_freed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .stream = true);
    count(&stub, "hold", 0, &o);
    take_held(&f, 0);
    fixture_client_free(&f, c);
    assert_int_equal(o.ends, 1);
    assert_int_equal(o.why.code, STATUS_CANCELLED);
    wait_for(&f, f.cancelled == 1);
    fixture_stop(&f);
}

static void test_failed_stream(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "ipc", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true, .stream = true);
    count(&stub, "hold", 0, &o);
    struct rpc_call *call = take_held(&f, 0);
    struct error why;
    Drover__Test__EchoReply details = DROVER__TEST__ECHO_REPLY__INIT;
    details.text = (char *)"why in detail";
    error_set(&why, STATUS_ABORTED, "half way");
    put(call, 1);
    put(call, 2);
    Drover__Test__EchoReply huge = DROVER__TEST__ECHO_REPLY__INIT;
    huge.data = (ProtobufCBinaryData){5 << 20, xcalloc(1, 5 << 20)};
    assert_int_equal(rpc_call_item(call, &huge.base), -STATUS_OUT_OF_RANGE);
    free(huge.data.data);
    rpc_call_fail_with(call, &why, &details.base);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.items, 2);
    assert_int_equal(o.why.code, STATUS_ABORTED);
    assert_string_equal(o.why.text, "half way");
    assert_string_equal(o.details, "why in detail");
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flow_control), cmocka_unit_test(test_unmarked_stream),
        cmocka_unit_test(test_window),       cmocka_unit_test(test_resume),
        cmocka_unit_test(test_restarted),    cmocka_unit_test(test_cancelled_by_client),
        cmocka_unit_test(test_client_freed), cmocka_unit_test(test_failed_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
