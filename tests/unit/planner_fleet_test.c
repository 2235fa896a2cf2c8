#include "coordinator/core/planner_fleet.h"

#include "common/base/memory.h"
#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID_C "33333333-3333-4333-8333-33333333cccc"

static const Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;

/* The plan that empties kvm1. */
static struct planner_plan emptied(struct planner_view *view)
{
    bool *from = xcalloc(view->fleet.n_hosts, 1);
    struct planner_plan plan;
    from[planner_view_host(view, "kvm1")] = true;
    struct planner *planner = planner_new(&view->fleet);
    planner_run(planner, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = from}, &plan);
    planner_free(planner);
    free(from);
    return plan;
}

static void preflight_and_rules_say_where_a_guest_may_go(void **state)
{
    (void)state;
    struct fleet fleet;
    struct guest_rules rules = {0};
    fleet_init(&fleet);
    struct fleet_host *kvm1 = made_host(&fleet, "kvm1");
    made_guest(kvm1, "web1", UUID_A);
    made_guest(kvm1, "web2", UUID_B);
    made_guest(kvm1, "db1", UUID_C)->guest->snapshots = 1;
    made_string(&made_host(&fleet, "kvm2")->report->bridges[0]->name, "br9");
    made_host(&fleet, "kvm3");
    made_host(&fleet, "kvm4");
    made_host(&fleet, "export1")->report->hypervisor = false;
    rules.rules = xcalloc(1, sizeof(*rules.rules));
    rules.n_rules = 1;
    names_add(&rules.rules[0].guests, "web*");
    names_add(&rules.rules[0].require, "ssd");
    rules.hosts = xcalloc(1, sizeof(*rules.hosts));
    rules.n_hosts = 1;
    rules.hosts[0].host = xstrdup("kvm3");
    names_add(&rules.hosts[0].labels, "ssd");
    rules.groups = xcalloc(1, sizeof(*rules.groups));
    rules.n_groups = 1;
    rules.groups[0].name = xstrdup("web");
    rules.groups[0].apart = true;
    names_add(&rules.groups[0].guests, "web?");

    struct planner_view *view =
        planner_view_new(&(struct planner_view_of){.fleet = &fleet, .policy = &policy, .rules = &rules});
    struct planner_plan plan = emptied(view);
    assert_int_equal(plan.n_moves, 1);
    assert_string_equal(view->fleet.hosts[plan.moves[0].to].name, "kvm3");
    assert_int_equal(plan.n_stuck, 2);
    for (uint32_t i = 0; i < plan.n_stuck; i++) {
        const struct planner_stuck *s = &plan.stuck[i];
        if (s->guest == planner_view_guest(view, UUID_C))
            assert_string_equal(s->why, "guest db1: 1 snapshot (snapshots)");
        else
            assert_string_equal(s->why, "kvm2, kvm4: no label ssd; kvm3: web1 of group web is there");
    }
    planner_plan_deinit(&plan);
    planner_view_free(view);

    names_deinit(&rules.rules[0].require);
    rules.n_groups = 0;
    view = planner_view_new(&(struct planner_view_of){.fleet = &fleet, .policy = &policy, .rules = &rules});
    names_add(&rules.rules[0].hosts, "kvm2");
    plan = emptied(view);
    assert_int_equal(plan.n_moves, 0);
    assert_string_equal(
        plan.stuck[0].why,
        "kvm3, kvm4: pinned to kvm2 by guests[0] in coordinator.yaml; kvm2: bridge br0 (bridge)");
    planner_plan_deinit(&plan);
    planner_view_free(view);
    rules.n_groups = 1;
    guest_rules_deinit(&rules);
    fleet_deinit(&fleet);
}

static const char *busy(void *arg, const char *uuid)
{
    (void)arg;
    return streq(uuid, UUID_B) ? "job 7 works on it" : NULL;
}

static void room_counts_what_is_promised_and_held(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    struct fleet_host *kvm1 = made_host(&fleet, "kvm1");
    made_guest(kvm1, "web1", UUID_A);
    made_guest(kvm1, "web2", UUID_B);
    Drover__V1__HostReport *r = made_host(&fleet, "kvm2")->report;
    r->memory_free = 6 * GIB;
    r->memory_reserved = GIB;
    made_host(&fleet, "kvm3");
    const uint64_t promised[] = {0, 2 * GIB, 0};
    const bool closed[] = {false, false, true};
    struct planner_view *view = planner_view_new(&(struct planner_view_of){
        .fleet = &fleet, .policy = &policy, .promised = promised, .closed = closed, .busy = busy});
    assert_int_equal(view->fleet.hosts[1].memory_free, 4 * GIB);
    struct planner_plan plan = emptied(view);
    assert_int_equal(plan.n_stuck, 2);
    assert_string_equal(plan.stuck[0].why, "kvm2: less than 4160 MiB of memory free; kvm3: in maintenance");
    assert_string_equal(plan.stuck[1].why, "job 7 works on it");
    planner_plan_deinit(&plan);
    planner_view_free(view);
    fleet_deinit(&fleet);
}

static void each_guest_is_there_once_where_it_runs(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A)->guest->state =
        DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    made_guest(made_host(&fleet, "kvm2"), "web1", UUID_A);
    made_guest(made_host(&fleet, "kvm3"), "web1", UUID_B);
    struct planner_view *view =
        planner_view_new(&(struct planner_view_of){.fleet = &fleet, .policy = &policy});
    assert_int_equal(view->fleet.n_guests, 2);
    uint32_t web1 = planner_view_guest(view, UUID_A);
    assert_int_equal(view->fleet.guests[web1].host, 1);
    assert_int_equal(planner_view_guest(view, UUID_C), PLANNER_NONE);
    assert_int_equal(planner_view_host(view, "kvm9"), PLANNER_NONE);
    /* Two guests of one name can't be on one host. */
    assert_int_equal(view->fleet.guests[web1].n_groups, 1);
    assert_true(view->fleet.groups[view->fleet.guests[web1].groups[0]].apart);
    planner_view_free(view);
    fleet_deinit(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preflight_and_rules_say_where_a_guest_may_go),
        cmocka_unit_test(room_counts_what_is_promised_and_held),
        cmocka_unit_test(each_guest_is_there_once_where_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
