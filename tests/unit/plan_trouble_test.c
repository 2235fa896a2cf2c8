/* Plans: hosts that fill again, or say no late; what others do beside the plan. */
#include "common/base/memory.h"
#include "coordinator/core/guest_rules.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_emptied.h"
#include "plan_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As world_plan, of a plan that empties the hosts and verifies nothing. */
static void consolidate(struct world *w, const char *emptied)
{
    world_plan(w);
    w->request.kind = (char *)"consolidate";
    w->request.host = (char *)"";
    set_text(&w->job.kind, "consolidate");
    set_text(&w->job.source, "");
    set_text(&w->job.emptied, emptied);
    w->plan.empties = false;
    fleet_host(&w->fleet, "kvm1")->maintenance = false;
}

static void a_host_that_is_emptied_gets_no_guest_of_another(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    consolidate(&w, "kvm1,kvm3");
    feed(PLAN_EVENT_START);
    feed(PLAN_EVENT_REFUSED, .step = 0, .text = "disk differs", .todo = "share it");
    world_place(&w, 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    assert_string_equal(w.job.steps[0]->to, "");
    /* So kvm1 is not empty, and kvm3 never had a guest. */
    world_gone(&w, "kvm1", UUID_C);
    feed(PLAN_EVENT_FORGOTTEN, .step = 2);
    world_started(&w, 1, 8);
    world_ended(&w, 1, DONE);
    feed(PLAN_EVENT_LOOKED, .step = 1, .well = true, .text = "fine");
    assert_int_equal(w.plan.phase, PLAN_ENDED);
    assert_string_equal(w.job.emptied, "kvm3");
    assert_non_null(strstr(w.job.text, "to be powered off if you like: kvm3"));
    world_teardown(&w);
}

static void what_is_called_empty_at_the_end_is(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    consolidate(&w, "kvm1,kvm3");
    for (size_t i = 0; i < 3; i++)
        w.job.steps[i]->state = DROVER__V1__STEP_STATE__STEP_DONE;
    /* The agent of kvm1 has not told yet that they are gone. */
    plan_emptied_check(&w.job, &w.fleet);
    assert_string_equal(w.job.emptied, "kvm1,kvm3");
    assert_true(plan_empties(&w.job, "kvm3"));
    assert_false(plan_empties(&w.job, "kvm"));
    set_text(&w.job.steps[1]->to, "kvm3"); /* it was placed there after all */
    plan_emptied_check(&w.job, NULL);
    assert_string_equal(w.job.emptied, "kvm1");
    made_guest(fleet_host(&w.fleet, "kvm1"), "new1", UUID_D); /* started meanwhile */
    plan_emptied_check(&w.job, &w.fleet);
    assert_string_equal(w.job.emptied, "");
    world_teardown(&w);
}

static void another_host_is_looked_for_at_the_same_site(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    made_string(&fleet_host(&w.fleet, "kvm3")->site, "osaka");
    feed(PLAN_EVENT_START);
    feed(PLAN_EVENT_REFUSED, .step = 0, .text = "disk differs", .todo = "share it");
    world_place(&w, 0);
    assert_string_equal(w.job.steps[0]->to, "");
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    world_teardown(&w);
}

static void a_group_stays_together_when_one_is_placed_anew(void **unused)
{
    (void)unused;
    struct world w;
    struct guest_rules rules = {.groups = (struct guest_group[]){{.name = (char *)"shop"}}, .n_groups = 1};
    world_setup(&w);
    world_plan(&w);
    names_add(&rules.groups[0].guests, "web*");
    w.fleet.rules = &rules;
    fleet_host(&w.fleet, "kvm3")->report->memory_free = 60 * GIB; /* the roomiest */
    world_place(&w, 0);
    assert_string_equal(w.job.steps[0]->to, "kvm2"); /* web2 goes there */
    assert_string_equal(w.job.steps[0]->why, "with the others of its group");
    /* Where both wait for a host that takes no guests, the second follows the first. */
    fleet_host(&w.fleet, "kvm2")->maintenance = true;
    world_place(&w, 0);
    assert_string_equal(w.job.steps[0]->to, "kvm3");
    world_place(&w, 1);
    assert_string_equal(w.job.steps[1]->to, "kvm3");
    /* One of the two is refused there: it is not sent elsewhere. */
    feed(PLAN_EVENT_START);
    feed(PLAN_EVENT_REFUSED, .step = 0, .text = "disk differs", .todo = "share it");
    fleet_host(&w.fleet, "kvm2")->maintenance = false;
    world_place(&w, 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    assert_string_equal(w.job.steps[0]->why, "disk differs");
    assert_non_null(strstr(w.job.steps[0]->todo, "web2, which it is to be with (group shop)"));
    names_deinit(&rules.groups[0].guests);
    world_teardown(&w);
}

/* A restart in the middle of a cancellation, or a host that answers nothing at its end, must not leave it open. */
static void a_cancelled_plan_ends(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    feed(PLAN_EVENT_CANCEL, .text = "oncall");
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    feed(PLAN_EVENT_FORGOTTEN, .step = 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    assert_string_equal(feed(PLAN_EVENT_FORGOTTEN, .step = 2), "JOURNAL FINISH");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_CANCELLED);
    world_teardown(&w);

    world_setup(&w);
    world_plan(&w);
    for (size_t i = 0; i < 3; i++)
        w.job.steps[i]->state = DROVER__V1__STEP_STATE__STEP_DONE;
    assert_string_equal(feed(PLAN_EVENT_START), "VERIFY");
    assert_string_equal(feed(PLAN_EVENT_VERIFIED, .text = "no session"), "WAIT");
    assert_string_equal(feed(PLAN_EVENT_CANCEL, .text = "oncall"), "JOURNAL FINISH");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_CANCELLED);
    world_teardown(&w);
}

static void a_host_is_not_called_empty_while_a_guest_is_on_its_way_there(void **unused)
{
    (void)unused;
    struct world w;
    Drover__V1__Job other = DROVER__V1__JOB__INIT;
    const Drover__V1__Job *open[] = {&other};
    other.id = 12;
    other.destination = (char *)"kvm1";
    world_setup(&w);
    world_plan(&w);
    for (size_t i = 0; i < 3; i++) {
        w.job.steps[i]->state = DROVER__V1__STEP_STATE__STEP_DONE;
        world_gone(&w, "kvm1", w.job.steps[i]->guest_uuid);
    }
    assert_string_equal(feed(PLAN_EVENT_START, .open = open, .n_open = 1), "WAIT");
    assert_string_equal(w.job.text, "waits for job 12, which brings a guest to kvm1");
    assert_string_equal(feed(PLAN_EVENT_FLEET), "VERIFY");
    /* It was ordered just before the host was in maintenance. */
    assert_string_equal(feed(PLAN_EVENT_VERIFIED, .open = open, .n_open = 1), "WAIT");
    made_guest(fleet_host(&w.fleet, "kvm1"), "new1", UUID_D);
    assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL PLACE3");
    world_teardown(&w);
}

static void a_busy_guest_is_tried_again_later_and_holds_nobody_up(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    /* web1 was the first of its pair: web2 goes on in its place. */
    assert_string_equal(
        feed(PLAN_EVENT_REFUSED, .step = 0, .text = "a job of libvirt", .todo = "end it", .busy = true),
        "JOURNAL JOURNAL START1 WAIT");
    assert_int_equal(w.wait_ms, PLAN_BUSY_MS);
    world_started(&w, 1, 7);
    world_ended(&w, 1, DONE);
    assert_string_equal(feed(PLAN_EVENT_LOOKED, .step = 1, .well = true, .text = "fine"), "JOURNAL WAIT");
    world_started(&w, 2, 8);
    world_ended(&w, 2, DONE);
    assert_string_equal(w.job.text, "1 waits: web1: a job of libvirt");
    for (int i = 2; i < PLAN_BUSY_TRIES; i++) {
        w.now += PLAN_BUSY_MS;
        assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL START0");
        feed(PLAN_EVENT_REFUSED, .step = 0, .text = "a job of libvirt", .todo = "end it", .busy = true);
        assert_string_equal(w.job.steps[0]->to, "kvm2");
    }
    w.now += PLAN_BUSY_MS;
    feed(PLAN_EVENT_FLEET);
    feed(PLAN_EVENT_REFUSED, .step = 0, .text = "a job of libvirt", .todo = "end it", .busy = true);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    assert_string_equal(w.job.steps[0]->todo, "end it");
    assert_int_equal(w.job.steps[0]->n_avoid, 0);
    world_teardown(&w);
}

/* The agents' own checks, when the migration has begun already. */
static void a_late_no_is_a_no_of_that_host_only(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_started(&w, 0, 7);
    assert_string_equal(feed(PLAN_EVENT_ENDED, .step = 0, .outcome = DROVER__V1__JOB_STATE__JOB_FAILED,
                             .refused = true, .text = "kvm2: no lease", .todo = "see to it"),
                        "PLACE0 JOURNAL JOURNAL START1");
    world_place(&w, 0);
    assert_string_equal(w.job.steps[0]->to, "kvm3");
    world_started(&w, 0, 8);
    feed(PLAN_EVENT_ENDED, .step = 0, .outcome = DROVER__V1__JOB_STATE__JOB_FAILED, .refused = true,
         .text = "kvm3: no lease", .todo = "see to it");
    world_place(&w, 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    assert_string_equal(w.job.steps[0]->why, "kvm3: no lease");
    assert_string_equal(w.job.steps[0]->todo, "see to it");
    /* One whose destination was lost on the way is not taken from it. */
    world_started(&w, 1, 9);
    fleet_session(fleet_host(&w.fleet, "kvm2"), false, 5, "cut");
    feed(PLAN_EVENT_ENDED, .step = 1, .outcome = DROVER__V1__JOB_STATE__JOB_FAILED, .text = "broken off");
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_WAITING);
    assert_string_equal(w.job.steps[1]->to, "kvm2");
    world_teardown(&w);
}

/* An operator moves web1 when the evacuation is ordered: that makes it no guest that can't move. */
static void a_guest_that_is_leaving_already_is_waited_for(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    Drover__V1__Job other = DROVER__V1__JOB__INIT;
    const Drover__V1__Job *open[] = {&other};
    other.id = 12;
    other.guest = (char *)"web1";
    other.guest_uuid = (char *)UUID_A;
    other.source = (char *)"kvm1";
    other.destination = (char *)"kvm3";
    world_setup(&w);
    made_string(&w.fleet.hosts[0].guests[0].guest->transaction, "t");
    w.request.kind = (char *)"evacuate";
    w.request.host = (char *)"kvm1";
    const struct plan_making making = {
        .fleet = &w.fleet, .request = &w.request, .policy = &w.policy, .open = open, .n_open = 1};
    assert_int_equal(plan_make(&making, &w.job, &err), 0);
    assert_int_equal(plan_count(&w.job, DROVER__V1__STEP_STATE__STEP_WAITING), 3);
    size_t web1 = 0;
    while (!streq(w.job.steps[web1]->guest, "web1"))
        web1++;
    w.plan = (struct plan){.job = &w.job, .empties = true};
    feed(PLAN_EVENT_START, .open = open, .n_open = 1);
    assert_int_equal(world_state(&w, web1), DROVER__V1__STEP_STATE__STEP_WAITING);
    assert_string_equal(w.job.steps[web1]->why, "job 12 works on it");
    for (int i = 0; i < 2 * PLAN_BUSY_TRIES; i++) { /* it takes its time */
        w.now += PLAN_BUSY_MS;
        feed(PLAN_EVENT_FLEET, .open = open, .n_open = 1);
    }
    assert_int_equal(world_state(&w, web1), DROVER__V1__STEP_STATE__STEP_WAITING);
    world_gone(&w, "kvm1", UUID_A);
    made_guest(fleet_host(&w.fleet, "kvm3"), "web1", UUID_A);
    feed(PLAN_EVENT_FLEET);
    assert_true(world_state(&w, web1) == DROVER__V1__STEP_STATE__STEP_SKIPPED ||
                world_state(&w, web1) == DROVER__V1__STEP_STATE__STEP_DONE);
    assert_string_equal(w.job.steps[web1]->todo, "");
    world_teardown(&w);
}

/* What an operator's own migrate has done is the evacuation's, too, where it took the guest to the same host. */
static void who_was_moved_by_hand_comes_back_with_the_others(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_gone(&w, "kvm1", UUID_B);
    made_guest(fleet_host(&w.fleet, "kvm2"), "web2", UUID_B);
    assert_string_equal(feed(PLAN_EVENT_FLEET), "TAKEN1 JOURNAL");
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_DONE);
    world_teardown(&w);
    /* Where somebody else chose another place for it, it stays there. */
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_gone(&w, "kvm1", UUID_B);
    made_guest(fleet_host(&w.fleet, "kvm3"), "web2", UUID_B);
    assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL");
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    world_teardown(&w);
}

