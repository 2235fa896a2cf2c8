/* Plans and maintenance, as an operator's shell asks for them. */
#include "api_fixture.h"
#include "common/base/memory.h"

static const Drover__V1__Job *plan(struct world *w, const char *kind, const char *host)
{
    Drover__V1__PlanRequest request = DROVER__V1__PLAN_REQUEST__INIT;
    request.kind = (char *)kind;
    request.host = (char *)host;
    return api_call(w, "MakePlan", &request);
}

static enum status_code maintenance(struct world *w, const char *host, bool on)
{
    Drover__V1__SetMaintenanceRequest request = DROVER__V1__SET_MAINTENANCE_REQUEST__INIT;
    request.host = (char *)host;
    request.on = on;
    return api_call(w, "SetMaintenance", &request) ? STATUS_OK : w->answer.status.code;
}

/* The job, once it has ended. */
static const Drover__V1__Job *ended(struct world *w, uint64_t id)
{
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = id;
    api_begin(w, "WatchJob", &request.base, 0);
    api_run(w);
    return (const Drover__V1__Job *)w->answer.last;
}

static void a_host_that_is_being_emptied_stays_in_maintenance(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    const Drover__V1__Job *job = plan(&w, "evacuate", "kvm1");
    assert_non_null(job);
    Drover__V1__CancelJobRequest cancel = DROVER__V1__CANCEL_JOB_REQUEST__INIT;
    cancel.id = job->id;
    _cleanup_free_ char *expected =
        xasprintf("job %llu empties kvm1, which is in maintenance for that: `drover cancel %llu` first",
                  (unsigned long long)job->id, (unsigned long long)job->id);
    assert_int_equal(maintenance(&w, "kvm1", false), STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(w.answer.status.text, expected));
    assert_true(fleet_host(&w.fleet, "kvm1")->maintenance);
    assert_int_equal(maintenance(&w, "kvm1", true), STATUS_OK);
    /* Other hosts are nothing to it; nor is this one when it has been cancelled, though a move may still run. */
    assert_int_equal(maintenance(&w, "kvm2", true), STATUS_OK);
    assert_int_equal(maintenance(&w, "kvm2", false), STATUS_OK);
    assert_non_null(api_call(&w, "CancelJob", &cancel));
    assert_int_equal(maintenance(&w, "kvm1", false), STATUS_OK);
    assert_false(fleet_host(&w.fleet, "kvm1")->maintenance);
    api_teardown(&w);
}

static void a_return_without_guests_ends_the_maintenance(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    assert_int_equal(maintenance(&w, "kvm2", true), STATUS_OK);
    const Drover__V1__Job *job = plan(&w, "return", "kvm2");
    assert_non_null(job);
    assert_int_equal(job->n_steps, 0);
    assert_string_equal(job->remarks[0], "no guest of kvm2 is away: it only leaves maintenance");
    assert_false(fleet_host(&w.fleet, "kvm2")->maintenance);
    job = ended(&w, job->id);
    assert_int_equal(job->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_string_equal(job->text, "there was nothing to bring back; kvm2 is out of maintenance");
    /* Now there is nothing to do any more. */
    assert_null(plan(&w, "return", "kvm2"));
    assert_int_equal(w.answer.status.code, STATUS_FAILED_PRECONDITION);
    api_teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_is_being_emptied_stays_in_maintenance),
        cmocka_unit_test(a_return_without_guests_ends_the_maintenance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
