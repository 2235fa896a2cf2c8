#include "ladder_job.h"

#include <stdio.h>
#include <string.h>

struct model_input guest_of(int64_t memory_mib)
{
    return (struct model_input){.memory = memory_mib * MiB, .bandwidth = 100 * MiB, .overhead = 100};
}

void job_start(struct job *j, const struct ladder_policy *policy, const struct model_input *guest)
{
    *j = (struct job){.now = {.iteration = 1, .remaining = guest->memory, .bandwidth = 100 * MiB}};
    ladder_init(&j->ladder, policy, guest, &j->start);
}

void step(struct job *j)
{
    ladder_step(&j->ladder, &j->now, &j->last);
    if (j->last.action == LADDER_NOTHING)
        return;
    size_t n = strlen(j->log);
    snprintf(j->log + n, sizeof(j->log) - n, "%.1f %s: %s\n", (double)j->now.elapsed / 1e3,
             ladder_rung_name(j->last.rung), j->last.why);
}

void sends(struct job *j, int64_t ms)
{
    for (int64_t t = 0; t < ms; t += 100) {
        int64_t bytes = 10 * MiB < j->now.remaining ? 10 * MiB : j->now.remaining;
        j->now.elapsed += 100;
        j->now.sent += bytes;
        j->now.remaining -= bytes;
        if (j->now.paused)
            j->now.paused_for += 100;
        step(j);
        if (j->last.action != LADDER_NOTHING)
            return;
    }
}

void sync_with(struct job *j, int64_t mib)
{
    j->now.iteration++;
    j->now.remaining = mib * MiB;
    step(j);
}

const struct ladder_policy usual = {.max_pause = 3000, .deadline = 1800000, .offline = true};
const struct ladder_policy unlimited = {.deadline = 1800000, .offline = true};
