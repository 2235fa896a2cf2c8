#include "coordinator/core/plan_goal.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_remarks.h"
#include "coordinator/core/text.h"
#include "coordinator/core/under_way.h"

#include <stdlib.h>

typedef Drover__V1__PlanStep Step;

struct goal_run {
    const struct plan_making *in;
    const struct plan_goal *goal;
    struct planner_view *view;
    bool *wanted; /* by the planner's guest; MOVE */
    uint32_t *group;
    Drover__V1__Job *job;
};

void plan_goal_deinit(struct plan_goal *goal)
{
    free(goal->from);
    free(goal->to);
    *goal = (struct plan_goal){0};
}

static const char *busy(void *arg, const char *uuid)
{
    const struct plan_making *in = arg;
    return in->busy ? in->busy(in->arg, uuid) : NULL;
}

static bool recent(void *arg, const char *uuid)
{
    const struct plan_making *in = arg;
    return in->recent && in->recent(in->arg, uuid);
}

static void policy_of(void *arg, const Drover__V1__Guest *guest, Drover__V1__Policy *ret)
{
    plan_policy(arg, guest, ret);
}

static struct planner_view *look(const struct plan_making *in)
{
    const struct fleet *fleet = in->fleet;
    _cleanup_free_ bool *closed = xcalloc(fleet->n_hosts + 1, sizeof(*closed));
    for (size_t i = 0; i < fleet->n_hosts; i++)
        closed[i] = fleet->hosts[i].maintenance || (in->emptied && in->emptied[i]);
    struct promised *promised = under_way_promised(fleet, in->open, in->n_open, NULL);
    const struct planner_view_of of = {.fleet = fleet,
                                       .policy = in->policy,
                                       .policy_of = policy_of,
                                       .mode = in->request->mode,
                                       .accept = in->request->accept,
                                       .n_accept = in->request->n_accept,
                                       .copy_storage = in->request->copy_storage,
                                       .promised = promised,
                                       .open = in->open,
                                       .n_open = in->n_open,
                                       .closed = closed,
                                       .busy = busy,
                                       .recent = recent,
                                       .arg = (void *)in};
    struct planner_view *view = planner_view_new(&of);
    free(promised);
    return view;
}

static Step *add_step(const struct goal_run *r, uint32_t guest, const char *from)
{
    const struct fleet_guest *g = r->view->guests[guest];
    Step *s = plan_add(r->job, g->guest, from);
    s->group = r->group[guest];
    return s;
}

static const char *host_name(const struct goal_run *r, uint32_t host)
{
    return r->view->fleet.hosts[host].name;
}

static void add_moves(const struct goal_run *r, const struct planner_plan *plan)
{
    size_t first = r->job->n_steps;
    for (uint32_t i = 0; i < plan->n_moves; i++) {
        const struct planner_move *m = &plan->moves[i];
        Step *s = add_step(r, m->guest, host_name(r, m->from));
        _cleanup_free_ char *why = planner_move_why(&r->view->fleet, m);
        set_text(&s->to, host_name(r, m->to));
        set_text(&s->why, why);
        s->waits = m->waits;
        s->after = m->after == PLANNER_NONE ? 0 : (uint32_t)first + m->after + 1;
        plan_note(r->in, s);
    }
}

/* The planner says why in one line for all hosts; the rules say it host by host, with what to do. */
static void add_stuck(const struct goal_run *r, const struct planner_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_stuck; i++) {
        const struct planner_stuck *stuck = &plan->stuck[i];
        Step *s = add_step(r, stuck->guest, r->view->guests[stuck->guest]->host->name);
        plan_place(r->in, r->job, s);
        if (s->to
                [0]) { /* the rules would let it go: what holds it is the operator's own wish, or room for all together */
            _cleanup_free_ char *todo =
                xasprintf("see `guests:` and `groups:` in coordinator.yaml, or choose for it: "
                          "drover migrate %s --to %s",
                          s->guest, s->to);
            set_text(&s->to, "");
            set_text(&s->todo, todo);
        }
        set_text(&s->why, stuck->why);
        s->state = DROVER__V1__STEP_STATE__STEP_FAILED;
    }
}

/* What is really used counts; what may come to be used decides between hosts that are alike in that. */
static const struct planner_weights by_use = {
    .memory = 1, .memory_max = 0.25, .cpu_load = 1, .vcpus = 0.1, .guests = 0.01};

void plan_goal_run(const struct plan_making *in, const struct plan_goal *goal, Drover__V1__Job *job,
                   char **ret_emptied)
{
    struct goal_run r = {.in = in, .goal = goal, .job = job, .view = look(in)};
    const struct planner_fleet *fleet = &r.view->fleet;
    r.wanted = xcalloc(fleet->n_guests + 1, sizeof(*r.wanted));
    r.group = xcalloc(fleet->n_guests + 1, sizeof(*r.group));
    for (uint32_t g = 0; g < fleet->n_guests && goal->wanted; g++)
        r.wanted[g] = goal->wanted(in, r.view->guests[g]->guest, r.view->guests[g]->host, &r.group[g]);
    const struct planner_request request = {.goal = goal->goal,
                                            .from = goal->from,
                                            .to = goal->to,
                                            .guests = goal->wanted ? r.wanted : NULL,
                                            .across_sites = goal->across_sites,
                                            .headroom = goal->headroom,
                                            .weights =
                                                r.view->measured ? by_use : (struct planner_weights){0}};
    struct planner *planner = planner_new(fleet);
    struct planner_plan plan;
    planner_run(planner, &request, &plan);
    add_moves(&r, &plan);
    add_stuck(&r, &plan);
    for (uint32_t i = 0; i < plan.n_emptied && ret_emptied; i++)
        text_append(ret_emptied, ",", "%s", host_name(&r, plan.emptied[i]));
    plan_remarks(r.view, goal->goal, &plan, job);
    planner_plan_deinit(&plan);
    planner_free(planner);
    planner_view_free(r.view);
    free(r.wanted);
    free(r.group);
}
