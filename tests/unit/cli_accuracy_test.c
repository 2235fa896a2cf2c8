/* drover history --forecast: how far forecasts were off. */
#include "cli/forecast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static Drover__V1__Job *forecast_job(Drover__V1__Job *job, Drover__V1__Forecast *f, Drover__V1__Result *r,
                                     const int64_t ms[4])
{
    drover__v1__job__init(job);
    drover__v1__forecast__init(f);
    drover__v1__result__init(r);
    job->guest = (char *)"web1";
    job->source = (char *)"kvm1";
    job->destination = (char *)"kvm2";
    job->state = DROVER__V1__JOB_STATE__JOB_DONE;
    job->forecast = f;
    job->result = r;
    f->way = (char *)(ms[1] > 500 ? "pause" : "live");
    f->allowed = true;
    f->time = ms[0];
    f->pause = ms[1];
    r->transfer = ms[2] - 30;
    r->handover = 30;
    r->pause = ms[3];
    return job;
}

static void forecasts_are_summed_up(void **state)
{
    (void)state;
    static const int64_t ms[3][4] = {
        {1000, 100, 1250, 150}, {4000, 2000, 5000, 2500}, {2000, 100, 2000, 900}};
    Drover__V1__Job jobs[7], *list[7];
    Drover__V1__Forecast f[7];
    Drover__V1__Result r[7];
    for (unsigned i = 0; i < 7; i++)
        list[i] = forecast_job(&jobs[i], &f[i], &r[i], ms[i % 3]);
    jobs[3].state = DROVER__V1__JOB_STATE__JOB_FAILED; /* not counted */
    Drover__V1__ListJobsReply reply = DROVER__V1__LIST_JOBS_REPLY__INIT;
    reply.jobs = list;
    reply.n_jobs = 4;
    struct accuracy a = accuracy_of(&reply);
    assert_int_equal(a.n, 3);
    assert_int_equal(a.mode_right, 2);
    assert_true(a.time_error > 0.199 && a.time_error < 0.201);
    assert_true(a.pause_error > 0.199 && a.pause_error < 0.201);
    assert_true(a.pause_error_ms > 499 && a.pause_error_ms < 501);
    /* Given up by the ladder: right only if that was foreseen. And one that an operator has paused. */
    jobs[4].state = jobs[5].state = DROVER__V1__JOB_STATE__JOB_FAILED;
    r[4].given_up = r[5].given_up = true;
    f[5].allowed = false;
    r[6].others_pause = true;
    reply.n_jobs = 7;
    a = accuracy_of(&reply);
    assert_int_equal(a.n, 5);
    assert_int_equal(a.given_up, 2);
    assert_int_equal(a.mode_right, 3);
    assert_true(a.time_error > 0.199 && a.time_error < 0.201);
    json_t *document = render_accuracy_json(&reply), *rows = json_object_get(document, "jobs");
    assert_int_equal(json_integer_value(json_object_get(document, "n")), 5);
    assert_int_equal(json_array_size(rows), 5); /* as many as the text has lines */
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 1), "way")), "pause");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 1), "time")), 4000);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 1), "took")), 5000);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 1), "pause")), 2000);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 1), "paused")), 2500);
    assert_true(json_is_true(json_object_get(json_array_get(rows, 3), "given_up")));
    assert_true(json_is_null(json_object_get(json_array_get(rows, 3), "took")));
    assert_true(json_is_false(json_object_get(json_array_get(rows, 4), "allowed")));
    json_decref(document);
    f[0].allowed = false; /* it was moved all the same */
    assert_int_equal(accuracy_of(&reply).mode_right, 2);
    reply.n_jobs = 0;
    assert_int_equal(accuracy_of(&reply).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forecasts_are_summed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
