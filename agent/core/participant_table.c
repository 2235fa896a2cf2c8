/* The states and events of both halves: their names, and the table of allowed moves. */
#include "agent/core/participant.h"

#include <string.h>

#define BIT(state) (1u << PARTICIPANT_##state)

static const char *const names[PARTICIPANT_STATES] = {
    [PARTICIPANT_NONE] = "NONE",           [PARTICIPANT_PREPARED] = "PREPARED",
    [PARTICIPANT_MIGRATING] = "MIGRATING", [PARTICIPANT_KEPT] = "KEPT",
    [PARTICIPANT_FENCED] = "FENCED",       [PARTICIPANT_COLD] = "COLD",
    [PARTICIPANT_OWNER] = "OWNER",         [PARTICIPANT_ACTIVATED] = "ACTIVATED",
    [PARTICIPANT_TOMBSTONE] = "TOMBSTONE", [PARTICIPANT_RELEASED] = "RELEASED",
};

static const unsigned moves[2][PARTICIPANT_STATES] = {
    [PARTICIPANT_SOURCE] =
        {
            [PARTICIPANT_NONE] = BIT(PREPARED) | BIT(KEPT) | BIT(FENCED) | BIT(COLD),
            [PARTICIPANT_PREPARED] = BIT(MIGRATING) | BIT(KEPT) | BIT(FENCED),
            [PARTICIPANT_MIGRATING] = BIT(KEPT) | BIT(FENCED),
            [PARTICIPANT_KEPT] = BIT(FENCED),
            [PARTICIPANT_FENCED] = BIT(RELEASED) | BIT(COLD),
        },
    [PARTICIPANT_DESTINATION] =
        {
            [PARTICIPANT_NONE] = BIT(PREPARED) | BIT(TOMBSTONE) | BIT(OWNER) | BIT(RELEASED),
            [PARTICIPANT_PREPARED] = BIT(OWNER) | BIT(TOMBSTONE),
            [PARTICIPANT_OWNER] = BIT(ACTIVATED) | BIT(TOMBSTONE),
            [PARTICIPANT_ACTIVATED] = BIT(RELEASED) | BIT(TOMBSTONE),
        },
};

bool participant_may_move(enum participant_role role, enum participant_state from, enum participant_state to)
{
    return from == to || (moves[role][from] & (1u << to));
}

bool participant_is_open(enum participant_role role, enum participant_state state)
{
    return state != PARTICIPANT_NONE && state != PARTICIPANT_KEPT && moves[role][state] != 0;
}

bool participant_can_be(enum participant_role role, enum participant_state state)
{
    unsigned reachable = BIT(NONE);
    for (unsigned i = 0; i < PARTICIPANT_STATES; i++)
        reachable |= moves[role][i];
    return (unsigned)state < PARTICIPANT_STATES && (reachable & (1u << state));
}

const char *participant_state_name(enum participant_state state)
{
    return (unsigned)state < PARTICIPANT_STATES ? names[state] : "?";
}

const char *participant_event_name(enum participant_event event)
{
    static const char *const event_names[PARTICIPANT_EVENTS] = {
        [PARTICIPANT_PREPARE_YES] = "PREPARE-YES",
        [PARTICIPANT_PREPARE_NO] = "PREPARE-NO",
        [PARTICIPANT_MIGRATE] = "MIGRATE",
        [PARTICIPANT_SETTLE] = "SETTLE",
        [PARTICIPANT_SETTLE_KEPT] = "SETTLE-KEPT",
        [PARTICIPANT_SETTLE_GONE] = "SETTLE-GONE",
        [PARTICIPANT_SETTLE_GRANTED] = "SETTLE-GRANTED",
        [PARTICIPANT_ABORT] = "ABORT",
        [PARTICIPANT_ABORT_TAKEN] = "ABORT-TAKEN",
        [PARTICIPANT_ACTIVATE] = "ACTIVATE",
        [PARTICIPANT_ACTIVATE_COLD] = "ACTIVATE-COLD",
        [PARTICIPANT_RELEASE] = "RELEASE",
        [PARTICIPANT_COLD_START] = "COLD-START",
        [PARTICIPANT_LOOK] = "LOOK",
    };
    return (unsigned)event < PARTICIPANT_EVENTS ? event_names[event] : "?";
}

enum participant_state participant_state_of(const char *name)
{
    for (unsigned i = 0; i < PARTICIPANT_STATES; i++)
        if (strcmp(names[i], name) == 0)
            return (enum participant_state)i;
    return PARTICIPANT_STATES;
}
