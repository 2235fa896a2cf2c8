/* Plans: made, shown, begun, paused, cancelled; hosts in and out of maintenance. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/fleet.h"

static int no_plans(const struct api *api, struct error *err)
{
    return api->config.plans ? 0
                             : error_set(err, STATUS_UNIMPLEMENTED, "this coordinator carries out no plans");
}

/* A dry run: the plan, whether the agents prove its moves, and what they would be. */
struct dry_run {
    const struct api *api;
    const Drover__V1__PlanRequest *request; /* lives as long as the call */
    Drover__V1__Job *job;                   /* owned */
    Drover__V1__Job_Closure reply;
    struct rpc_call *call;
    struct plan_checks *checks;
    struct plan_forecasts *forecasts;
};

static void dry_run_free(struct dry_run *d)
{
    drover__v1__job__free_unpacked(d->job, NULL);
    free(d);
}

static void on_forecasts(void *arg)
{
    struct dry_run *d = arg;
    d->reply(d->job, d->call);
    dry_run_free(d);
}

static void on_checks(void *arg)
{
    struct dry_run *d = arg;
    d->checks = NULL;
    d->forecasts = plans_forecast(d->api->config.plans, d->request, d->job, on_forecasts, d);
}

static void on_cancel(void *arg)
{
    struct dry_run *d = arg;
    struct rpc_call *call = d->call;
    const struct error why = {.code = STATUS_CANCELLED, .text = "the shell does not wait any more"};
    plan_checks_cancel(d->checks);
    plan_forecasts_cancel(d->forecasts);
    dry_run_free(d);
    rpc_call_fail(call, &why);
}

static void dry_run(const struct api *api, const Drover__V1__PlanRequest *request, Drover__V1__Job *job,
                    Drover__V1__Job_Closure reply, void *call)
{
    struct dry_run *d = new0(struct dry_run);
    *d = (struct dry_run){.api = api, .request = request, .job = job, .reply = reply, .call = call};
    d->checks = plans_check(api->config.plans, request, job, on_checks, d);
    rpc_call_on_cancel(call, on_cancel, d);
}

void api_make_plan(Drover__V1__Coordinator_Service *service, const Drover__V1__PlanRequest *request,
                   Drover__V1__Job_Closure reply, void *call)
{
    const struct api *api = (const struct api *)service;
    struct error err = {0};
    Drover__V1__Job *job = NULL;
    int r = no_plans(api, &err);
    if (r == 0)
        r = accept_check(request->accept, request->n_accept, &err);
    if (r == 0)
        r = plans_make(api->config.plans, request, &job, &err);
    if (r == 0 && request->dry_run) {
        dry_run(api, request, job, reply, call);
        return;
    }
    if (r == 0)
        r = plans_start(api->config.plans, request, job, api_operator(call), &err);
    if (r < 0) {
        drover__v1__job__free_unpacked(job, NULL);
        rpc_call_fail(call, &err);
        return;
    }
    reply(job, call);
}

void api_pause_job(Drover__V1__Coordinator_Service *service, const Drover__V1__PauseJobRequest *request,
                   Drover__V1__PauseJobReply_Closure reply, void *call)
{
    const struct api *api = (const struct api *)service;
    struct error err = {0};
    _cleanup_free_ char *text = NULL;
    int r = no_plans(api, &err);
    if (r == 0 && driver_job(api->config.driver, request->id))
        r = error_set(&err, STATUS_FAILED_PRECONDITION,
                      "job %llu moves one guest, which can't be paused in the middle: let it end, or `drover "
                      "cancel %llu`",
                      (unsigned long long)request->id, (unsigned long long)request->id);
    if (r == 0)
        r = plans_pause(api->config.plans, request->id, request->resume, api_operator(call), &text, &err);
    if (r < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__PauseJobReply answer = DROVER__V1__PAUSE_JOB_REPLY__INIT;
    answer.text = text;
    reply(&answer, call);
}

void api_set_maintenance(Drover__V1__Coordinator_Service *service,
                         const Drover__V1__SetMaintenanceRequest *request,
                         Drover__V1__SetMaintenanceReply_Closure reply, void *call)
{
    const struct api *api = (const struct api *)service;
    struct error err = {0};
    struct fleet_host *host = NULL;
    bool changed = false;
    size_t away = 0;
    int r = no_plans(api, &err);
    if (r == 0)
        r = fleet_find_host(api->config.fleet, request->host, &host, &err);
    if (r == 0)
        r = plans_away(api->config.plans, host, &away, &err);
    if (r == 0)
        r = plans_set_maintenance(api->config.plans, host, request->on, &changed, &err);
    if (r < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__SetMaintenanceReply answer = DROVER__V1__SET_MAINTENANCE_REPLY__INIT;
    answer.changed = changed;
    answer.guests_total = (uint32_t)host->n_guests;
    answer.guests_away = (uint32_t)away;
    for (size_t g = 0; g < host->n_guests; g++)
        answer.guests_running += fleet_guest_active(host->guests[g].guest);
    reply(&answer, call);
}
