/* Could a host be emptied now? Asked by a dry run, and told. */
#pragma once

#include "cli/command.h"
#include "proto/coordinator.pb-c.h"

/* `how`: an evacuation; the host is filled in. With --json, the job goes to `all`. 1: it can be emptied, 0: it can't; negative:
 * it could not be asked, and that was told. */
int drill(struct cli *cli, const char *host, const Drover__V1__PlanRequest *how, json_t *all);
