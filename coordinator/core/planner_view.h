/* What the files of the planner's view share. */
#pragma once

#include "coordinator/core/planner_fleet.h"

/* Behind the public view. */
struct view {
    struct planner_view view;
    struct planner_view_of of;
    struct fleet
        nobody; /* without hosts, so that no rule looks for the guest on all of them; with the mappings */
    struct planner_host *hosts;
    struct planner_guest *guests;
    Drover__V1__Policy *policies; /* by guest */
    struct planner_group *groups;
    const char **labels;
    struct named {
        const char *key;
        uint32_t index;
    } * by_uuid; /* sorted */
    uint32_t **groups_of;
    char **texts; /* what strings point to, freed with the view */
    size_t n_texts;
    bool *searched; /* by guest: the whole fleet was searched for another copy of it */
    char **elsewhere;
    char *why; /* of the last why_not */
};

/* The operator accepts findings of that id. */
bool view_accepts(const struct view *v, const char *id);
/* Whether a pin, a label or a group that is to be apart forbids anything. */
bool view_rules_bind(const struct view *v);

struct preflight view_move(const struct view *v, uint32_t guest, const struct fleet_host *to);

/* planner_fleet.why_not; `arg` is the view. */
const char *view_why_not(void *arg, uint32_t guest, uint32_t host);
