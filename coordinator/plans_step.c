/* What is under way for one step of a plan: its check and order (move), its migration, the look at the guest afterwards. */
#include "coordinator/plans_internal.h"

#include "common/base/memory.h"
#include "coordinator/plan_checks.h"

enum {
    LOOKS = 8,
    LOOK_AGAIN_MS = 1000,
    CHECKS = 32, /* at a time, of all plans: many more, and agents could not answer in time */
};

static struct step_run *step_run_of(struct plan_run *run, size_t step)
{
    if (step >= run->n_steps) {
        run->steps = xrealloc(run->steps, step + 1, sizeof(*run->steps));
        while (run->n_steps <= step)
            run->steps[run->n_steps++] = NULL;
    }
    if (!run->steps[step]) {
        run->steps[step] = new0(struct step_run);
        *run->steps[step] = (struct step_run){.run = run, .step = step};
    }
    return run->steps[step];
}

static void check_next(struct plans *plans);

/* It neither waits to be checked nor is. */
static void leave_check(struct step_run *s)
{
    struct plans *plans = s->run->plans;
    struct step_run **p = &plans->to_check;
    while (*p && *p != s)
        p = &(*p)->next;
    if (s->queued)
        *p = s->next;
    plans->checking -= s->move != NULL;
    s->queued = false;
    s->move = NULL;
}

void plan_step_drop(struct step_run *s)
{
    if (!s)
        return;
    move_cancel(s->move);
    leave_check(s);
    driver_unwatch(s->watch);
    loop_timer_cancel(s->timer);
    plan_call_drop(s->call);
    free(s->phase);
    free(s);
}

static Drover__V1__PlanStep *step_of(const struct step_run *s)
{
    return s->run->job->steps[s->step];
}

static void add_blocks(Drover__V1__PlanStep *step, Drover__V1__Finding *const *findings, size_t n)
{
    for (size_t i = 0; i < n && step->n_findings < PLAN_FINDINGS; i++)
        if (findings[i]->severity == DROVER__V1__SEVERITY__BLOCK)
            findings_add(&step->n_findings, &step->findings, &findings[i], 1);
}

/* ---- its migration ----------------------------------------------------------------------------------------------- */

static bool has_ended(const Drover__V1__Job *job)
{
    return job->state == DROVER__V1__JOB_STATE__JOB_DONE || job->state == DROVER__V1__JOB_STATE__JOB_FAILED ||
           job->state == DROVER__V1__JOB_STATE__JOB_CANCELLED;
}

/* A no in the prepare phase, as to a single migration: exit 3. */
static bool was_refused(const Drover__V1__Job *job)
{
    const struct findings findings = {job->findings, job->n_findings};
    return job->state == DROVER__V1__JOB_STATE__JOB_FAILED && findings_block(&findings);
}

static void tell_end(struct step_run *s, const Drover__V1__Job *job, Drover__V1__JobState outcome)
{
    Drover__V1__PlanStep *step = step_of(s);
    bool refused = was_refused(job);
    if (refused)
        add_blocks(step, job->findings, job->n_findings);
    if (job->result && !step->result)
        step->result = (Drover__V1__Result *)message_copy(&job->result->base);
    plan_run_feed(s->run,
                  &(struct plan_event){.kind = PLAN_EVENT_ENDED,
                                       .step = s->step,
                                       .outcome = outcome,
                                       .refused = refused,
                                       .restarted = s->adopted,
                                       .text = job->text,
                                       .todo = job->todo},
                  NULL);
}

/* What is missing, and what to do about it; true if that is news. */
static bool take_doubt(Drover__V1__PlanStep *step, const Drover__V1__Job *job)
{
    bool doubt = job->state == DROVER__V1__JOB_STATE__JOB_IN_DOUBT, before = step->in_doubt;
    if (!doubt && !before)
        return false;
    bool news = doubt != before || !streq(step->why, doubt ? job->text : "");
    step->in_doubt = doubt;
    set_text(&step->why, doubt ? job->text : "");
    set_text(&step->todo, doubt ? job->todo : "");
    return news;
}

