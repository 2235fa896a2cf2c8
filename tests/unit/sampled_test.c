/* What is kept of dirty samples. */
#include "agent/core/sampled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct sampled whole = {
    .n = 2, .resident = 500, .windows = {{.length = 1000, .dirtied = 7}, {.length = 3000, .dirtied = 9}}};

static void what_did_not_come_whole_leaves_the_good_ones(void **state)
{
    (void)state;
    struct sampled known = {0}, half = {.n = 1, .windows = {{.length = 1000, .dirtied = 1}}}, none = {0};
    assert_false(sampled_learn(&known, &none, false, 10));
    assert_int_equal(known.n, 0);
    assert_int_equal(known.tried_ms, 10);
    assert_true(sampled_learn(&known, &whole, false, 100));
    assert_false(sampled_learn(&known, &half, true, 200));
    assert_int_equal(known.tried_ms, 100);
    assert_false(sampled_learn(&known, &half, false, 300));
    assert_false(sampled_learn(&known, &none, false, 400));
    assert_int_equal(known.tried_ms, 400);
    assert_int_equal(known.at_ms, 100);
    assert_int_equal(known.n, 2);
    assert_int_equal(known.resident, 500);
    assert_int_equal(known.windows[1].dirtied, 9);
    /* It came whole just before it was given up. */
    assert_true(sampled_learn(&known, &whole, true, 500));
    assert_int_equal(known.at_ms, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_did_not_come_whole_leaves_the_good_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
