#include "coordinator/core/planner.h"

#include "common/base/memory.h"
#include "coordinator/core/planner_search.h"

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

static const char *place_of(const struct made *m, const struct planner_plan *plan, const char *guest)
{
    const char *host = "nowhere";
    for (uint32_t i = 0; i < m->fleet.n_guests; i++)
        if (strcmp(m->guests[i].name, guest) == 0)
            host = m->hosts[m->guests[i].host].name;
    for (uint32_t i = 0; i < plan->n_moves; i++)
        if (strcmp(m->guests[plan->moves[i].guest].name, guest) == 0)
            host = m->hosts[plan->moves[i].to].name;
    return host;
}

static void others_make_room_for_a_large_guest(void **state)
{
    (void)state;
    struct made *m = made_new(3, 6);
    made_guest(m, 0, 8);
    made_guest(m, 1, 4);
    made_guest(m, 2, 5)->stays = "pinned";
    struct planner_request request = {.goal = PLANNER_EVACUATE, .from = first_host};
    struct planner_plan plan = planned(m, &request);
    assert_int_equal(plan.n_moves, 2);
    assert_int_equal(plan.moves[0].guest, 1);
    assert_int_equal(plan.moves[0].reason, PLANNER_MAKES_ROOM);
    char *why = planner_move_why(&m->fleet, &plan.moves[0]);
    assert_string_equal(why, "makes room for vm00");
    free(why);
    assert_int_equal(plan.moves[1].guest, 0);
    assert_true(plan.moves[1].waits);
    assert_false(plan.moves[0].waits);
    planner_plan_deinit(&plan);

    request.others_stay = true;
    plan = planned(m, &request);
    assert_int_equal(plan.n_moves, 0);
    assert_string_equal(plan.stuck[0].why, "kvm2, kvm3: less than 8192 MiB of memory free");
    planner_plan_deinit(&plan);
    free(m);
}

/* However many ways there are to make too little room. */
static void room_that_is_sought_in_vain_costs_effort(void **state)
{
    (void)state;
    struct made *m = made_new(3, 1);
    made_guest(m, 0, 8);
    for (uint32_t i = 0; i < 8; i++)
        made_guest(m, 1 + i % 2, 1);
    const struct planner_request request = {.goal = PLANNER_EVACUATE, .from = first_host};
    struct planner *planner = planner_new(&m->fleet);
    struct state s;
    state_init(&s, planner, &request);
    uint32_t unit = planner->unit_of[planner->guest_rank[0]];
    bool wanted[16] = {0};
    wanted[unit] = s.open[unit] = true;
    struct search search = {.state = &s, .wanted = wanted, .todo = &unit, .n_todo = 1, .effort = 1000};
    search_make_room(&search);
    assert_true(s.open[unit]);
    assert_in_range(search.effort, 800, 900);
    search.effort = 10;
    search_make_room(&search);
    assert_true(search.effort <= 0 && search.effort > -10);
    state_deinit(&s);
    planner_free(planner);
    free(m);
}

/* Two full hosts whose guests are better off on the other one: by way of the third. */
static void guests_change_places_by_a_third_host(void **state)
{
    (void)state;
    struct made *m = made_new(3, 0);
    m->hosts[2].memory_free = 8 * GIB;
    m->hosts[0].labels = 1;
    m->hosts[1].labels = 2;
    made_guest(m, 0, 8)->prefer = 2;
    made_guest(m, 1, 8)->prefer = 1;
    struct planner_plan plan =
        planned(m, &(struct planner_request){.goal = PLANNER_BALANCE, .min_gain = 0.01});
    assert_int_equal(plan.n_moves, 3);
    assert_int_equal(plan.moves[0].reason, PLANNER_STOPOVER);
    assert_int_equal(plan.moves[0].to, 2);
    assert_true(plan.moves[1].waits);
    assert_int_equal(plan.moves[2].after, 0);
    assert_string_equal(place_of(m, &plan, "vm00"), "kvm2");
    assert_string_equal(place_of(m, &plan, "vm01"), "kvm1");
    planner_plan_deinit(&plan);
    free(m);
}

/* Two busy guests on one host and two idle ones on another, both so full that only the third host has room, for one; and that is
 * the wrong place for all of them. */