static void on_job(void *arg, const Drover__V1__Job *job)
{
    struct step_run *s = arg;
    /* A host that may never come back is not waited for: its guest is safe, and goes elsewhere. */
    Drover__V1__JobState outcome =
        has_ended(job) ? job->state : driver_outcome(s->run->plans->config.driver, job->id);
    if (outcome != DROVER__V1__JOB_STATE__JOB_UNSET) {
        s->watch = driver_unwatch(s->watch);
        tell_end(s, job, outcome);
        return;
    }
    Drover__V1__PlanStep *step = step_of(s);
    if (step->progress)
        drover__v1__progress__free_unpacked(step->progress, NULL);
    step->progress = job->progress ? (Drover__V1__Progress *)message_copy(&job->progress->base) : NULL;
    if (!take_doubt(step, job) && streq(job->phase, s->phase ? s->phase : "")) {
        plan_run_progress(s->run);
        if (!s->run->busy)
            plan_run_tell(s->run);
        return;
    }
    /* Its links may be free now, though it has not ended. */
    free(s->phase);
    s->phase = xstrdup(job->phase);
    plan_run_feed(s->run, &(struct plan_event){.kind = PLAN_EVENT_FLEET}, NULL);
}

static void cancel_job(struct step_run *s, uint64_t job)
{
    _cleanup_free_ char *text = NULL;
    struct error err = {0};
    /* Of one that was cancelled before a restart, who it was is not kept. */
    const char *by = s->run->canceller ? s->run->canceller : s->run->job->operator_;
    if (driver_cancel(s->run->plans->config.driver, job, by, &text, &err) < 0) {
        _cleanup_free_ char *line = xasprintf("%s goes on: %s", step_of(s)->guest, err.text);
        plan_run_log(s->run, line);
    }
}

static void follow(struct step_run *s, uint64_t job)
{
    const Drover__V1__Job *now = driver_job(s->run->plans->config.driver, job);
    s->watch = driver_watch(s->run->plans->config.driver, job, on_job, s);
    if (now)
        take_doubt(step_of(s), now);
    plan_run_feed(s->run, &(struct plan_event){.kind = PLAN_EVENT_STARTED, .step = s->step, .job = job},
                  NULL);
    if (s->cancel)
        cancel_job(s, job);
    s->cancel = false;
}

/* ---- its check --------------------------------------------------------------------------------------------------- */

static void tell_refused(struct step_run *s, const char *text, const char *todo, bool busy, bool elsewhere)
{
    plan_run_feed(s->run,
                  &(struct plan_event){.kind = PLAN_EVENT_REFUSED,
                                       .step = s->step,
                                       .text = text,
                                       .todo = todo,
                                       .busy = busy,
                                       .elsewhere = elsewhere},
                  NULL);
}

static void on_checked(void *arg, const Drover__V1__MigrateGuestReply *reply, const struct error *why)
{
    struct step_run *s = arg;
    leave_check(s);
    check_next(s->run->plans);
    if (reply)
        plan_step_disks(step_of(s), reply);
    if (reply && reply->job) {
        follow(s, reply->job);
        return;
    }
    if (!reply) {
        tell_refused(s, why->text, "", why->code == STATUS_ABORTED || why->code == STATUS_UNAVAILABLE, false);
        return;
    }
    const struct findings findings = {reply->findings, reply->n_findings};
    const Drover__V1__Finding *block = findings_block(&findings);
    add_blocks(step_of(s), reply->findings, reply->n_findings);
    _cleanup_free_ char *text = block ? xasprintf("%s: %s", block->subject, block->seen) : xstrdup("refused");
    tell_refused(s, text, block ? block->todo : "", block && streq(block->id, "guest-busy"),
                 findings_elsewhere(reply->findings, reply->n_findings));
}

static void check(struct step_run *s)
{
    struct plan_run *run = s->run;
    _cleanup_free_ char *guest = NULL;
    Drover__V1__MigrateGuestRequest request = plan_step_request(run->request, step_of(s), &guest);
    s->move = move_start(&run->plans->config, &request, run->job->operator_, run->job->id, on_checked, s);
    run->plans->checking++;
}

