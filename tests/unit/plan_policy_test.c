/* Plans hold to each guest's own policy, as the moves that they become will. */
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "plan_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct own {
    struct intent intent;
    struct policies policies;
    struct plan_making making;
};

/* web1 has a policy of its own; the others have the default, which is `w->policy`. */
static void setup(struct world *w, struct own *own)
{
    world_setup(w);
    w->request.kind = (char *)"evacuate";
    w->request.host = (char *)"kvm1";
    *own = (struct own){.intent = {.name = (char *)"web", .policy = w->policy}};
    names_add(&own->intent.guests, "web1");
    own->policies = (struct policies){.list = &own->intent, .n = 1};
    own->making = (struct plan_making){
        .fleet = &w->fleet, .request = &w->request, .policy = &w->policy, .policies = &own->policies};
}

static void teardown(struct world *w, struct own *own)
{
    names_deinit(&own->intent.guests);
    world_teardown(w);
}

static void make(struct world *w, const struct own *own)
{
    struct error err = {0};
    if (plan_make(&own->making, &w->job, &err) < 0)
        fail_msg("%s", err.text);
}

static const Drover__V1__PlanStep *step_of(const struct world *w, const char *guest)
{
    for (size_t i = 0; i < w->job.n_steps; i++)
        if (streq(w->job.steps[i]->guest, guest))
            return w->job.steps[i];
    fail_msg("no step for %s", guest);
    return NULL;
}

static void assert_fails(const struct world *w, const char *guest, const char *why)
{
    const Drover__V1__PlanStep *s = step_of(w, guest);
    assert_int_equal(s->state, DROVER__V1__STEP_STATE__STEP_FAILED);
    if (!strstr(s->why, why))
        fail_msg("%s: '%s', expected '%s'", guest, s->why, why);
}

static void older_versions_are_as_the_guests_own_policy_says(void **unused)
{
    (void)unused;
    struct world w;
    struct own own;
    setup(&w, &own);
    fleet_host(&w.fleet, "kvm2")->report->libvirt_version = 8000000;
    fleet_host(&w.fleet, "kvm3")->report->libvirt_version = 8000000;
    w.policy.block_older = true;
    make(&w, &own);
    assert_string_equal(step_of(&w, "web1")->to, "kvm2");
    assert_int_equal(step_of(&w, "web1")->n_notes, 1); /* its own policy warns */
    assert_fails(&w, "web2", "libvirt-version");
    teardown(&w, &own);

    /* Stricter than the rest: it is known before any try. */
    setup(&w, &own);
    fleet_host(&w.fleet, "kvm2")->report->libvirt_version = 8000000;
    own.intent.policy.block_older = true;
    make(&w, &own);
    assert_string_equal(step_of(&w, "web1")->to, "kvm3");
    assert_string_equal(step_of(&w, "web2")->to, "kvm2");
    teardown(&w, &own);
}

static void a_mode_is_asked_of_the_guests_own_policy(void **unused)
{
    (void)unused;
    struct world w;
    struct own own;
    struct plan_away away[] = {{(char *)UUID_A, (char *)"web1"}, {(char *)UUID_B, (char *)"web2"}};
    setup(&w, &own);
    own.intent.policy.post_copy = true;
    w.request.mode = DROVER__V1__MODE__MODE_POST_COPY;
    make(&w, &own);
    assert_int_equal(step_of(&w, "web1")->state, DROVER__V1__STEP_STATE__STEP_WAITING);
    assert_fails(&w, "web2", "post-copy was asked for, and its policy does not allow it");
    assert_string_equal(step_of(&w, "web2")->findings[0]->id, "mode-allowed");
    teardown(&w, &own);

    setup(&w, &own);
    own.intent.policy.post_copy = true;
    w.request.mode = DROVER__V1__MODE__MODE_POST_COPY;
    w.request.kind = (char *)"return";
    w.request.host = (char *)"kvm2";
    own.making.away = away;
    own.making.n_away = 2;
    make(&w, &own);
    assert_string_equal(step_of(&w, "web1")->to, "kvm2");
    assert_fails(&w, "web2", "its policy does not allow it");
    teardown(&w, &own);

    /* What the request says goes over both. */
    char *given[] = {(char *)"allow"};
    Drover__V1__Policy allow = DROVER__V1__POLICY__INIT;
    setup(&w, &own);
    allow.post_copy = true;
    w.request.mode = DROVER__V1__MODE__MODE_POST_COPY;
    w.request.policy = &allow;
    w.request.policy_given = given;
    w.request.n_policy_given = 1;
    make(&w, &own);
    assert_int_equal(plan_count(&w.job, DROVER__V1__STEP_STATE__STEP_FAILED), 0);
    teardown(&w, &own);
}

static void vcpus_are_limited_as_the_guests_own_policy_says(void **unused)
{
    (void)unused;
    struct world w;
    struct own own;
    setup(&w, &own);
    made_guest(fleet_host(&w.fleet, "kvm2"), "big1", UUID_D)->guest->vcpus = 31;
    made_string(&fleet_host(&w.fleet, "kvm2")->guests[0].guest->interfaces[0]->mac, "52:54:00:00:00:02");
    fleet_host(&w.fleet, "kvm3")->maintenance = true;
    w.policy.vcpu_percent = 100;
    own.intent.policy.vcpu_percent = 300;
    make(&w, &own);
    assert_string_equal(step_of(&w, "web1")->to, "kvm2");
    assert_fails(&w, "web2", "no room for 2 vCPUs at 1 per CPU");
    /* What is shut off runs nowhere: neither the planner nor the rule counts it. */
    assert_string_equal(step_of(&w, "cold1")->to, "kvm2");
    fleet_host(&w.fleet, "kvm2")->report->vcpus_guests = 31;
    plan_place(&own.making, &w.job, (Drover__V1__PlanStep *)step_of(&w, "cold1"));
    assert_string_equal(step_of(&w, "cold1")->to, "kvm2");
    teardown(&w, &own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(older_versions_are_as_the_guests_own_policy_says),
        cmocka_unit_test(a_mode_is_asked_of_the_guests_own_policy),
        cmocka_unit_test(vcpus_are_limited_as_the_guests_own_policy_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