static void busy_guests_change_places_where_memory_is_tight(void **state)
{
    (void)state;
    struct made *m = made_new(3, 0);
    m->hosts[2].memory_free = 8 * GIB;
    m->hosts[2].cpu_load = 16000;
    m->hosts[0].labels = m->hosts[1].labels = 1;
    for (uint32_t i = 0; i < 4; i++) {
        struct planner_guest *g = made_guest(m, i / 2, 8);
        g->cpu_load = i < 2 ? 8000 : 0;
        g->require = i < 2 ? 0 : 1;
    }
    struct planner_plan plan = planned(m, &(struct planner_request){.goal = PLANNER_BALANCE});
    assert_int_equal(plan.n_moves, 3);
    assert_int_equal(plan.moves[0].reason, PLANNER_STOPOVER);
    assert_int_equal(plan.moves[0].to, 2);
    assert_int_equal(plan.moves[2].after, 0);
    assert_string_not_equal(place_of(m, &plan, "vm00"), place_of(m, &plan, "vm01"));
    assert_string_not_equal(place_of(m, &plan, "vm02"), place_of(m, &plan, "vm03"));
    planner_plan_deinit(&plan);

    /* Without that room they can't, and one of them alone would make nothing better. */
    m->hosts[2].memory_free = 7 * GIB;
    plan = planned(m, &(struct planner_request){.goal = PLANNER_BALANCE});
    assert_int_equal(plan.n_moves, 0);
    planner_plan_deinit(&plan);
    free(m);
}

static void huge_pages_are_counted_by_size(void **state)
{
    (void)state;
    struct made *m = made_new(4, 32);
    for (uint32_t i = 0; i < 3; i++) {
        struct planner_guest *g = made_guest(m, 0, 1);
        g->huge = i < 2 ? PLANNER_HUGE_2M : PLANNER_HUGE_1G;
        g->pages = 4 * GIB;
    }
    m->hosts[1].huge_free[PLANNER_HUGE_2M] = 7 * GIB; /* for one of the two */
    m->hosts[2].huge_free[PLANNER_HUGE_1G] = 4 * GIB;
    struct planner_plan plan =
        planned(m, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = first_host});
    assert_int_equal(plan.n_moves, 2);
    assert_string_equal(place_of(m, &plan, "vm00"), "kvm2");
    assert_string_equal(place_of(m, &plan, "vm02"), "kvm3");
    assert_string_equal(plan.stuck[0].why,
                        "kvm2, kvm3, kvm4: less than 4096 MiB of huge pages of 2 MiB free");
    planner_plan_deinit(&plan);

    /* Beside its pages, QEMU wants ordinary memory, too. */
    m->hosts[3].huge_free[PLANNER_HUGE_2M] = 8 * GIB;
    m->hosts[3].memory_free = GIB / 2;
    plan = planned(m, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = first_host});
    assert_int_equal(plan.n_stuck, 1);
    planner_plan_deinit(&plan);
    free(m);
}

/* What a guest uses counts for the balance, what it may use for whether it fits. */
static void memory_is_spread_by_what_is_used(void **state)
{
    (void)state;
    struct made *m = made_new(2, 32);
    for (uint32_t i = 0; i < 4; i++) {
        struct planner_guest *g = made_guest(m, 0, 8);
        g->cpu_load = g->vcpus = 0;
        g->used = g->memory_now = i < 2 ? 8 * GIB : GIB / 16;
    }
    m->hosts[0].memory_free = 16 * GIB;
    struct planner_request request = {.goal = PLANNER_BALANCE, .weights = {.memory = 1}};
    struct planner_plan plan = planned(m, &request);
    assert_int_equal(plan.n_moves, 1);
    assert_true(m->guests[plan.moves[0].guest].used == 8 * GIB);
    planner_plan_deinit(&plan);

    m->hosts[1].memory_free = 7 * GIB; /* and other things use much there, but for its total: */
    m->hosts[1].memory_total = 8 * GIB;
    plan = planned(m, &request);
    assert_int_equal(plan.n_moves, 0);
    planner_plan_deinit(&plan);
    free(m);
}

