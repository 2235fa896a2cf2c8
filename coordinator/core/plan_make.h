/* Which guests a plan moves, and where to: pure, from the fleet's snapshot. */
#pragma once

#include "coordinator/core/plan.h"
#include "coordinator/core/policies.h"
#include "coordinator/core/preflight.h"

struct plan_away {            /* a guest that an evacuation took from its host */
    char *guest_uuid, *guest; /* owned */
};

/* `balance` leaves a guest alone for so long after it moved, however that came: what is measured settles, and two balances in turn
 * don't send it back and forth. Asked for otherwise, it moves at once. */
enum { PLAN_RECENT_MS = 30 * 60000 };

struct plan_making {
    const struct fleet *fleet;
    const Drover__V1__PlanRequest *request;
    const Drover__V1__Policy
        *policy; /* what holds where neither the request nor the guest's own says anything */
    const struct policies *policies;    /* of some guests; may be NULL */
    const Drover__V1__Job *const *open; /* moves outside the plan, under way and to come (under_way.h) */
    size_t n_open;
    const struct plan_away *away; /* of a return */
    size_t n_away;
    bool leaves;         /* of a return: its host leaves maintenance by it */
    const bool *emptied; /* by host: another plan empties it. May be NULL */
    /* Why the guest is to be left alone, NULL if it isn't. May be NULL. */
    const char *(*busy)(void *arg, const char *guest_uuid);
    /* It moved within PLAN_RECENT_MS. May be NULL. */
    bool (*recent)(void *arg, const char *guest_uuid);
    void *arg;
};

/* Fills the job's kind, mode, source, destination, and steps with their destinations; a guest that no host can take is a FAILED step.
 * Errors: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION (the host is not known well enough). */
int plan_make(const struct plan_making *in, Drover__V1__Job *job, struct error *err);

/* Chooses a destination for a step that has none (or checks the one that was asked for): `to`, `why`, `notes`; else `to` stays
 * empty, and `why`, `todo` and the findings that block are filled. Of a balance there is no other; of a consolidation only those that
 * the planner would have taken. */
void plan_place(const struct plan_making *in, Drover__V1__Job *job, Drover__V1__PlanStep *step);

/* What holds for the guest's move. */
void plan_policy(const struct plan_making *in, const Drover__V1__Guest *guest, Drover__V1__Policy *ret);

/* Adds what the operator should know of a step that has its destination: warnings, and that the guest is a template. */
void plan_note(const struct plan_making *in, Drover__V1__PlanStep *step);
