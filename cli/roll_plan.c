/* The plans of one host of a rolling maintenance: it is emptied, and filled again. */
#include "cli/roll_internal.h"

#include "cli/job.h"
#include "cli/render.h"
#include "cli/text.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <string.h>

enum { DRY_RUN_MS = 600000 }; /* each guest's move is proven, and its memory sampled */

static Drover__V1__PlanRequest request_of(const struct roll_task *t, const char *kind)
{
    Drover__V1__PlanRequest q = *t->roll->order->evacuate;
    q.kind = (char *)kind;
    q.host = (char *)t->h->name;
    if (streq(kind, "return"))
        q.to = q.to_site = (char *)"";
    return q;
}

static void tell_left(struct roll_task *t, const Drover__V1__Job *job)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        abort();
    render_left(job, f);
    fclose(f);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        roll_tell(t->roll, t->h->name, "left", job->id, "%s", line);
}

void roll_host_done(struct roll_task *t)
{
    t->h->phase = ROLLING_DONE;
    t->h->job = 0;
    t->roll->rolling.crowded = false;
    roll_tell(t->roll, t->h->name, "done", 0, "done");
    roll_turn(t->roll);
}

/* A guest is not well where it arrived. That has paused the plan, and nobody may be there to resume it; or it was the last. */
static bool stops_for_the_ill(struct roll_task *t, const Drover__V1__Job *job)
{
    const Drover__V1__PlanStep *ill = job_ill(job);
    if (!ill || (job_is_open(job) && !job->paused))
        return false;
    _cleanup_free_ char *why = xasprintf("%s is not well on %s: %s", ill->guest, ill->to, ill->why);
    _cleanup_free_ char *todo =
        job_is_open(job) ? xasprintf("look at %s; `drover resume %" PRIu64
                                     "` lets the others follow, `drover cancel %" PRIu64 "` ends the plan",
                                     ill->guest, job->id, job->id)
                         : xasprintf("look at %s", ill->guest);
    roll_host_stop(t, EXIT_PARTLY, why, todo);
    return true;
}

static void job_ended(struct roll_task *t)
{
    const Drover__V1__Job *job = t->job;
    bool done = job->state == DROVER__V1__JOB_STATE__JOB_DONE;
    if (!done)
        tell_left(t, job);
    if (stops_for_the_ill(t, job))
        return;
    if (!done) {
        roll_host_stop(t, job_exit(job), job->text, job->todo);
        return;
    }
    roll_tell(t->roll, t->h->name, t->h->phase == ROLLING_EMPTIES ? "empty" : "returned", job->id, "%s",
              job->text);
    for (size_t i = 0; i < job->n_steps; i++)
        if (job->steps[i]->state == DROVER__V1__STEP_STATE__STEP_SKIPPED)
            roll_tell(t->roll, t->h->name, "skipped", job->id, "%s: %s", job->steps[i]->guest,
                      job->steps[i]->why);
    t->h->job = 0;
    if (t->h->phase == ROLLING_EMPTIES)
        roll_host_emptied(t);
    else
        roll_host_done(t);
}

static void heard(struct roll_task *t)
{
    const Drover__V1__Job *job = t->job;
    for (; t->log_told < job->n_log; t->log_told++)
        roll_tell(t->roll, t->h->name, "log", job->id, "%s", job->log[t->log_told]->text);
    if (!job_is_open(job)) {
        job_ended(t);
    } else if (!stops_for_the_ill(t, job) && job->paused != t->paused_told) {
        t->paused_told = job->paused;
        roll_tell(t->roll, t->h->name, job->paused ? "paused" : "resumed", job->id,
                  job->paused ? "job %" PRIu64 " is paused, and waited for; `drover resume` lets it go on"
                              : "job %" PRIu64 " goes on",
                  job->id);
    }
}

static void follow(struct roll_task *t);

struct following {
    struct roll_task *t;
    uint64_t id;
};

static void on_job(const Drover__V1__Job *job, void *data)
{
    struct following *f = data;
    struct roll_task *t = f->t;
    bool ours = t->h->job == f->id && !roll_is_over(t) && !t->roll->rolling.leaving;
    if (!job)
        free(f);
    if (!ours)
        return;
    if (!job) {
        struct error why = *rpc_status();
        roll_failed(t, &why, follow);
        return;
    }
    t->failures = 0;
    Drover__V1__Job *copy = job_copy(job);
    if (!copy)
        return;
    reply_free(t->job);
    t->job = copy;
    heard(t);
}

static void follow(struct roll_task *t)
{
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = t->h->job;
    struct following *f = new0(struct following);
    *f = (struct following){t, t->h->job};
    struct rpc_stub stub = rpc_stub(client_rpc(t->roll->client), &drover__v1__coordinator__descriptor,
                                    .wait = true, .stream = true);
    drover__v1__coordinator__watch_job(&stub.base, &request, on_job, f);
}

static void begin_following(struct roll_task *t, uint64_t id)
{
    reply_free(steal(&t->job));
    t->h->job = id;
    t->log_told = 0;
    t->paused_told = false;
    if (!t->roll->rolling.leaving)
        follow(t);
}

static void on_made(struct roll_task *t, const void *reply, const struct error *why)
{
    const Drover__V1__Job *job = reply;
    if (why) { /* it may have been made all the same */
        roll_failed(t, why, roll_plan);
        return;
    }
    begin_following(t, job->id);
}

