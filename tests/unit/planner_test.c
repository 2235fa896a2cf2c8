#include "coordinator/core/planner.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GIB (1ULL << 30)

/* A small fleet, written down where it is used. */
struct made {
    struct planner_host hosts[16];
    struct planner_guest guests[64];
    struct planner_group groups[8];
    char names[64][16];
    struct planner_fleet fleet;
};

static struct made *made_new(uint32_t n_hosts, uint64_t free_gib)
{
    static const char *const names[] = {"kvm1", "kvm2", "kvm3", "kvm4", "kvm5", "kvm6", "kvm7", "kvm8"};
    struct made *m = new0(struct made);
    for (uint32_t i = 0; i < n_hosts; i++)
        m->hosts[i] = (struct planner_host){
            .name = names[i],
            .site = "tokyo",
            .memory_total = 64 * GIB,
            .memory_free = free_gib * GIB,
            .cpus = 16,
            .takes = true,
        };
    m->fleet = (struct planner_fleet){
        .hosts = m->hosts, .guests = m->guests, .groups = m->groups, .n_hosts = n_hosts};
    return m;
}

static struct planner_guest *made_guest(struct made *m, uint32_t host, uint64_t gib)
{
    uint32_t i = m->fleet.n_guests++;
    snprintf(m->names[i], sizeof(m->names[i]), "vm%02u", i);
    m->guests[i] = (struct planner_guest){
        .name = m->names[i],
        .uuid = m->names[i],
        .host = host,
        .memory = gib * GIB,
        .memory_now = gib * GIB,
        .vcpus = 2,
        .cpu_load = 500,
    };
    return &m->guests[i];
}

static struct planner_plan planned(const struct made *m, const struct planner_request *request)
{
    struct planner_plan plan;
    struct planner *planner = planner_new(&m->fleet);
    planner_run(planner, request, &plan);
    planner_free(planner);
    return plan;
}

static const bool first_host[16] = {true};

static void an_evacuation_spreads_the_guests(void **state)
{
    (void)state;
    struct made *m = made_new(3, 32);
    for (int i = 0; i < 4; i++)
        made_guest(m, 0, 4);
    struct planner_plan plan =
        planned(m, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = first_host});
    uint32_t to[3] = {0};
    assert_int_equal(plan.n_moves, 4);
    assert_int_equal(plan.n_stuck, 0);
    for (uint32_t i = 0; i < plan.n_moves; i++) {
        assert_int_equal(plan.moves[i].from, 0);
        assert_int_equal(plan.moves[i].reason, PLANNER_EMPTIES);
        to[plan.moves[i].to]++;
    }
    assert_int_equal(to[1], 2);
    assert_int_equal(to[2], 2);
    assert_int_equal(plan.n_emptied, 1);
    assert_int_equal(plan.emptied[0], 0);
    planner_plan_deinit(&plan);
    free(m);
}

static const char *no_bridge(void *arg, uint32_t guest, uint32_t host)
{
    (void)arg;
    (void)guest;
    return host == 4 || host == 5 ? "no bridge br5" : NULL;
}

static void what_is_stuck_says_why_host_by_host(void **state)
{
    (void)state;
    struct made *m = made_new(8, 2);
    made_guest(m, 0, 4);
    made_guest(m, 0, 1)->stays = "pinned to kvm1";
    m->hosts[4].memory_free = m->hosts[5].memory_free = 8 * GIB;
    m->hosts[6].maintenance = true;
    m->hosts[7].site = "osaka";
    m->fleet.why_not = no_bridge;
    struct planner_plan plan =
        planned(m, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = first_host});
    assert_int_equal(plan.n_moves, 0);
    assert_int_equal(plan.n_stuck, 2);
    assert_string_equal(plan.stuck[0].why,
                        "kvm2, kvm3, kvm4: less than 4096 MiB of memory free; kvm5, kvm6: no bridge br5; "
                        "kvm7: in maintenance; kvm8: on another site");
    assert_string_equal(plan.stuck[1].why, "pinned to kvm1");
    assert_int_equal(plan.n_emptied, 0);
    planner_plan_deinit(&plan);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_evacuation_spreads_the_guests),
        cmocka_unit_test(what_is_stuck_says_why_host_by_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
