/* Jobs: listed, shown, cancelled, watched. */
#include "api_fixture.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/plans.h"

#include <stdlib.h>

static uint64_t store_ended(struct world *w, const char *guest)
{
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    struct error err = {0};
    job.guest = (char *)guest;
    job.guest_uuid = (char *)UUID_A;
    job.kind = (char *)"migrate";
    job.state = DROVER__V1__JOB_STATE__JOB_DONE;
    job.phase = (char *)"done";
    if (store_put_job(w->store, &job, NULL, 0, &err) < 0)
        fail_msg("%s", err.text);
    return job.id;
}

static void jobs_are_listed_and_shown(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    uint64_t ended = store_ended(&w, "web1");
    made_driver_job(w.driver, 100, "web1", UUID_A);
    made_driver_job(w.driver, 101, "db1", UUID_B);
    made_driver_job(w.driver, 102, "web1", UUID_A);
    Drover__V1__ListJobsRequest request = DROVER__V1__LIST_JOBS_REQUEST__INIT;
    const Drover__V1__ListJobsReply *r = api_call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 3);
    assert_int_equal(r->jobs[0]->id, 102);
    assert_int_equal(r->jobs[2]->id, 100);
    request.limit = 1;
    request.guest = (char *)"db1";
    r = api_call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 1);
    assert_int_equal(r->jobs[0]->id, 101);
    request.guest = (char *)"";
    request.ended = true;
    r = api_call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 1);
    assert_int_equal(r->jobs[0]->id, ended);

    Drover__V1__GetJobRequest get = DROVER__V1__GET_JOB_REQUEST__INIT;
    get.id = 101;
    assert_string_equal(((const Drover__V1__Job *)api_call(&w, "GetJob", &get))->guest, "db1");
    get.id = ended;
    assert_int_equal(((const Drover__V1__Job *)api_call(&w, "GetJob", &get))->state,
                     DROVER__V1__JOB_STATE__JOB_DONE);
    get.id = 5555;
    assert_int_equal(api_status(&w, "GetJob", &get), STATUS_NOT_FOUND);

    Drover__V1__CancelJobRequest cancel = DROVER__V1__CANCEL_JOB_REQUEST__INIT;
    cancel.id = 100;
    const Drover__V1__CancelJobReply *c = api_call(&w, "CancelJob", &cancel);
    assert_non_null(strstr(c->text, "cancelled by "));
    cancel.id = 5555;
    assert_int_equal(api_status(&w, "CancelJob", &cancel), STATUS_NOT_FOUND);

    Drover__V1__ResolveJobRequest resolve = DROVER__V1__RESOLVE_JOB_REQUEST__INIT;
    resolve.id = 100;
    resolve.to = (char *)"source";
    const Drover__V1__ResolveJobReply *said = api_call(&w, "ResolveJob", &resolve);
    assert_non_null(strstr(said->text, "resolved to the source by "));
    resolve.destination_off = true;
    said = api_call(&w, "ResolveJob", &resolve);
    assert_non_null(strstr(said->text, "resolved to the source, whose destination is off, by "));
    resolve.to = (char *)"destination";
    assert_int_equal(api_status(&w, "ResolveJob", &resolve), STATUS_INVALID_ARGUMENT);
    resolve.to = (char *)"elsewhere";
    assert_int_equal(api_status(&w, "ResolveJob", &resolve), STATUS_INVALID_ARGUMENT);
    api_teardown(&w);
}

/* A plan that oncall has begun, with a move that runs. */
static uint64_t store_plan(struct world *w)
{
    Drover__V1__PlanRequest request = DROVER__V1__PLAN_REQUEST__INIT;
    Drover__V1__PlanStep step = DROVER__V1__PLAN_STEP__INIT, *steps[] = {&step};
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    request.kind = job.kind = (char *)"evacuate";
    request.host = job.source = step.from = (char *)"kvm1";
    job.operator_ = (char *)"oncall";
    job.state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    step.guest = (char *)"web1";
    step.guest_uuid = (char *)UUID_A;
    step.to = (char *)"kvm2";
    step.state = DROVER__V1__STEP_STATE__STEP_RUNNING;
    step.job = 100;
    job.steps = steps;
    job.n_steps = 1;
    uint8_t packed[256];
    size_t size = drover__v1__plan_request__pack(&request, packed);
    struct error err = {0};
    if (store_put_job(w->store, &job, packed, size, &err) < 0)
        fail_msg("%s", err.text);
    return job.id;
}

