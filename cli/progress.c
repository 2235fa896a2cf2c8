#include "cli/progress.h"

#include "cli/job.h"
#include "cli/json.h"
#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BAR_MIN 10
#define BAR_MAX 30

/* Disks are copied before the memory. */
static bool copies_disks(const Drover__V1__Progress *p)
{
    return !p->bytes_total && p->disk_total;
}

int progress_percent(const Drover__V1__Progress *p)
{
    if (p && copies_disks(p))
        return p->disk_done >= p->disk_total ? 100
                                             : (int)(100 * (double)p->disk_done / (double)p->disk_total);
    if (!p || !p->bytes_total)
        return -1;
    /* By what is left: later passes send pages again, so what was sent may exceed the total. */
    uint64_t left = p->bytes_left > p->bytes_total ? p->bytes_total : p->bytes_left;
    if (left == 0 && p->bytes_done < p->bytes_total && p->iteration == 0)
        left = p->bytes_total - p->bytes_done;
    return (int)(100 * (double)(p->bytes_total - left) / (double)p->bytes_total);
}

static const char *phase_of(const Drover__V1__Job *job)
{
    if (job->state == DROVER__V1__JOB_STATE__JOB_IN_DOUBT)
        return "IN DOUBT";
    if (job->state == DROVER__V1__JOB_STATE__JOB_QUEUED)
        return "queued";
    if (job->progress && *job->progress->phase && strcmp(job->phase, "transfer") == 0)
        return job->progress->phase;
    return *job->phase ? job->phase : "starting";
}

/* Fields from the most to the least important; what doesn't fit a line is left out from the end. */
struct fields {
    char text[10][64];
    size_t n;
};

