#include "coordinator/core/plan_remarks.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/plan_make.h"
#include "coordinator/core/text.h"

#include <fnmatch.h>
#include <stdlib.h>

enum { NAMED = 3 }; /* so many are named, the others counted */

void plan_remark(Drover__V1__Job *job, char *text)
{
    job->remarks = xrealloc(job->remarks, job->n_remarks + 1, sizeof(*job->remarks));
    job->remarks[job->n_remarks++] = text;
}

struct list {
    char *names;
    uint32_t n;
};

static void list_add(struct list *list, const char *name)
{
    if (list->n++ < NAMED)
        text_append(&list->names, ", ", "%s", name);
}

static char *list_end(struct list *list)
{
    if (list->n > NAMED)
        text_append(&list->names, " and ", "%u more", list->n - NAMED);
    return list->names;
}

static void remark_unmeasured(const struct planner_view *view, Drover__V1__Job *job)
{
    struct list list = {0};
    for (uint32_t i = 0; i < view->fleet.n_hosts; i++)
        if (planner_view_unmeasured(view, i))
            list_add(&list, view->fleet.hosts[i].name);
    _cleanup_free_ char *names = list_end(&list);
    if (!view->measured)
        plan_remark(
            job,
            xstrdup("no agent has measured its host's load yet (that takes half a minute from its start): "
                    "planned by memory and vCPUs"));
    else if (names)
        plan_remark(
            job, xasprintf("%s: the load is not measured yet, and taken to be like the other hosts'", names));
}

/* ---- the spread -------------------------------------------------------------------------------------------------- */

struct spread {
    double least, most;
};

static void widen(struct spread *s, double x)
{
    s->least = x < s->least ? x : s->least;
    s->most = x > s->most ? x : s->most;
}

/* Of hosts that may have guests, in percent. */
static struct spread spread_of(const struct planner_fleet *fleet, const double *now, const double *all)
{
    struct spread s = {.least = 1e9, .most = 0};
    for (uint32_t i = 0; i < fleet->n_hosts; i++)
        if (fleet->hosts[i].takes && !fleet->hosts[i].maintenance && all[i] > 0)
            widen(&s, 100 * now[i] / all[i]);
    return s;
}

static void add_spread(char **text, const char *what, const struct planner_fleet *fleet, double *now,
                       const double *change, const double *all)
{
    struct spread before = spread_of(fleet, now, all);
    for (uint32_t i = 0; i < fleet->n_hosts; i++)
        now[i] += change[i];
    struct spread after = spread_of(fleet, now, all);
    if (before.least > before.most)
        return;
    text_append(text, "; ", "%s %.0f %% to %.0f %%", what, before.least, before.most);
    text_append(text, ", ", "then %.0f %% to %.0f %%", after.least, after.most);
}

static void remark_spread(const struct planner_view *view, const struct planner_plan *plan,
                          Drover__V1__Job *job)
{
    const struct planner_fleet *f = &view->fleet;
    size_t n = f->n_hosts + 1;
    _cleanup_free_ double *sums = xcalloc(6 * n, sizeof(*sums));
    double *cpu = sums, *cpu_change = sums + n, *cpus = sums + 2 * n;
    double *memory = sums + 3 * n, *memory_change = sums + 4 * n, *memory_all = sums + 5 * n;
    _cleanup_free_ char *text = NULL;
    for (uint32_t i = 0; i < f->n_hosts; i++) {
        const struct planner_host *h = &f->hosts[i];
        uint64_t free_bytes = h->memory_free + h->huge_free[PLANNER_HUGE_2M] + h->huge_free[PLANNER_HUGE_1G];
        cpu[i] = h->cpu_load / 1000.0;
        cpus[i] = h->cpus;
        memory[i] = h->memory_total > free_bytes ? (double)(h->memory_total - free_bytes) : 0;
        memory_all[i] = (double)h->memory_total;
    }
    for (uint32_t i = 0; i < f->n_guests; i++)
        cpu[f->guests[i].host] += f->guests[i].cpu_load / 1000.0;
    for (uint32_t i = 0; i < plan->n_moves; i++) {
        const struct planner_move *m = &plan->moves[i];
        const struct planner_guest *g = &f->guests[m->guest];
        double bytes = (double)(g->pages + (g->used ? g->used : g->memory));
        cpu_change[m->from] -= g->cpu_load / 1000.0;
        cpu_change[m->to] += g->cpu_load / 1000.0;
        memory_change[m->from] -= bytes;
        memory_change[m->to] += bytes;
    }
    if (view->measured)
        add_spread(&text, "CPU time in use, by host:", f, cpu, cpu_change, cpus);
    add_spread(&text, "memory in use, by host:", f, memory, memory_change, memory_all);
    if (text)
        plan_remark(job, steal(&text));
}

/* ----------------------------------------------------------------------------------------------------------------- */

static void remark_recent(const struct planner_view *view, Drover__V1__Job *job)
{
    struct list list = {0};
    for (uint32_t i = 0; i < view->fleet.n_guests; i++)
        if (view->fleet.guests[i].recent)
            list_add(&list, view->fleet.guests[i].name);
    _cleanup_free_ char *names = list_end(&list);
    if (names)
        plan_remark(job, xasprintf("left where they are, because they moved within the last %d min: %s",
                                   PLAN_RECENT_MS / 60000, names));
}

void plan_remark_elsewhere(const struct fleet *fleet, const char *pattern, const char *site,
                           Drover__V1__Job *job)
{
    struct list list = {0};
    for (size_t h = 0; h < fleet->n_hosts; h++)
        for (size_t g = 0; g < fleet->hosts[h].n_guests; g++) {
            const char *guest = fleet->hosts[h].guests[g].guest->name;
            _cleanup_free_ char *where = xasprintf("%s on %s", guest, fleet->hosts[h].name);
            if (fnmatch(pattern, guest, 0) == 0)
                list_add(&list, where);
        }
    _cleanup_free_ char *names = list_end(&list);
    plan_remark(job,
                xasprintf("no guest at %s fits '%s'; those that do are elsewhere: %s", site, pattern, names));
}

void plan_remarks(const struct planner_view *view, enum planner_goal goal, const struct planner_plan *plan,
                  Drover__V1__Job *job)
{
    if (goal != PLANNER_BALANCE && goal != PLANNER_CONSOLIDATE)
        return;
    if (goal == PLANNER_BALANCE && !plan->n_moves)
        plan_remark(job, xstrdup("nothing to gain: no move would make the load enough more even"));
    remark_unmeasured(view, job);
    remark_spread(view, plan, job);
    if (goal == PLANNER_BALANCE)
        remark_recent(view, job);
}
