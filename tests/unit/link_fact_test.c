/* What a transfer says of its link. */
#include "agent/core/link_fact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MBIT = 125000 };

static void a_transfer_alone_tells_what_the_link_carries(void **state)
{
    (void)state;
    struct link_fact fact = {0};
    link_fact_limit(&fact, 0);
    assert_int_equal(link_fact_figure(&fact, 300 * MBIT), 300 * MBIT);
    assert_int_equal(link_fact_figure(&fact, 0), 0);
}

/* Each of several would take its part for the link. */
static void one_that_shared_the_link_tells_nothing(void **state)
{
    (void)state;
    const struct link_fact shared = {.shared = true}, adopted = {.unknown = true};
    assert_int_equal(link_fact_figure(&shared, 300 * MBIT), 0);
    assert_int_equal(link_fact_figure(&adopted, 300 * MBIT), 0);
}

static void a_limit_that_held_it_hides_the_link_and_one_that_did_not_does_not(void **state)
{
    (void)state;
    struct link_fact fact = {0};
    link_fact_limit(&fact, 8000 * MBIT);
    assert_int_equal(link_fact_figure(&fact, 3000 * MBIT), 3000 * MBIT);
    assert_int_equal(link_fact_figure(&fact, 7600 * MBIT), 0);
    link_fact_limit(&fact, 2000 * MBIT); /* for a while, which slowed down the whole */
    link_fact_limit(&fact, 0);
    assert_int_equal(link_fact_figure(&fact, 3000 * MBIT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_alone_tells_what_the_link_carries),
        cmocka_unit_test(one_that_shared_the_link_tells_nothing),
        cmocka_unit_test(a_limit_that_held_it_hides_the_link_and_one_that_did_not_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
