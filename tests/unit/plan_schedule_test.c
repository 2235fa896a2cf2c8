/* What of a plan starts when: its steps and the moves besides as the schedule sees them, and the forecast made from the same. */
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/guest_rules.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_outlook.h"
#include "coordinator/core/plan_schedule.h"
#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1ULL << 20)
#define WAITING DROVER__V1__STEP_STATE__STEP_WAITING
#define RUNNING DROVER__V1__STEP_STATE__STEP_RUNNING
#define DONE DROVER__V1__STEP_STATE__STEP_DONE
#define FAILED DROVER__V1__STEP_STATE__STEP_FAILED
#define SKIPPED DROVER__V1__STEP_STATE__STEP_SKIPPED

struct world {
    struct fleet fleet;
    Drover__V1__Job plan;
    Drover__V1__Job open[8]; /* migrations */
    Drover__V1__Progress progress[8];
    size_t n_open;
    char said[200];
};

static void setup(struct world *w)
{
    *w = (struct world){.plan = DROVER__V1__JOB__INIT};
    w->plan.id = 1;
    fleet_init(&w->fleet);
    w->fleet.bandwidth = 100 * MIB;
    for (int i = 1; i <= 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "kvm%d", i);
        made_host(&w->fleet, name);
    }
}

static void teardown(struct world *w)
{
    for (size_t i = 0; i < w->plan.n_steps; i++)
        drover__v1__plan_step__free_unpacked(w->plan.steps[i], NULL);
    free(w->plan.steps);
    drover__v1__plan_outlook__free_unpacked(w->plan.outlook, NULL);
    if (w->plan.emptied != protobuf_c_empty_string)
        free(w->plan.emptied);
    fleet_deinit(&w->fleet);
}

/* A running guest of kvm1 that goes to `to`; its move sends so much. */
static Drover__V1__PlanStep *step(struct world *w, const char *guest, const char *to, uint64_t mib)
{
    Drover__V1__Guest g = DROVER__V1__GUEST__INIT;
    g.name = g.uuid = (char *)guest;
    g.state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    g.memory_max = mib * MIB;
    Drover__V1__PlanStep *s = plan_add(&w->plan, &g, "kvm1");
    set_text(&s->to, to);
    s->forecast = new0(Drover__V1__Forecast);
    drover__v1__forecast__init(s->forecast);
    set_text(&s->forecast->way, "live");
    s->forecast->bytes = mib * MIB;
    s->forecast->bandwidth = 100 * MIB;
    set_text(&s->forecast->bandwidth_source, "limit");
    return s;
}

/* A migration that is under way; of the plan: its step's. */
static Drover__V1__Job *runs(struct world *w, uint64_t plan, const char *guest, const char *from,
                             const char *to, const char *phase)
{
    Drover__V1__Job *j = &w->open[w->n_open];
    drover__v1__job__init(j);
    drover__v1__progress__init(&w->progress[w->n_open]);
    j->id = 100 + w->n_open++;
    j->plan = plan;
    j->guest = (char *)guest;
    j->source = (char *)from;
    j->destination = (char *)to;
    j->phase = (char *)phase;
    return j;
}

static void is_run(struct world *w, Drover__V1__PlanStep *s, const char *phase)
{
    s->state = RUNNING;
    s->job = runs(w, 1, s->guest, s->from, s->to, phase)->id;
}

static void is_done(Drover__V1__PlanStep *s, bool well)
{
    s->state = DONE;
    s->care = well ? DROVER__V1__STEP_CARE__CARE_WELL : DROVER__V1__STEP_CARE__CARE_NONE;
}

static struct plan_schedule view_of(const struct world *w)
{
    const Drover__V1__Job *open[8];
    struct plan_schedule view;
    for (size_t i = 0; i < w->n_open; i++)
        open[i] = &w->open[i];
    plan_schedule_init(&view, &w->fleet, &w->plan, open, w->n_open);
    return view;
}

/* Who starts now, in order. */
static const char *next(struct world *w)
{
    struct plan_schedule view = view_of(w);
    const struct schedule schedule = plan_schedule_view(&view);
    uint32_t list[16], n = schedule_next(&schedule, list);
    w->said[0] = '\0';
    for (uint32_t i = 0; i < n; i++)
        snprintf(w->said + strlen(w->said), sizeof(w->said) - strlen(w->said), "%s%s", i ? " " : "",
                 w->plan.steps[list[i]]->guest);
    plan_schedule_deinit(&view);
    return w->said;
}

static const char *why(struct world *w, uint32_t i)
{
    struct plan_schedule view = view_of(w);
    const struct schedule schedule = plan_schedule_view(&view);
    _cleanup_free_ char *text = schedule_blocked(&schedule, i);
    snprintf(w->said, sizeof(w->said), "%s", text ? text : "");
    plan_schedule_deinit(&view);
    return w->said;
}

