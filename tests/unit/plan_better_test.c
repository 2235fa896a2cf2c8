/* Balance and consolidate while they are carried out: a destination that says no is no leave to go just anywhere. */
#include "common/base/memory.h"
#include "coordinator/core/guest_rules.h"
#include "coordinator/core/message.h"
#include "plan_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID_E "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"

/* web1, web2 and cold1 go from kvm1 to kvm2; on kvm3, with 20 GiB free of 64, is a guest, and on kvm4 none. */
static void setup(struct world *w, const char *kind)
{
    world_setup(w);
    world_plan(w);
    w->request.kind = (char *)kind;
    w->request.host = (char *)"";
    set_text(&w->job.kind, kind);
    set_text(&w->job.source, "");
    w->plan.empties = false;
    fleet_host(&w->fleet, "kvm1")->maintenance = false;
    struct fleet_guest *g = made_guest(fleet_host(&w->fleet, "kvm3"), "old1", UUID_E);
    made_string(&g->guest->interfaces[0]->mac, "52:54:00:00:00:09");
    made_host(&w->fleet, "kvm4");
    world_feed(w, (struct plan_event){.kind = PLAN_EVENT_START});
}

static void refuse(struct world *w)
{
    world_feed(w, (struct plan_event){
                      .kind = PLAN_EVENT_REFUSED, .step = 0, .text = "disk differs", .todo = "share it"});
    world_place(w, 0);
}

static void a_balance_leaves_alone_who_is_refused(void **unused)
{
    (void)unused;
    struct world w;
    setup(&w, "balance");
    fleet_host(&w.fleet, "kvm2")->maintenance = true;
    refuse(&w);
    assert_int_equal(world_state(&w, 0), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    assert_string_equal(w.job.steps[0]->to, "");
    assert_string_equal(w.job.steps[0]->why, "disk differs");
    assert_string_equal(w.job.steps[0]->todo, "share it");
    assert_non_null(strstr(w.told, "web1 stays: disk differs\n"));
    /* web2 has not begun when its destination takes no guests any more. */
    world_started(&w, 2, 8);
    world_ended(&w, 2, DONE);
    world_place(&w, 1);
    assert_int_equal(world_state(&w, 1), DROVER__V1__STEP_STATE__STEP_SKIPPED);
    assert_string_equal(w.job.steps[1]->why,
                        "its destination takes no guests now, and elsewhere it may gain nothing");
    assert_string_equal(w.job.text, "1 of 3 guests moved; not moved: web1, web2");
    assert_int_equal(w.job.state, DROVER__V1__JOB_STATE__JOB_PARTLY);
    world_teardown(&w);
}

static void assert_goes(struct world *w, const char *to)
{
    refuse(w);
    assert_string_equal(w->job.steps[0]->to, to);
    if (!to[0]) {
        assert_int_equal(world_state(w, 0), DROVER__V1__STEP_STATE__STEP_FAILED);
        assert_string_equal(w->job.steps[0]->why, "disk differs");
    }
    world_teardown(w);
}

static void a_consolidation_fills_only_what_it_would_have_filled(void **unused)
{
    (void)unused;
    struct world w;
    /* kvm4 has more room, and no guest. 20 GiB less some 4 are more than a tenth of 64. */
    setup(&w, "consolidate");
    assert_goes(&w, "kvm3");
    setup(&w, "consolidate");
    w.request.headroom = 30;
    assert_goes(&w, "");
    setup(&w, "consolidate");
    fleet_host(&w.fleet, "kvm3")->report->memory_free = 10 * GIB;
    assert_goes(&w, "");
    setup(&w, "consolidate");
    fleet_host(&w.fleet, "kvm3")->report->memory_free = 10 * GIB;
    w.request.headroom = -1;
    assert_goes(&w, "kvm3");
    setup(&w, "consolidate");
    set_text(&w.job.emptied, "kvm1,kvm3");
    assert_goes(&w, "");
}

static void a_consolidation_keeps_cpu_time_free_where_it_goes(void **unused)
{
    (void)unused;
    struct world w;
    for (uint32_t there = 12000; there <= 13000; there += 1000) { /* of 16 CPUs, and 1.6 stay free */
        setup(&w, "consolidate");
        fleet_host(&w.fleet, "kvm1")->guests[0].usage = (struct fleet_usage){.known = true, .cpu = 1000};
        fleet_host(&w.fleet, "kvm1")->guests[1].usage = (struct fleet_usage){.known = true, .cpu = 1000};
        fleet_host(&w.fleet, "kvm3")->usage = (struct fleet_usage){.known = true, .cpu = there};
        set_text(&w.job.steps[1]->to, "kvm3"); /* web2, too */
        assert_goes(&w, there == 12000 ? "kvm3" : "");
    }
    setup(&w, "consolidate");
    fleet_host(&w.fleet, "kvm1")->guests[0].usage = (struct fleet_usage){.known = true, .cpu = 1000};
    assert_goes(&w, ""); /* nobody knows how busy kvm3 is */
}

/* Its group is still on a host that is to be empty. */
static void a_group_is_not_joined_where_it_leaves(void **unused)
{
    (void)unused;
    struct world w;
    struct guest_rules rules = {.groups = (struct guest_group[]){{.name = (char *)"shop"}}, .n_groups = 1};
    names_add(&rules.groups[0].guests, "web1");
    names_add(&rules.groups[0].guests, "old1");
    setup(&w, "consolidate");
    set_text(&w.job.emptied, "kvm1,kvm3");
    w.fleet.rules = &rules;
    assert_goes(&w, "");
    names_deinit(&rules.groups[0].guests);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_balance_leaves_alone_who_is_refused),
        cmocka_unit_test(a_consolidation_fills_only_what_it_would_have_filled),
        cmocka_unit_test(a_consolidation_keeps_cpu_time_free_where_it_goes),
        cmocka_unit_test(a_group_is_not_joined_where_it_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
