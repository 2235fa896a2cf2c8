/* Could a host be emptied now? Asked by a dry run, and told. */
#pragma once

#include "cli/command.h"
#include "proto/coordinator.pb-c.h"

/* `how`: an evacuation; the host is filled in. With --json, the job goes to `all`, or why there is none: {"source", "error"}. The exit
 * code: EXIT_DONE: it can be emptied; EXIT_REFUSED: it can't, or may not be asked; EXIT_UNREACHABLE and the like: it could not be
 * asked, and that was told. */
int drill(struct cli *cli, const char *host, const Drover__V1__PlanRequest *how, json_t *all);

/* Prints `all`, which it takes, with --json. Returns `exit`. */
int drill_end(struct cli *cli, json_t *all, int exit);

/* Of several hosts: the coordinator that is lost in the middle comes before what was said of the hosts. */
int drill_join(int so_far, int exit);
