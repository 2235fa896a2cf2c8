/* Has each move of a plan proven before anything moves, as `drover check` does for one; all on the loop. */
#pragma once

#include "coordinator/move.h"

struct plan_checks;

/* As a step asks for its move; the strings are the plan's, and `*ret_guest` is freed by the caller. */
Drover__V1__MigrateGuestRequest plan_step_request(const Drover__V1__PlanRequest *plan,
                                                  const Drover__V1__PlanStep *step, char **ret_guest);

/* What its move copies of disks, as its check has found. */
void plan_step_disks(Drover__V1__PlanStep *step, const Drover__V1__MigrateGuestReply *reply);

struct plan_checks_user {
    /* Another place for the step (plan_place). NULL: there is none to be looked for. */
    void (*place)(void *arg, const Drover__V1__PlanRequest *request, Drover__V1__Job *job,
                  Drover__V1__PlanStep *step);
    void *arg;
    void (*done)(void *done_arg); /* once, later */
    void *done_arg;
};

/* Waiting steps that a finding blocks go elsewhere, as they would when the plan is carried out; else they become failed ones (of a
 * balance: skipped ones), with their findings and what to do. Warnings, and what could not be checked, are in a step's notes. Not checked: steps that count on
 * others having made room. Job and request stay the caller's, and must stay until then. */
struct plan_checks *plan_checks_start(const struct move_config *config,
                                      const Drover__V1__PlanRequest *request, Drover__V1__Job *job,
                                      const struct plan_checks_user *user);
struct plan_checks *plan_checks_cancel(struct plan_checks *checks); /* NULL */
