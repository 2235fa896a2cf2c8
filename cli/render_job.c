/* Jobs: findings, outcome, table, details. */
#include "cli/forecast.h"
#include "cli/job.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/render.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static void put(FILE *out, const char *text)
{
    char clean[2048];
    fputs(text_clean(text, clean, sizeof(clean)), out);
}

/* Coordinators end sentences with and without a full stop. */
static void put_sentence(FILE *out, const char *text)
{
    put(out, text);
    size_t length = strlen(text);
    if (length && !strchr(".!?", text[length - 1]))
        fputc('.', out);
}

void render_finding(const Drover__V1__Finding *f, FILE *out)
{
    fprintf(out, "%s ", enum_word(&drover__v1__severity__descriptor, (int)f->severity));
    put(out, f->id);
    if (*f->subject) {
        fputs(" (", out);
        put(out, f->subject);
        fputc(')', out);
    }
    if (f->accepted)
        fputs(", accepted", out);
    fputs(": seen ", out);
    if (*f->expected) {
        put(out, *f->seen ? f->seen : "nothing");
        fputs("; expected ", out);
    }
    put_sentence(out, *f->expected ? f->expected : *f->seen ? f->seen : "nothing");
    if (*f->todo) {
        fputs(" Do: ", out);
        put_sentence(out, f->todo);
    }
    fputc('\n', out);
}

void render_findings(Drover__V1__Finding *const *findings, size_t n, FILE *out)
{
    /* What blocks first. */
    for (int severity = DROVER__V1__SEVERITY__BLOCK; severity >= 0; severity--)
        for (size_t i = 0; i < n; i++)
            if ((int)findings[i]->severity == severity)
                render_finding(findings[i], out);
}

void render_changes(const Drover__V1__MigrateGuestReply *reply, FILE *out)
{
    if (reply->n_changes) {
        fputs("Its definition on ", out);
        put(out, reply->destination);
        fputs(":\n", out);
    }
    for (size_t i = 0; i < reply->n_changes; i++) {
        const Drover__V1__Change *c = reply->changes[i];
        fputs("  ", out);
        put(out, c->subject);
        if (*c->note) {
            fputs(" (", out);
            put(out, c->note);
            fputc(')', out);
        }
        fputs("\n  - ", out);
        put(out, reply->source);
        fputs(": ", out);
        put(out, c->from);
        fputs("\n  + ", out);
        put(out, reply->destination);
        fputs(": ", out);
        put(out, c->to);
        fputc('\n', out);
    }
}

void render_check(const Drover__V1__MigrateGuestReply *reply, FILE *out)
{
    size_t blocks = findings_of(reply->findings, reply->n_findings, DROVER__V1__SEVERITY__BLOCK);
    size_t warnings = findings_of(reply->findings, reply->n_findings, DROVER__V1__SEVERITY__WARN);
    render_findings(reply->findings, reply->n_findings, out);
    render_changes(reply, out);
    put(out, reply->guest);
    fputs(blocks ? " can't move from " : " can move from ", out);
    put(out, reply->source);
    fputs(" to ", out);
    put(out, reply->destination);
    if (!blocks)
        fprintf(out, ", mode %s", enum_word(&drover__v1__mode__descriptor, (int)reply->mode));
    if (blocks)
        fprintf(out, ": %zu %s it", blocks, blocks == 1 ? "finding blocks" : "findings block");
    if (warnings)
        fprintf(out, "%s %zu %s", blocks ? "," : ":", warnings, warnings == 1 ? "warning" : "warnings");
    fputs(".\n", out);
    if (*reply->policy) {
        fputs("policy ", out);
        put(out, reply->policy);
        fputs(".\n", out);
    }
}

void render_doctor(const Drover__V1__DoctorReply *reply, FILE *out)
{
    for (size_t i = 0; i < reply->n_hosts; i++) {
        const Drover__V1__HostReadiness *h = reply->hosts[i];
        size_t blocks = findings_of(h->findings, h->n_findings, DROVER__V1__SEVERITY__BLOCK);
        render_findings(h->findings, h->n_findings, out);
        put(out, h->host);
        if (h->ready)
            fputs(" is ready.\n", out);
        else
            fprintf(out, " is not ready: %zu %s.\n", blocks,
                    blocks == 1 ? "finding blocks" : "findings block");
    }
}

static void put_figures(const Drover__V1__Job *job, FILE *out)
{
    char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX];
    const Drover__V1__Result *r = job->result;
    if (!r)
        return;
    fprintf(out, " %s in all", text_ms(r->total, a));
    if (job->mode != DROVER__V1__MODE__MODE_DEFINITION) {
        int64_t pause = r->pause > 0 ? r->pause : r->downtime + r->handover;
        fprintf(out, ", paused %s (libvirt %s + handover %s), %s", text_ms(pause, a), text_ms(r->downtime, b),
                text_ms(r->handover, c), text_size(r->bytes, (char[TEXT_MAX]){0}));
        if (r->throttle)
            fprintf(out, ", slowed down by up to %u %%", r->throttle);
        if (r->throttled)
            fprintf(out, " (%s%s of CPU time)", at_least(r), text_ms(r->throttled, a));
        if (r->post_copy)
            fprintf(out, ", post-copy with %" PRIu64 " page faults", r->faults);
    }
    fputc('.', out);
}

