/* Exit codes of plans, and of several guests together. */
#include "cli/exits.h"
#include "cli/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A plan of which nothing was done: 3 if no guest could, 1 if one was tried, or if it failed otherwise. */
static void exit_codes_of_plans_that_failed(void **state)
{
    (void)state;
    enum { NO_HOST, CHECK, TRIED, TRIED_BEFORE, GONE, AFTER, KINDS };
    Drover__V1__Finding f = DROVER__V1__FINDING__INIT, *findings[] = {&f};
    Drover__V1__PlanStep steps[KINDS];
    for (size_t i = 0; i < KINDS; i++) {
        drover__v1__plan_step__init(&steps[i]);
        steps[i].state = DROVER__V1__STEP_STATE__STEP_FAILED;
    }
    steps[CHECK].findings = findings;
    steps[CHECK].n_findings = 1;
    steps[CHECK].job = 12; /* a no when it had begun */
    steps[TRIED].job = 12;
    steps[TRIED_BEFORE].last_job = 12;
    steps[GONE].state = steps[AFTER].state = DROVER__V1__STEP_STATE__STEP_SKIPPED;
    steps[AFTER].todo = (char *)"see to web1";
    static const struct {
        size_t steps[2];
        int exit;
    } cases[] = {
        {{NO_HOST, NO_HOST}, EXIT_REFUSED},   {{NO_HOST, CHECK}, EXIT_REFUSED},
        {{NO_HOST, AFTER}, EXIT_REFUSED},     {{NO_HOST, GONE}, EXIT_REFUSED},
        {{NO_HOST, TRIED}, EXIT_FAILED},      {{TRIED, AFTER}, EXIT_FAILED},
        {{CHECK, TRIED_BEFORE}, EXIT_FAILED}, {{GONE, GONE}, EXIT_FAILED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Drover__V1__PlanStep *two[] = {&steps[cases[i].steps[0]], &steps[cases[i].steps[1]]};
        Drover__V1__Job plan = DROVER__V1__JOB__INIT;
        plan.kind = (char *)"evacuate";
        plan.state = DROVER__V1__JOB_STATE__JOB_FAILED;
        plan.steps = two;
        plan.n_steps = 2;
        if (job_exit(&plan) != cases[i].exit)
            fail_msg("case %zu: %d", i, job_exit(&plan));
    }
}

static void exit_codes_of_several_guests(void **state)
{
    (void)state;
    static const struct {
        int exits[3], joined;
    } cases[] = {
        {{EXIT_DONE, EXIT_DONE, EXIT_DONE}, EXIT_DONE},
        {{EXIT_REFUSED, EXIT_REFUSED, EXIT_REFUSED}, EXIT_REFUSED},
        {{EXIT_REFUSED, EXIT_FAILED, EXIT_FAILED}, EXIT_FAILED},
        {{EXIT_DONE, EXIT_REFUSED, EXIT_DONE}, EXIT_PARTLY},
        {{EXIT_FAILED, EXIT_PARTLY, EXIT_FAILED}, EXIT_PARTLY},
        {{EXIT_DONE, EXIT_IN_DOUBT, EXIT_FAILED}, EXIT_IN_DOUBT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(exits_join(cases[i].exits, 3), cases[i].joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_of_plans_that_failed),
        cmocka_unit_test(exit_codes_of_several_guests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
