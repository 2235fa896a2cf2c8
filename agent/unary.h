/* The shape of the simpler handlers: admit the message, step, answer. Owned by whoever made it; freed by its `done`. */
#pragma once

#include "agent/transaction.h"

struct unary {
    struct operation op;
    struct rpc_call *call;
    const Drover__V1__Step *step;
    enum participant_role role;
    bool stepped; /* `out` holds; else err does */
    bool late;    /* there is no record of it, and it can do nothing any more */
    struct outcome out;
    struct error err;
};

/* Loop. Fails the call (and returns false, the caller frees) if the message names no UUIDs. */
bool unary_begin(struct unary *u, struct transactions *all, const Drover__V1__Step *step,
                 enum participant_role role, struct rpc_call *call);

/* Worker, before the first effect of a handler that has some of its own: false if the message is refused, and `err` says why. */
bool unary_admit(struct unary *u, enum admission how);

/* Worker. `create`: an unknown transaction of a new generation gets a record. */
void unary_work(struct unary *u, enum participant_event event, enum admission how);

/* Loop. Fails the call and returns false unless there is an answer to give; does the loop's part of the actions. */
bool unary_answered(struct unary *u);
