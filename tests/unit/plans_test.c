/* What a dry run sees of the plans that are under way, and what it does where the checks say no. */
#include "coordinator/plans.h"

#include "api_fixture.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan.h"

#include <stdlib.h>

static struct plans *make_plans(const struct world *w)
{
    const struct move_config config = {.loop = w->loop,
                                       .fleet = (struct fleet *)&w->fleet,
                                       .driver = w->driver,
                                       .store = w->store,
                                       .policy = &w->policy};
    struct plans *plans = NULL;
    struct error err = {0};
    if (plans_new(&config, &plans, &err) < 0)
        fail_msg("%s", err.text);
    return plans;
}

static void add_step(Drover__V1__Job *job, const struct fleet_guest *guest, const char *to)
{
    set_text(&plan_add(job, guest->guest, guest->host->name)->to, to);
}

/* An evacuation of kvm1 that an operator has paused: its guests wait to go to kvm2. */
static void store_paused(const struct world *w)
{
    const struct fleet_host *kvm1 = fleet_host(&w->fleet, "kvm1");
    Drover__V1__PlanRequest request = DROVER__V1__PLAN_REQUEST__INIT;
    Drover__V1__Job *job = new0(Drover__V1__Job);
    struct error err = {0};
    uint8_t packed[256];
    drover__v1__job__init(job);
    set_text(&job->kind, "evacuate");
    set_text(&job->source, "kvm1");
    job->state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    job->paused = true;
    for (size_t g = 0; g < kvm1->n_guests; g++)
        add_step(job, &kvm1->guests[g], "kvm2");
    request.kind = (char *)"evacuate";
    request.host = (char *)"kvm1";
    size_t size = drover__v1__plan_request__pack(&request, packed);
    if (store_put_job(w->store, job, packed, size, &err) < 0)
        fail_msg("%s", err.text);
    drover__v1__job__free_unpacked(job, NULL);
}

static void guests_that_wait_in_a_plan_of_their_host_are_counted_once(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    Drover__V1__Job *job = NULL;
    api_setup(&w);
    made_guest(fleet_host(&w.fleet, "kvm1"), "web2", UUID_B);
    /* Room for the two, and no more. */
    fleet_host(&w.fleet, "kvm2")->report->memory_free = 9 * GIB;
    fleet_host(&w.fleet, "kvm3")->report->memory_free = GIB;
    store_paused(&w);
    struct plans *plans = make_plans(&w);
    Drover__V1__PlanRequest request = DROVER__V1__PLAN_REQUEST__INIT;
    request.kind = (char *)"evacuate";
    request.host = (char *)"kvm1";
    request.dry_run = true;
    if (plans_make(plans, &request, &job, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(job->n_steps, 2);
    for (size_t i = 0; i < job->n_steps; i++)
        assert_string_equal(job->steps[i]->to, "kvm2");
    assert_int_equal(job->n_remarks, 1);
    assert_string_equal(job->remarks[0],
                        "job 1 (evacuate kvm1) is under way: until it has ended, this would be refused");
    assert_int_equal(plans_start(plans, &request, job, "an operator", &err), -STATUS_FAILED_PRECONDITION);
    drover__v1__job__free_unpacked(job, NULL);

    /* Another host's guests find the room taken. */
    made_guest(fleet_host(&w.fleet, "kvm3"), "db1", "33333333-3333-4333-8333-33333333cccc");
    request.host = (char *)"kvm3";
    fleet_host(&w.fleet, "kvm1")->maintenance = true;
    if (plans_make(plans, &request, &job, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(job->n_remarks, 0);
    assert_int_equal(job->steps[0]->state, DROVER__V1__STEP_STATE__STEP_FAILED);
    drover__v1__job__free_unpacked(job, NULL);
    plans_free(plans);
    api_teardown(&w);
}

static void on_checked(void *arg)
{
    loop_stop(arg, 0);
}

/* kvm2 has no room any more; kvm3 has, and what another place would gain nobody has looked at. */
static void a_dry_run_of_a_balance_looks_for_no_other_place(void **unused)
{
    (void)unused;
    static const struct {
        const char *kind, *to;
        Drover__V1__StepState state;
    } cases[] = {{"balance", "", DROVER__V1__STEP_STATE__STEP_SKIPPED},
                 {"evacuate", "kvm3", DROVER__V1__STEP_STATE__STEP_WAITING}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        api_setup(&w);
        Drover__V1__PlanRequest request = DROVER__V1__PLAN_REQUEST__INIT;
        Drover__V1__Job *job = new0(Drover__V1__Job);
        drover__v1__job__init(job);
        request.kind = (char *)cases[i].kind;
        set_text(&job->kind, cases[i].kind);
        add_step(job, &fleet_host(&w.fleet, "kvm1")->guests[0], "kvm2");
        fleet_host(&w.fleet, "kvm2")->report->memory_free = GIB;
        struct plans *plans = make_plans(&w);
        plans_check(plans, &request, job, on_checked, w.loop);
        api_run(&w);
        assert_int_equal(job->steps[0]->state, cases[i].state);
        assert_string_equal(job->steps[0]->to, cases[i].to);
        if (!cases[i].to[0])
            assert_non_null(strstr(job->steps[0]->why, "kvm2: host kvm2: 1024 MiB of memory free"));
        drover__v1__job__free_unpacked(job, NULL);
        plans_free(plans);
        api_teardown(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guests_that_wait_in_a_plan_of_their_host_are_counted_once),
        cmocka_unit_test(a_dry_run_of_a_balance_looks_for_no_other_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
