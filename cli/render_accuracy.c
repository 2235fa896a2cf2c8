/* drover history --forecast: how far forecasts were from the facts. */
#include "cli/forecast.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    LIVE_PAUSE = 500,  /* ms: a guest that stands still for longer was not moved live */
    PAUSE_SLACK = 100, /* ms by which a pause may be off and still count as met */
};

/* The ladder said no, so the forecast was right if it did. */
static bool given_up(const Drover__V1__Job *job)
{
    return job->state == DROVER__V1__JOB_STATE__JOB_FAILED && job->result->given_up;
}

/* Both are known, the transfer came to its end or was given up by the ladder, and no operator had a hand in it. */
static bool counts(const Drover__V1__Job *job)
{
    if (!job->forecast || !*job->forecast->way || !job->result || job->result->others_pause)
        return false;
    return given_up(job) || (job->state == DROVER__V1__JOB_STATE__JOB_DONE && job->result->transfer > 0);
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
    size_t n = 0; /* that moved */
    _cleanup_free_ double *time = xcalloc(reply->n_jobs + 1, sizeof(double)),
                          *pause = xcalloc(reply->n_jobs + 1, sizeof(double)),
                          *pause_ms = xcalloc(reply->n_jobs + 1, sizeof(double));
    for (size_t i = 0; i < reply->n_jobs; i++) {
        const Drover__V1__Job *job = reply->jobs[i];
        if (!counts(job))
            continue;
        a.n++;
        if (given_up(job)) {
            a.given_up++;
            a.mode_right += !job->forecast->allowed;
            continue;
        }
        double fact = (double)fact_time(job->result), stood = (double)pause_of(job),
               off = (double)llabs(job->forecast->pause - pause_of(job));
        time[n] = fabs((double)job->forecast->time - fact) / fact;
        pause_ms[n] = off;
        pause[n] = off <= PAUSE_SLACK || stood <= 0 ? 0 : off / stood;
        a.mode_right += job->forecast->allowed && (job->forecast->pause > LIVE_PAUSE) == (stood > LIVE_PAUSE);
        n++;
    }
    a.time_error = median(time, n);
    a.pause_error = median(pause, n);
    a.pause_error_ms = median(pause_ms, n);
    return a;
}

/* Times in ms; of one that was given up, what it took and how long the guest was paused are null. */
static json_t *row_json(const Drover__V1__Job *job)
{
    char guest[256], from[256], to[256], way[64];
    bool gave_up = given_up(job);
    json_t *took = gave_up ? json_null() : json_integer(fact_time(job->result)),
           *paused = gave_up ? json_null() : json_integer(pause_of(job));
    return json_pack("{s:I,s:s,s:s,s:s,s:s,s:b,s:b,s:I,s:o,s:I,s:o}", "id", (json_int_t)job->id, "guest",
                     text_clean(job->guest, guest, sizeof(guest)), "source",
                     text_clean(job->source, from, sizeof(from)), "destination",
                     text_clean(job->destination, to, sizeof(to)), "way",
                     text_clean(job->forecast->way, way, sizeof(way)), "allowed", job->forecast->allowed,
                     "given_up", gave_up, "time", (json_int_t)job->forecast->time, "took", took, "pause",
                     (json_int_t)job->forecast->pause, "paused", paused);
}

json_t *render_accuracy_json(const Drover__V1__ListJobsReply *reply)
{
    struct accuracy a = accuracy_of(reply);
    json_t *jobs = json_array();
    for (size_t i = 0; i < reply->n_jobs; i++)
        if (counts(reply->jobs[i]))
            json_array_append_new(jobs, row_json(reply->jobs[i]));
    return json_pack("{s:o,s:i,s:i,s:i,s:f,s:f,s:f}", "jobs", jobs, "n", (int)a.n, "mode_right",
                     (int)a.mode_right, "given_up", (int)a.given_up, "time_error", a.time_error,
                     "pause_error", a.pause_error, "pause_error_ms", a.pause_error_ms);
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
        table_cell(table, job->forecast->allowed ? job->forecast->way : "not allowed");
        table_cell(table, text_ms(job->forecast->time, text));
        table_cell(table, given_up(job) ? "given up" : text_ms(fact_time(job->result), text));
        table_cell(table, text_ms(job->forecast->pause, text));
        table_cell(table, given_up(job) ? NULL : text_ms(pause_of(job), text));
    }
    table_print(table, out);
    fprintf(out,
            "Of %zu (%zu given up): live, paused or given up was foreseen in %zu; the time was off by %.0f "
            "%%, the "
            "pause by %s (medians).\n",
            a.n, a.given_up, a.mode_right, a.time_error * 100, text_ms((int64_t)a.pause_error_ms, text));
}
