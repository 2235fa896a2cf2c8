/* Plans as text: what would be done, what is going on, how it ended. */
#include "cli/render.h"

#include "cli/job.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define FAILED DROVER__V1__STEP_STATE__STEP_FAILED
#define SKIPPED DROVER__V1__STEP_STATE__STEP_SKIPPED

static void put(FILE *out, const char *text)
{
    char clean[1600];
    fputs(text_clean(text, clean, sizeof(clean)), out);
}

static void put_notes(const Drover__V1__Job *job, FILE *out)
{
    for (size_t i = 0; i < job->n_steps; i++)
        for (size_t n = 0; n < job->steps[i]->n_notes; n++) {
            fputs("note: ", out);
            put(out, job->steps[i]->guest);
            fputs(": ", out);
            put(out, job->steps[i]->notes[n]);
            fputc('\n', out);
        }
}

void render_remarks(const Drover__V1__Job *job, FILE *out)
{
    for (size_t i = 0; i < job->n_remarks; i++) {
        fputs("note: ", out);
        put(out, job->remarks[i]);
        fputc('\n', out);
    }
}

void render_left(const Drover__V1__Job *job, FILE *out)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        bool ill = s->care == DROVER__V1__STEP_CARE__CARE_ILL;
        if (!ill && s->state != FAILED && !(s->state == SKIPPED && *s->todo))
            continue;
        const char *where = ill ? s->to : s->from;
        fputs("  ", out);
        put(out, s->guest);
        fputs(ill ? " is not well on " : *where ? " stays on " : "", out);
        put(out, where);
        fputs(": ", out);
        put(out, s->why);
        fputc('\n', out);
        if (*s->todo) {
            fputs("    Do: ", out);
            put(out, s->todo);
            fputc('\n', out);
        }
    }
}

static void put_outlook(const Drover__V1__PlanOutlook *o, FILE *out)
{
    char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX];
    if (!o)
        return;
    if (o->finish < 0) {
        fputs("forecast: not known: ", out);
        put(out, o->why);
        fputs(".\n", out);
        return;
    }
    fprintf(out, "forecast: all is done after %s; no order could be faster than %s; %s",
            text_ms(o->finish, a), text_ms(o->bound, b), text_size(o->bytes, c));
    if (*o->why) {
        fputs(" (", out);
        put(out, o->why);
        fputc(')', out);
    }
    fputs(".\n", out);
    if (o->window)
        fprintf(out, "%s a window of %s.\n", o->fits ? "It fits" : "IT DOES NOT FIT", text_ms(o->window, a));
}

static void forecast_cells(struct table *table, const Drover__V1__PlanStep *s)
{
    char a[TEXT_MAX];
    const Drover__V1__Forecast *f = s->forecast;
    bool known = f && *f->way;
    table_cell(table, known && s->end_after ? text_ms(s->start_after, a) : NULL);
    table_cell(table, known ? text_ms(f->time, a) : NULL);
    table_cell(table, known ? text_ms(f->pause, a) : NULL);
    table_cell(table, known ? f->way : NULL);
}

void render_plan(const Drover__V1__Job *job, FILE *out)
{
    struct table *table = table_new("GUEST|FROM|TO|MODE|>START|>TAKES|>PAUSE|FORECAST|WHY");
    size_t moves = 0;
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        if (s->state != DROVER__V1__STEP_STATE__STEP_WAITING)
            continue;
        moves++;
        table_cell(table, s->guest);
        table_cell(table, s->from);
        table_cell(table, s->to);
        table_cellf(table, "%s%s", enum_word(&drover__v1__mode__descriptor, (int)s->mode),
                    s->copy_storage ? ", disks copied" : "");
        forecast_cells(table, s);
        table_cell(table, s->why);
    }
    if (moves)
        table_print(table, out);
    else
        table_free(table);
    render_remarks(job, out);
    put_notes(job, out);
    if (moves)
        put_outlook(job->outlook, out);
    if (job->n_steps)
        fprintf(out, "%zu of %zu guest%s can move.\n", moves, job->n_steps, job->n_steps == 1 ? "" : "s");
    else
        fputs("There is nothing to move.\n", out);
    if (*job->emptied) {
        fputs("Afterwards these hosts have no guest, and can be powered off: ", out);
        put(out, job->emptied);
        fputs(".\n", out);
    }
    render_left(job, out);
}

void render_steps(const Drover__V1__Job *job, FILE *out)
{
    char a[TEXT_MAX], b[TEXT_MAX];
    struct table *table = table_new("GUEST|FROM|TO|MODE|STATE|>JOB|>TOOK|>PAUSED|WHY");
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        const Drover__V1__Result *r = s->result;
        table_cell(table, s->guest);
        table_cell(table, s->from);
        table_cell(table, s->to);
        table_cell(table, enum_word(&drover__v1__mode__descriptor, (int)s->mode));
        table_cell(table,
                   s->in_doubt ? "in doubt" : enum_word(&drover__v1__step_state__descriptor, (int)s->state));
        if (s->job)
            table_cellf(table, "%" PRIu64, s->job);
        else
            table_cell(table, NULL);
        table_cell(table, r ? text_ms(r->total, a) : NULL);
        table_cell(table, r && r->pause ? text_ms(r->pause, b) : NULL);
        table_cell(table, s->why);
    }
    table_print(table, out);
}

void render_plan_outcome(const Drover__V1__Job *job, FILE *out)
{
    static const char *const words[] = {
        [DROVER__V1__JOB_STATE__JOB_FAILED] = "Failed: ",
        [DROVER__V1__JOB_STATE__JOB_CANCELLED] = "Cancelled: ",
        [DROVER__V1__JOB_STATE__JOB_PARTLY] = "Partly done: ",
        [DROVER__V1__JOB_STATE__JOB_IN_DOUBT] = "In doubt, and the coordinator keeps asking: ",
    };
    bool known = (size_t)job->state < sizeof(words) / sizeof(words[0]) && words[job->state];
    fputs(known ? words[job->state] : "", out);
    put(out, job->text);
    fputs(".\n", out);
    if (!job_is_open(job))
        render_left(job, out);
    if (*job->todo) {
        fputs("Do: ", out);
        put(out, job->todo);
        fputc('\n', out);
    }
}
