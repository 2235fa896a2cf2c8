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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_paused_at_once_stood_still_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
