/* One guest's move from the wish to the driver's job: which guest, how, where to, may it, and do the agents prove it; then
 * the driver's. The same for an operator's `drover migrate` and for a step of a plan. All on the loop. */
#pragma once

#include "coordinator/core/policies.h"
#include "coordinator/driver.h"

struct move_config { /* all borrowed; copied by move_start */
    struct loop *loop;
    struct fleet *fleet;
    struct driver *driver;
    struct store *store;
    const Drover__V1__Policy *policy; /* what holds where a request says nothing */
    const struct agents *agents;      /* NULL: nothing is proven by asking them */
    const struct policies *policies;  /* of some guests; may be NULL */
};

struct move;

/* Copies the request; `plan`: the job whose step it is, or 0. done(arg, reply, why) is called once, later: the reply as MigrateGuest gives it (its `job` is 0 when a
 * finding blocks, or on a dry run), or NULL and why. Both are good during the call only. */
struct move *move_start(const struct move_config *config, const Drover__V1__MigrateGuestRequest *request,
                        const char *by, uint64_t plan,
                        void (*done)(void *arg, const Drover__V1__MigrateGuestReply *reply,
                                     const struct error *why),
                        void *arg);

/* Nobody wants to know any more, and nothing moves: done is not called. NULL is fine, and returned. */
struct move *move_cancel(struct move *move);

/* The migrations that are under way. Freed by the caller; the jobs are the driver's, good until it changes. */
const Drover__V1__Job **move_open(const struct driver *driver, size_t *ret_n);
