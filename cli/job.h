/* Jobs and findings as facts: what they come to. */
#pragma once

#include "proto/coordinator.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* Many moves in one job, with steps and without a guest of its own. */
int job_is_plan(const Drover__V1__Job *job);

/* Whom it is about: the guest, or "evacuate kvm1". */
const char *job_subject(const Drover__V1__Job *job, char buffer[256]);

int job_is_open(const Drover__V1__Job *job);

/* The guest of a plan that is not well where it arrived, the last of them; NULL: none. */
const Drover__V1__PlanStep *job_ill(const Drover__V1__Job *job);

/* Paused for that, and nothing runs any more: it goes on only by an operator's word. */
int job_waits_for_word(const Drover__V1__Job *job);

/* The exit code that tells how it ended; EXIT_DONE for a job that is still open, EXIT_IN_DOUBT for one in doubt. */
int job_exit(const Drover__V1__Job *job);

/* Its guest can't move, or only after another that can't: not one that is no longer there. */
bool job_step_stays(const Drover__V1__PlanStep *step);

/* The exit code for several guests from those of each: EXIT_PARTLY when some are done and some are not; a doubt outweighs
 * everything. */
int exits_join(const int *exits, size_t n);

/* A deep copy, freed with protobuf-c's free function; NULL if it can't be made. */
Drover__V1__Job *job_copy(const Drover__V1__Job *job);

size_t findings_of(Drover__V1__Finding *const *findings, size_t n, Drover__V1__Severity severity);
