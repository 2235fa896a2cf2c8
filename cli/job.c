#include "cli/job.h"

#include "cli/exits.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdbool.h>
#include <stdio.h>

size_t findings_of(Drover__V1__Finding *const *findings, size_t n, Drover__V1__Severity severity)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += findings[i]->severity == severity;
    return count;
}

int job_is_plan(const Drover__V1__Job *job)
{
    return *job->kind && !streq(job->kind, "migrate");
}

const char *job_subject(const Drover__V1__Job *job, char buffer[256])
{
    if (!job_is_plan(job))
        return job->guest;
    const char *what = streq(job->kind, "return") ? job->destination : job->source;
    snprintf(buffer, 256, "%s%s%s", job->kind, *what ? " " : "", what);
    return buffer;
}

int job_is_open(const Drover__V1__Job *job)
{
    return job->state != DROVER__V1__JOB_STATE__JOB_DONE && job->state != DROVER__V1__JOB_STATE__JOB_FAILED &&
           job->state != DROVER__V1__JOB_STATE__JOB_CANCELLED &&
           job->state != DROVER__V1__JOB_STATE__JOB_PARTLY;
}

const Drover__V1__PlanStep *job_ill(const Drover__V1__Job *job)
{
    for (size_t i = job->n_steps; i-- > 0;)
        if (job->steps[i]->care == DROVER__V1__STEP_CARE__CARE_ILL)
            return job->steps[i];
    return NULL;
}

int job_waits_for_word(const Drover__V1__Job *job)
{
    for (size_t i = 0; i < job->n_steps; i++)
        if (job->steps[i]->state == DROVER__V1__STEP_STATE__STEP_RUNNING)
            return false;
    return job_is_open(job) && job->paused && job_ill(job);
}

bool job_step_stays(const Drover__V1__PlanStep *step)
{
    return step->state == DROVER__V1__STEP_STATE__STEP_FAILED ||
           (step->state == DROVER__V1__STEP_STATE__STEP_SKIPPED && step->todo[0]);
}

/* Nothing of a plan was done: because each guest was refused, by the planner (then it never had a migration) or by a check? */
static bool all_refused(const Drover__V1__Job *job)
{
    size_t stay = 0;
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        if (!job_step_stays(s))
            continue;
        if (!s->n_findings && (s->job || s->last_job))
            return false;
        stay++;
    }
    return stay;
}

int job_exit(const Drover__V1__Job *job)
{
    switch (job->state) {
    case DROVER__V1__JOB_STATE__JOB_PARTLY: return EXIT_PARTLY;
    case DROVER__V1__JOB_STATE__JOB_FAILED:
        if (job_is_plan(job))
            return all_refused(job) ? EXIT_REFUSED : EXIT_FAILED;
        /* A no in the prepare phase is a check's no. */
        return findings_of(job->findings, job->n_findings, DROVER__V1__SEVERITY__BLOCK) ? EXIT_REFUSED
                                                                                        : EXIT_FAILED;
    case DROVER__V1__JOB_STATE__JOB_CANCELLED: return EXIT_FAILED;
    case DROVER__V1__JOB_STATE__JOB_IN_DOUBT: return EXIT_IN_DOUBT;
    default: return EXIT_DONE;
    }
}

int exits_join(const int *exits, size_t n)
{
    bool done = false, not_done = false, same = true;
    for (size_t i = 0; i < n; i++) {
        if (exits[i] == EXIT_IN_DOUBT)
            return EXIT_IN_DOUBT;
        done |= exits[i] == EXIT_DONE || exits[i] == EXIT_PARTLY;
        not_done |= exits[i] != EXIT_DONE;
        same &= exits[i] == exits[0];
    }
    if (!not_done)
        return EXIT_DONE;
    return done ? EXIT_PARTLY : same ? exits[0] : EXIT_FAILED;
}

Drover__V1__Job *job_copy(const Drover__V1__Job *job)
{
    size_t size = drover__v1__job__get_packed_size(job);
    _cleanup_free_ uint8_t *bytes = xcalloc(1, size + 1);
    drover__v1__job__pack(job, bytes);
    return drover__v1__job__unpack(NULL, size, bytes);
}
