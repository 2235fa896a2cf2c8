/* Inside the planner: finding places. All of it is deterministic, and bounded by `effort`, a number of places looked at. */
#pragma once

#include "coordinator/core/planner_state.h"

struct search {
    struct state *state;
    const bool *wanted;   /* by unit: moves anyway, so that another place for it costs nothing */
    const uint32_t *todo; /* the wanted ones that can move */
    uint32_t n_todo;
    int64_t effort; /* left */
};

/* The best place for the unit by the score; PLANNER_NONE if it fits nowhere. */
uint32_t search_best(const struct state *state, uint32_t unit);

/* The first by name. */
uint32_t search_first(const struct state *state, uint32_t unit);

/* Puts what fits, the largest first, and clears `open` of it. */
void search_place(struct search *search, uint32_t (*where)(const struct state *state, uint32_t unit));

/* planner_room.c: moves others aside for those that found no place. */
void search_make_room(struct search *search);

/* Moves and swaps the units of `todo` while that pays. */
void search_improve(struct search *search);

/* planner_goals.c */
void search_balance(struct search *search);
void search_consolidate(struct search *search);

/* The two may change places, as things are otherwise. Leaves them changed if so. */
bool search_swap(struct state *state, uint32_t a, uint32_t b);

/* A score is better when it is so by more than what rounding does. */
static inline bool better(double score, double than)
{
    return score < than - 1e-9;
}
