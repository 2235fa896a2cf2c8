/* drover job ID --explain: what is said of the passes. */
#include "cli/forecast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of a job whose guest was seen paused in its only pass. */
static void assert_said(Drover__V1__Mode mode, const char *way, unsigned iteration, const char *words)
{
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    Drover__V1__Forecast forecast = DROVER__V1__FORECAST__INIT;
    Drover__V1__Progress pass = DROVER__V1__PROGRESS__INIT, *passes[] = {&pass};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    pass.iteration = iteration;
    pass.paused = true;
    forecast.way = (char *)way;
    job.mode = mode;
    job.forecast = &forecast;
    job.passes = passes;
    job.n_passes = 1;
    render_explanation(&job, out);
    fclose(out);
    if (!strstr(text, words))
        fail_msg("'%s' is not in: %s", words, text);
    free(text);
}

static void only_what_was_paused_at_once_stood_still_from_the_start(void **state)
{
    (void)state;
    assert_said(DROVER__V1__MODE__MODE_OFFLINE, "offline", 1, "stood still from the start");
    assert_said(DROVER__V1__MODE__MODE_AUTO, "offline", 1, "stood still from the start");
    assert_said(DROVER__V1__MODE__MODE_AUTO, "live", 1, "One pass was enough");
    assert_said(DROVER__V1__MODE__MODE_AUTO, "pause", 3, "Its passes were not seen");
}

/* A line of it with what it must say; the policy did not allow what was foretold. */
static void assert_fact(Drover__V1__JobState state, bool given_up, const char *words)
{
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    Drover__V1__Forecast forecast = DROVER__V1__FORECAST__INIT;
    Drover__V1__Result result = DROVER__V1__RESULT__INIT;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    forecast.way = (char *)"pause";
    result.transfer = 5000;
    result.pause = 210;
    result.given_up = given_up;
    job.state = state;
    job.forecast = &forecast;
    job.result = &result;
    render_forecast_and_fact(&job, out);
    fclose(out);
    assert_non_null(strstr(text, ", which the policy does not allow\n"));
    if (words ? !strstr(text, words) : !!strstr(text, "fact"))
        fail_msg("'%s' is not in: %s", words ? words : "nothing", text);
    free(text);
}

static void the_fact_stands_beside_the_forecast_of_what_was_given_up_too(void **state)
{
    (void)state;
    assert_fact(DROVER__V1__JOB_STATE__JOB_DONE, false, "fact         5.0 s, pause 210 ms, ");
    assert_fact(DROVER__V1__JOB_STATE__JOB_FAILED, true, "fact         given up after 5.0 s, pause 210 ms\n");
    assert_fact(DROVER__V1__JOB_STATE__JOB_CANCELLED, false,
                "fact         broken off after 5.0 s, pause 210 ms\n");
    assert_fact(DROVER__V1__JOB_STATE__JOB_RUNNING, false, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_paused_at_once_stood_still_from_the_start),
        cmocka_unit_test(the_fact_stands_beside_the_forecast_of_what_was_given_up_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
