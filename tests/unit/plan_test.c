/* Plans: what a job of many moves does about each thing that can happen meanwhile. */
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_size.h"
#include "plan_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_first_of_a_pair_goes_alone_and_then_the_others(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    /* Durable before it starts; a definition needs no link. */
    assert_string_equal(feed(PLAN_EVENT_START), "JOURNAL START0 JOURNAL START2");
    world_started(&w, 0, 7);
    world_started(&w, 2, 8);
    assert_string_equal(w.trace, "JOURNAL");
    assert_string_equal(world_ended(&w, 0, DONE), "TAKEN0 JOURNAL LOOK0");
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_RUNNING);
    assert_string_equal(feed(PLAN_EVENT_LOOKED, .step = 0, .well = true, .text = "web1 runs"),
                        "JOURNAL JOURNAL START1");
    assert_string_equal(world_ended(&w, 2, DONE), "TAKEN2 JOURNAL");
    world_started(&w, 1, 9);
    assert_string_equal(world_ended(&w, 1, DONE), "TAKEN1 JOURNAL VERIFY");
    assert_int_equal(w.plan.phase, PLAN_VERIFYING);
    assert_string_equal(feed(PLAN_EVENT_VERIFIED), "FINISH");
    assert_int_equal(w.job.state, DONE);
    assert_string_equal(w.job.text, "kvm1 is empty: libvirt there has no guest; 3 moved");
    world_teardown(&w);
}

static void one_that_fails_does_not_stop_the_others(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_started(&w, 0, 7);
    assert_string_equal(world_ended(&w, 0, DROVER__V1__JOB_STATE__JOB_FAILED), "JOURNAL JOURNAL START1");
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    world_started(&w, 1, 8);
    world_ended(&w, 1, DONE);
    feed(PLAN_EVENT_LOOKED, .step = 1, .well = true, .text = "fine");
    world_started(&w, 2, 9);
    world_ended(&w, 2, DONE);
    Drover__V1__Guest web1 = DROVER__V1__GUEST__INIT, *left[] = {&web1};
    web1.name = (char *)"web1";
    web1.uuid = (char *)UUID_A;
    assert_string_equal(feed(PLAN_EVENT_VERIFIED, .guests = left, .n_guests = 1), "FINISH");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_PARTLY);
    assert_string_equal(w.job.text, "kvm1 is not empty: 1 guest left there, 2 moved; not moved: web1");
    assert_string_equal(w.job.steps[0]->todo, "allow a longer pause");
    world_teardown(&w);
}

static void a_refusal_is_planned_anew_until_no_host_is_left(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    assert_string_equal(feed(PLAN_EVENT_REFUSED, .step = 0, .text = "disk differs", .todo = "share it"),
                        "PLACE0 JOURNAL JOURNAL START1");
    world_place(&w, 0);
    assert_string_equal(w.job.steps[0]->to, "kvm3");
    assert_string_equal(w.trace, "JOURNAL JOURNAL START0");
    feed(PLAN_EVENT_REFUSED, .step = 0, .text = "disk differs there, too", .todo = "share it");
    world_place(&w, 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    assert_string_equal(w.job.steps[0]->why, "disk differs there, too");
    assert_string_equal(w.job.steps[0]->todo, "share it");
    world_teardown(&w);
}

/* The share is mounted on the last of the hosts only: those that lack it are no tries. */
static void hosts_that_lack_the_storage_are_passed_over(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    for (int i = 4; i <= 9; i++) {
        char name[8];
        snprintf(name, sizeof(name), "kvm%d", i);
        made_host(&w.fleet, name);
    }
    world_plan(&w);
    feed(PLAN_EVENT_START);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_RUNNING);
        feed(PLAN_EVENT_REFUSED, .step = 0, .text = "not mounted", .todo = "mount it", .elsewhere = true);
        world_place(&w, 0);
    }
    assert_int_equal(w.job.steps[0]->tries, 0);
    /* The last one. */
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_RUNNING);
    feed(PLAN_EVENT_REFUSED, .step = 0, .text = "not mounted", .todo = "mount it", .elsewhere = true);
    world_place(&w, 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    assert_string_equal(w.job.steps[0]->todo, "mount it");
    world_teardown(&w);
}

/* Each host that is passed over is kept in the plan, which must fit a message. */
static void they_are_tries_once_the_plan_has_grown_so_far(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    while (plan_may_avoid(&w.job))
        plan_avoid(w.job.steps[2], "kvm-0123456789.example.net");
    feed(PLAN_EVENT_REFUSED, .step = 0, .text = "not mounted", .todo = "mount it", .elsewhere = true);
    assert_int_equal(w.job.steps[0]->tries, 1);
    world_teardown(&w);
}