static void one_sends_while_the_next_prepares(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    is_done(step(&w, "first", "kvm2", 100), true);
    Drover__V1__PlanStep *a = step(&w, "a", "kvm2", 500), *b = step(&w, "b", "kvm2", 600);
    step(&w, "c", "kvm2", 200);
    /* The longest first; the next when it is near its end. */
    assert_string_equal(next(&w), "b");
    is_run(&w, b, "transfer");
    assert_string_equal(next(&w), "");
    w.open[0].progress = &w.progress[0];
    w.progress[0].bytes_left = 350 * MIB;
    assert_string_equal(next(&w), "a");
    is_run(&w, a, "preparing");
    assert_string_equal(next(&w), "");
    assert_string_equal(why(&w, 3), "other moves use the link (kvm1 out)");
    /* It has not ended, and needs the link no more; but the second is not near its end. */
    w.open[0].phase = (char *)"settling";
    assert_string_equal(next(&w), "");
    w.open[1].phase = (char *)"releasing";
    assert_string_equal(next(&w), "c");
    teardown(&w);
}

static void the_first_of_a_pair_of_hosts_goes_alone(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__PlanStep *a = step(&w, "a", "kvm2", 200);
    step(&w, "b", "kvm2", 190);
    step(&w, "c", "kvm3", 100);
    assert_string_equal(next(&w), "a c");
    is_run(&w, a, "transfer");
    assert_string_equal(why(&w, 1), "the first guest between its two hosts must be seen well first");
    /* Moved, and looked at. */
    a->care = DROVER__V1__STEP_CARE__CARE_LOOKING;
    assert_string_equal(next(&w), "c");
    is_done(a, false);
    assert_string_equal(next(&w), "b c");
    is_done(a, true);
    step(&w, "d", "kvm2", 50);
    w.plan.steps[2]->state = DONE;
    assert_string_equal(next(&w), "b d");
    teardown(&w);
}

static void a_guest_that_changes_much_has_its_links_to_itself(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__PlanStep *a = step(&w, "calm", "kvm2", 100);
    step(&w, "wild", "kvm3", 300)->forecast->dirtied = 30 * MIB;
    step(&w, "calm2", "kvm4", 200);
    assert_string_equal(next(&w), "wild");
    is_run(&w, a, "transfer");
    assert_string_equal(next(&w), "");
    assert_string_equal(why(&w, 1), "a guest that changes its memory fast has the link to itself (kvm1 out)");
    teardown(&w);
}

static void members_of_a_group_that_stays_apart_never_move_together(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    struct guest_group group = {.name = (char *)"db", .apart = true};
    struct guest_rules rules = {.groups = &group, .n_groups = 1};
    names_add(&group.guests, "db*");
    w.fleet.rules = &rules;
    step(&w, "db1", "kvm2", 100);
    step(&w, "db2", "kvm3", 100);
    step(&w, "web", "kvm4", 50);
    assert_string_equal(next(&w), "db1 web");
    /* Also one that moves elsewhere, by another's order. */
    runs(&w, 0, "db3", "kvm4", "kvm3", "settling");
    assert_string_equal(next(&w), "web");
    names_deinit(&group.guests);
    teardown(&w);
}

static void moves_outside_the_plan_count(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    step(&w, "a", "kvm2", 100);
    runs(&w, 0, "x", "kvm3", "kvm2", "transfer");
    runs(&w, 7, "y", "kvm3", "kvm4", "transfer"); /* has nothing to do with it */
    assert_string_equal(next(&w), "a");
    runs(&w, 7, "z", "kvm4", "kvm2", "preparing");
    assert_string_equal(next(&w), "");
    assert_string_equal(why(&w, 0), "other moves use the link (kvm2 in)");
    /* A definition alone needs no link; one that brings its disks does. */
    w.open[2].mode = DROVER__V1__MODE__MODE_DEFINITION;
    assert_string_equal(next(&w), "a");
    w.open[2].disk_bytes = 2000 * MIB;
    assert_string_equal(next(&w), "");
    w.open[0].phase = (char *)"settling";
    w.open[2].phase = (char *)"transfer";
    assert_string_equal(next(&w), "a"); /* over the half that it has left */
    /* What is left of them counts, not all. */
    Drover__V1__PlanStep *s = w.plan.steps[0];
    const Drover__V1__Job *copy[] = {&w.open[2]};
    plan_outlook(&w.fleet, &w.plan, copy, 1, 0);
    int64_t beside = s->end_after;
    w.open[2].progress = &w.progress[2];
    w.progress[2].disk_total = 2000 * MIB;
    w.progress[2].disk_done = 1999 * MIB;
    plan_outlook(&w.fleet, &w.plan, copy, 1, 0);
    assert_true(s->end_after < beside);
    teardown(&w);
}

