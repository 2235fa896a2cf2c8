/* What the api_*.c share: the methods of the service, all called on the loop. */
#pragma once

#include "common/rpc/rpc.h"
#include "coordinator/api.h"

struct api {
    Drover__V1__Coordinator_Service service; /* first: handlers get its address */
    struct api_config config;
};

void api_migrate_guest(Drover__V1__Coordinator_Service *service,
                       const Drover__V1__MigrateGuestRequest *request,
                       Drover__V1__MigrateGuestReply_Closure reply, void *call);

void api_forecast_move(Drover__V1__Coordinator_Service *service,
                       const Drover__V1__MigrateGuestRequest *request, Drover__V1__Forecast_Closure reply,
                       void *call);

void api_watch_job(Drover__V1__Coordinator_Service *service, const Drover__V1__WatchJobRequest *request,
                   Drover__V1__Job_Closure item, void *call);

void api_doctor(Drover__V1__Coordinator_Service *service, const Drover__V1__DoctorRequest *request,
                Drover__V1__DoctorReply_Closure reply, void *call);

void api_resolve_fenced(const struct api *api, const Drover__V1__ResolveJobRequest *request,
                        Drover__V1__ResolveJobReply_Closure reply, struct rpc_call *call);

void api_free_guest(Drover__V1__Coordinator_Service *service, const Drover__V1__FreeGuestRequest *request,
                    Drover__V1__FreeGuestReply_Closure reply, void *call);

void api_list_fences(Drover__V1__Coordinator_Service *service, const Drover__V1__ListFencesRequest *request,
                     Drover__V1__ListFencesReply_Closure reply, void *call);

void api_release_fence(Drover__V1__Coordinator_Service *service,
                       const Drover__V1__ReleaseFenceRequest *request,
                       Drover__V1__ReleaseFenceReply_Closure reply, void *call);
void api_list_storage(Drover__V1__Coordinator_Service *service, const Drover__V1__ListStorageRequest *request,
                      Drover__V1__ListStorageReply_Closure reply, void *call);

void api_make_plan(Drover__V1__Coordinator_Service *service, const Drover__V1__PlanRequest *request,
                   Drover__V1__Job_Closure reply, void *call);
void api_pause_job(Drover__V1__Coordinator_Service *service, const Drover__V1__PauseJobRequest *request,
                   Drover__V1__PauseJobReply_Closure reply, void *call);
void api_set_maintenance(Drover__V1__Coordinator_Service *service,
                         const Drover__V1__SetMaintenanceRequest *request,
                         Drover__V1__SetMaintenanceReply_Closure reply, void *call);

/* Open or ended. Freed with drover__v1__job__free_unpacked when *ret_owned, else good until the next change. */
int api_find_job(const struct api *api, uint64_t id, const Drover__V1__Job **ret, Drover__V1__Job **ret_owned,
                 struct error *err);

/* Who asks, for the journal. */
const char *api_operator(const struct rpc_call *call);