static void what_changes_on_the_host_is_noticed(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    /* web2 vanishes, new1 appears. */
    world_gone(&w, "kvm1", UUID_B);
    made_guest(fleet_host(&w.fleet, "kvm1"), "new1", UUID_D);
    assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL JOURNAL PLACE3");
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    assert_non_null(strstr(w.told, "new1 has appeared on kvm1"));
    world_place(&w, 3);
    assert_string_equal(w.job.steps[3]->to, "kvm2");
    /* Its destination is to get no guests before it starts. */
    fleet_host(&w.fleet, "kvm2")->maintenance = true;
    world_started(&w, 0, 7);
    world_gone(&w, "kvm1", UUID_A);
    assert_string_equal(world_ended(&w, 0, DONE), "TAKEN0 JOURNAL LOOK0");
    assert_string_equal(feed(PLAN_EVENT_LOOKED, .step = 0, .well = true, .text = "fine"), "JOURNAL PLACE3");
    world_place(&w, 3);
    assert_string_equal(w.job.steps[3]->to, "kvm3");
    assert_string_equal(w.trace, "JOURNAL JOURNAL START3");
    world_teardown(&w);
}

/* A transient guest that ends and is started again, or one that is undefined and defined anew. */
static void a_guest_that_had_gone_and_is_there_again_moves(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    for (int i = 0; i < PLAN_TRIES + 1; i++) {
        world_gone(&w, "kvm1", UUID_B);
        feed(PLAN_EVENT_FLEET);
        assert_int_equal(world_state(&w, w.job.n_steps == 3 ? 1 : w.job.n_steps - 1),
                         DROVER__V1__STEP_STATE__STEP_SKIPPED);
        made_guest(fleet_host(&w.fleet, "kvm1"), "web2", UUID_B);
        feed(PLAN_EVENT_FLEET);
        if (i == PLAN_TRIES)
            break;
        assert_int_equal(w.job.n_steps, (size_t)(4 + i));
        world_place(&w, w.job.n_steps - 1);
        assert_string_equal(w.job.steps[w.job.n_steps - 1]->to, "kvm2");
    }
    /* Not for ever; and who is left there has a name. */
    assert_int_equal(w.job.n_steps, 3 + PLAN_TRIES);
    for (size_t i = 0; i < 3; i += 2) {
        world_started(&w, i, 7 + i);
        world_ended(&w, i, DONE);
        feed(PLAN_EVENT_LOOKED, .step = i, .well = true, .text = "fine");
    }
    assert_int_equal(w.plan.phase, PLAN_VERIFYING);
    Drover__V1__Guest web2 = DROVER__V1__GUEST__INIT, *left[] = {&web2};
    web2.name = (char *)"web2";
    web2.uuid = (char *)UUID_B;
    assert_string_equal(feed(PLAN_EVENT_VERIFIED, .guests = left, .n_guests = 1), "FINISH");
    assert_string_equal(w.job.text, "kvm1 is not empty: 1 guest left there (web2), 2 moved");
    world_teardown(&w);
}

/* Libvirt has one that the plan believes gone: it moves, too. */
static void what_libvirt_has_after_all_moves(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    w.plan.job->steps[0]->state = w.plan.job->steps[2]->state = DROVER__V1__STEP_STATE__STEP_DONE;
    world_gone(&w, "kvm1", UUID_B);
    world_gone(&w, "kvm1", UUID_A);
    world_gone(&w, "kvm1", UUID_C);
    feed(PLAN_EVENT_START);
    feed(PLAN_EVENT_FLEET);
    assert_int_equal(w.plan.phase, PLAN_VERIFYING);
    Drover__V1__Guest web2 = DROVER__V1__GUEST__INIT, *left[] = {&web2};
    web2.name = (char *)"web2";
    web2.uuid = (char *)UUID_B;
    assert_string_equal(feed(PLAN_EVENT_VERIFIED, .guests = left, .n_guests = 1), "JOURNAL PLACE3");
    assert_int_equal(w.plan.phase, PLAN_RUNNING);
    world_teardown(&w);
}

static void nothing_is_forced_where_the_host_is_not_known(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 5, "cut");
    assert_string_equal(feed(PLAN_EVENT_START), "WAIT");
    assert_string_equal(feed(PLAN_EVENT_FLEET), "WAIT");
    assert_int_equal(plan_count(&w.job, DROVER__V1__STEP_STATE__STEP_WAITING), 3);
    world_teardown(&w);
}

static void an_operator_pauses_resumes_and_cancels(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_started(&w, 0, 7);
    feed(PLAN_EVENT_PAUSE, .text = "oncall");
    world_ended(&w, 0, DONE);
    assert_string_equal(feed(PLAN_EVENT_LOOKED, .step = 0, .well = true, .text = "fine"), "JOURNAL");
    assert_string_equal(w.job.phase, "paused");
    assert_string_equal(feed(PLAN_EVENT_RESUME), "JOURNAL JOURNAL START1");
    world_started(&w, 1, 8);
    assert_string_equal(feed(PLAN_EVENT_CANCEL, .now = true, .text = "oncall"), "CANCEL1 CANCEL2 JOURNAL");
    world_ended(&w, 1, DROVER__V1__JOB_STATE__JOB_CANCELLED);
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    /* The other had not begun. */
    assert_string_equal(feed(PLAN_EVENT_REFUSED, .step = 2, .text = "cancelled"), "JOURNAL FINISH");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_CANCELLED);
    world_teardown(&w);
}

