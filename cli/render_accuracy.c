/* drover history --forecast: how far forecasts were from the facts. */
#include "cli/forecast.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    LIVE_PAUSE = 500,  /* ms: a guest that stands still for longer was not moved live */
    PAUSE_SLACK = 100, /* ms by which a pause may be off and still count as met */
};

/* Both are known, and the transfer came to its end. */
static int counts(const Drover__V1__Job *job)
{
    return job->state == DROVER__V1__JOB_STATE__JOB_DONE && job->forecast && *job->forecast->way &&
           job->result && job->result->transfer > 0;
}

static int64_t pause_of(const Drover__V1__Job *job)
{
    return job->result->pause > 0 ? job->result->pause : job->result->downtime;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_size);
    return n == 0 ? 0 : n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

struct accuracy accuracy_of(const Drover__V1__ListJobsReply *reply)
{
    struct accuracy a = {0};
    _cleanup_free_ double *time = xcalloc(reply->n_jobs + 1, sizeof(double)),
                          *pause = xcalloc(reply->n_jobs + 1, sizeof(double)),
                          *pause_ms = xcalloc(reply->n_jobs + 1, sizeof(double));
    for (size_t i = 0; i < reply->n_jobs; i++) {
        const Drover__V1__Job *job = reply->jobs[i];
        if (!counts(job))
            continue;
        double fact = (double)job->result->transfer, stood = (double)pause_of(job),
               off = (double)llabs(job->forecast->pause - pause_of(job));
        time[a.n] = (double)llabs(job->forecast->time - job->result->transfer) / fact;
        pause_ms[a.n] = off;
        pause[a.n] = off <= PAUSE_SLACK || stood <= 0 ? 0 : off / stood;
        a.mode_right += (job->forecast->pause > LIVE_PAUSE) == (stood > LIVE_PAUSE);
        a.n++;
    }
    a.time_error = median(time, a.n);
    a.pause_error = median(pause, a.n);
    a.pause_error_ms = median(pause_ms, a.n);
    return a;
}

json_t *render_accuracy_json(const Drover__V1__ListJobsReply *reply)
{
    struct accuracy a = accuracy_of(reply);
    return json_pack("{s:i,s:i,s:f,s:f,s:f}", "n", (int)a.n, "mode_right", (int)a.mode_right, "time_error",
                     a.time_error, "pause_error", a.pause_error, "pause_error_ms", a.pause_error_ms);
}

void render_accuracy(const Drover__V1__ListJobsReply *reply, FILE *out)
{
    char text[TEXT_MAX];
    struct accuracy a = accuracy_of(reply);
    if (a.n == 0) {
        fputs("No migration that was forecast has ended yet.\n", out);
        return;
    }
    struct table *table = table_new(">JOB|GUEST|FROM|TO|WAY|>TIME|>TOOK|>PAUSE|>PAUSED");
    for (size_t i = 0; i < reply->n_jobs; i++) {
        const Drover__V1__Job *job = reply->jobs[i];
        if (!counts(job))
            continue;
        table_cellf(table, "%" PRIu64, job->id);
        table_cell(table, job->guest);
        table_cell(table, job->source);
        table_cell(table, job->destination);
        table_cell(table, job->forecast->way);
        table_cell(table, text_ms(job->forecast->time, text));
        table_cell(table, text_ms(job->result->transfer, text));
        table_cell(table, text_ms(job->forecast->pause, text));
        table_cell(table, text_ms(pause_of(job), text));
    }
    table_print(table, out);
    fprintf(out,
            "Of %zu: live or paused was foreseen in %zu; the time was off by %.0f %%, the pause by %s "
            "(medians).\n",
            a.n, a.mode_right, a.time_error * 100, text_ms((int64_t)a.pause_error_ms, text));
}