static void a_move_is_cancelled_by_who_cancelled_its_plan(void **state)
{
    (void)state;
    struct world w;
    struct error err = {0};
    api_setup(&w);
    uint64_t plan = store_plan(&w);
    made_driver_job(w.driver, 100, "web1", UUID_A)->plan = plan;
    const struct move_config config = {w.loop, &w.fleet, w.driver, w.store, &w.policy, NULL, NULL};
    struct plans *plans = NULL;
    if (plans_new(&config, &plans, &err) < 0)
        fail_msg("%s", err.text);
    _cleanup_free_ char *running = NULL, *all = NULL;
    assert_int_equal(plans_cancel(plans, plan, false, "carol", &running, &err), 0);
    assert_null(made_order.cancelled_by);
    assert_int_equal(plans_cancel(plans, plan, true, "dave", &all, &err), 0);
    assert_string_equal(made_order.cancelled_by, "dave");
    plans_free(plans);
    api_teardown(&w);
}

static void grow_log(Drover__V1__Job *job, size_t bytes)
{
    char *text = xcalloc(bytes + 1, 1);
    memset(text, 'x', bytes);
    job_log(job, 1, text, 1000);
    free(text);
}

/* More than a message takes: all are listed, those in doubt first, and what is long about them is left out. */
static void a_long_list_is_told_all_the_same(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    for (uint64_t i = 0; i < 6; i++)
        grow_log(made_driver_job(w.driver, 100 + i, "web1", UUID_A), 900 << 10);
    made_driver_job(w.driver, 90, "db1", UUID_B)->state = DROVER__V1__JOB_STATE__JOB_IN_DOUBT;
    Drover__V1__ListJobsRequest request = DROVER__V1__LIST_JOBS_REQUEST__INIT;
    request.limit = UINT32_MAX;
    const Drover__V1__ListJobsReply *r = api_call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 7);
    assert_int_equal(r->more, 0);
    assert_int_equal(r->jobs[0]->id, 90);
    assert_int_equal(r->jobs[1]->id, 105);
    assert_int_equal(r->jobs[1]->n_log, 1);
    assert_int_equal(r->jobs[6]->n_log, 0);
    request.limit = 2;
    r = api_call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 2);
    assert_int_equal(r->more, 5);
    /* Nor does one that is too long for a message keep its watcher waiting. */
    Drover__V1__Job *job = made_driver_job(w.driver, 110, "web2", UUID_B);
    Drover__V1__WatchJobRequest watch = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    watch.id = 110;
    api_begin(&w, "WatchJob", &watch.base, 1);
    api_run(&w);
    grow_log(job, 5 << 20);
    made_driver_tell(w.driver, job);
    w.answer.stop_at = 0;
    api_run(&w);
    assert_true(w.answer.ended);
    assert_int_equal(w.answer.status.code, STATUS_OUT_OF_RANGE);
    assert_int_equal(made_driver_watches(w.driver), 0);
    api_teardown(&w);
}