static void a_first_guest_that_is_ill_pauses_the_plan(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_started(&w, 0, 7);
    world_ended(&w, 0, DONE);
    assert_string_equal(feed(PLAN_EVENT_LOOKED, .step = 0, .text = "disk vda: I/O error"), "JOURNAL");
    assert_true(w.job.paused);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_DONE);
    assert_non_null(strstr(w.told, "not well there: disk vda: I/O error"));
    assert_string_equal(feed(PLAN_EVENT_RESUME), "JOURNAL JOURNAL START1");
    world_teardown(&w);
}

/* Nothing is left to be paused, so its end says it. */
static void a_guest_that_is_ill_is_told_where_nobody_waits(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    w.job.steps[1]->state = w.job.steps[2]->state = DROVER__V1__STEP_STATE__STEP_DONE;
    world_started(&w, 0, 7);
    world_ended(&w, 0, DONE);
    assert_string_equal(feed(PLAN_EVENT_LOOKED, .step = 0, .text = "disk vda: I/O error"), "JOURNAL VERIFY");
    assert_string_equal(feed(PLAN_EVENT_VERIFIED), "FINISH");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_PARTLY);
    assert_string_equal(w.job.text, "kvm1 is empty: libvirt there has no guest; 3 moved; not well: web1 on "
                                    "kvm2 (disk vda: I/O error)");
    assert_string_equal(w.job.todo, "look at web1 on kvm2");
    assert_string_equal(w.job.steps[0]->todo, "look at the guest");
    world_teardown(&w);
}

static void after_a_restart_it_goes_on_where_it_was(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_started(&w, 0, 7);
    world_ended(&w, 0, DONE);
    /* Steps 0 is being looked at; step 2 was to be started, and nobody knows. */
    w.plan = (struct plan){.job = &w.job, .empties = true};
    feed(PLAN_EVENT_FORGOTTEN, .step = 2);
    assert_string_equal(w.trace, "JOURNAL START2");
    assert_string_equal(feed(PLAN_EVENT_START), "LOOK0");
    world_started(&w, 2, 9);
    assert_string_equal(feed(PLAN_EVENT_ENDED, .step = 2, .outcome = DROVER__V1__JOB_STATE__JOB_FAILED,
                             .text = "broken off", .restarted = true),
                        "JOURNAL JOURNAL START2");
    /* A host that can't be asked at the end is asked again. */
    feed(PLAN_EVENT_LOOKED, .step = 0, .well = true, .text = "fine");
    world_started(&w, 1, 8);
    world_ended(&w, 1, DONE);
    world_started(&w, 2, 9);
    assert_string_equal(world_ended(&w, 2, DONE), "TAKEN2 JOURNAL VERIFY");
    assert_string_equal(feed(PLAN_EVENT_VERIFIED, .text = "no session"), "WAIT");
    assert_string_equal(feed(PLAN_EVENT_FLEET), "WAIT"); /* however lively the fleet is */
    w.now += PLAN_VERIFY_MS;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "VERIFY");
    /* One that libvirt still has, and nobody has seen, moves, too. */
    Drover__V1__Guest late = DROVER__V1__GUEST__INIT, *left[] = {&late};
    late.name = (char *)"late1";
    late.uuid = (char *)UUID_D;
    assert_string_equal(feed(PLAN_EVENT_VERIFIED, .guests = left, .n_guests = 1), "JOURNAL PLACE3");
    world_teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_a_pair_goes_alone_and_then_the_others),
        cmocka_unit_test(one_that_fails_does_not_stop_the_others),
        cmocka_unit_test(a_refusal_is_planned_anew_until_no_host_is_left),
        cmocka_unit_test(hosts_that_lack_the_storage_are_passed_over),
        cmocka_unit_test(they_are_tries_once_the_plan_has_grown_so_far),
        cmocka_unit_test(what_changes_on_the_host_is_noticed),
        cmocka_unit_test(a_guest_that_had_gone_and_is_there_again_moves),
        cmocka_unit_test(what_libvirt_has_after_all_moves),
        cmocka_unit_test(nothing_is_forced_where_the_host_is_not_known),
        cmocka_unit_test(an_operator_pauses_resumes_and_cancels),
        cmocka_unit_test(a_first_guest_that_is_ill_pauses_the_plan),
        cmocka_unit_test(a_guest_that_is_ill_is_told_where_nobody_waits),
        cmocka_unit_test(after_a_restart_it_goes_on_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
