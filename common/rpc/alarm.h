/* One timer on nng's threads, for what must be timed without a loop. fn runs on an nng thread, never twice at a time. */
#pragma once

#include <stdint.h>

struct alarm;

struct alarm *alarm_new(void (*fn)(void *arg), void *arg);

/* Runs fn(arg) at `when` (clock_monotonic_ms) or a little later; an earlier time that is already set stays. Any thread.
 * It is cheap when a time before `when` is set. */
void alarm_at(struct alarm *a, int64_t when);

/* Waits for fn, which never runs again after; not from fn. alarm_at may still be called and does nothing. */
void alarm_stop(struct alarm *a);
void alarm_free(struct alarm *a); /* after alarm_stop */
