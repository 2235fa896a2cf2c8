/* drover job ID --explain: the flight recorder in plain words. */
#include "cli/forecast.h"
#include "cli/render.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/memory.h"

#include <inttypes.h>

static void pass_row(struct table *table, const Drover__V1__Progress *p)
{
    char text[TEXT_MAX];
    table_cellf(table, "%" PRIu32, p->iteration);
    table_cell(table, text_ms(p->elapsed, text));
    table_cell(table, text_size(p->bytes_done, text));
    table_cell(table, text_size(p->bytes_left, text));
    table_cell(table, text_rate(p->rate, text));
    table_cell(table, p->iteration > 1 ? text_rate(p->dirty_rate, text) : NULL);
    if (p->throttle)
        table_cellf(table, "%" PRIu32 " %%", p->throttle);
    else
        table_cell(table, NULL);
    table_cell(table, p->post_copy ? "runs there" : p->paused ? "paused" : "runs");
}

/* What the passes show: did what remained shrink? */
static void say_passes(const Drover__V1__Job *job, FILE *out)
{
    char first[TEXT_MAX], least[TEXT_MAX], rate[TEXT_MAX], dirty[TEXT_MAX];
    const Drover__V1__Progress *from = NULL, *best = NULL, *last = NULL;
    bool offline = job->mode == DROVER__V1__MODE__MODE_OFFLINE ||
                   (job->forecast && streq(job->forecast->way, "offline"));
    if (job->passes[0]->paused && offline) {
        fputs("The guest stood still from the start, so one pass was all.\n", out);
        return;
    }
    for (size_t i = 0; i < job->n_passes; i++) {
        const Drover__V1__Progress *p = job->passes[i];
        if (p->iteration < 2 || p->paused || p->post_copy)
            continue;
        from = from ? from : p;
        best = !best || p->bytes_left < best->bytes_left ? p : best;
        last = p;
    }
    if (!from && job->passes[0]->iteration > 1) {
        fputs("Its passes were not seen: the agent was restarted, or came late.\n", out);
        return;
    }
    if (!from) {
        fputs("One pass was enough: so little was dirtied in it that the guest could switch over.\n", out);
        return;
    }
    fprintf(out,
            "After the first pass %s remained, at best %s; at the end the link carried %s and the guest "
            "dirtied %s",
            text_size(from->bytes_left, first), text_size(best->bytes_left, least),
            text_rate(last->rate, rate), text_rate(last->dirty_rate, dirty));
    bool shrank = best->bytes_left * 10 < from->bytes_left * 9;
    fputs(shrank ? ": the passes made it less.\n" : ": further passes did not make it less.\n", out);
}

static void say_harm(const Drover__V1__Job *job, FILE *out)
{
    char pause[TEXT_MAX], lost[TEXT_MAX];
    const Drover__V1__Result *r = job->result;
    if (!r || job->state != DROVER__V1__JOB_STATE__JOB_DONE)
        return;
    fprintf(out, "What it cost the guest: a pause of %s",
            text_ms(r->pause > 0 ? r->pause : r->downtime, pause));
    if (r->throttle)
        fprintf(out, ", and %s%s of CPU time while it was slowed down by up to %" PRIu32 " %%", at_least(r),
                text_ms(r->throttled, lost), r->throttle);
    if (r->post_copy)
        fprintf(out, ", and %" PRIu64 " waits for pages that were still at %s", r->faults, job->source);
    fputs(".\n", out);
}

void render_explanation(const Drover__V1__Job *job, FILE *out)
{
    char at[TEXT_MAX];
    if (job->forecast) {
        fputs("Beforehand, ", out);
        render_forecast(job->forecast, out);
    }
    if (job->n_passes) {
        struct table *table = table_new(">PASS|>AT|>SENT|>LEFT|>LINK|>DIRTIED|>SLOWED|GUEST");
        for (size_t i = 0; i < job->n_passes; i++)
            pass_row(table, job->passes[i]);
        fputc('\n', out);
        table_print(table, out);
        fputc('\n', out);
        say_passes(job, out);
    } else {
        fputs("No pass of a transfer was seen: there was none, or it was over at once.\n", out);
    }
    fputs("\nWhat was done, and why:\n", out);
    for (size_t i = 0; i < job->n_log; i++) {
        char clean[2048];
        fprintf(out, "  %s  %s\n", text_clock((int64_t)job->log[i]->at, at),
                text_clean(job->log[i]->text, clean, sizeof(clean)));
    }
    fputc('\n', out);
    say_harm(job, out);
    render_outcome(job, out);
}
