/* What goes on beside a plan: the migrations under way, and the other plans. */
#include "coordinator/plans_internal.h"

#include "common/base/memory.h"
#include "coordinator/core/plan_emptied.h"

#include <stdlib.h>

void plan_besides_take(const struct plans *plans, const struct plan_run *but, struct plan_besides *ret)
{
    const struct fleet *fleet = plans->config.fleet;
    *ret = (struct plan_besides){.promised = move_promised(fleet, plans->config.driver),
                                 .emptied = xcalloc(fleet->n_hosts + 1, sizeof(bool))};
    for (const struct plan_run *r = plans->runs; r; r = r->next)
        for (size_t i = 0; r != but && i < fleet->n_hosts; i++)
            ret->emptied[i] |= plan_empties(r->job, fleet->hosts[i].name);
}

void plan_besides_deinit(struct plan_besides *b)
{
    free(b->promised);
    free(b->emptied);
    *b = (struct plan_besides){0};
}

struct plan_making plan_run_making(const struct plan_run *run, const struct plan_besides *besides)
{
    return (struct plan_making){.fleet = run->plans->config.fleet,
                                .request = run->request,
                                .policy = &run->policy,
                                .promised = besides->promised,
                                .emptied = besides->emptied};
}