static void groups_stay_together_and_apart(void **state)
{
    (void)state;
    static const uint32_t together[] = {0}, apart[] = {1};
    struct made *m = made_new(3, 32);
    m->groups[0] = (struct planner_group){"shop", false};
    m->groups[1] = (struct planner_group){"db", true};
    m->fleet.n_groups = 2;
    for (int i = 0; i < 4; i++) {
        struct planner_guest *g = made_guest(m, 0, 4);
        g->groups = i < 2 ? together : apart;
        g->n_groups = 1;
    }
    struct planner_plan plan =
        planned(m, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = first_host});
    assert_int_equal(plan.n_moves, 4);
    assert_string_equal(place_of(m, &plan, "vm00"), place_of(m, &plan, "vm01"));
    assert_string_not_equal(place_of(m, &plan, "vm02"), place_of(m, &plan, "vm03"));
    planner_plan_deinit(&plan);

    m->guests[1].stays = "it has a snapshot";
    plan = planned(m, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = first_host});
    assert_int_equal(plan.n_stuck, 2);
    assert_string_equal(plan.stuck[0].why, "it is to be with vm01, which stays: it has a snapshot");
    planner_plan_deinit(&plan);
    free(m);
}

static void a_balance_pays_by_each_move_and_leaves_what_moved_lately(void **state)
{
    (void)state;
    struct made *m = made_new(4, 44);
    for (int i = 0; i < 5; i++)
        made_guest(m, 0, 4);
    m->hosts[0].memory_free = 24 * GIB;
    m->guests[0].recent = true;
    struct planner_plan plan = planned(m, &(struct planner_request){.goal = PLANNER_BALANCE});
    assert_true(plan.n_moves >= 3);
    assert_true(plan.score_after < plan.score_before / 2);
    for (uint32_t i = 0; i < plan.n_moves; i++)
        assert_int_not_equal(plan.moves[i].guest, 0);
    planner_plan_deinit(&plan);

    plan = planned(m, &(struct planner_request){.goal = PLANNER_BALANCE, .max_moves = 1});
    assert_int_equal(plan.n_moves, 1);
    m->guests[plan.moves[0].guest].host = plan.moves[0].to;
    planner_plan_deinit(&plan);

    plan = planned(m, &(struct planner_request){.goal = PLANNER_BALANCE, .min_gain = 10});
    assert_int_equal(plan.n_moves, 0);
    planner_plan_deinit(&plan);
    free(m);
}

/* Each guest's own policy limits the host that it comes to, whichever of those that move there comes first. */
static void vcpus_are_limited_for_each_guest_that_comes(void **state)
{
    (void)state;
    static const struct {
        uint32_t there, moves;
        const char *why;
    } cases[] = {
        {15, 1, "kvm2: no room for 2 vCPUs at 1 per CPU"}, /* of 16 CPUs */
        {13, 1, "kvm2: no room for 2 vCPUs at 1 per CPU, which a guest that comes there asks for"},
        {12, 2, NULL},
    };
    struct made *m = made_new(2, 32);
    made_guest(m, 0, 8)->vcpu_percent = 100;
    made_guest(m, 0, 4)->vcpu_percent = 200;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        m->hosts[1].vcpus = cases[i].there;
        struct planner_plan plan =
            planned(m, &(struct planner_request){.goal = PLANNER_EVACUATE, .from = first_host});
        assert_int_equal(plan.n_moves, cases[i].moves);
        if (cases[i].why)
            assert_string_equal(plan.stuck[0].why, cases[i].why);
        planner_plan_deinit(&plan);
    }
    free(m);
}

/* What a balance did, another one right after it leaves alone. */
static void a_balance_has_an_end(void **state)
{
    (void)state;
    struct made *m = made_new(4, 40);
    for (int i = 0; i < 12; i++) {
        uint32_t host = i < 9 ? 0 : 1;
        made_guest(m, host, 1 + (uint64_t)i % 3);
        m->hosts[host].memory_free -= (1 + (uint64_t)i % 3) * GIB;
    }
    struct planner_plan plan = planned(m, &(struct planner_request){.goal = PLANNER_BALANCE});
    assert_true(plan.n_moves > 0);
    for (uint32_t i = 0; i < plan.n_moves; i++) {
        struct planner_guest *g = &m->guests[plan.moves[i].guest];
        m->hosts[plan.moves[i].from].memory_free += g->memory;
        m->hosts[plan.moves[i].to].memory_free -= g->memory;
        g->host = plan.moves[i].to;
    }
    planner_plan_deinit(&plan);
    plan = planned(m, &(struct planner_request){.goal = PLANNER_BALANCE});
    assert_int_equal(plan.n_moves, 0);
    planner_plan_deinit(&plan);
    free(m);
}

