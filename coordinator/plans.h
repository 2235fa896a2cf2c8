/* Carries plans out (core/plan): journals, starts each step by the same checks and the same driver as `drover migrate`, looks
 * at guests that have arrived, asks libvirt at the end what is left. Everything runs on the loop. */
#pragma once

#include "coordinator/plan_checks.h"
#include "coordinator/plan_forecasts.h"

struct plans;

/* Reads hosts in maintenance and open plans from the store, and goes on with them; after driver_new. `config` is copied. */
int plans_new(const struct move_config *config, struct plans **ret, struct error *err);
void plans_free(struct plans *plans);
DEFINE_CLEANUP(struct plans *, plans_free);

/* What would be done: a job without id. Freed with drover__v1__job__free_unpacked. Errors as of plan_make. */
int plans_make(const struct plans *plans, const Drover__V1__PlanRequest *request, Drover__V1__Job **ret,
               struct error *err);

/* Do the agents prove its moves (plan_checks.h)? */
struct plan_checks *plans_check(const struct plans *plans, const Drover__V1__PlanRequest *request,
                                Drover__V1__Job *job, void (*done)(void *arg), void *arg);

/* What its moves would be (plan_forecasts.h). */
struct plan_forecasts *plans_forecast(const struct plans *plans, const Drover__V1__PlanRequest *request,
                                      Drover__V1__Job *job, void (*done)(void *arg), void *arg);

/* Takes over the job that plans_make gave for this request, and begins. FAILED_PRECONDITION names another plan for the same
 * host. On failure the job stays the caller's. */
int plans_start(struct plans *plans, const Drover__V1__PlanRequest *request, Drover__V1__Job *job,
                const char *by, struct error *err);

/* *ret_text says what it means now (freed by the caller). NOT_FOUND: no open plan of that id. */
int plans_pause(struct plans *plans, uint64_t id, bool resume, const char *by, char **ret_text,
                struct error *err);
int plans_cancel(struct plans *plans, uint64_t id, bool now, const char *by, char **ret_text,
                 struct error *err);

/* An open plan's job; NULL if there is none of that id. Good until the next change. */
const Drover__V1__Job *plans_job(const struct plans *plans, uint64_t id);
/* Oldest first; returns how many there are, which may be more than `max`. */
size_t plans_jobs(const struct plans *plans, const Drover__V1__Job **ret, size_t max);

/* As driver_watch, of an open plan. */
struct plans_watch;
struct plans_watch *plans_watch(struct plans *plans, uint64_t job,
                                void (*fn)(void *arg, const Drover__V1__Job *job), void *arg);
struct plans_watch *plans_unwatch(struct plans_watch *watch);

/* After each change of the fleet's snapshot. */
void plans_fleet_changed(struct plans *plans);

/* How many guests evacuations took from the host that are not back. */
int plans_away(const struct plans *plans, const struct fleet_host *host, size_t *ret, struct error *err);

/* Durable. *ret_changed: it was not so before. FAILED_PRECONDITION: a plan empties the host, which is to leave maintenance. */
int plans_set_maintenance(struct plans *plans, struct fleet_host *host, bool on, bool *ret_changed,
                          struct error *err);
