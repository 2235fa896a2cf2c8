/* The ladder and the limits of a pause. */
#include "ladder_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void too_small_a_max_pause_is_cancelled_with_the_pause_that_would_do(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 500, .deadline = 1800000, .offline = true};
    struct model_input guest = guest_of(256);
    job_start(&j, &policy, &guest);
    sends(&j, 2500);
    for (int i = 0; i < 30 && j.last.action != LADDER_CANCEL; i++) {
        sync_with(&j, 200);
        if (j.last.action != LADDER_CANCEL)
            sends(&j, 1700);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_int_equal(j.last.needs_pause, 2700);
    assert_int_equal(j.last.rung, LADDER_RUNG_CANCELLED);
    assert_string_equal(
        j.last.why, "cancelled: never less than 200 MiB remained, at 100 MiB/s: needs a pause of 2.7 s, you "
                    "allowed 500 ms");
    /* Once cancelled, only the cancel itself is asked for again. */
    sends(&j, 1000);
    assert_int_equal(j.last.action, LADDER_NOTHING);
    sends(&j, 1500);
    assert_int_equal(j.last.action, LADDER_CANCEL);
}

static void offline_is_paused_from_the_start_and_keeps_the_deadline(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.mode = LADDER_OFFLINE, .max_pause = 100, .deadline = 20000};
    struct model_input guest = guest_of(1000);
    job_start(&j, &policy, &guest);
    assert_true(j.start.paused);
    assert_string_equal(j.start.why, "paused from the start, as asked");
    j.now.paused = true;
    sends(&j, 9000);
    assert_string_equal(j.log, "");
    for (int i = 0; i < 200 && j.last.action == LADDER_NOTHING; i++) {
        j.now.elapsed += 100; /* the link stalls */
        step(&j);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_true(j.now.elapsed <= 19000);
}

static void the_pause_is_given_up_when_the_link_breaks_down_in_it(void **state)
{
    (void)state;
    struct job j;
    struct model_input guest = guest_of(256);
    job_start(&j, &usual, &guest);
    sends(&j, 2500);
    for (int i = 0; i < 10 && j.ladder.rung != LADDER_RUNG_PAUSED; i++) {
        sync_with(&j, 180);
        if (j.ladder.rung != LADDER_RUNG_PAUSED)
            sends(&j, 1500);
    }
    assert_int_equal(j.ladder.rung, LADDER_RUNG_PAUSED);
    j.now.paused = true;
    for (int i = 0; i < 40 && j.last.action != LADDER_CANCEL; i++) {
        j.now.elapsed += 100;
        j.now.paused_for += 100;
        step(&j);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_true(j.now.paused_for <= 2800);
    assert_non_null(strstr(j.last.why, "the pause would exceed the 3 s that you allowed"));
}

/* A guest that has rewritten `mib` at each sync. True if it moves: paused, or by a limit that lets QEMU switch over. */
static bool moves(struct job *j, const struct ladder_policy *policy, int64_t mib, int64_t overhead)
{
    struct model_input guest = guest_of(1000);
    guest.overhead = overhead;
    job_start(j, policy, &guest);
    sends(j, 10000);
    for (int i = 0; i < 2000 && j->last.action != LADDER_CANCEL; i++) {
        sync_with(j, mib);
        if (j->last.action == LADDER_PAUSE ||
            (j->last.action == LADDER_SET_DOWNTIME && j->last.downtime * 100 >= mib * 1000))
            return true;
        if (j->last.action != LADDER_CANCEL)
            sends(j, mib * 9);
    }
    return false;
}

static void the_pause_that_is_named_does(void **state)
{
    (void)state;
    static const int64_t mib[] = {40, 110, 200, 333, 900}, overhead[] = {20, 150, 700};
    for (unsigned i = 0; i < 5 * 3 * 3; i++) {
        struct job j;
        struct ladder_policy policy = {.max_pause = overhead[i / 5 % 3] + 20,
                                       .mode = i / 15 == 2 ? LADDER_LIVE : LADDER_AUTO,
                                       .offline = i / 15 == 0};
        assert_false(moves(&j, &policy, mib[i % 5], overhead[i / 5 % 3]));
        assert_int_equal(j.last.action, LADDER_CANCEL);
        char needs[24];
        model_say_time(needs, sizeof(needs), (double)j.last.needs_pause);
        assert_non_null(strstr(j.last.why, needs));
        policy.max_pause = j.last.needs_pause;
        assert_true(moves(&j, &policy, mib[i % 5], overhead[i / 5 % 3]));
    }
}

/* Where the suspend takes a moment, the guest dirties pages that were to be sent anyhow, and QEMU sends them twice. */
static void a_pause_that_only_just_fits_is_not_begun(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 450, .deadline = 1800000, .offline = true};
    struct model_input guest = guest_of(1000);
    job_start(&j, &policy, &guest);
    sends(&j, 10000);
    for (int i = 0; i < 30 && j.last.action != LADDER_CANCEL; i++) {
        sync_with(&j, 25);
        assert_int_not_equal(j.last.action,
                             LADDER_PAUSE); /* 250 ms and 100, but 25 MiB come again in 40 ms */
        sends(&j, 100);
    }
}

