/* A plan as the schedule sees it: its steps, and the moves that run besides it. What starts next (plan.c) and the forecast
 * (plan_outlook.c) are both made from this, so that they agree. Pure. */
#pragma once

#include "coordinator/core/link_table.h"
#include "coordinator/core/plan.h"

struct plan_schedule {
    struct link_table links;
    struct schedule_move *moves; /* of each step, by its index; then those outside the plan */
    uint32_t n;
};

/* `open`: all migrations that are under way, of this plan and of others. Strings are borrowed from the arguments. */
void plan_schedule_init(struct plan_schedule *s, const struct fleet *fleet, const Drover__V1__Job *job,
                        const Drover__V1__Job *const *open, size_t n_open);
void plan_schedule_deinit(struct plan_schedule *s);

/* Good as long as `s` is. */
struct schedule plan_schedule_view(const struct plan_schedule *s);

/* What the step's move sends is known: its guest was sampled, and the link was measured. */
bool plan_step_known(const Drover__V1__PlanStep *step);