static void make_plan(struct roll_task *t)
{
    Drover__V1__PlanRequest q = request_of(t, t->h->phase == ROLLING_RETURNS ? "return" : "evacuate");
    roll_ask(t, "MakePlan", &q.base, ROLL_ANSWER_MS, true, on_made);
}

static void on_dry_run(struct roll_task *t, const void *reply, const struct error *why)
{
    const Drover__V1__Job *job = reply;
    struct roll *roll = t->roll;
    if (roll->rolling.leaving)
        return;
    if (why) {
        roll_failed(t, why, roll_plan);
        return;
    }
    size_t stay = 0;
    char took[TEXT_MAX];
    for (size_t i = 0; i < job->n_steps; i++)
        stay += job_step_stays(job->steps[i]);
    if (stay) {
        tell_left(t, job);
        if (rolling_no_room(&roll->rolling, (size_t)(t - roll->tasks))) {
            roll_tell(roll, t->h->name, "waits", 0,
                      "can't be emptied while other hosts are: it waits for them");
            roll_turn(roll);
            return;
        }
        _cleanup_free_ char *text =
            xasprintf("it can't be emptied: %zu of %zu guests would stay", stay, job->n_steps);
        roll_host_stop(t, EXIT_REFUSED, text, "see to the guests that are named above");
        return;
    }
    if (!job->n_steps)
        roll_tell(roll, t->h->name, "asked", 0, "has no guest: its libvirt is asked whether that is so");
    else if (job->outlook && job->outlook->finish >= 0)
        roll_tell(roll, t->h->name, "asked", 0, "%zu guests can move; it takes about %s", job->n_steps,
                  text_ms(job->outlook->finish, took));
    else
        roll_tell(roll, t->h->name, "asked", 0, "%zu guests can move", job->n_steps);
    t->h->phase = ROLLING_EMPTIES;
    make_plan(t);
}

/* Nobody is away: there were none, or a return whose answer was lost has ended. */
static void on_in_service(struct roll_task *t, const void *reply, const struct error *why)
{
    const Drover__V1__SetMaintenanceReply *r = reply;
    if (t->roll->rolling.leaving)
        return;
    if (why)
        roll_failed(t, why, roll_plan);
    else if (r->guests_away)
        make_plan(t);
    else
        roll_host_done(t);
}

static void end_maintenance(struct roll_task *t)
{
    Drover__V1__SetMaintenanceRequest request = DROVER__V1__SET_MAINTENANCE_REQUEST__INIT;
    request.host = (char *)t->h->name;
    roll_ask(t, "SetMaintenance", &request.base, ROLL_ANSWER_MS, true, on_in_service);
}

static void dry_run(struct roll_task *t)
{
    Drover__V1__PlanRequest q = request_of(t, "evacuate");
    q.dry_run = true;
    roll_ask(t, "MakePlan", &q.base, DRY_RUN_MS, false, on_dry_run);
}

static void join(struct roll_task *t, const Drover__V1__Job *job)
{
    bool evacuate = streq(job->kind, "evacuate");
    if (!evacuate && t->h->phase != ROLLING_RETURNS) {
        _cleanup_free_ char *text =
            xasprintf("its guests are just being brought back (job %" PRIu64 ")", job->id);
        _cleanup_free_ char *todo = xasprintf(
            "wait for that (drover watch %" PRIu64 "); leave the host out if it was its last step", job->id);
        roll_host_stop(t, EXIT_REFUSED, text, todo);
        return;
    }
    if (evacuate)
        t->h->phase = ROLLING_EMPTIES;
    roll_tell(t->roll, t->h->name, "joined", job->id, "%s by job %" PRIu64 ", which is under way",
              evacuate ? "is emptied" : "is filled again", job->id);
    begin_following(t, job->id);
}

static void on_jobs(struct roll_task *t, const void *reply, const struct error *why)
{
    const Drover__V1__ListJobsReply *jobs = reply;
    if (t->roll->rolling.leaving)
        return;
    if (why) {
        roll_failed(t, why, roll_plan);
        return;
    }
    for (size_t i = 0; i < jobs->n_jobs; i++) {
        const Drover__V1__Job *job = jobs->jobs[i];
        if ((streq(job->kind, "evacuate") && streq(job->source, t->h->name) &&
             t->h->phase != ROLLING_RETURNS) ||
            (streq(job->kind, "return") && streq(job->destination, t->h->name))) {
            join(t, job);
            return;
        }
    }
    switch (t->h->phase) {
    case ROLLING_ASKED: dry_run(t); break;
    case ROLLING_RETURNS: end_maintenance(t); break;
    default: make_plan(t);
    }
}

void roll_plan(struct roll_task *t)
{
    int64_t wait = roll_settling(t->roll);
    if (wait) {
        roll_later(t, wait, roll_plan);
        return;
    }
    Drover__V1__ListJobsRequest request = DROVER__V1__LIST_JOBS_REQUEST__INIT;
    request.limit = 4096;
    roll_ask(t, "ListJobs", &request.base, ROLL_ANSWER_MS, false, on_jobs);
}

void roll_host_empty(struct roll_task *t)
{
    t->h->phase = ROLLING_ASKED;
    roll_plan(t);
}

void roll_host_fill(struct roll_task *t)
{
    t->h->phase = ROLLING_RETURNS;
    roll_plan(t);
}