/* What a move has cost the guest; of one that is done, the text has the pause. */
static void put_harm(const Drover__V1__Job *job, FILE *out)
{
    char pause[TEXT_MAX], lost[TEXT_MAX];
    const Drover__V1__Result *r = job->result;
    bool paused = r && r->pause > 0 && job->state != DROVER__V1__JOB_STATE__JOB_DONE;
    if (!r || (!paused && r->throttled <= 0))
        return;
    fputs(" It cost the guest", out);
    if (paused)
        fprintf(out, " a pause of %s", text_ms(r->pause, pause));
    if (r->throttled > 0)
        fprintf(out, "%s %s%s of CPU time, slowed down by up to %u %%", paused ? " and" : "", at_least(r),
                text_ms(r->throttled, lost), r->throttle);
    fputc('.', out);
}

static bool said_with_a_finding(const Drover__V1__Job *job)
{
    for (size_t i = 0; i < job->n_findings; i++)
        if (streq(job->findings[i]->todo, job->todo))
            return true;
    return false;
}

/* Findings, and what to do. */
static void put_next(const Drover__V1__Job *job, FILE *out)
{
    fputc('\n', out);
    render_findings(job->findings, job->n_findings, out);
    if (*job->todo && !said_with_a_finding(job)) {
        fputs("Do: ", out);
        put_sentence(out, job->todo);
        fputc('\n', out);
    }
}

/* The coordinator's sentence, which names the guest; if it does not, with the guest in front. */
static void put_text(const Drover__V1__Job *job, FILE *out)
{
    if (!strstr(job->text, job->guest)) {
        put(out, job->guest);
        fputs(": ", out);
    }
    put_sentence(out, *job->text ? job->text : "the coordinator gave no reason");
}

/* True if the guest is at the destination as one expects; else the coordinator's own words are needed. */
static bool is_plainly_done(const Drover__V1__Job *job)
{
    bool definition = job->mode == DROVER__V1__MODE__MODE_DEFINITION;
    _cleanup_free_ char *plain =
        xasprintf("%s %s on %s (", job->guest, definition ? "is shut off" : "runs", job->destination);
    return streq(job->runs_on, job->destination) && !*job->todo &&
           strncmp(job->text, plain, strlen(plain)) == 0;
}

void render_outcome(const Drover__V1__Job *job, FILE *out)
{
    if (job_is_plan(job)) {
        render_plan_outcome(job, out);
        return;
    }
    switch (job->state) {
    case DROVER__V1__JOB_STATE__JOB_DONE:
        if (is_plainly_done(job)) {
            put(out, job->guest);
            fputs(job->mode == DROVER__V1__MODE__MODE_DEFINITION ? " is now defined on " : " now runs on ",
                  out);
            put(out, job->destination);
            fputc('.', out);
            put_figures(job, out);
            fputc('\n', out);
        } else {
            put_text(job, out);
            put_harm(job, out);
            put_next(job, out);
        }
        return;
    case DROVER__V1__JOB_STATE__JOB_FAILED:
    case DROVER__V1__JOB_STATE__JOB_CANCELLED:
        fputs(job->state == DROVER__V1__JOB_STATE__JOB_FAILED ? "Failed: " : "Cancelled: ", out);
        put_text(job, out);
        put_harm(job, out);
        put_next(job, out);
        return;
    case DROVER__V1__JOB_STATE__JOB_IN_DOUBT:
        fprintf(out, "In doubt, and the coordinator keeps asking (job %" PRIu64 "): ", job->id);
        put_text(job, out);
        put_next(job, out);
        return;
    default:
        fprintf(out, "Job %" PRIu64 " is %s. ", job->id,
                enum_word(&drover__v1__job_state__descriptor, (int)job->state));
        put_text(job, out);
        fputc('\n', out);
    }
}

void render_cancel(uint64_t id, const Drover__V1__CancelJobReply *reply, FILE *out)
{
    fprintf(out, "Job %" PRIu64 " is being cancelled: ", id);
    put_sentence(out, reply->text);
    fprintf(out, " To see how it ends: drover watch %" PRIu64 "\n", id);
}

static void progress_cell(struct table *table, const Drover__V1__Job *job)
{
    int percent = progress_percent(job->progress);
    if (percent < 0)
        table_cell(table, "-");
    else
        table_cellf(table, "%d %%", percent);
}

