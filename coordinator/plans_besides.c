/* What goes on beside a plan: the migrations under way, and the other plans. */
#include "coordinator/plans_internal.h"

#include "common/base/memory.h"
#include "coordinator/core/plan_emptied.h"

#include <stdlib.h>

/* A migration that only waits for a dead host to clear away moves nothing any more. */
static const Drover__V1__Job **moving(const struct driver *driver, size_t *ret_n)
{
    size_t n, kept = 0;
    const Drover__V1__Job **jobs = move_open(driver, &n);
    for (size_t i = 0; i < n; i++)
        if (driver_outcome(driver, jobs[i]->id) == DROVER__V1__JOB_STATE__JOB_UNSET)
            jobs[kept++] = jobs[i];
    *ret_n = kept;
    return jobs;
}

void plan_besides_take(const struct plans *plans, const struct plan_run *but, enum under_way_what what,
                       struct plan_besides *ret)
{
    const struct fleet *fleet = plans->config.fleet;
    size_t n_open, n_plans = 0;
    for (const struct plan_run *r = plans->runs; r; r = r->next)
        n_plans++;
    _cleanup_free_ const Drover__V1__Job **others = xcalloc(n_plans + 1, sizeof(*others));
    *ret = (struct plan_besides){.migrations = moving(plans->config.driver, &n_open),
                                 .emptied = xcalloc(fleet->n_hosts + 1, sizeof(bool))};
    n_plans = 0;
    for (const struct plan_run *r = plans->runs; r; r = r->next) {
        if (r == but)
            continue;
        others[n_plans++] = r->job;
        for (size_t i = 0; r->job->emptied[0] && i < fleet->n_hosts; i++)
            ret->emptied[i] |= plan_empties(r->job, fleet->hosts[i].name);
    }
    under_way_init(&ret->open, ret->migrations, n_open, others, n_plans, what);
}

void plan_besides_deinit(struct plan_besides *b)
{
    under_way_deinit(&b->open);
    free(b->migrations);
    free(b->emptied);
    *b = (struct plan_besides){0};
}

struct plan_making plan_run_making(const struct plan_run *run, const struct plan_besides *besides)
{
    return (struct plan_making){.fleet = run->plans->config.fleet,
                                .request = run->request,
                                .policy = run->plans->config.policy,
                                .policies = run->plans->config.policies,
                                .open = besides->open.list,
                                .n_open = besides->open.n,
                                .emptied = besides->emptied};
}