static void groups_go_in_the_order_given(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__PlanStep *db = step(&w, "db", "kvm2", 10), *app = step(&w, "app", "kvm3", 900);
    app->group = 1;
    assert_string_equal(next(&w), "db");
    is_run(&w, db, "transfer");
    assert_string_equal(why(&w, 1), "the guests of an earlier group move first");
    /* One that fails holds nobody up. */
    db->state = FAILED;
    assert_string_equal(next(&w), "app");
    teardown(&w);
}

static void what_is_not_known_to_be_there_is_held(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    step(&w, "a", "kvm2", 100);
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 5, "cut");
    assert_string_equal(next(&w), "");
    assert_string_equal(why(&w, 0), "it is held back");
    teardown(&w);
}

static void definitions_need_no_link(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    for (int i = 0; i < 6; i++) {
        Drover__V1__PlanStep *s = step(&w, "cold", "kvm2", 100);
        s->active = false;
    }
    step(&w, "a", "kvm2", 100);
    assert_string_equal(next(&w), "a cold cold cold"); /* four at a time on a host */
    teardown(&w);
}

static void disks_that_are_copied_take_their_time(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__PlanStep *a = step(&w, "a", "kvm2", 100), *cold = step(&w, "cold", "kvm3", 100);
    cold->active = false;
    cold->disk_bytes = 2000 * MIB;
    a->disk_bytes = 1000 * MIB; /* the forecast is from before the check */
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 20000);
    assert_int_equal(w.plan.outlook->bytes, 3100 * MIB);
    assert_true(w.plan.outlook->finish > 40000); /* at half of the link, which it has for good */
    assert_false(w.plan.outlook->fits);
    /* One that counts them counts once. */
    a->forecast->disk_bytes = 1000 * MIB;
    a->forecast->bytes = 1100 * MIB;
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 60000);
    assert_int_equal(w.plan.outlook->bytes, 3100 * MIB);
    assert_true(w.plan.outlook->fits);
    /* A running guest's, too, have half of the link. */
    cold->state = DONE;
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 60000);
    assert_in_range(w.plan.outlook->finish, 22000, 25000);
    /* Over a link of which nothing is known no end is promised. */
    w.fleet.bandwidth = 0;
    cold->state = WAITING;
    a->state = DONE;
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 40000);
    assert_int_equal(w.plan.outlook->finish, -1);
    assert_false(w.plan.outlook->fits);
    teardown(&w);
}

/* Played by the states that a real run goes through, phase after phase: who starts first in the forecast does so here. */
static void the_forecast_starts_what_the_plan_starts(void **state)
{
    (void)state;
    static const uint64_t mib[] = {400, 300, 350, 100, 200};
    static const char *const to[] = {"kvm2", "kvm2", "kvm3", "kvm3", "kvm2"};
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct world w;
    setup(&w);
    for (int i = 0; i < 5; i++)
        step(&w, names[i], to[i], mib[i]);
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 60000);
    assert_true(w.plan.outlook->fits);
    assert_int_equal(w.plan.outlook->bytes, 1350 * MIB);
    assert_int_equal(w.plan.outlook->bound, 13500);
    assert_true(w.plan.outlook->finish > 13500);
    const char *first = next(&w);
    for (int i = 0; i < 5; i++)
        assert_int_equal(w.plan.steps[i]->start_after == 0, strstr(first, names[i]) != NULL);
    /* The rest of a pair not before its first has ended. */
    assert_true(w.plan.steps[1]->start_after >= w.plan.steps[0]->end_after);
    assert_true(w.plan.steps[3]->start_after >= w.plan.steps[2]->end_after);
    /* A move that is under way elsewhere makes it later. */
    int64_t alone = w.plan.outlook->finish;
    runs(&w, 0, "x", "kvm4", "kvm2", "transfer")->progress = &w.progress[0];
    w.progress[0].bytes_left = 500 * MIB;
    const Drover__V1__Job *open[] = {&w.open[0]};
    plan_outlook(&w.fleet, &w.plan, open, 1, 1000);
    assert_true(w.plan.outlook->finish > alone);
    assert_false(w.plan.outlook->fits);
    teardown(&w);
}

static void without_samples_no_end_is_promised(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    step(&w, "a", "kvm2", 100);
    set_text(&step(&w, "b", "kvm2", 100)->forecast->way, "");
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 60000);
    assert_int_equal(w.plan.outlook->finish, -1);
    assert_false(w.plan.outlook->fits);
    assert_non_null(strstr(w.plan.outlook->why, "of 1 guest no sample"));
    teardown(&w);
}

