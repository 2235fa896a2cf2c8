/* A job as the samples tell it: a link of 100 MiB/s, and a guest whose pages come back at each sync. */
#pragma once

#include "agent/core/ladder.h"

#define MiB (INT64_C(1) << 20)

struct job {
    struct ladder ladder;
    struct ladder_start start;
    struct ladder_sample now;
    struct ladder_actions last;
    char log[4096];
};

extern const struct ladder_policy usual, unlimited;

struct model_input guest_of(int64_t memory_mib);
void job_start(struct job *j, const struct ladder_policy *policy, const struct model_input *guest);
void step(struct job *j);

/* 100 MiB/s for `ms`, in samples of 100 ms. Stops at an action. */
void sends(struct job *j, int64_t ms);

/* The pass ends; then `mib` remain. */
void sync_with(struct job *j, int64_t mib);
