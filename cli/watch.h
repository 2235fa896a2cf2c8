/* Following jobs to their end: a display on a terminal, lines elsewhere, nothing with --json. */
#pragma once

#include "cli/command.h"
#include "proto/coordinator.pb-c.h"

#include <stddef.h>
#include <stdint.h>

/* Takes the jobs as they are now (jobs[i] owned by the array, replaced by what they become). Returns the exit code:
 * that of the only job, or of all; EXIT_PARTLY when some are done and some are not. */
int watch_jobs(struct cli *cli, Drover__V1__Job **jobs, size_t n);
