#include "cli/watch.h"

#include "cli/client.h"
#include "cli/job.h"
#include "cli/progress.h"
#include "cli/render.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "common/base/loop.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define REDRAW_MS 100
#define PLAIN_PROGRESS_MS 5000
#define ASK_AGAIN_MS 500
#define LOST_MS 120000    /* off a terminal: how long a lost coordinator is waited for */
#define IN_DOUBT_MS 30000 /* off a terminal: how long a job may be in doubt before the watch ends */

struct watched {
    struct watch *watch;
    uint64_t id;
    Drover__V1__Job **job;
    int64_t heard; /* monotonic ms */
    int64_t doubt_since;
    size_t log_told;
    int percent_told;
    int64_t told_at;
    bool ended;
    struct loop_timer *again;
};

struct watch {
    struct cli *cli;
    struct loop *loop;
    struct client *client;
    struct watched *jobs;
    size_t n, n_open;
    bool terminal, closing, asking;
    bool down;
    int64_t down_since;
    char down_why[300];
    struct loop_timer *tick;
    struct loop_fd *keys;
    FILE *above; /* what the next frame puts above the display */
    char *above_text;
    size_t above_length;
    int exit;
    char complaint[700]; /* told once the terminal is as it was */
};

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void open_above(struct watch *w)
{
    w->above = open_memstream(&w->above_text, &w->above_length);
    if (!w->above)
        abort();
}

/* Where text that stays goes: above the display, to standard output, or nowhere. */
static FILE *out_of(struct watch *w)
{
    if (w->terminal)
        return w->above;
    return w->cli->json ? NULL : w->cli->out;
}

static void draw_note(struct watch *w, int columns, FILE *f)
{
    char text[600], fit[700];
    if (w->asking)
        snprintf(text, sizeof(text), "Interrupted: [l]eave %s running, [c]ancel, any other key goes on",
                 w->n_open == 1 ? "it" : "them");
    else if (w->down)
        snprintf(text, sizeof(text), "The coordinator can't be reached; the %s on, trying again (%s)",
                 w->n_open == 1 ? "job goes" : "jobs go", w->down_why);
    else
        return;
    fprintf(f, "%s\n", text_fit(text, columns - 1, fit, sizeof(fit)));
}

/* By the coordinator's clock; by the agent's, when this one disagrees. */
static int64_t elapsed_of(const struct watched *j)
{
    const Drover__V1__Job *job = *j->job;
    int64_t since = clock_realtime_ms() - (int64_t)job->created;
    int64_t transfer = clock_monotonic_ms() - j->heard + (job->progress ? job->progress->elapsed : 0);
    return job->created && since >= transfer ? since : transfer;
}

static void draw(struct watch *w)
{
    struct progress_screen screen = {.utf8 = terminal_utf8()};
    terminal_size(&screen.columns, &screen.rows);
    screen.rows -= w->asking || w->down;
    struct progress_guest *guests = xcalloc(w->n, sizeof(*guests));
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        if (!w->jobs[i].ended)
            guests[n++] = (struct progress_guest){*w->jobs[i].job, elapsed_of(&w->jobs[i])};
    char *lines = NULL;
    size_t length;
    FILE *f = open_memstream(&lines, &length);
    if (!f)
        abort();
    progress_draw(guests, n, &screen, f);
    draw_note(w, screen.columns, f);
    fclose(f);
    fclose(w->above);
    terminal_draw(w->above_text ? w->above_text : "", lines);
    free(w->above_text);
    w->above_text = NULL;
    open_above(w);
    free(lines);
    free(guests);
}

static void stamp(FILE *out, int64_t at, const Drover__V1__Job *job)
{
    char clock[TEXT_MAX], clean[256], subject[256];
    fprintf(out, "%s %s: ", text_clock(at, clock),
            text_clean(job_subject(job, subject), clean, sizeof(clean)));
}