static void later_groups_stay_when_one_of_an_earlier_group_does(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    w.plan.empties = false;
    w.job.steps[1]->group = w.job.steps[2]->group = 1;
    assert_string_equal(feed(PLAN_EVENT_START), "JOURNAL START0");
    world_started(&w, 0, 7);
    assert_string_equal(world_ended(&w, 0, DROVER__V1__JOB_STATE__JOB_FAILED), "JOURNAL JOURNAL FINISH");
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    assert_string_equal(w.job.steps[1]->why, "web1, of a group before it, has not moved");
    assert_string_equal(w.job.steps[2]->todo,
                        "see to web1, then run the same command again; or leave its group out");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_FAILED);
    world_teardown(&w);
}

static void what_is_wrong_with_a_guest_that_has_arrived(void **unused)
{
    (void)unused;
    static const struct {
        bool exists, running, has_agent, answers, error;
        const char *state, *expected;
    } cases[] = {
        {true, true, false, false, false, "running", NULL},
        {true, true, true, true, false, "running", NULL},
        {false, false, false, false, false, "", "it is not there any more"},
        {true, false, false, false, false, "paused", "it is paused"},
        {true, true, true, false, false, "running", "its guest agent does not answer"},
        {true, true, true, true, true, "running", "disk vda: no space"},
        {true, false, false, false, true, "paused by an I/O error", "disk vda: no space"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *error = (char *)"vda: no space";
        Drover__V1__LookReply look = DROVER__V1__LOOK_REPLY__INIT;
        look.exists = cases[i].exists;
        look.running = cases[i].running;
        look.has_agent = cases[i].has_agent;
        look.agent_answers = cases[i].answers;
        look.state = (char *)cases[i].state;
        look.errors = &error;
        look.n_errors = cases[i].error;
        char *wrong = plan_what_is_wrong(&look);
        assert_int_equal(!wrong, !cases[i].expected);
        if (wrong)
            assert_string_equal(wrong, cases[i].expected);
        free(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_is_emptied_gets_no_guest_of_another),
        cmocka_unit_test(what_is_called_empty_at_the_end_is),
        cmocka_unit_test(another_host_is_looked_for_at_the_same_site),
        cmocka_unit_test(a_group_stays_together_when_one_is_placed_anew),
        cmocka_unit_test(a_cancelled_plan_ends),
        cmocka_unit_test(a_host_is_not_called_empty_while_a_guest_is_on_its_way_there),
        cmocka_unit_test(a_busy_guest_is_tried_again_later_and_holds_nobody_up),
        cmocka_unit_test(a_late_no_is_a_no_of_that_host_only),
        cmocka_unit_test(a_guest_that_is_leaving_already_is_waited_for),
        cmocka_unit_test(who_was_moved_by_hand_comes_back_with_the_others),
        cmocka_unit_test(later_groups_stay_when_one_of_an_earlier_group_does),
        cmocka_unit_test(what_is_wrong_with_a_guest_that_has_arrived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