static void a_watched_job_is_told_to_its_end(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    Drover__V1__Job *job = made_driver_job(w.driver, 7, "web1", UUID_A);
    job->phase = xstrdup("preparing");
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = 7;
    api_begin(&w, "WatchJob", &request.base, 1);
    api_run(&w);
    assert_int_equal(made_driver_watches(w.driver), 1);
    made_string(&job->phase, "transfer");
    made_driver_tell(w.driver, job);
    w.answer.stop_at = 2;
    api_run(&w);
    /* Mere progress is coalesced, and its last state comes though nothing follows. */
    for (unsigned i = 1; i <= 50; i++) {
        job->progress->bytes_done = i;
        made_driver_tell(w.driver, job);
    }
    w.answer.stop_at = 3;
    api_run(&w);
    while (((const Drover__V1__Job *)w.answer.last)->progress->bytes_done != 50) {
        w.answer.stop_at++;
        api_run(&w);
    }
    assert_true(w.answer.items < 50);
    made_string(&job->phase, "settling");
    made_driver_tell(w.driver, job);
    made_string(&job->phase, "done");
    job->state = DROVER__V1__JOB_STATE__JOB_DONE;
    made_driver_tell(w.driver, job);
    w.answer.stop_at = 0;
    api_run(&w);
    assert_true(w.answer.ended);
    assert_int_equal(w.answer.status.code, STATUS_OK);
    assert_string_equal(w.answer.phases, "preparing transfer settling done ");
    assert_int_equal(made_driver_watches(w.driver), 0);
    api_teardown(&w);
}

static void a_slow_shell_still_hears_the_end(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    Drover__V1__Job *job = made_driver_job(w.driver, 7, "web1", UUID_A);
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = 7;
    api_begin(&w, "WatchJob", &request.base, 1);
    api_run(&w);
    /* More news in one turn of the loop than a stream's window takes. */
    for (unsigned i = 0; i < 500; i++) {
        char *phase = xasprintf("p%u", i);
        made_string(&job->phase, phase);
        free(phase);
        made_driver_tell(w.driver, job);
    }
    Drover__V1__Job ended = *job;
    ended.id = 7;
    ended.kind = (char *)"migrate";
    ended.state = DROVER__V1__JOB_STATE__JOB_DONE;
    struct error err = {0};
    if (store_put_job(w.store, &ended, NULL, 0, &err) < 0)
        fail_msg("%s", err.text);
    job->state = DROVER__V1__JOB_STATE__JOB_DONE;
    made_driver_tell(w.driver, job);
    w.answer.stop_at = 0;
    api_run(&w);
    assert_int_equal(w.answer.status.code, STATUS_OK);
    assert_int_equal(((const Drover__V1__Job *)w.answer.last)->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_true(w.answer.items < 500);
    api_teardown(&w);
}

static void a_watch_of_what_is_over_ends_at_once(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = store_ended(&w, "web1");
    api_begin(&w, "WatchJob", &request.base, 0);
    api_run(&w);
    assert_int_equal(w.answer.items, 1);
    assert_int_equal(w.answer.status.code, STATUS_OK);
    request.id = 5555;
    api_begin(&w, "WatchJob", &request.base, 0);
    api_run(&w);
    assert_int_equal(w.answer.status.code, STATUS_NOT_FOUND);
    api_teardown(&w);
}

static void a_shell_may_stop_watching(void **state)
{
    (void)state;
    struct world w;
    api_setup(&w);
    Drover__V1__Job *job = made_driver_job(w.driver, 7, "web1", UUID_A);
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = 7;
    uint64_t id = api_begin(&w, "WatchJob", &request.base, 1);
    api_run(&w);
    rpc_client_cancel(w.client, id);
    w.answer.stop_at = 0;
    api_run(&w);
    assert_int_equal(w.answer.status.code, STATUS_CANCELLED);
    /* Another call behind it on the same connection: by its answer the cancellation has arrived. */
    Drover__V1__GetJobRequest get = DROVER__V1__GET_JOB_REQUEST__INIT;
    get.id = 7;
    api_call(&w, "GetJob", &get);
    made_driver_tell(w.driver, job);
    /* One that is still watched when the server ends. */
    api_begin(&w, "WatchJob", &request.base, 1);
    api_run(&w);
    api_teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_listed_and_shown),
        cmocka_unit_test(a_move_is_cancelled_by_who_cancelled_its_plan),
        cmocka_unit_test(a_long_list_is_told_all_the_same),
        cmocka_unit_test(a_watched_job_is_told_to_its_end),
        cmocka_unit_test(a_slow_shell_still_hears_the_end),
        cmocka_unit_test(a_watch_of_what_is_over_ends_at_once),
        cmocka_unit_test(a_shell_may_stop_watching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
