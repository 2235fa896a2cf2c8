/* The display of a plan: pure, as the rest of it. */
#include "cli/progress.h"

#include "cli/job.h"
#include "cli/text.h"
#include "common/base/memory.h"

#include <stdlib.h>

enum { BAR = 24 };

struct sums {
    size_t done, running, waiting, failed;
    uint64_t bytes, bytes_done;
};

static struct sums add_up(const Drover__V1__Job *job)
{
    struct sums sums = {0};
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        uint64_t weight = (s->active ? s->memory : 0) + s->disk_bytes + 1;
        int percent = s->state == DROVER__V1__STEP_STATE__STEP_RUNNING ? progress_percent(s->progress) : 0;
        sums.bytes += weight;
        switch (s->state) {
        case DROVER__V1__STEP_STATE__STEP_RUNNING:
            sums.running++;
            sums.bytes_done += percent > 0 ? weight / 100 * (uint64_t)percent : 0;
            break;
        case DROVER__V1__STEP_STATE__STEP_WAITING: sums.waiting++; break;
        case DROVER__V1__STEP_STATE__STEP_FAILED: sums.failed++; break;
        default: sums.done++; sums.bytes_done += weight;
        }
    }
    return sums;
}

void progress_draw_plan(const struct progress_guest *plan, const struct progress_screen *screen, FILE *out)
{
    const Drover__V1__Job *job = plan->job;
    struct sums sums = add_up(job);
    char subject[256], clean[256], age[TEXT_MAX], text[600], fit[600];
    int percent = sums.bytes ? (int)(100 * (double)sums.bytes_done / (double)sums.bytes) : 0;
    snprintf(text, sizeof(text), "%s  %d %%  %zu of %zu done, %zu %s, %zu wait%s%s  %s  job %llu",
             text_clean(job_subject(job, subject), clean, sizeof(clean)), percent, sums.done, job->n_steps,
             sums.running, sums.running == 1 ? "moves" : "move", sums.waiting, sums.waiting == 1 ? "s" : "",
             job->paused   ? ", PAUSED"
             : sums.failed ? ", some can't move"
                           : "",
             text_ms(plan->elapsed - plan->elapsed % 100, age), (unsigned long long)job->id);
    fputs(text_fit(text, screen->columns - BAR - 5, fit, sizeof(fit)), out);
    fputs("  ", out);
    if (screen->columns > 2 * BAR)
        progress_bar(percent, BAR, screen->utf8, out);
    fputc('\n', out);
    if (!sums.running)
        return;
    /* Each step that runs looks like a job of its own. */
    Drover__V1__Job *jobs = xcalloc(sums.running, sizeof(*jobs));
    struct progress_guest *guests = xcalloc(sums.running, sizeof(*guests));
    size_t n = 0;
    for (size_t i = 0; i < job->n_steps && n < sums.running; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        if (s->state != DROVER__V1__STEP_STATE__STEP_RUNNING)
            continue;
        drover__v1__job__init(&jobs[n]);
        jobs[n].id = s->job;
        jobs[n].kind = (char *)"migrate";
        jobs[n].guest = s->guest;
        jobs[n].source = s->from;
        jobs[n].destination = s->to;
        jobs[n].state =
            s->in_doubt ? DROVER__V1__JOB_STATE__JOB_IN_DOUBT : DROVER__V1__JOB_STATE__JOB_RUNNING;
        jobs[n].progress = s->progress;
        jobs[n].phase = (char *)(s->care == DROVER__V1__STEP_CARE__CARE_LOOKING ? "is it well?"
                                 : s->job                                       ? "transfer"
                                                                                : "checks");
        jobs[n].text = s->why;
        guests[n] = (struct progress_guest){&jobs[n], s->progress ? s->progress->elapsed : 0};
        n++;
    }
    struct progress_screen rest = *screen;
    rest.rows--;
    progress_draw(guests, n, &rest, out);
    free(jobs);
    free(guests);
}