static void tell_log(struct watched *j, FILE *out)
{
    const Drover__V1__Job *job = *j->job;
    for (; j->log_told < job->n_log; j->log_told++) {
        char clean[1200];
        stamp(out, (int64_t)job->log[j->log_told]->at, job);
        fprintf(out, "%s\n", text_clean(job->log[j->log_told]->text, clean, sizeof(clean)));
    }
}

/* Off a terminal: a line when there is something new to say, not one per report. */
static void tell_progress(struct watched *j, FILE *out)
{
    const Drover__V1__Job *job = *j->job;
    int percent = progress_percent(job->progress);
    int64_t now = clock_monotonic_ms();
    if (percent < 0 || percent == j->percent_told || job->state != DROVER__V1__JOB_STATE__JOB_RUNNING ||
        now - j->told_at < PLAIN_PROGRESS_MS)
        return;
    j->percent_told = percent;
    j->told_at = now;
    stamp(out, clock_realtime_ms(), job);
    progress_line(job->progress, out);
    fputc('\n', out);
}

static void tell(struct watched *j)
{
    FILE *out = out_of(j->watch);
    if (!out)
        return;
    tell_log(j, out);
    if (j->ended)
        render_outcome(*j->job, out);
    else if (!j->watch->terminal)
        tell_progress(j, out);
    if (!j->watch->terminal)
        fflush(out);
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

static void finish(struct watch *w, int exit)
{
    if (w->closing)
        return;
    w->closing = true;
    w->exit = exit;
    loop_stop(w->loop, 0);
}

static int exit_now(const struct watch *w)
{
    int *exits = xcalloc(w->n, sizeof(*exits));
    for (size_t i = 0; i < w->n; i++)
        exits[i] = job_exit(*w->jobs[i].job);
    int exit = exits_join(exits, w->n);
    free(exits);
    return exit;
}

static bool any_in_doubt(const struct watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        if ((*w->jobs[i].job)->state == DROVER__V1__JOB_STATE__JOB_IN_DOUBT)
            return true;
    return false;
}

/* How to come back to what is left running. */
static void leave(struct watch *w, int exit)
{
    FILE *out = w->cli->json ? w->cli->err : out_of(w);
    if (w->closing)
        return;
    for (size_t i = 0; i < w->n; i++) {
        const Drover__V1__Job *job = *w->jobs[i].job;
        char clean[256], subject[256];
        if (w->jobs[i].ended)
            continue;
        fprintf(out, "%s: job %" PRIu64 " %s. To see it: drover watch %" PRIu64,
                text_clean(job_subject(job, subject), clean, sizeof(clean)), job->id,
                job_waits_for_word(job) ? "waits" : "goes on", job->id);
        if (job->state != DROVER__V1__JOB_STATE__JOB_IN_DOUBT)
            fprintf(out, "; to end it: drover cancel %" PRIu64, job->id);
        fputc('\n', out);
    }
    finish(w, any_in_doubt(w) ? EXIT_IN_DOUBT : exit);
}

static void job_ended(struct watched *j)
{
    struct watch *w = j->watch;
    j->ended = true;
    tell(j);
    if (--w->n_open == 0)
        finish(w, exit_now(w));
}

/* ---- the streams ------------------------------------------------------------------------------------------------- */

static void ask(struct watched *j);

static void ask_again(void *arg)
{
    struct watched *j = arg;
    j->again = NULL;
    ask(j);
}

static bool is_passing(enum status_code code)
{
    return code == STATUS_OK || code == STATUS_UNAVAILABLE || code == STATUS_DATA_LOSS ||
           code == STATUS_CANCELLED || code == STATUS_RESOURCE_EXHAUSTED ||
           code == STATUS_DEADLINE_EXCEEDED || code == STATUS_ABORTED;
}

static void heard(const Drover__V1__Job *job, void *arg)
{
    struct watched *j = arg;
    struct watch *w = j->watch;
    if (w->closing || j->ended)
        return;
    if (!job) {
        struct error why = *rpc_status();
        if (!is_passing(why.code)) {
            snprintf(w->complaint, sizeof(w->complaint), "job %" PRIu64 " can't be watched any more: %s",
                     j->id, why.text);
            leave(w, EXIT_FAILED);
        } else if (!j->again) {
            j->again = loop_timer_start(w->loop, ASK_AGAIN_MS, ask_again, j);
        }
        return;
    }
    Drover__V1__Job *copy = job_copy(job);
    if (!copy)
        return;
    reply_free(*j->job);
    *j->job = copy;
    j->heard = clock_monotonic_ms();
    if (copy->state != DROVER__V1__JOB_STATE__JOB_IN_DOUBT)
        j->doubt_since = 0;
    else if (!j->doubt_since)
        j->doubt_since = j->heard;
    if (job_is_open(copy))
        tell(j);
    else
        job_ended(j);
}

static void ask(struct watched *j)
{
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = j->id;
    struct rpc_stub stub = rpc_stub(client_rpc(j->watch->client), &drover__v1__coordinator__descriptor,
                                    .wait = true, .stream = true);
    drover__v1__coordinator__watch_job(&stub.base, &request, heard, j);
}

static void on_state(void *arg, bool up, const struct error *why)
{
    struct watch *w = arg;
    if (up == !w->down)
        return;
    w->down = !up;
    w->down_since = clock_monotonic_ms();
    if (!up)
        text_clean(client_without_url(w->cli, why->text), w->down_why, sizeof(w->down_why));
    FILE *out = out_of(w);
    if (out && !w->terminal) {
        char clock[TEXT_MAX];
        text_clock(clock_realtime_ms(), clock);
        if (up)
            fprintf(out, "%s the coordinator is back\n", clock);
        else
            fprintf(out, "%s the coordinator can't be reached (%s); the job goes on, trying again\n", clock,
                    w->down_why);
        fflush(out);
    }
}

/* ---- the operator ------------------------------------------------------------------------------------------------ */

static void cancelled(const Drover__V1__CancelJobReply *reply, void *arg)
{
    struct watched *j = arg;
    struct watch *w = j->watch;
    if (w->closing || j->ended)
        return;
    char clean[1200];
    stamp(w->above, clock_realtime_ms(), *j->job);
    fprintf(w->above, "%s%s\n", reply ? "cancelling: " : "can't be cancelled: ",
            text_clean(reply ? reply->text : rpc_status()->text, clean, sizeof(clean)));
}

static void cancel_all(struct watch *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->jobs[i].ended)
            continue;
        Drover__V1__CancelJobRequest request = DROVER__V1__CANCEL_JOB_REQUEST__INIT;
        request.id = w->jobs[i].id;
        struct rpc_stub stub = rpc_stub(client_rpc(w->client), &drover__v1__coordinator__descriptor,
                                        .timeout_ms = 60000, .once = true, .wait = true);
        drover__v1__coordinator__cancel_job(&stub.base, &request, cancelled, &w->jobs[i]);
    }
}

