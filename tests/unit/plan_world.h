/* A small fleet and a plan, for the tests of plans: events go in, and what is done about them is a line of words. */
#pragma once

#include "coordinator/core/plan.h"
#include "coordinator/core/plan_make.h"
#include "coordinator_made.h"

#define DONE DROVER__V1__JOB_STATE__JOB_DONE
#define UUID_C "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
#define UUID_D "dddddddd-dddd-4ddd-8ddd-dddddddddddd"

struct world {
    struct fleet fleet;
    Drover__V1__Policy policy;
    Drover__V1__PlanRequest request;
    Drover__V1__Job job;
    struct plan plan;
    int64_t now;
    int64_t wait_ms;  /* of the last WAIT */
    char trace[1000]; /* actions since the last event, "JOURNAL START0 ..." */
    char told[2000];
};

/* kvm1 with web1 and web2 (running) and cold1 (shut off); kvm2, and kvm3 with less room. */
void world_setup(struct world *w);
/* Three steps to kvm2, in a known order. */
void world_plan(struct world *w);
void world_teardown(struct world *w);

const char *world_feed(struct world *w, struct plan_event event);
#define feed(...) world_feed(&w, (struct plan_event){__VA_ARGS__})

void world_place(struct world *w, size_t step);
void world_started(struct world *w, size_t step, uint64_t job);
const char *world_ended(struct world *w, size_t step, Drover__V1__JobState outcome);

/* The host's agent tells that it hasn't the guest any more. */
void world_gone(struct world *w, const char *host, const char *uuid);
Drover__V1__StepState world_state(const struct world *w, size_t step);
