#include "agent/core/hook.h"

const char *hook_phase_name(enum hook_phase phase)
{
    static const char *const names[HOOK_PHASES] = {"prepare", "commit", "done", "abort"};
    return (unsigned)phase < HOOK_PHASES ? names[phase] : "?";
}

enum hook_phase hook_due(enum participant_state state, const struct hooks_ran *ran)
{
    switch (state) {
    case PARTICIPANT_FENCED:
    case PARTICIPANT_ACTIVATED: return ran->committed ? HOOK_PHASES : HOOK_COMMIT;
    case PARTICIPANT_RELEASED: /* the source's hooks may take longer than the rest */
        return !ran->committed ? HOOK_COMMIT : ran->done ? HOOK_PHASES : HOOK_DONE;
    case PARTICIPANT_KEPT: return ran->prepared && !ran->aborted ? HOOK_ABORT : HOOK_PHASES;
    case PARTICIPANT_TOMBSTONE: /* also of a guest that ran, and was taken back */
    case PARTICIPANT_COLD:
        return (ran->prepared || ran->committed) && !ran->aborted ? HOOK_ABORT : HOOK_PHASES;
    default: return HOOK_PHASES;
    }
}