static void after_a_stopover_it_takes_as_long_again(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__PlanStep *a = step(&w, "a", "kvm2", 100), *on = step(&w, "a", "kvm3", 100);
    set_text(&on->from, "kvm2");
    on->after = 1;
    drover__v1__forecast__free_unpacked(on->forecast, NULL);
    on->forecast = NULL; /* kvm2 has no such guest yet, and can't be asked */
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 60000);
    assert_int_equal(w.plan.outlook->bytes, 200 * MIB);
    assert_true(w.plan.outlook->fits);
    assert_true(on->start_after >= a->end_after);
    teardown(&w);
}

/* What `drover check` calls hopeless is not counted as a move by a dry run. */
static void what_the_policy_would_cancel_can_not_move(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__PlanStep *calm = step(&w, "calm", "kvm2", 100), *wild = step(&w, "wild", "kvm2", 100),
                         *on = step(&w, "wild", "kvm3", 100), *unknown = step(&w, "unknown", "kvm2", 100),
                         *later = step(&w, "later", "kvm2", 100);
    calm->forecast->allowed = later->forecast->allowed = true;
    set_text(&unknown->forecast->way, "");
    set_text(&wild->forecast->way, "pause");
    set_text(&wild->forecast->why, "dirties 9 MiB");
    wild->forecast->pause = 1500;
    set_text(&on->from, "kvm2");
    on->after = 2;
    later->group = 1;
    set_text(&w.plan.emptied, "kvm1");
    plan_outlook_refuse(&w.plan);
    assert_int_equal(calm->state, WAITING);
    assert_int_equal(unknown->state, WAITING);
    assert_int_equal(wild->state, FAILED);
    assert_non_null(strstr(wild->why, "a pause of 1500 ms: dirties 9 MiB"));
    assert_non_null(strstr(wild->todo, "drover migrate wild --to kvm2 --mode offline"));
    assert_int_equal(on->state, SKIPPED);
    assert_int_equal(later->state, SKIPPED); /* a group that comes after */
    assert_string_equal(w.plan.emptied, "");
    teardown(&w);
}

static void room_that_nobody_leaves_can_not_be_moved_into(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__PlanStep *wild = step(&w, "wild", "kvm2", 100), *into = step(&w, "into", "kvm1", 100),
                         *besides = step(&w, "besides", "kvm1", 100);
    into->forecast->allowed = besides->forecast->allowed = true;
    set_text(&wild->forecast->way, "pause");
    set_text(&into->from, "kvm3");
    set_text(&besides->from, "kvm3");
    into->waits = true;
    plan_outlook_refuse(&w.plan);
    assert_int_equal(wild->state, FAILED);
    assert_int_equal(into->state, FAILED);
    assert_string_equal(into->why,
                        "it is to have the room that wild leaves on kvm1, and that one would stay");
    assert_int_equal(besides->state, WAITING);
    teardown(&w);
}

static void a_link_without_a_share_has_what_was_measured(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    w.fleet.bandwidth = 0;
    for (int i = 0; i < 2; i++) {
        Drover__V1__PlanStep *s = step(&w, i ? "b" : "a", i ? "kvm3" : "kvm2", 100);
        set_text(&s->forecast->bandwidth_source, "measured");
        s->forecast->bandwidth = i ? 10 * MIB : 50 * MIB;
    }
    plan_outlook(&w.fleet, &w.plan, NULL, 0, 0);
    /* 200 MiB out of kvm1 at 50; 100 into kvm3 at 10. */
    assert_int_equal(w.plan.outlook->bound, 11100);
    teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sends_while_the_next_prepares),
        cmocka_unit_test(the_first_of_a_pair_of_hosts_goes_alone),
        cmocka_unit_test(a_guest_that_changes_much_has_its_links_to_itself),
        cmocka_unit_test(members_of_a_group_that_stays_apart_never_move_together),
        cmocka_unit_test(moves_outside_the_plan_count),
        cmocka_unit_test(groups_go_in_the_order_given),
        cmocka_unit_test(what_is_not_known_to_be_there_is_held),
        cmocka_unit_test(definitions_need_no_link),
        cmocka_unit_test(disks_that_are_copied_take_their_time),
        cmocka_unit_test(the_forecast_starts_what_the_plan_starts),
        cmocka_unit_test(without_samples_no_end_is_promised),
        cmocka_unit_test(after_a_stopover_it_takes_as_long_again),
        cmocka_unit_test(what_the_policy_would_cancel_can_not_move),
        cmocka_unit_test(room_that_nobody_leaves_can_not_be_moved_into),
        cmocka_unit_test(a_link_without_a_share_has_what_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
