/* Moves of several plans and orders at the same time: what each of them sees of the others. */
#include "common/base/memory.h"
#include "coordinator/core/guest_rules.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_schedule.h"
#include "coordinator/core/under_way.h"
#include "plan_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void steps_of_plans_count_as_moves(void **unused)
{
    (void)unused;
    struct world w;
    struct under_way u;
    Drover__V1__Job migration = DROVER__V1__JOB__INIT;
    const Drover__V1__Job *open[] = {&migration}, *plans[] = {&w.job};
    world_setup(&w);
    world_plan(&w); /* web1, web2, cold1 from kvm1 to kvm2 */
    migration.guest_uuid = (char *)UUID_A;
    migration.source = (char *)"kvm1";
    migration.destination = (char *)"kvm2";
    w.job.steps[0]->state = DROVER__V1__STEP_STATE__STEP_RUNNING;
    w.job.steps[0]->job = 7; /* which is that migration */
    w.job.steps[1]->state = DROVER__V1__STEP_STATE__STEP_RUNNING;
    under_way_init(&u, open, 1, plans, 1, UNDER_WAY_RUNNING);
    assert_int_equal(u.n, 2);
    assert_ptr_equal(u.list[0], &migration);
    assert_string_equal(u.list[1]->guest, "web2");
    under_way_deinit(&u);
    under_way_init(&u, open, 1, plans, 1, UNDER_WAY_OPEN);
    assert_int_equal(u.n, 3);
    /* What is shut off needs no memory. */
    struct promised *sums = under_way_promised(&w.fleet, u.list, u.n, NULL);
    assert_int_equal(sums[1].memory, 2 * preflight_need(w.fleet.hosts[0].guests[0].guest));
    free(sums);
    sums = under_way_promised(&w.fleet, u.list, u.n, UUID_B);
    assert_int_equal(sums[1].memory, preflight_need(w.fleet.hosts[0].guests[0].guest));
    free(sums);
    under_way_deinit(&u);
    world_teardown(&w);
}

struct apart {
    struct guest_group group;
    struct guest_rules rules;
};

static void keep_apart(struct apart *a, struct world *w)
{
    *a = (struct apart){.group = {.name = (char *)"db", .apart = true}};
    names_add(&a->group.guests, "web*");
    a->rules = (struct guest_rules){.groups = &a->group, .n_groups = 1};
    w->fleet.rules = &a->rules;
}

/* `drover migrate web1 web2 --to kvm2`, or two plans. */
static void two_of_a_group_do_not_go_to_one_host(void **unused)
{
    (void)unused;
    struct world w;
    struct apart apart;
    struct findings findings = {0};
    Drover__V1__Job other = DROVER__V1__JOB__INIT;
    const Drover__V1__Job *open[] = {&other};
    world_setup(&w);
    keep_apart(&apart, &w);
    other.guest = (char *)"web2";
    other.guest_uuid = (char *)UUID_B;
    other.source = (char *)"kvm1";
    other.destination = (char *)"kvm2";
    struct preflight in = {.fleet = &w.fleet,
                           .source = fleet_host(&w.fleet, "kvm1"),
                           .destination = fleet_host(&w.fleet, "kvm2"),
                           .guest = fleet_guest_on(fleet_host(&w.fleet, "kvm1"), UUID_A),
                           .policy = &w.policy,
                           .open = open,
                           .n_open = 1};
    preflight_run(&in, &findings);
    const Drover__V1__Finding *block = findings_block(&findings);
    assert_non_null(block);
    assert_string_equal(block->seen, "web2, of the same group db, is on its way to kvm2");
    findings_deinit(&findings);
    in.destination = fleet_host(&w.fleet, "kvm3");
    preflight_run(&in, &findings);
    assert_null(findings_block(&findings));
    findings_deinit(&findings);

    /* A plan is made with that in mind. */
    struct error err = {0};
    w.request.kind = (char *)"evacuate";
    w.request.host = (char *)"kvm1";
    const struct plan_making making = {
        .fleet = &w.fleet, .request = &w.request, .policy = &w.policy, .open = open, .n_open = 1};
    assert_int_equal(plan_make(&making, &w.job, &err), 0);
    for (size_t i = 0; i < w.job.n_steps; i++)
        if (streq(w.job.steps[i]->guest, "web1"))
            assert_string_equal(w.job.steps[i]->to, "kvm3");
    names_deinit(&apart.group.guests);
    world_teardown(&w);
}

/* They are never paused at the same time, whosever plan they are in. */
static void a_step_of_another_plan_holds_its_group_back(void **unused)
{
    (void)unused;
    struct world w;
    struct apart apart;
    struct plan_schedule view;
    struct under_way u;
    Drover__V1__Job another = DROVER__V1__JOB__INIT;
    Drover__V1__PlanStep step = DROVER__V1__PLAN_STEP__INIT, *steps[] = {&step};
    const Drover__V1__Job *others[] = {&another};
    world_setup(&w);
    world_plan(&w);
    keep_apart(&apart, &w);
    another.id = 9;
    another.steps = steps;
    another.n_steps = 1;
    step.guest = (char *)"web9";
    step.guest_uuid = (char *)UUID_D;
    step.from = (char *)"kvm4";
    step.to = (char *)"kvm5";
    step.state = DROVER__V1__STEP_STATE__STEP_RUNNING; /* it is being checked */
    under_way_init(&u, NULL, 0, others, 1, UNDER_WAY_RUNNING);
    plan_schedule_init(&view, &w.fleet, &w.job, u.list, u.n);
    const struct schedule schedule = plan_schedule_view(&view);
    char *why = schedule_blocked(&schedule, 0);
    assert_string_equal(why, "another guest of its anti-affinity group moves");
    free(why);
    plan_schedule_deinit(&view);
    under_way_deinit(&u);
    names_deinit(&apart.group.guests);
    world_teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_plans_count_as_moves),
        cmocka_unit_test(two_of_a_group_do_not_go_to_one_host),
        cmocka_unit_test(a_step_of_another_plan_holds_its_group_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
