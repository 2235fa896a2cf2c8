#pragma once

#include "proto/coordinator.pb-c.h"

enum { ILL_PLAN = 78 };

struct rpc_call;

/* WatchJob of that plan, which goes no further. */
void watch_ill(struct rpc_call *call);

void make_plan(Drover__V1__Coordinator_Service *service, const Drover__V1__PlanRequest *request,
               Drover__V1__Job_Closure reply, void *call);
void pause_job(Drover__V1__Coordinator_Service *service, const Drover__V1__PauseJobRequest *request,
               Drover__V1__PauseJobReply_Closure reply, void *call);
void set_maintenance(Drover__V1__Coordinator_Service *service,
                     const Drover__V1__SetMaintenanceRequest *request,
                     Drover__V1__SetMaintenanceReply_Closure reply, void *call);
