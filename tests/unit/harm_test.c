/* What a transfer costs its guest. */
#include "agent/core/harm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void pauses_that_end_here_add_up(void **state)
{
    (void)state;
    struct harm h = {0};
    harm_resumed(&h, 0, 900); /* it ran */
    assert_int_equal(harm_pause(&h, 0, 1000), 0);
    harm_resumed(&h, 1000, 1400);
    assert_int_equal(harm_pause(&h, 0, 5000), 400);
    assert_int_equal(harm_pause(&h, 5000, 5100), 500); /* and is let run about now */
    assert_int_equal(h.stood, 400);
    assert_int_equal(harm_pause(&h, 5000, 4990), 400); /* an event that came late */
}

static void time_of_slowed_vcpus_adds_up(void **state)
{
    (void)state;
    struct harm h = {0};
    harm_sample(&h, 10000, 50); /* adopted: what came before is not known */
    harm_sample(&h, 10500, 20);
    harm_sample(&h, 10500, 20);
    harm_sample(&h, 11000, 0);
    assert_int_equal((int)h.throttled, 100);
    assert_int_equal(h.throttle, 50);
    assert_int_equal(h.elapsed, 11000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_that_end_here_add_up),
        cmocka_unit_test(time_of_slowed_vcpus_adds_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
