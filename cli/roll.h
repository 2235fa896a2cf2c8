/* Carries a rolling maintenance out (rolling.h), from this shell: the coordinator's plans empty and fill the hosts, and the
 * operator's command runs here, so that the coordinator runs nobody's commands. Nothing is kept but what the coordinator
 * keeps: it can be left at any moment, and says then how each host is left and how to go on. */
#pragma once

#include "cli/command.h"
#include "proto/coordinator.pb-c.h"

struct roll_order {
    const char *const *hosts;
    size_t n;
    const char *command;
    int64_t exec_ms, back_ms, steady_ms;
    unsigned parallel;
    bool reboots, power_off;
    const Drover__V1__PlanRequest *evacuate; /* how; the host is filled in */
    const char *here;                        /* this machine's boot id; NULL: not known */
    const char *again_before, *again_after;  /* the command line that goes on, around the hosts; NULL: none */
};

/* Returns the exit code. Tells what happens by roll_say. */
int roll_run(struct cli *cli, const struct roll_order *order);

/* A line for the operator; with --json an object: {"at", "host", "event", "text", "job"}. `host` may be NULL. */
void roll_say(struct cli *cli, const char *host, const char *event, uint64_t job, const char *text);
