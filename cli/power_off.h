/* drover consolidate --power-off-hook: the operator's command for each host that a consolidation has emptied. */
#pragma once

#include "cli/command.h"
#include "proto/coordinator.pb-c.h"

/* After the consolidation `job`, made by `request`. Each of its emptied hosts goes into maintenance, and is proven empty,
 * before the command is run for it. Returns the exit code. */
int power_off(struct cli *cli, const struct args *args, const Drover__V1__PlanRequest *request,
              const Drover__V1__Job *job);
