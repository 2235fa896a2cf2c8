/* Is a host ready for migration? Pure rules over its report, what its agent found out, and what another host could reach. */
#pragma once

#include "coordinator/core/preflight.h"

/* A move that is open at the host, and that no job of this coordinator knows. */
struct doctor_held {
    const char *guest; /* UUID */
    bool source;       /* else the host is its destination */
    const char *state; /* as the agent calls it */
};

struct doctor {
    const struct fleet *fleet;
    const struct fleet_host *host, *peer; /* peer: who tried its ports; NULL: nobody */
    const struct evidence *evidence;
    int64_t now_ms; /* since 1970 */
    const struct doctor_held *held;
    size_t n_held;
};

void doctor_run(const struct doctor *in, struct findings *out);

/* The id of the rule at that place in the table; NULL past the last. */
const char *doctor_rule_id(size_t index);

/* What its findings mean; those that preflight has, too, are told there. */
bool doctor_about(size_t index, struct finding_about *ret);

/* The next hypervisor after `host` that is up, to try its ports from. */
const struct fleet_host *doctor_peer(const struct fleet *fleet, const struct fleet_host *host);
