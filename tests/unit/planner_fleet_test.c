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

/* What --accept names forbids no planned move either. */
static void what_is_accepted_forbids_nothing(void **state)
{
    (void)state;
    struct fleet fleet;
    struct guest_rule rule = {.pinned = true};
    struct guest_rules rules = {.rules = &rule, .n_rules = 1};
    char *accept[] = {(char *)"guest-rules", (char *)"mac-in-use"};
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    made_guest(made_host(&fleet, "kvm2"), "web2", UUID_B); /* of the same MAC */
    names_add(&rule.guests, "web1");
    fleet.rules = &rules;
    for (size_t n = 0; n <= 2; n++) {
        struct planner_view *view = planner_view_new(
            &(struct planner_view_of){.fleet = &fleet, .policy = &policy, .accept = accept, .n_accept = n});
        struct planner_plan plan = emptied(view);
        assert_int_equal(plan.n_moves, n == 2);
        if (n == 0)
            assert_string_equal(plan.stuck[0].why, "pinned by guests[0] in coordinator.yaml");
        if (n == 1)
            assert_non_null(strstr(plan.stuck[0].why, "mac-in-use"));
        planner_plan_deinit(&plan);
        planner_view_free(view);
    }
    names_deinit(&rule.guests);
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
    const struct promised promised[3] = {[1] = {.memory = 2 * GIB, .vcpus = 3}};
    const bool closed[] = {false, false, true};
    struct planner_view *view = planner_view_new(&(struct planner_view_of){
        .fleet = &fleet, .policy = &policy, .promised = promised, .closed = closed, .busy = busy});
    assert_int_equal(view->fleet.hosts[1].memory_free, 4 * GIB);
    assert_int_equal(view->fleet.hosts[1].vcpus, 3);
    struct planner_plan plan = emptied(view);
    assert_int_equal(plan.n_stuck, 2);
    assert_string_equal(plan.stuck[0].why, "kvm2: less than 4300 MiB of memory free; kvm3: in maintenance");
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
    made_guest(made_host(&fleet, "kvm4"), "web1", UUID_A);
    struct planner_view *view =
        planner_view_new(&(struct planner_view_of){.fleet = &fleet, .policy = &policy});
    assert_int_equal(view->fleet.n_guests, 2);
    uint32_t web1 = planner_view_guest(view, UUID_A);
    assert_int_equal(view->fleet.guests[web1].host, 1);
    assert_int_equal(planner_view_guest(view, UUID_C), PLANNER_NONE);
    assert_int_equal(planner_view_host(view, "kvm9"), PLANNER_NONE);
    /* One that is on its way is counted at both ends. */
    assert_int_equal(view->fleet.hosts[0].vcpus, 0);
    assert_int_equal(view->fleet.hosts[3].vcpus, 2);
    /* Two guests of one name can't be on one host. */
    assert_int_equal(view->fleet.guests[web1].n_groups, 1);
    assert_true(view->fleet.groups[view->fleet.guests[web1].groups[0]].apart);
    planner_view_free(view);
    fleet_deinit(&fleet);
}

static Drover__V1__HugePages *made_pages(struct fleet_host *host, uint64_t size, uint32_t n)
{
    Drover__V1__HostReport *r = host->report;
    Drover__V1__HugePages *p = new0(Drover__V1__HugePages);
    drover__v1__huge_pages__init(p);
    p->page = size;
    p->total = p->free = n;
    p->node = -1;
    r->hugepage_default = 2 << 20;
    r->hugepages = xrealloc(r->hugepages, r->n_hugepages + 1, sizeof(*r->hugepages));
    return r->hugepages[r->n_hugepages++] = p;
}