static void a_consolidation_empties_the_lightest_hosts(void **state)
{
    (void)state;
    struct made *m = made_new(4, 48);
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t k = 0; k < 2 + i; k++) {
            made_guest(m, i, 4);
            m->hosts[i].memory_free -= 4 * GIB;
        }
    struct planner_plan plan = planned(m, &(struct planner_request){.goal = PLANNER_CONSOLIDATE});
    assert_int_equal(plan.n_emptied, 2);
    assert_int_equal(plan.emptied[0], 0);
    assert_int_equal(plan.emptied[1], 1);
    assert_int_equal(plan.n_moves, 5);
    planner_plan_deinit(&plan);

    /* Where half of each host is to stay free, less can be done. */
    plan = planned(m, &(struct planner_request){.goal = PLANNER_CONSOLIDATE, .headroom = 0.45});
    assert_int_equal(plan.n_emptied, 0);
    planner_plan_deinit(&plan);

    /* Nor where the CPUs are busy: 14 guests of 2.5 CPUs, and 14.4 of 16 may be in use. That they moved lately is no matter. */
    for (uint32_t i = 0; i < m->fleet.n_guests; i++) {
        m->guests[i].cpu_load = 2500;
        m->guests[i].recent = true;
    }
    plan = planned(m, &(struct planner_request){.goal = PLANNER_CONSOLIDATE});
    assert_int_equal(plan.n_emptied, 1);
    planner_plan_deinit(&plan);
    for (uint32_t i = 0; i < m->fleet.n_guests; i++)
        m->guests[i].cpu_load = 4000;
    plan = planned(m, &(struct planner_request){.goal = PLANNER_CONSOLIDATE});
    assert_int_equal(plan.n_emptied, 0);
    planner_plan_deinit(&plan);
    free(m);
}

static void a_site_moves_to_another(void **state)
{
    (void)state;
    static const bool to[16] = {false, false, true, true}, guests[64] = {true, true, true};
    struct made *m = made_new(4, 32);
    m->hosts[2].site = m->hosts[3].site = "osaka";
    for (uint32_t i = 0; i < 3; i++)
        made_guest(m, i % 2, 4);
    struct planner_request request = {.goal = PLANNER_MOVE, .to = to, .guests = guests, .across_sites = true};
    struct planner_plan plan = planned(m, &request);
    assert_int_equal(plan.n_moves, 3);
    assert_int_equal(plan.moves[0].reason, PLANNER_ASKED);
    for (uint32_t i = 0; i < plan.n_moves; i++)
        assert_true(to[plan.moves[i].to]);
    planner_plan_deinit(&plan);

    request.across_sites = false;
    plan = planned(m, &request);
    assert_int_equal(plan.n_moves, 0);
    assert_string_equal(plan.stuck[2].why, "kvm3, kvm4: on another site; kvm2: not among the destinations");
    planner_plan_deinit(&plan);
    free(m);
}

static void an_empty_fleet_has_an_empty_plan(void **state)
{
    (void)state;
    struct made *m = made_new(0, 0);
    for (int goal = PLANNER_EVACUATE; goal <= PLANNER_CONSOLIDATE; goal++) {
        struct planner_plan plan = planned(m, &(struct planner_request){.goal = (enum planner_goal)goal});
        assert_int_equal(plan.n_moves + plan.n_stuck + plan.n_emptied, 0);
        planner_plan_deinit(&plan);
    }
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_evacuation_spreads_the_guests),
        cmocka_unit_test(what_is_stuck_says_why_host_by_host),
        cmocka_unit_test(others_make_room_for_a_large_guest),
        cmocka_unit_test(room_that_is_sought_in_vain_costs_effort),
        cmocka_unit_test(guests_change_places_by_a_third_host),
        cmocka_unit_test(busy_guests_change_places_where_memory_is_tight),
        cmocka_unit_test(huge_pages_are_counted_by_size),
        cmocka_unit_test(memory_is_spread_by_what_is_used),
        cmocka_unit_test(groups_stay_together_and_apart),
        cmocka_unit_test(a_balance_pays_by_each_move_and_leaves_what_moved_lately),
        cmocka_unit_test(vcpus_are_limited_for_each_guest_that_comes),
        cmocka_unit_test(a_balance_has_an_end),
        cmocka_unit_test(a_consolidation_empties_the_lightest_hosts),
        cmocka_unit_test(a_site_moves_to_another),
        cmocka_unit_test(an_empty_fleet_has_an_empty_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
