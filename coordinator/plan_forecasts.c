#include "coordinator/plan_forecasts.h"

#include "common/base/memory.h"
#include "coordinator/core/link_table.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_outlook.h"
#include "coordinator/core/post_copy.h"
#include "coordinator/io/agents.h"

enum {
    FORECAST_MS = 20000, /* two dirty samples, and the link */
    KNOWN_MS = 2000,
};

struct asked {
    struct plan_forecasts *all; /* NULL: nobody waits any more */
    Drover__V1__PlanStep *step;
};

struct plan_forecasts {
    struct move_config config;
    int64_t window;
    bool known;
    Drover__V1__Job *job;
    void (*done)(void *arg);
    void *arg;
    struct asked **asked; /* NULL: answered */
    size_t n, open;
    struct loop_timer *end;
};

static void forecasts_free(struct plan_forecasts *f)
{
    loop_timer_cancel(f->end);
    for (size_t i = 0; i < f->n; i++)
        if (f->asked[i])
            f->asked[i]->all = NULL;
    free(f->asked);
    free(f);
}

static void on_end(void *arg)
{
    struct plan_forecasts *f = arg;
    void (*done)(void *done_arg) = f->done;
    void *done_arg = f->arg;
    size_t n;
    _cleanup_free_ const Drover__V1__Job **open = move_open(f->config.driver, &n);
    f->end = NULL;
    if (!f->known) /* a dry run */
        plan_outlook_refuse(f->job);
    plan_outlook(f->config.fleet, f->job, open, n, f->window);
    forecasts_free(f);
    done(done_arg);
}

static void on_forecast(const Drover__V1__Forecast *forecast, void *data)
{
    struct asked *a = data;
    struct plan_forecasts *f = a->all;
    if (f) {
        if (forecast)
            a->step->forecast = (Drover__V1__Forecast *)message_copy(&forecast->base);
        for (size_t i = 0; i < f->n; i++)
            if (f->asked[i] == a)
                f->asked[i] = NULL;
        if (--f->open == 0)
            f->end = loop_timer_start(f->config.loop, 0, on_end, f);
    }
    free(a);
}

void plan_forecasts_policy(const struct move_config *config, const Drover__V1__PlanRequest *request,
                           const Drover__V1__PlanStep *step, Drover__V1__Policy *ret)
{
    const struct fleet_host *from = fleet_host(config->fleet, step->from),
                            *to = fleet_host(config->fleet, step->to);
    const struct fleet_guest *guest = from ? fleet_guest_on(from, step->guest_uuid) : NULL;
    *ret = *config->policy; /* the request was checked when the plan was made */
    policies_hold(guest ? config->policies : NULL, config->policy, guest ? guest->guest : NULL,
                  request->policy, request->policy_given, request->n_policy_given, ret, NULL, NULL);
    if (to && to->report)
        post_copy_fit(ret, step->mode, to->report);
    ret->bandwidth = link_limit(config->fleet, step->from, step->to, ret->bandwidth);
}

static void ask(struct plan_forecasts *f, const Drover__V1__PlanRequest *request, Drover__V1__PlanStep *step)
{
    const struct fleet_host *to = fleet_host(f->config.fleet, step->to);
    struct rpc_client *client = f->config.agents ? agents_client(f->config.agents, step->from) : NULL;
    if (!client || !to || !to->report)
        return;
    Drover__V1__Endpoint destination = DROVER__V1__ENDPOINT__INIT;
    destination.host = to->name;
    destination.agent_url = to->report->agent_url;
    Drover__V1__ForecastRequest question = DROVER__V1__FORECAST_REQUEST__INIT;
    question.guest = step->guest_uuid;
    question.mode = step->mode;
    Drover__V1__Policy policy;
    plan_forecasts_policy(&f->config, request, step, &policy);
    question.policy = &policy;
    question.known = f->known;
    question.destination = &destination;
    question.disk_bytes = step->disk_bytes;
    question.delay = link_delay(f->config.fleet, step->from, step->to);
    struct asked *a = new0(struct asked);
    *a = (struct asked){f, step};
    f->asked[f->n++] = a;
    f->open++;
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor,
                                    .timeout_ms = f->known ? KNOWN_MS : FORECAST_MS, .wait = !f->known);
    drover__v1__agent__make_forecast(&stub.base, &question, on_forecast, a);
}

struct plan_forecasts *plan_forecasts_start(const struct move_config *config,
                                            const Drover__V1__PlanRequest *request, bool known,
                                            Drover__V1__Job *job, void (*done)(void *arg), void *arg)
{
    struct plan_forecasts *f = new0(struct plan_forecasts);
    *f = (struct plan_forecasts){
        .config = *config, .window = request->window, .known = known, .job = job, .done = done, .arg = arg};
    f->asked = xcalloc(job->n_steps + 1, sizeof(struct asked *));
    f->open = 1; /* until all are asked */
    for (size_t i = 0; i < job->n_steps; i++) {
        Drover__V1__PlanStep *s = job->steps[i];
        if (s->state == DROVER__V1__STEP_STATE__STEP_WAITING && s->active && !s->after)
            ask(f, request, s);
    }
    if (--f->open == 0)
        f->end = loop_timer_start(config->loop, 0, on_end, f);
    return f;
}

struct plan_forecasts *plan_forecasts_cancel(struct plan_forecasts *f)
{
    if (f)
        forecasts_free(f);
    return NULL;
}
