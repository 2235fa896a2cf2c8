/* What the facts say of the forecasts of one link: the fixed times that the model can't know (libvirt's start, the end of the
 * job, the handover between these two hosts), learnt from each migration and added to the next forecast. What is off in proportion to
 * a long transfer is its rate's error, and teaches nothing here. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct correction {
    int64_t time;  /* ms to add to the time outside the pause */
    int64_t pause; /* ms to add to a switch-over's overhead */
    int64_t delay; /* ms of the line, one way, as configured; 0: none. Its round trips are added to both */
};

struct correction_case {
    int64_t time, pause; /* ms */
};

/* ms of the round trips while the guest stands still. What a TCP window carries over such a line is in the rate that is measured. */
int64_t correction_round_trips(const struct correction *c);

/* ms to add to the time outside the pause. */
int64_t correction_time(const struct correction *c);

/* ms of a switch-over besides the sending: `expected` is for forecasts, `safe` for limits that a pause must keep to. What was learnt
 * makes a limit lower, never higher. */
int64_t correction_expected(const struct correction *c);
int64_t correction_safe(const struct correction *c);

/* A step half of the way, so that one odd migration is forgotten after some. Where the forecast was of another kind than the
 * fact (stood still or not), or the pause was one of sending, that says nothing of fixed times. */
void correction_learn(struct correction *c, const struct correction_case *forecast,
                      const struct correction_case *fact);
