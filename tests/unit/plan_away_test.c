/* Plans: hosts that can't be asked for a moment or for long, and what is in doubt for that. */
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "plan_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_destination_that_is_away_for_a_moment_is_waited_for(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    w.job.steps[1]->after = 1; /* one alone */
    w.job.steps[2]->after = 1;
    fleet_session(fleet_host(&w.fleet, "kvm2"), false, 5, "its agent is restarted");
    assert_string_equal(feed(PLAN_EVENT_START), "WAIT");
    assert_int_equal(w.wait_ms, PLAN_GRACE_MS);
    w.now += PLAN_GRACE_MS - 10;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "WAIT");
    assert_int_equal(w.wait_ms, 10);
    /* Connected, and not told yet: that is no refusal either. */
    fleet_session(fleet_host(&w.fleet, "kvm2"), true, 6, NULL);
    fleet_host(&w.fleet, "kvm2")->synced = false;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "WAIT");
    fleet_host(&w.fleet, "kvm2")->synced = true;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL START0");
    assert_string_equal(w.job.steps[0]->to, "kvm2");
    assert_int_equal(w.job.steps[0]->tries, 0);
    /* Away for long: another host. */
    feed(PLAN_EVENT_FORGOTTEN, .step = 0);
    feed(PLAN_EVENT_FORGOTTEN, .step = 0);
    fleet_session(fleet_host(&w.fleet, "kvm2"), false, 7, "switched off");
    feed(PLAN_EVENT_FORGOTTEN, .step = 0);
    w.now += PLAN_GRACE_MS;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "PLACE0 JOURNAL");
    world_place(&w, 0);
    assert_string_equal(w.job.steps[0]->to, "kvm3");
    assert_string_equal(w.trace, "JOURNAL JOURNAL START0");
    world_teardown(&w);
}

/* After a restart of the coordinator no agent has told its guests yet. */
static void nothing_is_placed_while_its_host_is_not_known(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    set_text(&w.job.steps[0]->to, "");
    fleet_host(&w.fleet, "kvm1")->synced = false;
    assert_string_equal(feed(PLAN_EVENT_START), "WAIT");
    assert_string_equal(feed(PLAN_EVENT_FLEET), "WAIT");
    fleet_host(&w.fleet, "kvm1")->synced = true;
    assert_non_null(strstr(feed(PLAN_EVENT_FLEET), "PLACE0"));
    world_teardown(&w);
}

static void a_plan_in_doubt_says_so_when_nothing_else_can_be_done(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    feed(PLAN_EVENT_START);
    world_started(&w, 0, 7);
    world_started(&w, 2, 8);
    w.job.steps[0]->in_doubt = true;
    set_text(&w.job.steps[0]->why, "kvm1 can't be asked who has the guest");
    set_text(&w.job.steps[0]->todo, "see to kvm1");
    feed(PLAN_EVENT_FLEET);
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_RUNNING); /* cold1 moves */
    world_ended(&w, 2, DONE);
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_IN_DOUBT);
    assert_string_equal(w.job.text,
                        "moves web1 to kvm2; 1 waits; in doubt: web1: kvm1 can't be asked who has the guest");
    assert_string_equal(w.job.todo, "see to kvm1 (drover job 7)");
    w.job.steps[0]->in_doubt = false;
    world_ended(&w, 0, DONE);
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_RUNNING);
    world_teardown(&w);
}

/* Between two moves, so that no migration is in doubt. */
static void a_source_that_can_not_be_asked_is_waited_for_and_named(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    w.job.id = 5;
    feed(PLAN_EVENT_START);
    world_started(&w, 0, 7);
    world_started(&w, 2, 8);
    world_ended(&w, 2, DONE);
    world_ended(&w, 0, DONE);
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 5, "no route to host");
    assert_string_equal(feed(PLAN_EVENT_LOOKED, .step = 0, .well = true, .text = "fine"), "JOURNAL WAIT");
    assert_int_equal(w.wait_ms, PLAN_DOUBT_MS);
    assert_string_equal(w.job.text, "1 waits: kvm1, where web2 is, can't be asked: no route to host");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_RUNNING);
    w.now += PLAN_DOUBT_MS;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_IN_DOUBT);
    assert_string_equal(w.job.todo,
                        "see that kvm1 is up and that drover-agent and libvirt answer there (drover doctor "
                        "kvm1): then the plan goes on by itself; `drover cancel 5` ends it");
    assert_non_null(strstr(w.told, "in doubt: 1 waits: kvm1, where web2 is"));
    fleet_session(fleet_host(&w.fleet, "kvm1"), true, 6, NULL);
    fleet_host(&w.fleet, "kvm1")->synced = false;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "");
    assert_string_equal(
        w.job.text,
        "1 waits: kvm1, where web2 is, can't be asked: its agent has not told all its guests yet");
    fleet_host(&w.fleet, "kvm1")->synced = true;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL START1");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_RUNNING);
    assert_non_null(strstr(w.told, "not in doubt any more"));
    /* While it is checked: that is no refusal of the destination. */
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 7, "cut");
    feed(PLAN_EVENT_REFUSED, .step = 1, .text = "host kvm1: no session", .todo = "see to it");
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_WAITING);
    assert_string_equal(w.job.steps[1]->to, "kvm2");
    fleet_session(fleet_host(&w.fleet, "kvm1"), true, 8, NULL);
    fleet_host(&w.fleet, "kvm1")->synced = true;
    w.now += PLAN_BUSY_MS;
    assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL START1");
    /* It can be ended meanwhile. */
    feed(PLAN_EVENT_FORGOTTEN, .step = 1);
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 9, "no route to host");
    feed(PLAN_EVENT_FORGOTTEN, .step = 1);
    assert_string_equal(feed(PLAN_EVENT_CANCEL), "JOURNAL JOURNAL FINISH");
    world_teardown(&w);
}

