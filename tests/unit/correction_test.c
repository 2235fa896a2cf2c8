/* Forecasts corrected by the facts of one link. */
#include "agent/core/correction.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void fixed_times_are_learnt(void **state)
{
    (void)state;
    struct correction c = {0};
    for (unsigned i = 0; i < 8; i++) { /* always 600 ms and 60 ms more than the model says */
        const struct correction_case forecast = {2000 + c.time + c.pause, 150 + c.pause};
        correction_learn(&c, &forecast, &(struct correction_case){2660, 210});
    }
    assert_true(labs((long)c.time - 600) <= 10);
    assert_true(labs((long)c.pause - 60) <= 5);
}

static void a_forecast_of_another_kind_teaches_nothing(void **state)
{
    (void)state;
    struct correction c = {100, 10};
    correction_learn(&c, &(struct correction_case){2000, 150}, &(struct correction_case){9000, 4000});
    correction_learn(&c, &(struct correction_case){9000, 4000}, &(struct correction_case){2000, 150});
    assert_int_equal(c.time, 100);
    assert_int_equal(c.pause, 10);
    /* A pause of sending: its length is the model's affair, the time around it is not. */
    correction_learn(&c, &(struct correction_case){6000, 4000}, &(struct correction_case){6600, 4400});
    assert_int_equal(c.time, 200);
    assert_int_equal(c.pause, 10);
}

/* A link that is a little faster or slower than its figure: five such moves made a small guest's forecast nothing but its pause. */
static void what_grows_with_the_transfer_is_no_fixed_time(void **state)
{
    (void)state;
    struct correction c = {0};
    correction_learn(&c, &(struct correction_case){60000, 150}, &(struct correction_case){52000, 150});
    correction_learn(&c, &(struct correction_case){60000, 150}, &(struct correction_case){68000, 150});
    assert_int_equal(c.time, 0);
    /* Only what is beyond that, both ways. */
    correction_learn(&c, &(struct correction_case){12000, 2000}, &(struct correction_case){13600, 2000});
    assert_int_equal(c.time, 200);
    correction_learn(&c, &(struct correction_case){12200, 2000}, &(struct correction_case){10600, 2000});
    assert_int_equal(c.time, 0);
    for (unsigned i = 0; i < 20; i++) {
        const struct correction_case forecast = {60000 + c.time, 150};
        correction_learn(&c, &forecast, &(struct correction_case){50000, 150});
    }
    assert_true(c.time > -1400);
}

static void no_single_fact_runs_away_with_it(void **state)
{
    (void)state;
    struct correction c = {0};
    correction_learn(&c, &(struct correction_case){2000, 150}, &(struct correction_case){600000, 150});
    assert_int_equal(c.time, 1000);
    for (unsigned i = 0; i < 50; i++)
        correction_learn(&c, &(struct correction_case){2000, 150}, &(struct correction_case){600000, 500});
    assert_int_equal(c.time, 5000);
    assert_int_equal(c.pause, 1000);
}

static void a_limit_is_never_made_higher_by_what_was_learnt(void **state)
{
    (void)state;
    struct correction quick = {.pause = -100}, slow = {.pause = 300};
    assert_int_equal(correction_expected(&quick), 50);
    assert_int_equal(correction_safe(&quick), 150);
    assert_int_equal(correction_expected(&slow), 450);
    assert_int_equal(correction_safe(&slow), 450);
}

/* Each question of a move over a long line waits for its answer; what was learnt comes on top. */
static void a_long_line_adds_its_round_trips(void **state)
{
    (void)state;
    const struct correction line = {.time = 100, .pause = -50, .delay = 40},
                            near = {.time = 100, .pause = -50};
    assert_int_equal(correction_round_trips(&line), 160);
    assert_int_equal(correction_time(&line), 100 + 800);
    assert_int_equal(correction_expected(&line), correction_expected(&near) + 160);
    assert_int_equal(correction_safe(&line), correction_safe(&near) + 160);
    assert_int_equal(correction_time(&near), 100);
    struct correction learns = line; /* a forecast that has them already */
    correction_learn(&learns, &(struct correction_case){2000, 260}, &(struct correction_case){2000, 260});
    assert_int_equal(correction_time(&learns), correction_time(&line));
    assert_int_equal(correction_safe(&learns), correction_safe(&line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_times_are_learnt),
        cmocka_unit_test(a_forecast_of_another_kind_teaches_nothing),
        cmocka_unit_test(what_grows_with_the_transfer_is_no_fixed_time),
        cmocka_unit_test(no_single_fact_runs_away_with_it),
        cmocka_unit_test(a_long_line_adds_its_round_trips),
        cmocka_unit_test(a_limit_is_never_made_higher_by_what_was_learnt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
