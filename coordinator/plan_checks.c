#include "coordinator/plan_checks.h"

#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan.h"
#include "coordinator/core/plan_emptied.h"
#include "coordinator/core/plan_size.h"

enum {
    AT_A_TIME = 8,
    AVOIDED_TOLD = 3, /* hosts that refused a guest, in its notes */
};

struct one {
    struct plan_checks *all;
    struct move *move;
    Drover__V1__PlanStep *step;
};

struct plan_checks {
    struct move_config config;
    const Drover__V1__PlanRequest *request;
    Drover__V1__Job *job;
    struct plan_checks_user user;
    size_t next, open;
    struct one running[AT_A_TIME];
    struct loop_timer *turn;
};

Drover__V1__MigrateGuestRequest plan_step_request(const Drover__V1__PlanRequest *plan,
                                                  const Drover__V1__PlanStep *step, char **ret_guest)
{
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    /* Named with its host: should it be elsewhere meanwhile, it is not there, and nothing moves. */
    *ret_guest = xasprintf("%s/%s", step->from, step->guest_uuid);
    request.guest = *ret_guest;
    request.to = step->to;
    request.mode = step->active ? plan->mode : DROVER__V1__MODE__MODE_AUTO;
    request.policy = plan->policy;
    request.policy_given = plan->policy_given;
    request.n_policy_given = plan->n_policy_given;
    request.copy_storage = plan->copy_storage;
    request.accept = plan->accept;
    request.n_accept = plan->n_accept;
    return request;
}

void plan_step_disks(Drover__V1__PlanStep *step, const Drover__V1__MigrateGuestReply *reply)
{
    step->disk_bytes = reply->disk_bytes;
    step->copy_storage = reply->disk_bytes > 0;
}

struct plan_checks *plan_checks_cancel(struct plan_checks *c)
{
    if (c) {
        loop_timer_cancel(c->turn);
        for (size_t i = 0; i < AT_A_TIME; i++)
            move_cancel(c->running[i].move);
        free(c);
    }
    return NULL;
}

static void note(Drover__V1__PlanStep *step, char *text)
{
    step->notes = xrealloc(step->notes, step->n_notes + 1, sizeof(*step->notes));
    step->notes[step->n_notes++] = text;
}

/* A host that guests return to leaves maintenance first; and what works on a guest passes. */
static bool blocks(const struct plan_checks *c, const Drover__V1__Finding *finding)
{
    return finding->severity == DROVER__V1__SEVERITY__BLOCK &&
           !(streq(c->request->kind, "return") && streq(finding->id, "host-maintenance")) &&
           !streq(finding->id, "guest-busy");
}

/* What the plan itself would do when its step is refused: another host, as often as it would try. True if there is one. */
static bool place_elsewhere(const struct plan_checks *c, Drover__V1__PlanStep *step, bool no_storage)
{
    no_storage = no_storage && plan_may_avoid(c->job);
    if (!c->user.place || (!no_storage && step->tries >= PLAN_TRIES))
        return false;
    step->tries += !no_storage;
    _cleanup_free_ char *not_to = xasprintf("not to %s", step->why);
    plan_avoid(step, step->to);
    c->user.place(c->user.arg, c->request, c->job, step);
    step->state = step->to[0] ? DROVER__V1__STEP_STATE__STEP_WAITING : plan_unplaced(c->job);
    if (step->to[0] && step->n_avoid <= AVOIDED_TOLD)
        note(step, steal(&not_to));
    return step->to[0];
}

/* True if the step has another destination now, of which nothing is known yet. */
static bool judge(const struct plan_checks *c, Drover__V1__PlanStep *step,
                  const Drover__V1__MigrateGuestReply *reply)
{
    bool elsewhere = true;
    plan_step_disks(step, reply);
    for (size_t i = 0; i < reply->n_findings; i++) {
        const Drover__V1__Finding *f = reply->findings[i];
        if (f->severity == DROVER__V1__SEVERITY__WARN || streq(f->id, "guest-busy"))
            note(step, xasprintf("%s: %s: %s (%s)", step->to, f->subject, f->seen, f->id));
        if (!blocks(c, f))
            continue;
        elsewhere &= f->elsewhere;
        if (step->n_findings < PLAN_FINDINGS)
            findings_add(&step->n_findings, &step->findings, &reply->findings[i], 1);
        if (step->state == DROVER__V1__STEP_STATE__STEP_FAILED)
            continue;
        _cleanup_free_ char *why = xasprintf("%s: %s: %s (%s)", step->to, f->subject, f->seen, f->id);
        set_text(&step->why, why);
        set_text(&step->todo, f->todo);
        step->state = DROVER__V1__STEP_STATE__STEP_FAILED;
    }
    return step->state == DROVER__V1__STEP_STATE__STEP_FAILED && place_elsewhere(c, step, elsewhere);
}

static void go_on(struct plan_checks *c);

static void on_turn(void *arg)
{
    struct plan_checks *c = arg;
    c->turn = NULL;
    go_on(c);
}

static void on_checked(void *arg, const Drover__V1__MigrateGuestReply *reply, const struct error *why);

static void check(struct one *one)
{
    _cleanup_free_ char *guest = NULL;
    Drover__V1__MigrateGuestRequest request = plan_step_request(one->all->request, one->step, &guest);
    request.dry_run = true;
    one->move = move_start(&one->all->config, &request, "", 0, on_checked, one);
}

static void on_checked(void *arg, const Drover__V1__MigrateGuestReply *reply, const struct error *why)
{
    struct one *one = arg;
    struct plan_checks *c = one->all;
    one->move = NULL;
    if (reply && judge(c, one->step, reply)) {
        check(one);
        return;
    }
    if (!reply)
        note(one->step, xasprintf("not checked: %s", why->text));
    c->open--;
    if (!c->turn)
        c->turn = loop_timer_start(c->config.loop, 0, on_turn, c);
}

static bool to_check(const Drover__V1__PlanStep *step)
{
    return step->state == DROVER__V1__STEP_STATE__STEP_WAITING && step->to[0] && !step->after && !step->waits;
}

static void go_on(struct plan_checks *c)
{
    for (size_t i = 0; i < AT_A_TIME; i++) {
        struct one *one = &c->running[i];
        while (!one->move && c->next < c->job->n_steps) {
            Drover__V1__PlanStep *step = c->job->steps[c->next++];
            if (!to_check(step))
                continue;
            *one = (struct one){.all = c, .step = step};
            c->open++;
            check(one);
        }
    }
    if (c->open)
        return;
    plan_emptied_check(c->job, NULL);
    plan_stop_groups(c->job);
    const struct plan_checks_user user = c->user;
    plan_checks_cancel(c);
    user.done(user.done_arg);
}

struct plan_checks *plan_checks_start(const struct move_config *config,
                                      const Drover__V1__PlanRequest *request, Drover__V1__Job *job,
                                      const struct plan_checks_user *user)
{
    struct plan_checks *c = new0(struct plan_checks);
    *c = (struct plan_checks){.config = *config, .request = request, .job = job, .user = *user};
    c->turn = loop_timer_start(config->loop, 0, on_turn, c);
    return c;
}