static void while_another_can_move_nothing_is_in_doubt(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    world_plan(&w);
    w.plan.empties = false; /* as of `balance` */
    made_guest(fleet_host(&w.fleet, "kvm3"), "web9", UUID_D);
    set_text(&plan_add(&w.job, fleet_host(&w.fleet, "kvm3")->guests[0].guest, "kvm3")->to, "kvm2");
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 5, "cut");
    /* A migration of an operator has kvm2's link. */
    Drover__V1__Job other = DROVER__V1__JOB__INIT;
    const Drover__V1__Job *open[] = {&other};
    w.fleet.bandwidth = 1 << 20;
    other.id = 12;
    other.guest_uuid = (char *)"e";
    other.source = (char *)"kvm4";
    other.destination = (char *)"kvm2";
    other.phase = (char *)"transfer";
    Drover__V1__Forecast forecast = DROVER__V1__FORECAST__INIT;
    forecast.bytes = 100 * GIB;
    other.forecast = &forecast;
    feed(PLAN_EVENT_START, .open = open, .n_open = 1);
    assert_int_equal(world_state(&w, 3), DROVER__V1__STEP_STATE__STEP_WAITING);
    w.now += 2 * PLAN_DOUBT_MS;
    feed(PLAN_EVENT_FLEET, .open = open, .n_open = 1);
    assert_int_equal(world_state(&w, 3), DROVER__V1__STEP_STATE__STEP_WAITING);
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_RUNNING);
    assert_string_equal(feed(PLAN_EVENT_FLEET), "JOURNAL START3");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_RUNNING);
    feed(PLAN_EVENT_ENDED, .step = 3, .outcome = DROVER__V1__JOB_STATE__JOB_CANCELLED, .text = "cancelled");
    assert_int_equal(world_state(&w, 3), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_IN_DOUBT);
    world_teardown(&w);
}

static void a_return_does_not_give_up_a_guest_that_may_be_on_a_host_that_is_away(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    const struct plan_away away = {.guest_uuid = (char *)UUID_D, .guest = (char *)"web9"};
    world_setup(&w);
    w.request.kind = (char *)"return";
    w.request.host = (char *)"kvm1";
    const struct plan_making making = {
        .fleet = &w.fleet, .request = &w.request, .policy = &w.policy, .away = &away, .n_away = 1};
    fleet_session(fleet_host(&w.fleet, "kvm3"), false, 5, "cut");
    assert_int_equal(plan_make(&making, &w.job, &err), 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
    assert_string_equal(w.job.steps[0]->why, "no connected host has it, and kvm3 can't be asked");
    assert_string_equal(w.job.steps[0]->todo, "when kvm3 is back: drover return kvm1");
    w.plan = (struct plan){.job = &w.job};
    assert_string_equal(feed(PLAN_EVENT_START), "FINISH");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_FAILED);
    world_teardown(&w);

    world_setup(&w);
    w.request.kind = (char *)"return";
    w.request.host = (char *)"kvm1";
    assert_int_equal(plan_make(&making, &w.job, &err), 0);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    world_teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_destination_that_is_away_for_a_moment_is_waited_for),
        cmocka_unit_test(nothing_is_placed_while_its_host_is_not_known),
        cmocka_unit_test(a_plan_in_doubt_says_so_when_nothing_else_can_be_done),
        cmocka_unit_test(a_source_that_can_not_be_asked_is_waited_for_and_named),
        cmocka_unit_test(while_another_can_move_nothing_is_in_doubt),
        cmocka_unit_test(a_return_does_not_give_up_a_guest_that_may_be_on_a_host_that_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
