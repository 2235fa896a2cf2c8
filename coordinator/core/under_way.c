#include "coordinator/core/under_way.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <strings.h>

typedef Drover__V1__PlanStep Step;

static bool counts(const Step *s, enum under_way_what what)
{
    if (s->state == DROVER__V1__STEP_STATE__STEP_RUNNING)
        return !s->job;
    return what == UNDER_WAY_OPEN && s->state == DROVER__V1__STEP_STATE__STEP_WAITING && s->to[0];
}

/* As its migration will be told of. */
static void take(struct under_way *u, const Drover__V1__Job *plan, const Step *s, Drover__V1__Job *as)
{
    drover__v1__job__init(as);
    as->plan = plan->id;
    as->guest = s->guest;
    as->guest_uuid = s->guest_uuid;
    as->source = s->from;
    as->destination = s->to;
    as->mode = s->mode;
    as->disk_bytes = s->disk_bytes;
    as->phase = (char *)"preparing";
    as->forecast = s->forecast;
    u->list[u->n++] = as;
}

void under_way_init(struct under_way *u, const Drover__V1__Job *const *open, size_t n_open,
                    const Drover__V1__Job *const *plans, size_t n_plans, enum under_way_what what)
{
    size_t n = 0;
    for (size_t p = 0; p < n_plans; p++)
        for (size_t i = 0; i < plans[p]->n_steps; i++)
            n += counts(plans[p]->steps[i], what);
    *u = (struct under_way){.list = xcalloc(n_open + n + 1, sizeof(*u->list)),
                            .steps = xcalloc(n + 1, sizeof(*u->steps))};
    while (u->n < n_open) {
        u->list[u->n] = open[u->n];
        u->n++;
    }
    for (size_t p = 0; p < n_plans; p++)
        for (size_t i = 0; i < plans[p]->n_steps; i++)
            if (counts(plans[p]->steps[i], what))
                take(u, plans[p], plans[p]->steps[i], &u->steps[u->n - n_open]);
}

void under_way_deinit(struct under_way *u)
{
    free(u->list);
    free(u->steps);
    *u = (struct under_way){0};
}

struct promised *under_way_promised(const struct fleet *fleet, const Drover__V1__Job *const *open, size_t n,
                                    const char *but_guest)
{
    struct promised *sums = xcalloc(fleet->n_hosts + 1, sizeof(*sums));
    for (size_t i = 0; i < n; i++) {
        const char *uuid = open[i]->guest_uuid;
        const struct fleet_host *from = fleet_host(fleet, open[i]->source);
        const struct fleet_host *to = fleet_host(fleet, open[i]->destination);
        const struct fleet_guest *guest = from ? fleet_guest_on(from, uuid) : NULL;
        if (to && guest && fleet_guest_active(guest->guest) && !fleet_guest_on(to, uuid) &&
            !(but_guest && strcasecmp(uuid, but_guest) == 0))
            promised_add(&sums[to - fleet->hosts], guest);
    }
    return sums;
}
