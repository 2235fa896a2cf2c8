/* Unary calls over real connections. */
#include "tests/unit/rpc_fixture.h"

#include <string.h>

static void each_scheme(void (*test)(struct fixture *f, struct rpc_client *c))
{
    static const char *const schemes[] = {"ipc", "tcp"};
    for (unsigned i = 0; i < 2; i++) {
        struct fixture f;
        fixture_start(&f, schemes[i], NULL);
        struct rpc_client *c = fixture_client(&f, f.url, NULL);
        test(&f, c);
        fixture_client_free(&f, c);
        fixture_stop(&f);
    }
}

static void say_in_each_way(struct fixture *f, struct rpc_client *c)
{
    struct rpc_stub stubs[] = {ECHO(c, .wait = true), WORK(c, .wait = true), QUICK(c, .wait = true)};
    for (unsigned i = 0; i < 3; i++) {
        struct outcome o;
        outcome_init(&o, f);
        say(&stubs[i], "echo", 42, &o);
        wait_for(f, o.items + o.ends == 1);
        assert_string_equal(o.why.text, "");
        assert_int_equal(o.number, 42);
    }
}

static void test_unary(void **state)
{
    (void)state;
    each_scheme(say_in_each_way);
}

static void fail_with_details(struct fixture *f, struct rpc_client *c)
{
    struct outcome o;
    struct rpc_stub stub = ECHO(c, .wait = true);
    outcome_init(&o, f);
    say(&stub, "fail", 7, &o);
    wait_for(f, o.ends == 1);
    assert_int_equal(o.items, 0);
    assert_int_equal(o.why.code, STATUS_NOT_FOUND);
    assert_string_equal(o.why.text, "no such thing: 7");
    assert_string_equal(o.details, "more");
}

static void test_failure(void **state)
{
    (void)state;
    each_scheme(fail_with_details);
}

static void test_thousand(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    for (unsigned i = 1; i <= 1000; i++) {
        struct rpc_stub stub = i % 2 ? ECHO(c, .wait = true, .once = i % 3 == 0) : WORK(c, .wait = true);
        say(&stub, "echo", i, &o);
        wait_for(&f, o.items >= i - (i < 100 ? i : 100));
    }
    wait_for(&f, o.items == 1000);
    assert_int_equal(o.ends, 0);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_sync(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "ipc", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct rpc_stub stub = ECHO(c, .wait = true);
    Drover__Test__EchoRequest request = DROVER__TEST__ECHO_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct error err;
    request.command = (char *)"who";
    assert_int_equal(rpc_call_sync(&stub, "Say", &request.base, &reply, &err), 0);
    assert_string_equal(((Drover__Test__EchoReply *)reply)->text, "4 uid 0");
    protobuf_c_message_free_unpacked(reply, NULL);
    request.command = (char *)"fail";
    assert_int_equal(rpc_call_sync(&stub, "Say", &request.base, &reply, &err), -STATUS_NOT_FOUND);
    assert_int_equal(rpc_call_sync(&stub, "Sing", &request.base, &reply, &err), -STATUS_UNIMPLEMENTED);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_no_loop(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    struct rpc_client_config config = {.url = f.url};
    struct rpc_client *c = NULL;
    assert_int_equal(rpc_client_new(&config, &c, NULL), 0);
    struct outcome o;
    outcome_init(&o, &f);
    for (unsigned i = 0; i < 100; i++) {
        struct rpc_stub stub = QUICK(c, .wait = true);
        say(&stub, "echo", i, &o);
    }
    wait_for(&f, o.items == 100);
    rpc_client_free(c);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary), cmocka_unit_test(test_failure), cmocka_unit_test(test_thousand),
        cmocka_unit_test(test_sync),  cmocka_unit_test(test_no_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
