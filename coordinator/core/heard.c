#include "coordinator/core/heard.h"

#include "common/story/story.h"
#include "coordinator/core/message.h"

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
    for (size_t i = 0; i < story->n_passes; i++)
        if (!job->n_passes || story->passes[i]->elapsed > job->passes[job->n_passes - 1]->elapsed)
            story_pass(&job->n_passes, &job->passes, story->passes[i]);
}
