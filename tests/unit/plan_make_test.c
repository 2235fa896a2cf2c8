/* Plans as they are made: which guests, where to, and what is refused or remarked. */
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

static const char *move(struct world *w, char **patterns, size_t n)
{
    static struct error err;
    err = (struct error){0};
    w->request.kind = (char *)"move";
    w->request.from_site = (char *)"tokyo";
    w->request.to_site = (char *)"osaka";
    w->request.vms = patterns;
    w->request.n_vms = n;
    const struct plan_making making = {.fleet = &w->fleet, .request = &w->request, .policy = &w->policy};
    return plan_make(&making, &w->job, &err) < 0 ? err.text : NULL;
}

static void an_evacuation_names_who_can_not_move(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    world_setup(&w);
    fleet_host(&w.fleet, "kvm1")->guests[1].guest->snapshots = 2;
    w.request.kind = (char *)"evacuate";
    w.request.host = (char *)"kvm1";
    const struct plan_making making = {.fleet = &w.fleet, .request = &w.request, .policy = &w.policy};
    if (plan_make(&making, &w.job, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(w.job.n_steps, 3);
    assert_int_equal(plan_count(&w.job, DROVER__V1__STEP_STATE__STEP_FAILED), 1);
    for (size_t i = 0; i < 3; i++) {
        const Drover__V1__PlanStep *s = w.job.steps[i];
        if (streq(s->guest, "web2")) {
            assert_string_equal(s->to, "");
            assert_non_null(strstr(s->why, "snapshot"));
            assert_true(s->todo[0]);
        } else {
            assert_true(plan_takes(&w.fleet, s->to));
        }
    }
    world_teardown(&w);
}

static void an_evacuation_to_a_site_goes_there_and_names_templates(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    world_setup(&w);
    made_string(&fleet_host(&w.fleet, "kvm3")->site, "osaka");
    Drover__V1__Guest *web1 = fleet_host(&w.fleet, "kvm1")->guests[0].guest,
                      *cold1 = fleet_host(&w.fleet, "kvm1")->guests[2].guest;
    made_string(&cold1->disks[0]->source, "nfs/base.qcow2");
    web1->disks[0]->backing = new0(char *);
    web1->disks[0]->backing[0] = xstrdup("nfs/base.qcow2");
    web1->disks[0]->n_backing = 1;
    w.request.kind = (char *)"evacuate";
    w.request.host = (char *)"kvm1";
    w.request.to_site = (char *)"osaka";
    const struct plan_making making = {.fleet = &w.fleet, .request = &w.request, .policy = &w.policy};
    if (plan_make(&making, &w.job, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(w.job.n_steps, 3);
    for (size_t i = 0; i < 3; i++) {
        const Drover__V1__PlanStep *s = w.job.steps[i];
        bool template = false;
        assert_string_equal(s->to, "kvm3");
        for (size_t n = 0; n < s->n_notes; n++)
            template |= streq(s->notes[n], "a template: its image is the base of web1");
        assert_int_equal(template, streq(s->guest, "cold1"));
    }
    world_teardown(&w);
}

/* What a dry run shows, and the agents are asked to forecast, is what the moves will be ordered as. */
static void each_step_has_the_mode_that_was_asked_for(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    world_setup(&w);
    w.request.kind = (char *)"evacuate";
    w.request.host = (char *)"kvm1";
    w.request.mode = DROVER__V1__MODE__MODE_OFFLINE;
    const struct plan_making making = {.fleet = &w.fleet, .request = &w.request, .policy = &w.policy};
    if (plan_make(&making, &w.job, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(w.job.steps[i]->mode, streq(w.job.steps[i]->guest, "cold1")
                                                   ? DROVER__V1__MODE__MODE_DEFINITION
                                                   : DROVER__V1__MODE__MODE_OFFLINE);
    /* Also of a guest that is started, or appears, while the plan runs. */
    w.plan = (struct plan){.job = &w.job, .empties = true};
    fleet_host(&w.fleet, "kvm1")->maintenance = true;
    for (size_t g = 0; g < 3; g++)
        fleet_host(&w.fleet, "kvm1")->guests[g].guest->state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    made_guest(fleet_host(&w.fleet, "kvm1"), "late1", UUID_D);
    feed(PLAN_EVENT_FLEET);
    assert_int_equal(w.job.n_steps, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(w.job.steps[i]->mode, DROVER__V1__MODE__MODE_OFFLINE);
    world_teardown(&w);
}

/* Its guests are in no plan, so the site would be called moved without them. */
static void a_site_of_which_a_host_is_not_known_does_not_move(void **unused)
{
    (void)unused;
    struct world w;
    world_setup(&w);
    made_string(&fleet_host(&w.fleet, "kvm3")->site, "osaka");
    fleet_session(fleet_host(&w.fleet, "kvm2"), false, 5, "no route to host");
    assert_string_equal(move(&w, NULL, 0),
                        "kvm2, which is at site tokyo: no route to host; what runs there is not known, so "
                        "nothing is planned: see that drover-agent answers there (drover doctor kvm2), or "
                        "leave that host out: drover maintenance on kvm2");
    /* Connected, and it has not told yet. */
    fleet_session(fleet_host(&w.fleet, "kvm2"), true, 6, NULL);
    assert_non_null(strstr(move(&w, NULL, 0), "kvm2, which is at site tokyo: its agent has not told"));
    /* One that is switched off, after a consolidation perhaps. */
    fleet_host(&w.fleet, "kvm2")->maintenance = true;
    assert_null(move(&w, NULL, 0));
    assert_int_equal(w.job.n_steps, 3);
    assert_int_equal(w.job.n_remarks, 1);
    assert_string_equal(w.job.remarks[0],
                        "kvm2 is in maintenance and can't be asked: guests that it may have are left out");
    world_teardown(&w);
    /* Where the guests go, a host may be missing; and one that stores only has none. */
    world_setup(&w);
    made_string(&fleet_host(&w.fleet, "kvm3")->site, "osaka");
    made_string(&made_host(&w.fleet, "kvm4")->site, "osaka");
    fleet_session(fleet_host(&w.fleet, "kvm4"), false, 5, "no route to host");
    fleet_session(fleet_host(&w.fleet, "kvm2"), false, 5, "no route to host");
    fleet_host(&w.fleet, "kvm2")->report->hypervisor = false;
    assert_null(move(&w, NULL, 0));
    assert_int_equal(w.job.n_remarks, 0);
    world_teardown(&w);
}

static void a_pattern_that_fits_nobody_is_told(void **unused)
{
    (void)unused;
    struct world w;
    char *slip[] = {(char *)"web*", (char *)"dv*"}, *both[] = {(char *)"web*", (char *)"db*"},
         *there[] = {(char *)"db*"}, *third[] = {(char *)"app*"};
    world_setup(&w);
    made_string(&fleet_host(&w.fleet, "kvm3")->site, "osaka");
    made_guest(fleet_host(&w.fleet, "kvm3"), "db1", UUID_D);
    made_string(&made_host(&w.fleet, "kvm4")->site, "kyoto");
    made_guest(fleet_host(&w.fleet, "kvm4"), "app1", "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee");
    assert_string_equal(move(&w, slip, 2),
                        "no guest fits 'dv*', so nothing is planned; `drover vms` lists them");
    fleet_session(fleet_host(&w.fleet, "kvm4"), false, 5, "no route to host");
    assert_non_null(strstr(move(&w, slip, 2), "of hosts that can't be asked, such as kvm4"));
    /* It did, before the order was given again. */
    assert_null(move(&w, both, 2));
    assert_int_equal(w.job.n_steps, 2);
    assert_string_equal(w.job.remarks[0],
                        "no guest at tokyo fits 'db*'; those that do are elsewhere: db1 on kvm3");
    world_teardown(&w);

    world_setup(&w);
    made_string(&fleet_host(&w.fleet, "kvm3")->site, "osaka");
    made_guest(fleet_host(&w.fleet, "kvm3"), "db1", UUID_D);
    made_string(&made_host(&w.fleet, "kvm4")->site, "kyoto");
    made_guest(fleet_host(&w.fleet, "kvm4"), "app1", "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee");
    assert_string_equal(move(&w, third, 1),
                        "site tokyo has no guest of such a name; `drover vms` lists them");
    assert_null(move(&w, there, 1));
    w.plan = (struct plan){.job = &w.job};
    assert_string_equal(feed(PLAN_EVENT_START), "FINISH");
    assert_string_equal(w.job.text, "there was nothing to move");
    assert_int_equal(w.job.state, DONE);
    world_teardown(&w);
}

static void a_return_without_guests_ends_the_maintenance(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    world_setup(&w);
    w.request.kind = (char *)"return";
    w.request.host = (char *)"kvm1";
    const struct plan_making making = {
        .fleet = &w.fleet, .request = &w.request, .policy = &w.policy, .leaves = true};
    assert_int_equal(plan_make(&making, &w.job, &err), 0);
    w.plan = (struct plan){.job = &w.job};
    assert_string_equal(feed(PLAN_EVENT_START), "FINISH");
    assert_int_equal(w.job.state, DONE);
    assert_string_equal(w.job.text, "there was nothing to bring back; kvm1 is out of maintenance");
    world_teardown(&w);
}

static void wrong_orders_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *kind, *host, *to, *to_site, *expected;
    } cases[] = {
        {"evacuate", "kvm9", "", "", "no host 'kvm9'"},
        {"evacuate", "kvm1", "kvm1", "", "can't take its own guests"},
        {"evacuate", "kvm1", "kvm2", "osaka", "expected one of them"},
        {"evacuate", "kvm1", "", "osaka", "no host is at site 'osaka'"},
        {"return", "kvm1", "", "", "no evacuation of kvm1 is known"},
        {"move", "", "", "lab", "expected two different sites"},
        {"dance", "kvm1", "", "", "unknown kind of plan 'dance'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct error err = {0};
        world_setup(&w);
        w.request.kind = (char *)cases[i].kind;
        w.request.host = (char *)cases[i].host;
        w.request.to = (char *)cases[i].to;
        w.request.to_site = (char *)cases[i].to_site;
        const struct plan_making making = {.fleet = &w.fleet, .request = &w.request, .policy = &w.policy};
        assert_true(plan_make(&making, &w.job, &err) < 0);
        if (!strstr(err.text, cases[i].expected))
            fail_msg("'%s', expected '%s'", err.text, cases[i].expected);
        world_teardown(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_evacuation_names_who_can_not_move),
        cmocka_unit_test(an_evacuation_to_a_site_goes_there_and_names_templates),
        cmocka_unit_test(each_step_has_the_mode_that_was_asked_for),
        cmocka_unit_test(a_site_of_which_a_host_is_not_known_does_not_move),
        cmocka_unit_test(a_pattern_that_fits_nobody_is_told),
        cmocka_unit_test(a_return_without_guests_ends_the_maintenance),
        cmocka_unit_test(wrong_orders_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