static void field(struct fields *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void field(struct fields *f, const char *fmt, ...)
{
    if (f->n == sizeof(f->text) / sizeof(f->text[0]))
        return;
    char raw[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    text_clean(raw, f->text[f->n++], sizeof(f->text[0]));
}

/* Each field has a width of its own, so that what follows it stays where it is from frame to frame. */
static void figures(const Drover__V1__Progress *p, struct fields *f)
{
    char a[TEXT_MAX], b[TEXT_MAX], c[2 * TEXT_MAX];
    int percent = progress_percent(p);
    if (percent < 0)
        return;
    field(f, "%3d %%", percent);
    if (copies_disks(p)) {
        snprintf(c, sizeof(c), "%s of %s", text_size(p->disk_done, a), text_size(p->disk_total, b));
        field(f, "disks: %s", c);
        return;
    }
    field(f, "%10s", text_rate(p->rate, a));
    snprintf(c, sizeof(c), "%s left", p->remaining < 0 ? "?" : text_ms(p->remaining, a));
    field(f, "%-15s", c);
    snprintf(c, sizeof(c), "%s of %s", text_size(p->bytes_done, a), text_size(p->bytes_total, b));
    field(f, "%-18s", c);
    /* What libvirt says while the guest runs is an expectation. */
    snprintf(c, sizeof(c), "%s %s", p->paused ? "paused" : "pause about", text_ms(p->downtime, a));
    field(f, "%-18s", c);
    if (p->iteration > 1 || p->dirty_rate)
        field(f, "dirtied %-9s", text_rate(p->dirty_rate, a));
    if (p->iteration > 1)
        field(f, "pass %u", p->iteration);
    if (p->throttle)
        field(f, "slowed %u %%", p->throttle);
}

void progress_bar(int percent, int width, bool utf8, FILE *out)
{
    int full = percent < 0 ? 0 : percent * width / 100;
    if (!utf8)
        fputc('[', out);
    for (int i = 0; i < width; i++)
        fputs(i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "-"), out);
    if (!utf8)
        fputc(']', out);
}

/* `indent` columns are used already. */
static void put_figures(const Drover__V1__Progress *p, int indent, const struct progress_screen *s, FILE *out)
{
    struct fields f = {0};
    figures(p, &f);
    int frame = s->utf8 ? 0 : 2, room = s->columns - 1 - indent - frame;
    if (f.n == 0 || room < BAR_MIN + 7)
        return;
    int bar = s->columns / 5;
    bar = bar < BAR_MIN ? BAR_MIN : bar > BAR_MAX ? BAR_MAX : bar;
    bar = bar > room - 7 ? room - 7 : bar;
    progress_bar(progress_percent(p), bar, s->utf8, out);
    int used = bar;
    for (size_t i = 0; i < f.n && (used += 2 + text_width(f.text[i])) <= room; i++)
        fprintf(out, "  %s", f.text[i]);
}

static int put_fit(const char *text, int columns, FILE *out)
{
    char fit[512];
    text_fit(text, columns, fit, sizeof(fit));
    fputs(fit, out);
    return text_width(fit);
}

static void head(const struct progress_guest *g, const struct progress_screen *s, char *buffer, size_t size)
{
    const Drover__V1__Job *job = g->job;
    char guest[128], from[80], to[80], phase[64], age[TEXT_MAX];
    snprintf(buffer, size, "%s  %s %s %s  %s  %s  job %" PRIu64, text_clean(job->guest, guest, sizeof(guest)),
             text_clean(job->source, from, sizeof(from)), s->utf8 ? "→" : "->",
             text_clean(job->destination, to, sizeof(to)), text_clean(phase_of(job), phase, sizeof(phase)),
             text_ms(g->elapsed - g->elapsed % 100, age), job->id);
}

static void draw_two_lines(const struct progress_guest *g, const struct progress_screen *s, FILE *out)
{
    char text[512];
    head(g, s, text, sizeof(text));
    put_fit(text, s->columns - 1, out);
    fputs("\n  ", out);
    if (progress_percent(g->job->progress) >= 0 && g->job->state == DROVER__V1__JOB_STATE__JOB_RUNNING) {
        put_figures(g->job->progress, 2, s, out);
    } else {
        char clean[400];
        put_fit(text_clean(g->job->text, clean, sizeof(clean)), s->columns - 3, out);
    }
    fputc('\n', out);
}

static void draw_one_line(const struct progress_guest *g, const struct progress_screen *s, FILE *out)
{
    char text[512];
    head(g, s, text, sizeof(text));
    /* The figures get at least what a bar and a percentage need. */
    int room = s->columns - 1 - (BAR_MIN + 11);
    int used = put_fit(text, room > 20 ? room : s->columns - 1, out);
    fputs("  ", out);
    put_figures(g->job->progress, used + 2, s, out);
    fputc('\n', out);
}

void progress_draw(const struct progress_guest *guests, size_t n, const struct progress_screen *screen,
                   FILE *out)
{
    struct progress_screen s = *screen;
    if (s.columns < 20)
        s.columns = 20;
    if (n == 1 && job_is_plan(guests->job)) {
        progress_draw_plan(guests, &s, out);
        return;
    }
    size_t rows = s.rows > 3 ? (size_t)s.rows - 2 : 1;
    if (2 * n <= rows) {
        for (size_t i = 0; i < n; i++)
            draw_two_lines(&guests[i], &s, out);
        return;
    }
    size_t shown = n <= rows ? n : rows - 1;
    for (size_t i = 0; i < shown; i++)
        draw_one_line(&guests[i], &s, out);
    if (shown < n)
        fprintf(out, "and %zu more\n", n - shown);
}

void progress_line(const Drover__V1__Progress *p, FILE *out)
{
    char text[64], a[TEXT_MAX];
    fputs(text_clean(*p->phase ? p->phase : "transfer", text, sizeof(text)), out);
    int percent = progress_percent(p);
    if (percent < 0)
        return;
    if (copies_disks(p)) {
        char b[TEXT_MAX];
        fprintf(out, ", disks: %d %%, %s of %s", percent, text_size(p->disk_done, a),
                text_size(p->disk_total, b));
        return;
    }
    fprintf(out, ", %d %%, %s sent", percent, text_size(p->bytes_done, a));
    fprintf(out, ", %s left", text_size(p->bytes_left, a));
    fprintf(out, ", %s", text_rate(p->rate, a));
    if (p->iteration > 1 || p->dirty_rate)
        fprintf(out, ", dirtied at %s", text_rate(p->dirty_rate, a));
    if (p->iteration > 1)
        fprintf(out, ", pass %u", p->iteration);
    if (p->throttle)
        fprintf(out, ", slowed down by %u %%", p->throttle);
    if (p->paused)
        fputs(", guest paused", out);
    if (p->remaining >= 0)
        fprintf(out, ", %s to go", text_ms(p->remaining, a));
}