static void job_row(struct table *table, const Drover__V1__Job *job, int ended)
{
    char a[TEXT_MAX];
    table_cellf(table, "%" PRIu64, job->id);
    bool plan = job_is_plan(job);
    table_cell(table, plan ? job->kind : job->guest);
    table_cell(table, job->source);
    table_cell(table, job->destination);
    table_cell(table, plan ? NULL : enum_word(&drover__v1__mode__descriptor, (int)job->mode));
    table_cell(table, enum_word(&drover__v1__job_state__descriptor, (int)job->state));
    if (ended) {
        const Drover__V1__Result *r = job->result;
        int moved = r && job->state == DROVER__V1__JOB_STATE__JOB_DONE;
        table_cell(table, text_moment((int64_t)job->ended, a));
        table_cell(table, moved ? text_ms(r->total, a) : NULL);
        table_cell(table, moved && r->pause ? text_ms(r->pause, a) : NULL);
        table_cell(table, moved ? text_size(r->bytes, a) : NULL);
        table_cell(table, job->operator_);
    } else {
        table_cell(table, job->phase);
        progress_cell(table, job);
        table_cell(table, text_moment((int64_t)job->created, a));
        table_cell(table, job->operator_);
        table_cell(table, job->text);
    }
}

void render_jobs(const Drover__V1__ListJobsReply *reply, int ended, const char *guest, FILE *out)
{
    if (reply->n_jobs == 0 && guest) {
        fputs("No job of ", out);
        put(out, guest);
        fputs(" has ended yet.\n", out);
        return;
    }
    if (reply->n_jobs == 0) {
        fputs(ended ? "No job has ended yet.\n" : "No open jobs. `drover history` has those that ended.\n",
              out);
        return;
    }
    struct table *table = table_new(ended ? ">JOB|GUEST|FROM|TO|MODE|RESULT|ENDED|>TOOK|>PAUSED|>SENT|BY"
                                          : ">JOB|GUEST|FROM|TO|MODE|STATE|PHASE|>DONE|SINCE|BY|NOW");
    for (size_t i = 0; i < reply->n_jobs; i++)
        job_row(table, reply->jobs[i], ended);
    table_print(table, out);
    if (reply->more)
        fprintf(out, "%u more are not listed: one answer takes no more.%s\n", reply->more,
                ended ? "" : " Those in doubt and the newest are.");
}

static void line(FILE *out, const char *key, const char *value)
{
    if (!*value)
        return;
    fprintf(out, "%-12s ", key);
    put(out, value);
    fputc('\n', out);
}

static void moment_line(FILE *out, const char *key, uint64_t at)
{
    char text[TEXT_MAX];
    if (at)
        line(out, key, text_moment((int64_t)at, text));
}

static void transfer_line(const Drover__V1__Progress *p, FILE *out)
{
    char done[TEXT_MAX], total[TEXT_MAX], rate[TEXT_MAX], dirty[TEXT_MAX], left[TEXT_MAX];
    fprintf(out, "%-12s %s of %s, %s, dirtied at %s, pass %u, %s left", "transfer",
            text_size(p->bytes_done, done), text_size(p->bytes_total, total), text_rate(p->rate, rate),
            text_rate(p->dirty_rate, dirty), p->iteration,
            p->remaining < 0 ? "unknown time" : text_ms(p->remaining, left));
    if (p->throttle)
        fprintf(out, ", guest throttled by %u %%", p->throttle);
    fputs(p->broken      ? ", post-copy: the stream is broken and is taken up again\n"
          : p->post_copy ? ", post-copy: the guest runs at the destination\n"
          : p->paused    ? ", guest paused\n"
                         : "\n",
          out);
}

void render_job(const Drover__V1__Job *job, FILE *out)
{
    char number[TEXT_MAX];
    snprintf(number, sizeof(number), "%" PRIu64, job->id);
    line(out, "job", number);
    line(out, "kind", job->kind);
    line(out, "guest", job->guest);
    line(out, "uuid", job->guest_uuid);
    line(out, "from", job->source);
    line(out, "to", job->destination);
    if (!job_is_plan(job))
        line(out, "mode", enum_word(&drover__v1__mode__descriptor, (int)job->mode));
    line(out, "state", enum_word(&drover__v1__job_state__descriptor, (int)job->state));
    line(out, "phase", job->phase);
    line(out, "runs on", job->runs_on);
    line(out, "operator", job->operator_);
    if (job->plan) {
        snprintf(number, sizeof(number), "%" PRIu64, job->plan);
        line(out, "plan", number);
    }
    moment_line(out, "created", job->created);
    moment_line(out, "started", job->started);
    moment_line(out, "ended", job->ended);
    line(out, "transaction", job->transaction);
    if (job->progress && job_is_open(job) && job->progress->bytes_total)
        transfer_line(job->progress, out);
    render_forecast_and_fact(job, out);
    fputc('\n', out);
    render_remarks(job, out);
    if (job_is_plan(job) && job->n_steps) {
        render_steps(job, out);
        fputc('\n', out);
    }
    render_outcome(job, out);
    if (job->n_log)
        fputs("\nLog:\n", out);
    for (size_t i = 0; i < job->n_log; i++) {
        char at[TEXT_MAX];
        fprintf(out, "  %s  ", text_clock((int64_t)job->log[i]->at, at));
        put(out, job->log[i]->text);
        fputc('\n', out);
    }
}
