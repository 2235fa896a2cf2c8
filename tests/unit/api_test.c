/* The fleet and the start of migrations, as an operator's shell asks for them. */
#include "api_fixture.h"
#include "common/base/memory.h"
#include "coordinator/plan_forecasts.h"

static void the_fleet_is_listed(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    fleet_session(fleet_host(&w.fleet, "kvm2"), false, 77, "no route to host");
    made_driver_job(w.driver, 9, "web1", UUID_A);
    Drover__V1__ListHostsRequest hosts = DROVER__V1__LIST_HOSTS_REQUEST__INIT;
    fleet_host(&w.fleet, "kvm1")->report->memory_guests = 99; /* of before its last guest came */
    fleet_host(&w.fleet, "kvm1")->told = true;
    const Drover__V1__ListHostsReply *h = api_call(&w, "ListHosts", &hosts);
    assert_int_equal(h->n_hosts, 3);
    assert_true(h->hosts[0]->report->memory_guests ==
                fleet_host(&w.fleet, "kvm1")->guests[0].guest->memory_max);
    assert_int_equal(h->hosts[0]->report->vcpus_guests, fleet_host(&w.fleet, "kvm1")->guests[0].guest->vcpus);
    assert_true(h->hosts[0]->up);
    assert_int_equal(h->hosts[0]->guests_running, 1);
    assert_string_equal(h->hosts[0]->report->name, "kvm1");
    assert_string_equal(h->hosts[1]->why, "no route to host");
    assert_int_equal(h->hosts[1]->since, 77);
    hosts.host = (char *)"kvm2";
    h = api_call(&w, "ListHosts", &hosts);
    assert_int_equal(h->n_hosts, 1);
    assert_string_equal(h->hosts[0]->name, "kvm2");
    hosts.host = (char *)"kmv2";
    assert_int_equal(api_status(&w, "ListHosts", &hosts), STATUS_NOT_FOUND);

    Drover__V1__ListGuestsRequest guests = DROVER__V1__LIST_GUESTS_REQUEST__INIT;
    const Drover__V1__ListGuestsReply *g = api_call(&w, "ListGuests", &guests);
    assert_int_equal(g->n_guests, 1);
    assert_string_equal(g->guests[0]->host, "kvm1");
    assert_int_equal(g->guests[0]->job, 9);
    assert_false(g->guests[0]->stale);
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 78, "lost");
    g = api_call(&w, "ListGuests", &guests);
    assert_true(g->guests[0]->stale);
    guests.host = (char *)"kvm2";
    g = api_call(&w, "ListGuests", &guests);
    assert_int_equal(g->n_guests, 0);
    guests.host = (char *)"kmv2";
    assert_int_equal(api_status(&w, "ListGuests", &guests), STATUS_NOT_FOUND);
    assert_non_null(strstr(w.answer.status.text, "near: kvm2"));
    api_teardown(&w);
}

static void a_migration_is_ordered(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    char *given[] = {(char *)"max_pause", (char *)"allow"};
    request.guest = (char *)"web1";
    request.to = (char *)"kvm2";
    request.policy = &policy;
    policy.max_pause = 100;
    policy.deadline = 5; /* not given, so it does not hold */
    policy.auto_converge = true;
    request.policy_given = given;
    request.n_policy_given = 2;
    const Drover__V1__MigrateGuestReply *r = api_call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 41);
    assert_string_equal(r->source, "kvm1");
    assert_string_equal(r->destination, "kvm2");
    assert_int_equal(r->mode, DROVER__V1__MODE__MODE_AUTO);
    assert_int_equal(made_order.count, 1);
    assert_string_equal(made_order.destination, "kvm2");
    assert_int_equal(made_order.policy.max_pause, 100);
    assert_int_equal(made_order.policy.deadline, 60000);
    assert_true(made_order.policy.auto_converge);
    assert_false(made_order.policy.offline);
    assert_non_null(strstr(made_order.by, "127.0.0.1")); /* nobody is named on plain tcp:// */

    /* Without a destination, the host with the most room; a dry run orders nothing. */
    request.to = (char *)"";
    request.dry_run = true;
    r = api_call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 0);
    assert_string_equal(r->destination, "kvm3");
    assert_non_null(strstr(r->why, "kvm3 has the most memory"));
    assert_int_equal(made_order.count, 1);
    request.dry_run = false;
    r = api_call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 41);
    assert_string_equal(made_order.destination, "kvm3");
    api_teardown(&w);
}

