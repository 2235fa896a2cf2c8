/* Asks the agents what a plan (core/probe_plan) wants to know, side by side and within a deadline. All on the loop. */
#pragma once

#include "coordinator/core/evidence.h"
#include "coordinator/io/agents.h"

struct probes;

/* Takes the evidence over; done(arg, evidence) hands it back, once, later, on the loop: when all is answered, or PROBES_MS
 * (PROBES_NAMES_MS, where names are asked) after the start with what is missing marked FAILED. Until then hosts of the fleet must stay (they do). */
struct probes *probes_start(struct loop *loop, const struct agents *agents, struct evidence *evidence,
                            void (*done)(void *arg, struct evidence *evidence), void *arg);

/* Nobody wants to know any more: done is not called. What was made at the hosts is told to go, and goes by itself when its
 * lease is over. Returns NULL. */
struct probes *probes_cancel(struct probes *probes);
