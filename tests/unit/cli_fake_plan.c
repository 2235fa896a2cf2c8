/* Plans of the made-up coordinator: kvm1 has a guest that stays, other hosts get empty. Only plan 77 can be paused. */
#include "cli_fake_plan.h"

#include "common/rpc/rpc.h"

#include <string.h>

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
    if (!request->dry_run) {
        moves.state = DROVER__V1__STEP_STATE__STEP_DONE;
        job.id = 77;
        job.state = job.n_steps == 2 ? DROVER__V1__JOB_STATE__JOB_PARTLY : DROVER__V1__JOB_STATE__JOB_DONE;
        job.text = (char *)(job.n_steps == 2 ? "kvm1 is not empty" : "kvm2 is empty");
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