static void promised_memory_counts(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    Drover__V1__Guest *big = made_guest(fleet_host(&w.fleet, "kvm1"), "big", UUID_B)->guest;
    big->memory_max = 20 * GIB;
    Drover__V1__Job *job = made_driver_job(w.driver, 9, "big", UUID_B);
    job->source = xstrdup("kvm1");
    job->destination = xstrdup("kvm3");
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    request.guest = (char *)"web1";
    request.dry_run = true;
    const Drover__V1__MigrateGuestReply *r = api_call(&w, "MigrateGuest", &request);
    assert_string_equal(r->destination, "kvm2");
    api_teardown(&w);
}

static void what_blocks_is_told_and_not_ordered(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    made_driver_job(w.driver, 12, "web1", UUID_A);
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    request.guest = (char *)"kvm1/web1";
    request.to = (char *)"kvm2";
    const Drover__V1__MigrateGuestReply *r = api_call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 0);
    assert_int_equal(r->n_findings, 1);
    assert_string_equal(r->findings[0]->id, "guest-busy");
    assert_non_null(strstr(r->findings[0]->seen, "job 12"));
    request.to = (char *)"";
    r = api_call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 0);
    assert_string_equal(r->destination, "");
    assert_int_equal(r->n_findings, 1);
    assert_int_equal(made_order.count, 0);
    api_teardown(&w);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    request.policy = &policy;
    assert_int_equal(api_status(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    request.guest = (char *)"wbe1";
    assert_int_equal(api_status(&w, "MigrateGuest", &request), STATUS_NOT_FOUND);
    assert_non_null(strstr(w.answer.status.text, "near: web1"));
    request.guest = (char *)"web1";
    request.to = (char *)"kvm9";
    assert_int_equal(api_status(&w, "MigrateGuest", &request), STATUS_NOT_FOUND);
    request.to = (char *)"kvm2";
    request.mode = (Drover__V1__Mode)99;
    assert_int_equal(api_status(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    request.mode = DROVER__V1__MODE__MODE_AUTO;
    char *unknown[] = {(char *)"speed"}, *deadline[] = {(char *)"deadline"};
    request.policy_given = unknown;
    request.n_policy_given = 1;
    assert_int_equal(api_status(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(w.answer.status.text, "'speed'"));
    request.policy_given = deadline;
    policy.deadline = -1;
    assert_int_equal(api_status(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    assert_int_equal(made_order.count, 0);
    api_teardown(&w);
}

/* As each of its guests will be moved, not as the default says. */
static void a_plans_forecasts_go_by_the_guests_policies(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    fleet_host(&w.fleet, "kvm3")->bandwidth = 1 << 20;
    char *names[] = {(char *)"web*"};
    struct intent web = {.name = (char *)"web", .guests = {.list = names, .n = 1}, .policy = w.policy};
    web.policy.max_pause = 77;
    web.policy.bandwidth = 5 << 20;
    const struct policies policies = {&web, 1};
    const struct move_config config = {.fleet = &w.fleet, .policy = &w.policy, .policies = &policies};
    Drover__V1__PlanRequest request = DROVER__V1__PLAN_REQUEST__INIT;
    Drover__V1__PlanStep step = DROVER__V1__PLAN_STEP__INIT;
    Drover__V1__Policy policy;
    step.from = (char *)"kvm1";
    step.to = (char *)"kvm2";
    step.guest_uuid = (char *)UUID_A;
    plan_forecasts_policy(&config, &request, &step, &policy);
    assert_int_equal(policy.max_pause, 77);
    assert_int_equal(policy.deadline, 60000);
    assert_int_equal(policy.bandwidth, 5 << 20);
    step.to = (char *)"kvm3";
    Drover__V1__Policy given = DROVER__V1__POLICY__INIT;
    char *fields[] = {(char *)"max_pause"};
    given.max_pause = 500;
    request.policy = &given;
    request.policy_given = fields;
    request.n_policy_given = 1;
    plan_forecasts_policy(&config, &request, &step, &policy);
    assert_int_equal(policy.max_pause, 500);
    assert_int_equal(policy.bandwidth, 1 << 20);
    step.guest_uuid = (char *)UUID_B; /* gone meanwhile */
    plan_forecasts_policy(&config, &request, &step, &policy);
    assert_int_equal(policy.max_pause, 500);
    api_teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fleet_is_listed),
        cmocka_unit_test(a_migration_is_ordered),
        cmocka_unit_test(promised_memory_counts),
        cmocka_unit_test(what_blocks_is_told_and_not_ordered),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(a_plans_forecasts_go_by_the_guests_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
