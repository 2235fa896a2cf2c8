/* Messages that are owned and changed in place, as if they had been unpacked. */
#pragma once

#include "common/message/message.h"
#include "proto/coordinator.pb-c.h"

#include <stddef.h>
#include <stdint.h>

/* Replaces a text; NULL is "". */
void set_text(char **field, const char *text);

/* Copies of findings, added to an owned array. */
void findings_add(size_t *n, Drover__V1__Finding ***list, Drover__V1__Finding *const *more, size_t n_more);

/* A line of the job's log, at `now` (ms since 1970). At `max` lines the oldest but the first 20 make room. */
void job_log(Drover__V1__Job *job, uint64_t now, const char *text, size_t max);