static void on_key(void *arg, int fd)
{
    struct watch *w = arg;
    char keys[64];
    ssize_t n = read(fd, keys, sizeof(keys));
    if (n <= 0) {
        /* The terminal is gone. */
        w->keys = loop_unwatch_fd(w->keys);
        leave(w, EXIT_INTERRUPTED);
        return;
    }
    if (!w->asking)
        return;
    w->asking = false;
    if (keys[0] == 'l' || keys[0] == 'L')
        leave(w, EXIT_INTERRUPTED);
    else if (keys[0] == 'c' || keys[0] == 'C')
        cancel_all(w);
    draw(w);
}

static void on_interrupt(void *arg, int signo)
{
    struct watch *w = arg;
    if (w->terminal && signo == SIGINT && !w->asking) {
        w->asking = true;
        draw(w);
        return;
    }
    leave(w, EXIT_INTERRUPTED);
}

static void on_stop(void *arg, int signo)
{
    struct watch *w = arg;
    (void)signo;
    terminal_leave();
    raise(SIGSTOP);
    /* Continued, perhaps in the background, where a display would stop it again. */
    w->terminal = terminal_usable();
    if (w->terminal) {
        terminal_enter();
        draw(w);
    } else {
        w->keys = loop_unwatch_fd(w->keys);
    }
}

