/* One plan's turn: events, actions, the journal. */
#include "coordinator/plans_internal.h"

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/io/store_fleet.h"

enum { LOG_ENTRIES = 1000, DISK_RETRY_MS = 1000, PROGRESS_MS = 200 };

struct plan_run *plan_run_new(struct plans *plans, Drover__V1__Job *job, Drover__V1__PlanRequest *request)
{
    struct plan_run *run = new0(struct plan_run);
    run->plans = plans;
    run->job = job;
    run->request = request;
    run->last = &run->first;
    run->plan = (struct plan){.job = job, .empties = streq(job->kind, "evacuate")};
    return run;
}

static void drop_event(struct plan_queued *q)
{
    free(q->text);
    free(q->todo);
    if (q->survey)
        drover__v1__survey_reply__free_unpacked(q->survey, NULL);
    free(q);
}

void plan_run_free(struct plan_run *run)
{
    if (!run)
        return;
    for (size_t i = 0; i < run->n_steps; i++)
        plan_step_drop(run->steps[i]);
    free(run->steps);
    plan_call_drop(run->survey);
    plan_forecasts_cancel(run->forecasts);
    loop_timer_cancel(run->disk_retry);
    loop_timer_cancel(run->wait);
    loop_timer_cancel(run->ending);
    loop_timer_cancel(run->progress);
    while (run->first) {
        struct plan_queued *q = run->first;
        run->first = q->next;
        drop_event(q);
    }
    plan_actions_deinit(&run->actions);
    free(run->canceller);
    drover__v1__job__free_unpacked(run->job, NULL);
    drover__v1__plan_request__free_unpacked(run->request, NULL);
    free(run);
}

/* ---- what the operator sees -------------------------------------------------------------------------------------- */

void plan_run_log(struct plan_run *run, const char *text)
{
    Drover__V1__Job *job = run->job;
    job_log(job, (uint64_t)clock_realtime_ms(), text, LOG_ENTRIES);
    if (job->id)
        log_info("job %llu, %s: %s", (unsigned long long)job->id, job->kind, text);
}

void plan_run_tell(struct plan_run *run)
{
    struct plans *p = run->plans;
    bool outer = !p->telling;
    p->telling = true;
    for (struct plans_watch *w = p->watches; w; w = w->next)
        if (w->fn && w->job == run->job->id)
            w->fn(w->arg, run->job);
    if (!outer)
        return;
    p->telling = false;
    for (struct plans_watch **w = &p->watches; *w;) {
        struct plans_watch *gone = *w;
        if (gone->fn) {
            w = &gone->next;
            continue;
        }
        *w = gone->next;
        free(gone);
    }
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

int plan_run_journal(struct plan_run *run, struct error *err)
{
    size_t size = drover__v1__plan_request__get_packed_size(run->request);
    _cleanup_free_ uint8_t *packed = xcalloc(size + 1, 1);
    drover__v1__plan_request__pack(run->request, packed);
    failpoint("coordinator.plan.before_write");
    int r = store_put_job(run->plans->config.store, run->job, packed, size, err);
    failpoint("coordinator.plan.after_write");
    return r;
}

static void on_end(void *arg);

static int remember_taken(struct plan_run *run, size_t step, struct error *err)
{
    const Drover__V1__PlanStep *s = run->job->steps[step];
    struct store *store = run->plans->config.store;
    bool home;
    int r = store_came_home(store, s->to, s->guest_uuid, &home, err);
    if (r == 0 && !home && streq(run->job->kind, "evacuate") && streq(s->from, run->job->source))
        r = store_set_away(store, s->from, s->guest_uuid, s->guest, true, err);
    return r;
}

/* ---- actions ----------------------------------------------------------------------------------------------------- */

static void place(struct plan_run *run, size_t step)
{
    _cleanup_(plan_besides_deinit) struct plan_besides besides;
    plan_besides_take(run->plans, run, UNDER_WAY_OPEN, &besides);
    const struct plan_making making = plan_run_making(run, &besides);
    Drover__V1__PlanStep *s = run->job->steps[step];
    plan_place(&making, run->job, s);
    plan_run_feed(
        run, &(struct plan_event){.kind = PLAN_EVENT_PLACED, .step = step, .text = s->why, .todo = s->todo},
        NULL);
}

static void on_wait(void *arg)
{
    struct plan_run *run = arg;
    run->wait = NULL;
    plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_FLEET}, NULL);
}

static void on_progress(void *arg)
{
    struct plan_run *run = arg;
    run->progress = NULL;
    plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_FLEET}, NULL);
}

void plan_run_progress(struct plan_run *run)
{
    if (!run->progress && plan_count(run->job, DROVER__V1__STEP_STATE__STEP_WAITING))
        run->progress = loop_timer_start(run->plans->config.loop, PROGRESS_MS, on_progress, run);
}

static void on_survey(void *arg, const Drover__V1__SurveyReply *reply, const struct error *why)
{
    struct plan_run *run = arg;
    run->survey = NULL;
    Drover__V1__SurveyReply *copy = reply ? (Drover__V1__SurveyReply *)message_copy(&reply->base) : NULL;
    plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_VERIFIED, .text = reply ? NULL : why->text},
                  copy);
}

