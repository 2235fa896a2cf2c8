/* Which policy holds for a guest: coordinator.yaml's `policies:`, by the guest's name or by the labels in its definition
 * (<drover:guest xmlns:drover="urn:drover:guest"><drover:label>TEXT</drover:label></drover:guest> in <metadata>). Pure. */
#pragma once

#include "coordinator/core/guest_rules.h"
#include "proto/types.pb-c.h"

struct intent {
    char *name;
    struct names guests, labels; /* patterns; one that fits is enough */
    Drover__V1__Policy policy;   /* complete: what it leaves out is the default's */
};

struct policies {
    struct intent *list; /* in the file's order, without the default */
    size_t n;
};

void policies_deinit(struct policies *policies);

/* The first that fits; NULL: the default holds. */
const struct intent *policies_find(const struct policies *policies, const Drover__V1__Guest *guest);

/* "db (db-*): pause up to 200 ms, deadline 30 min, may use post-copy"; `intent` NULL: the default. Freed by the caller. */
char *policies_say(const struct intent *intent, const Drover__V1__Policy *policy);
