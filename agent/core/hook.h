/* When an operator's hooks are due: pure.
 *
 *   prepare  before the vote, by PREPARE itself; one that fails is a no
 *   commit   the guest has been handed over: at the source once it is FENCED, at the destination once it runs
 *   done     and all that was held is given back
 *   abort    it stays at the source, or is there again, where a prepare (or commit) hook had begun
 *
 * Those after prepare run beside the transaction, one phase after the other, and change nothing of it. After a crash a phase that
 * had not ended runs again. */
#pragma once

#include "agent/core/participant.h"

enum hook_phase { HOOK_PREPARE, HOOK_COMMIT, HOOK_DONE, HOOK_ABORT, HOOK_PHASES };

struct hooks_ran {
    bool prepared; /* one of prepare had begun */
    bool committed, done, aborted;
};

/* HOOK_PHASES: none. */
enum hook_phase hook_due(enum participant_state state, const struct hooks_ran *ran);

/* "prepare" */
const char *hook_phase_name(enum hook_phase phase);