static void on_resize(void *arg, int signo)
{
    (void)signo;
    struct watch *w = arg;
    if (w->terminal)
        draw(w);
}

static void check_patience(struct watch *w)
{
    int64_t now = clock_monotonic_ms();
    if (w->down && now - w->down_since > LOST_MS) {
        snprintf(w->complaint, sizeof(w->complaint),
                 "the coordinator at %s was not reachable for 2 minutes (%s)", w->cli->coordinator,
                 w->down_why);
        leave(w, EXIT_UNREACHABLE);
    }
    for (size_t i = 0; i < w->n && !w->closing; i++)
        if (job_waits_for_word(*w->jobs[i].job) ||
            (w->jobs[i].doubt_since && now - w->jobs[i].doubt_since > IN_DOUBT_MS)) {
            if (out_of(w))
                render_outcome(*w->jobs[i].job, out_of(w));
            leave(w, w->jobs[i].doubt_since ? EXIT_IN_DOUBT : EXIT_PARTLY);
        }
}

static void on_tick(void *arg)
{
    struct watch *w = arg;
    w->tick = loop_timer_start(w->loop, REDRAW_MS, on_tick, w);
    if (w->terminal)
        draw(w);
    else
        check_patience(w);
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

static int set_up(struct watch *w, struct error *err)
{
    int r = loop_new(&w->loop, err);
    if (r >= 0)
        r = loop_signal(w->loop, SIGINT, on_interrupt, w, err);
    if (r >= 0)
        r = loop_signal(w->loop, SIGTERM, on_interrupt, w, err);
    if (r >= 0)
        r = loop_signal(w->loop, SIGHUP, on_interrupt, w, err);
    if (r >= 0 && w->terminal)
        r = loop_signal(w->loop, SIGWINCH, on_resize, w, err);
    if (r >= 0 && w->terminal)
        r = loop_signal(w->loop, SIGTSTP, on_stop, w, err);
    if (r >= 0)
        r = client_open(w->cli, w->loop, on_state, w, &w->client, err);
    return r;
}

static void tear_down(struct watch *w)
{
    w->closing = true;
    client_close(w->client);
    fclose(w->above);
    if (w->terminal) {
        terminal_draw(w->above_text, "");
        terminal_leave();
    }
    if (w->complaint[0]) {
        char clean[sizeof(w->complaint) * 2];
        fprintf(w->cli->err, "drover: %s\n", text_clean(w->complaint, clean, sizeof(clean)));
    }
    free(w->above_text);
    for (size_t i = 0; i < w->n; i++)
        loop_timer_cancel(w->jobs[i].again);
    loop_timer_cancel(w->tick);
    loop_unwatch_fd(w->keys);
    loop_free(w->loop);
    free(w->jobs);
}

int watch_jobs(struct cli *cli, Drover__V1__Job **jobs, size_t n)
{
    struct error err;
    struct watch w = {.cli = cli, .n = n, .terminal = cli->terminal && !cli->json && terminal_usable()};
    w.jobs = xcalloc(n, sizeof(*w.jobs));
    open_above(&w);
    for (size_t i = 0; i < n; i++) {
        w.jobs[i] = (struct watched){.watch = &w,
                                     .id = jobs[i]->id,
                                     .job = &jobs[i],
                                     .heard = clock_monotonic_ms(),
                                     .percent_told = -1,
                                     .told_at = clock_monotonic_ms()};
        w.n_open++;
    }
    if (set_up(&w, &err) < 0) {
        w.terminal = false;
        snprintf(w.complaint, sizeof(w.complaint), "%s", err.text);
        tear_down(&w);
        return client_exit(&err, EXIT_FAILED);
    }
    if (w.terminal) {
        terminal_enter();
        w.keys = loop_watch_fd(w.loop, STDIN_FILENO, on_key, &w);
    }
    for (size_t i = 0; i < n; i++)
        ask(&w.jobs[i]);
    on_tick(&w);
    loop_run(w.loop);
    int exit = w.exit;
    tear_down(&w);
    return exit;
}
