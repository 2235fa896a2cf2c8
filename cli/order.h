/* The options that say how guests are to be moved: of migrate, check, and of plans. */
#pragma once

#include "cli/args.h"
#include "proto/coordinator.pb-c.h"

struct order {
    Drover__V1__MigrateGuestRequest request;
    Drover__V1__Policy policy;
    char *given[4];
    char **accept; /* owned; the strings are the command line's */
};

/* Points into itself and into the arguments: not to be copied. */
int order_parse(const struct args *args, struct order *order, struct error *err);
/* The same for each guest of a plan; points into the order. */
void order_of_plan(const struct order *order, Drover__V1__PlanRequest *plan);
void order_deinit(struct order *order);

#define MODE_OPTION                                                                                          \
    {                                                                                                        \
        "mode", "MODE",                                                                                      \
            "auto (default), live, post-copy, or offline: paused for the whole transfer, however long, "     \
            "also where the policy's allow has no offline",                                                  \
            false                                                                                            \
    }

#define POLICY_OPTIONS                                                                                       \
    {"max-pause", "TIME", "the longest pause that is fine, e.g. 500ms or 2s (default: the policy's)",        \
     false},                                                                                                 \
        {"deadline", "TIME",                                                                                 \
         "how long the memory's transfer may take, e.g. 10m; disks come before it (default: the policy's)",  \
         false},                                                                                             \
        {"bandwidth", "RATE", "the most it may use, e.g. 100MiB/s or 1gbit (default: the policy's)", false}, \
    {                                                                                                        \
        "allow", "LIST", "means allowed when live can't win: offline, auto-converge, post-copy, or none",    \
            false                                                                                            \
    }

#define ACCEPT_OPTION                                                                                        \
    {                                                                                                        \
        "accept", "ID", "let this finding not block (where `drover check --explain ID` allows it)", true     \
    }

#define COPY_OPTION                                                                                          \
    {                                                                                                        \
        "copy-storage", NULL, "copy disks that the hosts don't share to the destination's own storage",      \
            false                                                                                            \
    }
