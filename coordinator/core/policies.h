/* Which policy holds for a guest: coordinator.yaml's `policies:`, by the guest's name or by the labels in its definition
 * (<drover:guest xmlns:drover="urn:drover:guest"><drover:label>TEXT</drover:label></drover:guest> in <metadata>). Pure. */
#pragma once

#include "common/base/error.h"
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

/* The fields that an order gives (their names; `given` NULL: all unset), over the guest's policy, or over `fallback` where none is its own
 * (or `policies` is NULL). *ret_intent (may be NULL): that policy, NULL if it is the fallback. */
int policies_hold(const struct policies *policies, const Drover__V1__Policy *fallback,
                  const Drover__V1__Guest *guest, const Drover__V1__Policy *given, char *const *fields,
                  size_t n_fields, Drover__V1__Policy *ret, const struct intent **ret_intent,
                  struct error *err);

/* "db (db-*): pause up to 200 ms, deadline 30 min, may use post-copy"; `intent` NULL: the default. Freed by the caller. */
char *policies_say(const struct intent *intent, const Drover__V1__Policy *policy);
