#include "coordinator/core/heard.h"

#include "common/story/story.h"
#include "coordinator/core/message.h"

#include <stdlib.h>

bool heard_anew(Drover__V1__Journal *journal, uint64_t run, uint32_t number)
{
    if (!run)
        return true;
    if (run == journal->heard_run && number <= journal->heard)
        return false;
    journal->heard_run = run;
    journal->heard = number;
    return true;
}

/* Both lists are in the order of time, and either may lack what the other has. */
static void merge_passes(Drover__V1__Job *job, const Drover__V1__Story *story)
{
    Drover__V1__Progress **merged = NULL, **heard = job->passes;
    size_t n = 0, n_heard = job->n_passes, i = 0, k = 0;
    while (i < n_heard || k < story->n_passes) {
        bool first = k == story->n_passes || (i < n_heard && heard[i]->elapsed <= story->passes[k]->elapsed);
        story_pass(&n, &merged, first ? heard[i++] : story->passes[k++]);
    }
    for (i = 0; i < n_heard; i++)
        drover__v1__progress__free_unpacked(heard[i], NULL);
    free(heard);
    job->passes = merged;
    job->n_passes = n;
}

void heard_story(Drover__V1__Job *job, Drover__V1__Journal *journal, const Drover__V1__Story *story,
                 size_t max)
{
    if (story->forecast && !job->forecast)
        job->forecast = (Drover__V1__Forecast *)message_copy(&story->forecast->base);
    for (size_t i = 0; i < story->n_decisions; i++) {
        const Drover__V1__Decision *d = story->decisions[i];
        if (heard_anew(journal, story->run, d->number))
            job_log(job, d->at, d->text, max);
    }
    merge_passes(job, story);
}
