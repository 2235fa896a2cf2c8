/* Plans of the made-up coordinator: kvm1 has a guest that stays, other hosts get empty; the plan of ill1 is
 * paused, for a guest is not well. Only plan 77 can be paused. */
#include "cli_fake_plan.h"

#include "common/rpc/rpc.h"

#include <string.h>

/* The first guest is not well where it arrived: the plan waits for an operator. */
static void make_ill(Drover__V1__Job *job, Drover__V1__PlanStep *step)
{
    job->id = ILL_PLAN;
    job->kind = (char *)"evacuate";
    job->source = (char *)"ill1";
    job->state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    job->paused = true;
    job->phase = (char *)"paused";
    job->text = (char *)"paused, for web1 is not well on kvm2 (it is shut off): nothing new starts";
    job->todo = (char *)"`drover resume` lets it go on, `drover cancel` ends it";
    step->state = DROVER__V1__STEP_STATE__STEP_DONE;
    step->care = DROVER__V1__STEP_CARE__CARE_ILL;
}

static void end_watch(void *call)
{
    struct error err;
    error_set(&err, STATUS_CANCELLED, "cancelled");
    rpc_call_fail(call, &err);
}

void watch_ill(struct rpc_call *call)
{
    Drover__V1__PlanStep step = DROVER__V1__PLAN_STEP__INIT, *steps[] = {&step};
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    make_ill(&job, &step);
    job.steps = steps;
    job.n_steps = 1;
    rpc_call_on_cancel(call, end_watch, call);
    rpc_call_item(call, &job.base);
}

void make_plan(Drover__V1__Coordinator_Service *service, const Drover__V1__PlanRequest *request,
               Drover__V1__Job_Closure reply, void *call)
{
    (void)service;
    Drover__V1__PlanStep moves = DROVER__V1__PLAN_STEP__INIT, stays = DROVER__V1__PLAN_STEP__INIT;
    moves.guest = (char *)"web1";
    moves.from = stays.from = request->host;
    moves.to = (char *)"kvm2";
    moves.why = (char *)"most free memory";
    moves.active = true;
    stays.guest = (char *)"pinned1";
    stays.state = DROVER__V1__STEP_STATE__STEP_FAILED;
    stays.why = (char *)"a host device";
    stays.todo = (char *)"detach it";
    Drover__V1__PlanStep *steps[] = {&moves, &stays};
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    job.kind = request->kind;
    job.source = request->host;
    char *remarks[] = {(char *)"nothing to gain"};
    job.remarks = remarks;
    job.n_remarks = strcmp(request->kind, "balance") == 0;
    job.steps = steps;
    job.n_steps = strcmp(request->host, "kvm1") == 0 ? 2 : 1;
    if (strcmp(request->host, "ill1") == 0) {
        make_ill(&job, &moves);
    } else if (!request->dry_run) {
        moves.state = DROVER__V1__STEP_STATE__STEP_DONE;
        job.id = 77;
        job.state = job.n_steps == 2 ? DROVER__V1__JOB_STATE__JOB_PARTLY : DROVER__V1__JOB_STATE__JOB_DONE;
        job.text = (char *)(job.n_steps == 2 ? "kvm1 is not empty" : "kvm2 is empty");
    }
    Drover__V1__PlanOutlook outlook = DROVER__V1__PLAN_OUTLOOK__INIT;
    if (request->window) {
        outlook.window = request->window;
        outlook.finish = 40000;
        outlook.fits = outlook.finish <= outlook.window;
        job.outlook = &outlook;
    }
    reply(&job, call);
}

void pause_job(Drover__V1__Coordinator_Service *service, const Drover__V1__PauseJobRequest *request,
               Drover__V1__PauseJobReply_Closure reply, void *call)
{
    (void)service;
    Drover__V1__PauseJobReply message = DROVER__V1__PAUSE_JOB_REPLY__INIT;
    if (request->id != 77) {
        struct error err;
        error_set(&err, STATUS_NOT_FOUND, "there is no open plan");
        rpc_call_fail(call, &err);
        return;
    }
    message.text = (char *)(request->resume ? "2 waiting moves may start" : "nothing new starts");
    reply(&message, call);
}

void set_maintenance(Drover__V1__Coordinator_Service *service,
                     const Drover__V1__SetMaintenanceRequest *request,
                     Drover__V1__SetMaintenanceReply_Closure reply, void *call)
{
    (void)service;
    Drover__V1__SetMaintenanceReply message = DROVER__V1__SET_MAINTENANCE_REPLY__INIT;
    message.changed = request->on;
    message.guests_total = 4;
    message.guests_running = 3;
    message.guests_away = 2;
    reply(&message, call);
}
