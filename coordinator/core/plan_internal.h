/* What the files of a plan's state machine share. */
#pragma once

#include "coordinator/core/plan.h"

#define WAITING DROVER__V1__STEP_STATE__STEP_WAITING
#define RUNNING DROVER__V1__STEP_STATE__STEP_RUNNING
#define DONE DROVER__V1__STEP_STATE__STEP_DONE
#define FAILED DROVER__V1__STEP_STATE__STEP_FAILED
#define SKIPPED DROVER__V1__STEP_STATE__STEP_SKIPPED

/* Good until the next one is appended. */
struct plan_action *plan_do(struct plan_actions *out, enum plan_action_kind kind, size_t step);
__attribute__((format(printf, 2, 3))) void plan_tell(struct plan_actions *out, const char *fmt, ...);

void plan_end_step(Drover__V1__PlanStep *step, Drover__V1__StepState state, const char *why,
                   const char *todo);

/* It waits a little: something else works on the guest. */
void plan_hold(Drover__V1__PlanStep *step, int64_t now, const char *why);

enum plan_anew {
    PLAN_DESTINATION_GONE,
    PLAN_REFUSED,    /* not there again */
    PLAN_NO_STORAGE, /* the same; and it is no try: there are only so many hosts */
};

/* Another destination, if so many were not tried already. */
bool plan_place_anew(Drover__V1__PlanStep *step, size_t i, enum plan_anew why, struct plan_actions *out);

/* ---- plan_start.c ---- */

/* True if the guest is where the step wants it; a guest that isn't there any more has no step to take. */
bool plan_guest_is_there(struct plan *plan, size_t i, const struct fleet *fleet, struct plan_actions *out);

/* The first guest of each pair of hosts must be seen well before the rest follow. */
bool plan_pair_is_proven(const struct plan *plan, const Drover__V1__PlanStep *step);

/* The move that must be done first, of the same guest to its stopover; NULL: none. */
const Drover__V1__PlanStep *plan_first_of(const Drover__V1__Job *job, const Drover__V1__PlanStep *step);

/* As the schedule says (core/schedule.h). Where one can't start after all, its place is another's. */
void plan_start_what_may(struct plan *plan, const struct plan_event *event, struct plan_actions *out);