/* The migration network dies when the last of it lies in a socket: nothing remains, and nothing ends. */
static void a_pause_in_which_nothing_remains_is_given_up(void **state)
{
    (void)state;
    struct job j;
    struct model_input guest = guest_of(256);
    job_start(&j, &usual, &guest);
    sends(&j, 2600);
    j.now.remaining = 0;
    j.now.paused = true;
    j.now.paused_for = 5001; /* as ladder_gate.h lets it through */
    j.now.elapsed += 5000;
    step(&j);
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_string_equal(
        j.last.why,
        "cancelled: all is sent, and the other end has not taken it in after 5 s of the pause, you "
        "allowed 3 s");
    assert_int_equal(j.last.needs_pause, 0);
}

static void a_slower_link_in_the_pause_is_named_with_the_pause_that_would_do(void **state)
{
    (void)state;
    struct job j;
    struct model_input guest = guest_of(256);
    job_start(&j, &usual, &guest);
    sends(&j, 2500);
    sync_with(&j, 200);
    j.now.paused = true;
    for (int i = 0; i < 40 && j.last.action != LADDER_CANCEL; i++) { /* 40 MiB/s */
        j.now.elapsed += 100;
        j.now.paused_for += 100;
        j.now.sent += 4 * MiB;
        j.now.remaining -= 4 * MiB;
        step(&j);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_in_range(j.last.needs_pause, 5000, 6000);
    assert_non_null(strstr(j.last.why, "in the pause, and "));
    char needs[48], time[24];
    snprintf(needs, sizeof(needs), "needs a pause of %s, you allowed 3 s",
             model_say_time(time, sizeof(time), (double)j.last.needs_pause));
    assert_non_null(strstr(j.last.why, needs));
}

/* Seen on real guests: the first sample held no byte, the second was of QEMU's own switch-over. */
static void a_young_jobs_switch_over_is_not_taken_for_a_broken_link(void **state)
{
    (void)state;
    struct job j;
    struct model_input guest = guest_of(256);
    guest.bandwidth = 0;
    job_start(&j, &usual, &guest);
    j.now.bandwidth = 0;
    step(&j);
    j.now.elapsed = 300;
    j.now.sent = 100;
    j.now.remaining = 58 * MiB;
    j.now.paused = true;
    j.now.paused_for = 20;
    step(&j);
    assert_string_equal(j.log, "");
    /* An operator's is no pause of ours... */
    j.now.others = true;
    for (int i = 0; i < 40; i++) {
        j.now.elapsed += 100;
        j.now.paused_for += 100;
        step(&j);
    }
    assert_string_equal(j.log, "");
    j.now.others = false;
    j.now.elapsed = 300;
    j.now.paused_for = 20;
    /* ...but one that lasts is judged all the same. */
    for (int i = 0; i < 40 && j.last.action != LADDER_CANCEL; i++) {
        j.now.elapsed += 100;
        j.now.paused_for += 100;
        step(&j);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_true(j.now.paused_for <= 2800);
}

/* Of every kind of end a switch-over is a part. */
static void a_max_pause_below_any_switch_over_is_not_begun(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 20, .deadline = 1800000, .offline = true};
    struct model_input guest = guest_of(256);
    job_start(&j, &policy, &guest);
    assert_true(j.start.refused);
    assert_string_equal(j.start.why,
                        "a switch-over alone takes about 100 ms between these hosts: needs a pause of "
                        "that, you allowed 20 ms");
    policy.mode = LADDER_OFFLINE; /* a pause of any length was asked for */
    job_start(&j, &policy, &guest);
    assert_false(j.start.refused);
    policy = (struct ladder_policy){.max_pause = 100};
    job_start(&j, &policy, &guest);
    assert_false(j.start.refused);
    /* Odd moves have taught that it takes 900 ms: an idle guest may go over all the same, and it is learnt anew. */
    guest.overhead = 900;
    policy.max_pause = 200;
    job_start(&j, &policy, &guest);
    assert_false(j.start.refused);
    assert_int_equal(j.start.downtime, 1);
    policy.max_pause = 149;
    job_start(&j, &policy, &guest);
    assert_true(j.start.refused);
}

/* The deadline came before the ladder's patience was over, but the pause is why it could not end before. */
static void at_the_deadline_the_pause_that_would_do_is_named(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 500, .deadline = 12000, .offline = true};
    struct model_input guest = guest_of(256);
    job_start(&j, &policy, &guest);
    sends(&j, 2500);
    for (int i = 0; i < 30 && j.last.action != LADDER_CANCEL; i++) {
        sync_with(&j, 200);
        if (j.last.action != LADDER_CANCEL)
            sends(&j, 1700);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_true(j.now.elapsed <= 12000);
    assert_int_equal(j.last.needs_pause, 2700);
    assert_int_equal(ladder_time_left(&j.ladder), -1);
}

static void a_deadline_before_anything_is_sent_cancels(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 500, .deadline = 3000, .offline = true};
    struct model_input guest = guest_of(256);
    job_start(&j, &policy, &guest);
    j.now = (struct ladder_sample){.elapsed = 3100};
    step(&j);
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_string_equal(j.last.why, "cancelled: nothing has been sent, and the deadline leaves 0 ms");
}