static void huge_pages_count_what_is_promised_and_held(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_pages(made_host(&fleet, "kvm1"), 2 << 20, 0);
    Drover__V1__Guest *g = made_guest(fleet_host(&fleet, "kvm1"), "web1", UUID_A)->guest;
    g->hugepages = xcalloc(1, sizeof(uint64_t));
    g->n_hugepages = 1; /* of the default size */
    made_pages(made_host(&fleet, "kvm2"), 2 << 20, 4096);
    made_pages(fleet_host(&fleet, "kvm2"), 1 << 30, 64);
    struct promised promised[2] = {{0}};
    promised_add(&promised[1], fleet_guest_on(fleet_host(&fleet, "kvm1"), UUID_A));
    assert_int_equal(promised[1].pages_2m, 4 * GIB);
    assert_int_equal(promised[1].vcpus, 2);
    const struct planner_view_of of = {.fleet = &fleet, .policy = &policy, .promised = promised};
    struct planner_view *view = planner_view_new(&of);
    assert_int_equal(view->fleet.hosts[1].huge_free[PLANNER_HUGE_2M], 4 * GIB);
    assert_int_equal(view->fleet.hosts[1].huge_free[PLANNER_HUGE_1G], 64 * GIB);
    assert_int_equal(view->fleet.guests[0].pages, 4 * GIB);
    assert_int_equal(view->fleet.guests[0].huge, PLANNER_HUGE_2M);
    struct planner_plan plan = emptied(view);
    assert_int_equal(plan.n_moves, 1);
    planner_plan_deinit(&plan);
    planner_view_free(view);

    fleet_host(&fleet, "kvm2")->report->hugepages_reserved = 4 * GIB + 1;
    view = planner_view_new(&of);
    plan = emptied(view);
    assert_int_equal(plan.n_moves, 0);
    assert_string_equal(plan.stuck[0].why, "kvm2: less than 4096 MiB of huge pages of 2 MiB free");
    planner_plan_deinit(&plan);
    planner_view_free(view);
    fleet_deinit(&fleet);
}

static void what_is_not_measured_is_like_the_rest(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    struct fleet_host *kvm1 = made_host(&fleet, "kvm1");
    made_guest(kvm1, "web1", UUID_A);
    made_guest(kvm1, "web2", UUID_B)->guest->vcpus = 4;
    made_host(&fleet, "kvm2");
    const struct planner_view_of of = {.fleet = &fleet, .policy = &policy};
    struct planner_view *view = planner_view_new(&of);
    assert_false(view->measured);
    assert_true(planner_view_unmeasured(view, 0));
    assert_int_equal(view->fleet.guests[0].cpu_load, 0);
    assert_int_equal(view->fleet.guests[0].memory_now, 4 * GIB);
    planner_view_free(view);

    kvm1 = fleet_host(&fleet, "kvm1");
    kvm1->usage = (struct fleet_usage){.known = true, .cpu = 2300, .cpu_other = 800};
    kvm1->guests[0].usage = (struct fleet_usage){.known = true, .cpu = 1500, .memory = 3 * GIB};
    view = planner_view_new(&of);
    assert_true(view->measured);
    assert_false(planner_view_unmeasured(view, 0));
    assert_true(planner_view_unmeasured(view, 1));
    assert_int_equal(view->fleet.hosts[0].cpu_load, 800);
    assert_int_equal(view->fleet.hosts[1].cpu_load, 800); /* as many CPUs */
    assert_int_equal(view->fleet.guests[0].cpu_load, 1500);
    assert_int_equal(view->fleet.guests[0].used, 3 * GIB);
    assert_int_equal(view->fleet.guests[0].memory_now, 3 * GIB);
    assert_int_equal(view->fleet.guests[1].cpu_load, 3000); /* twice the vCPUs */
    planner_view_free(view);
    fleet_deinit(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preflight_and_rules_say_where_a_guest_may_go),
        cmocka_unit_test(what_is_accepted_forbids_nothing),
        cmocka_unit_test(room_counts_what_is_promised_and_held),
        cmocka_unit_test(huge_pages_count_what_is_promised_and_held),
        cmocka_unit_test(what_is_not_measured_is_like_the_rest),
        cmocka_unit_test(each_guest_is_there_once_where_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
