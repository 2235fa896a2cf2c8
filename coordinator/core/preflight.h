/* May this guest move from here to there? Pure rules over what the agents reported; all findings are told. */
#pragma once

#include "coordinator/core/fleet.h"

struct preflight {
    const struct fleet *fleet;
    const struct fleet_host *source, *destination;
    const struct fleet_guest *guest; /* as it is at the source */
    Drover__V1__Mode mode;           /* resolved: not MODE_AUTO */
    const Drover__V1__Policy *policy;
    uint64_t promised; /* bytes that open jobs bring to the destination */
    uint64_t open_job; /* on this guest; 0: none */
};

struct findings {
    Drover__V1__Finding **list; /* owned */
    size_t n;
};

void preflight_run(const struct preflight *in, struct findings *out);

/* The id of the rule at that place in the table; NULL past the last. */
const char *preflight_rule_id(size_t index);

void findings_deinit(struct findings *findings);

/* The first that blocks, NULL if none does. */
const Drover__V1__Finding *findings_block(const struct findings *findings);

/* Adds one; takes over the four texts, which were allocated. */
void finding_add(struct findings *findings, const char *id, Drover__V1__Severity severity, char *subject,
                 char *seen, char *expected, char *todo);

/* MODE_AUTO is live, or for a guest that is shut off the move of its definition; so is MODE_OFFLINE of such a guest. What
 * does not fit the guest's state otherwise is left for the rules to refuse. */
Drover__V1__Mode preflight_mode(Drover__V1__Mode asked, const Drover__V1__Guest *guest);

/* What the guest may come to use, and what would be left at the destination for others (negative: missing). */
uint64_t preflight_need(const Drover__V1__Guest *guest);
int64_t preflight_room(const struct fleet_host *destination, uint64_t promised,
                       const Drover__V1__Guest *guest);