static void check_next(struct plans *plans)
{
    while (plans->to_check && plans->checking < CHECKS) {
        struct step_run *s = plans->to_check;
        leave_check(s);
        check(s);
    }
}

void plan_step_start(struct plan_run *run, size_t step)
{
    struct step_run *s = step_run_of(run, step), **last = &run->plans->to_check;
    while (*last)
        last = &(*last)->next;
    s->adopted = false;
    s->queued = true;
    s->next = NULL;
    *last = s;
    check_next(run->plans);
}

void plan_step_cancel(struct plan_run *run, size_t step)
{
    struct step_run *s = step_run_of(run, step);
    uint64_t job = run->job->steps[step]->job;
    if (s->move || s->queued) {
        move_cancel(s->move);
        leave_check(s);
        check_next(run->plans);
        tell_refused(s, "the plan was cancelled before it began", "", false, false);
    } else if (s->watch && job) {
        cancel_job(s, job);
    } else {
        s->cancel = true;
    }
}

void plan_step_adopt(struct plan_run *run, size_t step)
{
    const struct move_config *c = &run->plans->config;
    struct step_run *s = step_run_of(run, step);
    const Drover__V1__PlanStep *what = run->job->steps[step];
    s->adopted = true;
    const Drover__V1__Job *open =
        what->job ? driver_job(c->driver, what->job) : driver_job_of_guest(c->driver, what->guest_uuid);
    if (open && open->plan == run->job->id) {
        follow(s, open->id);
        return;
    }
    _cleanup_(free_p) struct error *err = new0(struct error);
    Drover__V1__ListJobsReply *ended = NULL;
    const Drover__V1__Job *last = NULL;
    if (store_list_ended(c->store, 1, what->guest_uuid, &ended, err) == 0 && ended->n_jobs)
        last = ended->jobs[0];
    if (last && last->plan == run->job->id && last->id > what->last_job) {
        if (!what->job)
            plan_run_feed(
                run, &(struct plan_event){.kind = PLAN_EVENT_STARTED, .step = step, .job = last->id}, NULL);
        tell_end(s, last, last->state);
    } else {
        plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_FORGOTTEN, .step = step}, NULL);
    }
    if (ended)
        drover__v1__list_jobs_reply__free_unpacked(ended, NULL);
}

/* ---- the look at a guest that has arrived ------------------------------------------------------------------------ */

static void on_look_again(void *arg)
{
    struct step_run *s = arg;
    s->timer = NULL;
    plan_step_look(s->run, s->step);
}

static void on_looked(void *arg, const Drover__V1__LookReply *reply, const struct error *why)
{
    struct step_run *s = arg;
    const struct loop_timer *none = NULL;
    s->call = NULL;
    _cleanup_free_ char *wrong =
        reply ? plan_what_is_wrong(reply) : xasprintf("its host can't be asked: %s", why->text);
    if (wrong && ++s->looks < LOOKS && s->timer == none) {
        s->timer = loop_timer_start(s->run->plans->config.loop, LOOK_AGAIN_MS, on_look_again, s);
        return;
    }
    const Drover__V1__PlanStep *step = step_of(s);
    _cleanup_free_ char *text =
        wrong ? xstrdup(wrong)
              : xasprintf("%s runs on %s%s", step->guest, step->to,
                          reply && reply->has_agent ? " and its guest agent answers" : "");
    plan_run_feed(
        s->run,
        &(struct plan_event){.kind = PLAN_EVENT_LOOKED, .step = s->step, .well = !wrong, .text = text}, NULL);
}

void plan_step_look(struct plan_run *run, size_t step)
{
    struct step_run *s = step_run_of(run, step);
    const Drover__V1__PlanStep *what = run->job->steps[step];
    if (!s->call)
        s->call = plan_ask_look(run->plans, what->to, what->guest_uuid, on_looked, s);
}