/* QEMU counts what was never touched among what remains, and passes over it in no time at the end. */
static void a_guest_that_touched_little_of_its_memory_is_not_taken_for_a_full_one(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 3000, .deadline = 20000, .offline = true};
    struct model_input guest = guest_of(8000);
    guest.zero = 7800 * MiB;
    guest.n_windows = 2;
    guest.windows[0] = (struct model_window){.length = 1000, .dirtied = 200 * MiB};
    guest.windows[1] = (struct model_window){.length = 4000, .dirtied = 200 * MiB};
    job_start(&j, &policy, &guest);
    assert_true(j.start.paused);
    j.now.paused = true;
    sends(&j, 1000);
    assert_in_range(ladder_time_left(&j.ladder), 900, 1200);
    sends(&j, 900);
    assert_in_range(ladder_time_left(&j.ladder), 0, 5000);
    assert_string_equal(j.log, "");

    /* The same where it is not known, and the deadline would be too short for all of memory. */
    policy = (struct ladder_policy){.max_pause = 3000, .deadline = 30000, .offline = true};
    guest = guest_of(8000);
    job_start(&j, &policy, &guest);
    for (int i = 0; i < 30; i++) {
        j.now.remaining -= 90 * MiB;
        sends(&j, 100);
    }
    assert_string_equal(j.log, "");
}

/* The link is slower than it was, and the guest has touched a little more: that the known part of it is sent is not the end. */
static void a_guest_that_has_touched_more_since_is_not_taken_for_sent(void **state)
{
    (void)state;
    struct job j;
    struct ladder_policy policy = {.max_pause = 2350, .offline = true};
    struct model_input guest = guest_of(8000);
    guest.zero = 7800 * MiB;
    guest.n_windows = 2;
    guest.windows[0] = (struct model_window){.length = 1000, .dirtied = 200 * MiB};
    guest.windows[1] = (struct model_window){.length = 4000, .dirtied = 200 * MiB};
    job_start(&j, &policy, &guest);
    assert_true(j.start.paused);
    j.now.paused = true;
    while (j.now.paused_for < policy.max_pause && j.last.action != LADDER_CANCEL) {
        j.now.elapsed += 50;
        j.now.paused_for += 50;
        j.now.sent += 9 * MiB / 2;
        j.now.remaining -= 9 * MiB / 2;
        step(&j);
    }
    assert_int_equal(j.last.action, LADDER_CANCEL);
    assert_true(j.now.paused_for <= policy.max_pause - 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_small_a_max_pause_is_cancelled_with_the_pause_that_would_do),
        cmocka_unit_test(offline_is_paused_from_the_start_and_keeps_the_deadline),
        cmocka_unit_test(the_pause_is_given_up_when_the_link_breaks_down_in_it),
        cmocka_unit_test(a_pause_in_which_nothing_remains_is_given_up),
        cmocka_unit_test(a_slower_link_in_the_pause_is_named_with_the_pause_that_would_do),
        cmocka_unit_test(the_pause_that_is_named_does),
        cmocka_unit_test(a_pause_that_only_just_fits_is_not_begun),
        cmocka_unit_test(a_young_jobs_switch_over_is_not_taken_for_a_broken_link),
        cmocka_unit_test(a_max_pause_below_any_switch_over_is_not_begun),
        cmocka_unit_test(at_the_deadline_the_pause_that_would_do_is_named),
        cmocka_unit_test(a_deadline_before_anything_is_sent_cancels),
        cmocka_unit_test(a_guest_that_has_touched_more_since_is_not_taken_for_sent),
        cmocka_unit_test(a_guest_that_touched_little_of_its_memory_is_not_taken_for_a_full_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
