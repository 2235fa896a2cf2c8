/* What a transfer tells, each decision once: a coordinator may hear of one as it is taken, and again from the source's story. */
#pragma once

#include "proto/coordinator.pb-c.h"
#include "proto/journal.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* True if it was not heard of yet, and the journal knows of it now, which is stored with the log. `run` is 0 from an agent that
 * does not number them. */
bool heard_anew(Drover__V1__Journal *journal, uint64_t run, uint32_t number);

/* The job gets the forecast, the decisions and the passes that it lacks; `max`: as of job_log. */
void heard_story(Drover__V1__Job *job, Drover__V1__Journal *journal, const Drover__V1__Story *story,
                 size_t max);