/* False if the rest has to wait for the disk. */
static bool act(struct plan_run *run, struct error *err)
{
    const struct move_config *c = &run->plans->config;
    while (run->next_action < run->actions.n) {
        const struct plan_action *a = &run->actions.list[run->next_action];
        switch (a->kind) {
        case PLAN_ACTION_JOURNAL:
            if (plan_run_journal(run, err) < 0)
                return false;
            break;
        case PLAN_ACTION_TAKEN:
            if (remember_taken(run, a->step, err) < 0)
                return false;
            break;
        case PLAN_ACTION_START: plan_step_start(run, a->step); break;
        case PLAN_ACTION_PLACE: place(run, a->step); break;
        case PLAN_ACTION_CANCEL: plan_step_cancel(run, a->step); break;
        case PLAN_ACTION_LOOK: plan_step_look(run, a->step); break;
        case PLAN_ACTION_VERIFY:
            if (!run->survey)
                run->survey = plan_ask_survey(run->plans, run->job->source, on_survey, run);
            break;
        case PLAN_ACTION_WAIT:
            loop_timer_cancel(run->wait);
            run->wait = loop_timer_start(c->loop, a->ms, on_wait, run);
            break;
        case PLAN_ACTION_TELL: plan_run_log(run, a->text); break;
        case PLAN_ACTION_FINISH: run->ending = loop_timer_start(c->loop, 0, on_end, run); break;
        }
        run->next_action++;
    }
    return true;
}

static void on_end(void *arg)
{
    struct plan_run *run = arg;
    struct plans *p = run->plans;
    struct error err = {0};
    run->ending = NULL;
    run->job->ended = (uint64_t)clock_realtime_ms();
    if (store_put_job(p->config.store, run->job, NULL, 0, &err) < 0) {
        log_error("job %llu has ended and can't be stored: %s", (unsigned long long)run->job->id, err.text);
        run->ending = loop_timer_start(p->config.loop, DISK_RETRY_MS, on_end, run);
        return;
    }
    log_info("job %llu: %s", (unsigned long long)run->job->id, run->job->text);
    for (struct plan_run **r = &p->runs; *r; r = &(*r)->next)
        if (*r == run) {
            *r = run->next;
            break;
        }
    plan_run_tell(run);
    plan_run_free(run);
}

static void work(struct plan_run *run);

static void on_disk_retry(void *arg)
{
    struct plan_run *run = arg;
    run->disk_retry = NULL;
    work(run);
}

static void work(struct plan_run *run)
{
    struct error err = {0};
    run->busy = true;
    for (;;) {
        if (!act(run, &err)) {
            log_error("job %llu waits: %s", (unsigned long long)run->job->id, err.text);
            set_text(&run->job->text, err.text);
            run->disk_retry = loop_timer_start(run->plans->config.loop, DISK_RETRY_MS, on_disk_retry, run);
            break;
        }
        plan_actions_deinit(&run->actions);
        run->next_action = 0;
        struct plan_queued *q = run->first;
        if (!q)
            break;
        run->first = q->next;
        if (!run->first)
            run->last = &run->first;
        const struct move_config *c = &run->plans->config;
        _cleanup_(plan_besides_deinit) struct plan_besides besides;
        plan_besides_take(run->plans, run, UNDER_WAY_RUNNING, &besides);
        q->event.fleet = c->fleet;
        q->event.now_ms = clock_realtime_ms();
        q->event.open = besides.open.list;
        q->event.n_open = besides.open.n;
        plan_step(&run->plan, &q->event, &run->actions);
        drop_event(q);
    }
    run->busy = false;
    plan_run_tell(run);
}

static bool is_queued(const struct plan_run *run, enum plan_event_kind kind)
{
    for (const struct plan_queued *q = run->first; q; q = q->next)
        if (q->event.kind == kind)
            return true;
    return false;
}

void plan_run_feed(struct plan_run *run, const struct plan_event *event, Drover__V1__SurveyReply *survey)
{
    /* It says only that there is something to see: while the disk refuses writes, hours of them would wait here. */
    if (event->kind == PLAN_EVENT_FLEET && is_queued(run, PLAN_EVENT_FLEET))
        return;
    struct plan_queued *q = new0(struct plan_queued);
    q->event = *event;
    q->event.text = q->text = xstrdup(event->text);
    q->event.todo = q->todo = xstrdup(event->todo);
    q->survey = survey;
    if (survey) {
        q->event.guests = survey->guests;
        q->event.n_guests = survey->n_guests;
    }
    *run->last = q;
    run->last = &q->next;
    if (!run->busy && !run->disk_retry && !run->forecasts)
        work(run);
}

static void on_forecasts(void *arg)
{
    struct plan_run *run = arg;
    run->forecasts = NULL;
    plan_run_feed(run, &(struct plan_event){.kind = PLAN_EVENT_START}, NULL);
}

void plan_run_begin(struct plan_run *run)
{
    run->forecasts =
        plan_forecasts_start(&run->plans->config, run->request, true, run->job, on_forecasts, run);
}
