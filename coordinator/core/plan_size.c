#include "coordinator/core/plan_size.h"

#include <stdlib.h>
#include <string.h>

enum {
    FINDINGS_BYTES = 1 << 20,
    MOST_BYTES = 3 << 20,    /* a frame takes 4 MiB; the rest is for the log, and for AVOID_BYTES */
    AVOID_BYTES = 512 << 10, /* hosts that refused a guest: in a large fleet they may be many for each */
    STEP_BYTES = 400,        /* what a step has in the end: forecast, progress, result */
};

static void keep_first(Drover__V1__PlanStep *s)
{
    while (s->n_findings > 1)
        drover__v1__finding__free_unpacked(s->findings[--s->n_findings], NULL);
}

static void thin_out(Drover__V1__Job *job)
{
    size_t bytes = 0;
    for (size_t i = 0; i < job->n_steps; i++) {
        Drover__V1__PlanStep *s = job->steps[i];
        size_t own = 0;
        for (size_t f = 0; f < s->n_findings; f++)
            own += drover__v1__finding__get_packed_size(s->findings[f]);
        if (bytes + own > FINDINGS_BYTES)
            keep_first(s);
        else
            bytes += own;
    }
}

int plan_fit(Drover__V1__Job *job, struct error *err)
{
    thin_out(job);
    size_t bytes = drover__v1__job__get_packed_size(job) + job->n_steps * STEP_BYTES;
    return bytes <= MOST_BYTES
               ? 0
               : error_set(
                     err, STATUS_FAILED_PRECONDITION,
                     "%zu guests in one plan come to %zu MiB, more than the %d MiB that can be told of one: "
                     "take fewer at a time (move --vm PATTERN, one host, one site); nothing has begun",
                     job->n_steps, bytes >> 20, MOST_BYTES >> 20);
}

bool plan_may_avoid(const Drover__V1__Job *job)
{
    enum { TAG_AND_LENGTH = 3 };
    size_t bytes = 0;
    for (size_t i = 0; i < job->n_steps; i++)
        for (size_t k = 0; k < job->steps[i]->n_avoid; k++)
            bytes += strlen(job->steps[i]->avoid[k]) + TAG_AND_LENGTH;
    return bytes < AVOID_BYTES;
}
