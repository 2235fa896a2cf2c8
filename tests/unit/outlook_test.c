/* How a migration would end: model and policy in one answer. */
#include "agent/core/outlook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIB (INT64_C(1) << 20)

/* Dirties `mib` all the time; a link of 100 MiB/s. */
static struct model_input guest(int64_t mib)
{
    return (struct model_input){
        .memory = 256 * MIB,
        .windows = {{.length = 1000, .dirtied = mib * MIB}, {.length = 3000, .dirtied = mib * MIB}},
        .n_windows = 2,
        .bandwidth = 100 * MIB,
        .overhead = 150,
    };
}

static struct outlook make(struct ladder_policy policy, int64_t mib)
{
    struct model_input in = guest(mib);
    struct outlook o;
    outlook_make(&policy, &in, &o);
    return o;
}

static void an_idle_guest_stays_live(void **state)
{
    (void)state;
    struct outlook o =
        make((struct ladder_policy){.mode = LADDER_AUTO, .max_pause = 2000, .offline = true}, 0);
    assert_int_equal(o.way, MODEL_LIVE);
    assert_true(o.allowed);
    assert_true(o.outcome.downtime <= 2000);
}

static void a_pass_that_would_be_for_nothing_is_left_out(void **state)
{
    (void)state;
    struct ladder_policy policy = {.mode = LADDER_AUTO, .max_pause = 5000, .offline = true};
    assert_int_equal(make(policy, 248).way, MODEL_OFFLINE);
    assert_int_equal(make(policy, 180).way, MODEL_PAUSE); /* the pass saves 0.7 s of pause */
    policy.max_pause = 2700;
    assert_int_not_equal(make(policy, 248).way, MODEL_OFFLINE); /* too close to the limit */
    policy.max_pause = 5000;
    policy.mode = LADDER_LIVE;
    assert_int_not_equal(make(policy, 248).way, MODEL_OFFLINE);
}

/* 590 of 1500 MiB within 4 s: a curve through that may reach all of it in the 38 s of a first pass, and need not. */
static void what_was_not_seen_to_be_dirtied_is_sent_while_it_runs(void **state)
{
    (void)state;
    struct ladder_policy policy = {.mode = LADDER_AUTO, .offline = true};
    struct model_input in = {
        .memory = 1707 * MIB,
        .zero = 189 * MIB,
        .windows = {{.length = 1000, .dirtied = 390 * MIB}, {.length = 4000, .dirtied = 590 * MIB}},
        .n_windows = 2,
        .bandwidth = 39 * MIB,
        .overhead = 150,
    };
    struct outlook o;
    outlook_make(&policy, &in, &o);
    assert_int_equal(o.way, MODEL_PAUSE);
}

/* Sampled before: it may have become quiet. */
static void old_samples_pause_no_guest_from_the_start(void **state)
{
    (void)state;
    struct ladder_policy policy = {.mode = LADDER_AUTO, .max_pause = 5000, .offline = true};
    struct model_input in = guest(248);
    struct ladder ladder;
    struct ladder_start start;
    in.age = 60 * 1000;
    ladder_init(&ladder, &policy, &in, &start);
    assert_true(start.paused);
    in.age++;
    ladder_init(&ladder, &policy, &in, &start);
    assert_false(start.paused);
    struct outlook o;
    outlook_make(&policy, &in, &o);
    assert_int_equal(o.way, MODEL_PAUSE);
    policy.mode = LADDER_OFFLINE; /* an order */
    ladder_init(&ladder, &policy, &in, &start);
    assert_true(start.paused);
}

static void a_hopeless_guest_is_paused(void **state)
{
    (void)state;
    struct outlook o =
        make((struct ladder_policy){.mode = LADDER_AUTO, .max_pause = 2100, .offline = true}, 180);
    assert_int_equal(o.way, MODEL_PAUSE);
    assert_true(o.allowed);
    assert_in_range(o.outcome.downtime, 1500, 2100);
}

static void what_the_policy_forbids_is_said(void **state)
{
    (void)state;
    struct outlook o =
        make((struct ladder_policy){.mode = LADDER_AUTO, .max_pause = 500, .offline = true}, 180);
    assert_false(o.allowed);
    assert_true(o.outcome.downtime > 500);
    o = make((struct ladder_policy){.mode = LADDER_LIVE, .max_pause = 500}, 180);
    assert_false(o.allowed);
    o = make((struct ladder_policy){.mode = LADDER_AUTO, .deadline = 1000, .offline = true}, 180);
    assert_false(o.allowed);
}

static void offline_is_not_bound_by_the_pause(void **state)
{
    (void)state;
    struct outlook o = make((struct ladder_policy){.mode = LADDER_OFFLINE, .max_pause = 500}, 180);
    assert_int_equal(o.way, MODEL_OFFLINE);
    assert_true(o.allowed);
    assert_true(o.outcome.downtime > 500);
}

static void post_copy_is_taken_where_it_is_allowed_and_cheaper(void **state)
{
    (void)state;
    struct ladder_policy policy = {
        .mode = LADDER_AUTO, .max_pause = 2100, .offline = true, .post_copy = true};
    struct outlook o = make(policy, 180);
    assert_int_equal(o.way, MODEL_POST_COPY);
    assert_true(o.allowed && o.outcome.downtime <= 200);
    assert_int_equal(make(policy, 0).way, MODEL_LIVE);
    policy.mode = LADDER_POST_COPY;
    assert_int_equal(make(policy, 0).way, MODEL_POST_COPY);
    policy = (struct ladder_policy){.mode = LADDER_AUTO, .max_pause = 2100, .offline = true};
    assert_int_equal(make(policy, 180).way, MODEL_PAUSE);
}

static void nothing_known_is_no_forecast(void **state)
{
    (void)state;
    struct ladder_policy policy = {.mode = LADDER_AUTO, .max_pause = 2000, .offline = true};
    struct model_input in = {.memory = 256 * MIB};
    struct outlook o;
    outlook_make(&policy, &in, &o);
    assert_true(o.confidence == 0);
    assert_true(o.why[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_guest_stays_live),
        cmocka_unit_test(a_hopeless_guest_is_paused),
        cmocka_unit_test(a_pass_that_would_be_for_nothing_is_left_out),
        cmocka_unit_test(what_was_not_seen_to_be_dirtied_is_sent_while_it_runs),
        cmocka_unit_test(old_samples_pause_no_guest_from_the_start),
        cmocka_unit_test(what_the_policy_forbids_is_said),
        cmocka_unit_test(offline_is_not_bound_by_the_pause),
        cmocka_unit_test(post_copy_is_taken_where_it_is_allowed_and_cheaper),
        cmocka_unit_test(nothing_known_is_no_forecast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
