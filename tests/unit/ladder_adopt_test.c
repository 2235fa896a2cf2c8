/* The ladder of an agent that was restarted, and what was asked for and isn't to be seen. */
#include "ladder_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_restarted_agent_goes_on(void **state)
{
    (void)state;
    struct model_input guest = guest_of(256);
    /* In the first pass, after it, paused, in post-copy. */
    struct job j;
    job_start(&j, &usual, &guest);
    j.now = (struct ladder_sample){
        .elapsed = 1000, .iteration = 1, .remaining = 156 * MiB, .sent = 100 * MiB, .bandwidth = 100 * MiB};
    step(&j);
    sends(&j, 1500);
    assert_int_equal(j.last.action, LADDER_NOTHING);

    job_start(&j, &usual, &guest);
    j.now = (struct ladder_sample){.elapsed = 60000,
                                   .iteration = 30,
                                   .remaining = 200 * MiB,
                                   .sent = 5000 * MiB,
                                   .bandwidth = 100 * MiB};
    step(&j);
    for (int i = 0; i < 10 && j.ladder.rung == LADDER_RUNG_LIVE; i++) {
        sends(&j, 1900);
        sync_with(&j, 200);
    }
    assert_true(j.ladder.rung == LADDER_RUNG_PAUSED || j.ladder.rung == LADDER_RUNG_RAISED);

    job_start(&j, &usual, &guest);
    j.now = (struct ladder_sample){.elapsed = 4000,
                                   .iteration = 3,
                                   .remaining = 90 * MiB,
                                   .sent = 400 * MiB,
                                   .bandwidth = 100 * MiB,
                                   .paused = true,
                                   .paused_for = 1000};
    step(&j);
    assert_int_equal(j.ladder.rung, LADDER_RUNG_PAUSED);
    sends(&j, 900);
    assert_string_equal(j.log, "");

    job_start(&j, &usual, &guest);
    j.now = (struct ladder_sample){.elapsed = 4000, .iteration = 3, .remaining = 90 * MiB, .post_copy = true};
    step(&j);
    assert_int_equal(j.ladder.rung, LADDER_RUNG_POST_COPY);
    assert_int_equal(j.last.action, LADDER_NOTHING);
}

/* What the job was begun for holds, whatever the forecast would say now. */
static void an_adopted_job_has_the_rungs_it_was_begun_with(void **state)
{
    (void)state;
    struct ladder_policy policy = {.max_pause = 300, .deadline = 1800000, .post_copy = true};
    struct model_input calm = guest_of(256), wild = guest_of(256);
    calm.n_windows = wild.n_windows = 1;
    calm.windows[0] = (struct model_window){.length = 1000, .dirtied = MiB};
    wild.windows[0] = (struct model_window){.length = 1000, .dirtied = 200 * MiB};
    for (int begun = 0; begun < 2; begun++) {
        struct job j;
        job_start(&j, &policy, begun ? &calm : &wild);
        assert_int_equal(j.start.post_copy, !begun);
        ladder_adopt(&j.ladder, &(struct ladder_start){.post_copy = begun}, false);
        j.now.elapsed = 5000;
        for (int i = 0; i < 10 && j.ladder.rung < LADDER_RUNG_PAUSED; i++) {
            sync_with(&j, 200);
            sends(&j, 1500);
        }
        assert_int_equal(j.ladder.rung, begun ? LADDER_RUNG_POST_COPY : LADDER_RUNG_RAISED);
    }
}

/* The agent ended after it had written down that it would ask, and nobody knows whether it has: there is no way back. */
static void post_copy_that_may_have_been_asked_for_is_asked_for_again(void **state)
{
    (void)state;
    struct job j;
    struct model_input guest = guest_of(256);
    job_start(&j, &usual, &guest);
    ladder_adopt(&j.ladder, &(struct ladder_start){.post_copy = true}, true);
    j.now.elapsed = 5000;
    step(&j);
    assert_int_equal(j.last.action, LADDER_START_POST_COPY);
    j.now.post_copy = true;
    sends(&j, 3000);
    assert_int_equal(j.last.action, LADDER_NOTHING);
    job_start(&j, &usual, &guest);
    ladder_adopt(&j.ladder, &(struct ladder_start){.post_copy = true}, true);
    j.now.elapsed = usual.deadline + 5000;
    step(&j); /* not cancelled, either */
    assert_int_equal(j.last.action, LADDER_START_POST_COPY);
}

static void a_pause_that_did_not_happen_is_asked_for_again(void **state)
{
    (void)state;
    struct job j;
    struct model_input guest = guest_of(256);
    guest.n_windows = 1;
    guest.windows[0] = (struct model_window){.length = 1000, .dirtied = 200 * MiB};
    job_start(&j, &unlimited, &guest);
    sends(&j, 2500);
    sync_with(&j, 200);
    assert_int_equal(j.last.action, LADDER_PAUSE);
    for (int i = 0; i < 25; i++) {
        j.now.elapsed += 100;
        step(&j);
        if (j.last.action != LADDER_NOTHING)
            break;
    }
    assert_int_equal(j.last.action, LADDER_PAUSE);
    assert_string_equal(j.last.why, "asked 2 s ago and not done yet: once more");
}

/* An operator's `virsh resume`. */
static void a_guest_that_runs_again_in_the_pause_is_live_again(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 10000, .deadline = 1800000, .offline = true};
    struct model_input guest = guest_of(256);
    guest.n_windows = 2;
    guest.windows[0] = (struct model_window){.length = 1000, .dirtied = 250 * MiB};
    guest.windows[1] = (struct model_window){.length = 4000, .dirtied = 250 * MiB};
    job_start(&j, &policy, &guest);
    assert_true(j.start.paused);
    j.now.paused = true;
    sends(&j, 500);
    assert_int_equal(j.ladder.rung, LADDER_RUNG_PAUSED);
    j.now.paused = false;
    j.now.paused_for = 0;
    for (int i = 0; i < 5 && j.last.action == LADDER_NOTHING; i++) {
        sends(&j, 2000);
        sync_with(&j, 250);
    }
    assert_int_not_equal(j.last.action, LADDER_NOTHING);
}

static void a_refused_post_copy_leaves_the_other_rungs(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {
        .mode = LADDER_POST_COPY, .max_pause = 500, .deadline = 60000, .post_copy = true};
    struct model_input guest = guest_of(256);
    job_start(&j, &policy, &guest);
    sends(&j, 2500);
    sync_with(&j, 200);
    assert_int_equal(j.last.action, LADDER_START_POST_COPY);
    ladder_refused_post_copy(&j.ladder);
    for (int i = 0; i < 100 && j.last.action != LADDER_CANCEL; i++) {
        sends(&j, 1500);
        if (j.last.action != LADDER_CANCEL)
            sync_with(&j, 200);
        assert_int_not_equal(j.last.action, LADDER_START_POST_COPY);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_true(j.now.elapsed <= 60000);
    /* libvirt's answer was late, and it runs there. */
    job_start(&j, &policy, &guest);
    sends(&j, 2500);
    sync_with(&j, 200);
    j.now.post_copy = true;
    step(&j);
    ladder_refused_post_copy(&j.ladder);
    assert_int_equal(j.ladder.rung, LADDER_RUNG_POST_COPY);
}

/* libvirt's stop, or an operator's: nobody knows yet, so that only the deadline holds. */
static void the_deadline_holds_in_a_pause_of_whoever(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 500, .deadline = 20000, .offline = true};
    struct model_input guest = guest_of(256);
    job_start(&j, &policy, &guest);
    sends(&j, 1000);
    j.now.paused = j.now.others = true;
    for (int i = 0; i < 300 && j.last.action == LADDER_NOTHING; i++) {
        j.now.elapsed += 100;
        j.now.paused_for += 100;
        step(&j);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_in_range(j.now.elapsed, 2000, 19100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restarted_agent_goes_on),
        cmocka_unit_test(an_adopted_job_has_the_rungs_it_was_begun_with),
        cmocka_unit_test(post_copy_that_may_have_been_asked_for_is_asked_for_again),
        cmocka_unit_test(a_pause_that_did_not_happen_is_asked_for_again),
        cmocka_unit_test(a_guest_that_runs_again_in_the_pause_is_live_again),
        cmocka_unit_test(a_refused_post_copy_leaves_the_other_rungs),
        cmocka_unit_test(the_deadline_holds_in_a_pause_of_whoever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
