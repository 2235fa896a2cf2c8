/* What a plan says of itself: while it runs, and at its end. */
#include "coordinator/core/plan.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_emptied.h"
#include "coordinator/core/text.h"

#include <stdlib.h>
#include <strings.h>

enum { NAMED = 4 }; /* so many are named, the others counted */

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void add_open(const Drover__V1__Job *job, char **text)
{
    size_t named = 0, more = 0;
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        if (s->state != DROVER__V1__STEP_STATE__STEP_RUNNING)
            continue;
        if (named++ < NAMED)
            text_append(text, ", ",
                        s->care == DROVER__V1__STEP_CARE__CARE_LOOKING ? "looks after %s on %s"
                                                                       : "moves %s to %s",
                        s->guest, s->to);
        else
            more++;
    }
    if (more)
        text_append(text, " and ", "%zu more", more);
}

static const char *why_unasked(const struct fleet *fleet, const char *name)
{
    const struct fleet_host *host = fleet_host(fleet, name);
    if (!host)
        return "it is not in the coordinator's configuration any more";
    return host->why ? host->why : "its agent has not told all its guests yet";
}

/* Nothing runs, and this is why. */
static void add_held(const Drover__V1__Job *job, const struct fleet *fleet, char **text)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        if (s->state != DROVER__V1__STEP_STATE__STEP_WAITING || !(s->unasked || s->not_before || s->lacking))
            continue;
        if (s->unasked)
            text_append(text, ": ", "%s, where %s is, can't be asked: %s", s->from, s->guest,
                        why_unasked(fleet, s->from));
        else if (s->not_before)
            text_append(text, ": ", "%s: %s", s->guest, s->why);
        else
            text_append(text, ": ", "%s: %s can't be asked", s->guest, s->to);
        return;
    }
}

static void add_paused(const Drover__V1__Job *job, char **text)
{
    const Drover__V1__PlanStep *ill = NULL;
    for (size_t i = 0; i < job->n_steps; i++)
        if (job->steps[i]->care == DROVER__V1__STEP_CARE__CARE_ILL)
            ill = job->steps[i];
    if (ill)
        text_append(text, "; ", "paused, for %s is not well on %s (%s): nothing new starts", ill->guest,
                    ill->to, ill->why);
    else
        text_append(text, "; ", "paused: nothing new starts");
}

/* It waits for its turn on a link, or for a place: not for the one that can't be asked. */
static bool another_goes_on(const Drover__V1__Job *job, const Drover__V1__PlanStep *unasked)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        if (s->state == DROVER__V1__STEP_STATE__STEP_WAITING && !s->unasked && !s->after && !s->waits &&
            s->group <= unasked->group)
            return true;
    }
    return false;
}

/* A guest's move is in doubt, or waits for a host that can't be asked, and there is nothing else to be done meanwhile. */
static const Drover__V1__PlanStep *only_doubt(const struct plan *p, int64_t now)
{
    const Drover__V1__PlanStep *doubt = NULL, *unasked = NULL;
    for (size_t i = 0; i < p->job->n_steps; i++) {
        const Drover__V1__PlanStep *s = p->job->steps[i];
        bool running = s->state == DROVER__V1__STEP_STATE__STEP_RUNNING,
             waiting = s->state == DROVER__V1__STEP_STATE__STEP_WAITING;
        bool passes = s->unasked ? now - (int64_t)s->unasked < PLAN_DOUBT_MS : s->not_before || s->lacking;
        if ((waiting && passes) || (running && !s->in_doubt))
            return NULL;
        if (!doubt && running)
            doubt = s;
        if (!unasked && waiting && s->unasked && !p->job->paused)
            unasked = s;
    }
    return doubt || !unasked || another_goes_on(p->job, unasked) ? doubt : unasked;
}

static void add_doubt(const Drover__V1__Job *job, const Drover__V1__PlanStep *doubt, char **text, char **todo)
{
    if (doubt->state == DROVER__V1__STEP_STATE__STEP_RUNNING) {
        text_append(text, "; ", "in doubt: %s: %s", doubt->guest, doubt->why);
        text_append(todo, "", "%s (drover job %llu)", doubt->todo[0] ? doubt->todo : "see what is missing",
                    (unsigned long long)doubt->job);
        return;
    }
    text_append(
        todo, "",
        "see that %s is up and that drover-agent and libvirt answer there (drover doctor %s): then the "
        "plan goes on by itself; `drover cancel %llu` ends it",
        doubt->from, doubt->from, (unsigned long long)job->id);
}

void plan_now(const struct plan *p, const struct fleet *fleet, int64_t now)
{
    Drover__V1__Job *job = p->job;
    size_t waiting = plan_count(job, DROVER__V1__STEP_STATE__STEP_WAITING);
    size_t running = plan_count(job, DROVER__V1__STEP_STATE__STEP_RUNNING);
    _cleanup_free_ char *text = NULL;
    const char *phase = "moving", *todo = "";
    if (p->phase == PLAN_VERIFYING) {
        text_append(&text, "", "asks %s's libvirt what is left there", job->source);
        phase = "verifying";
    } else if (job->cancelled) {
        text_append(&text, "", "cancelled: waits for the end of %zu running move%s", running,
                    plural(running));
        phase = "cancelling";
    } else {
        add_open(job, &text);
        if (p->incoming)
            text_append(&text, "; ", "waits for job %llu, which brings a guest to %s",
                        (unsigned long long)p->incoming, job->source);
        if (job->paused)
            add_paused(job, &text);
        if (waiting)
            text_append(&text, "; ", "%zu wait%s", waiting, waiting == 1 ? "s" : "");
        if (!running && !job->paused)
            add_held(job, fleet, &text);
        if (job->paused) {
            phase = "paused";
            todo = "`drover resume` lets it go on, `drover cancel` ends it";
        }
    }
    const Drover__V1__PlanStep *doubt = only_doubt(p, now);
    _cleanup_free_ char *more = NULL;
    if (doubt) {
        add_doubt(job, doubt, &text, &more);
        todo = more;
    }
    job->state = doubt ? DROVER__V1__JOB_STATE__JOB_IN_DOUBT : DROVER__V1__JOB_STATE__JOB_RUNNING;
    set_text(&job->phase, phase);
    set_text(&job->text, text);
    set_text(&job->todo, todo);
}

char *plan_what_is_wrong(const Drover__V1__LookReply *r)
{
    if (!r->exists)
        return xstrdup("it is not there any more");
    if (r->n_errors)
        return xasprintf("disk %s", r->errors[0]);
    if (!r->running)
        return xasprintf("it is %s", r->state);
    if (r->has_agent && !r->agent_answers)
        return xstrdup("its guest agent does not answer");
    return NULL;
}

static bool stays(const Drover__V1__PlanStep *s)
{
    return s->state == DROVER__V1__STEP_STATE__STEP_FAILED ||
           (s->state == DROVER__V1__STEP_STATE__STEP_SKIPPED && s->todo[0]);
}

/* Their names; the steps say why, and what to do. */
static size_t name_those_left(const Drover__V1__Job *job, char **text)
{
    size_t left = 0;
    for (size_t i = 0; i < job->n_steps; i++) {
        const Drover__V1__PlanStep *s = job->steps[i];
        if (stays(s) && left++ < NAMED)
            text_append(text, ", ", "%s", s->guest);
    }
    if (left > NAMED)
        text_append(text, " and ", "%zu more", left - NAMED);
    return left;
}

/* Those of whom no step says that they stay: " (web1, web2 and 3 more)". */
static void name_the_rest(const Drover__V1__Job *job, const struct plan_left *left, char **text)
{
    _cleanup_free_ char *names = NULL;
    size_t n = 0;
    for (size_t g = 0; g < left->n; g++) {
        bool told = false;
        for (size_t i = 0; i < job->n_steps && !told; i++)
            told = stays(job->steps[i]) && strcasecmp(job->steps[i]->guest_uuid, left->guests[g]->uuid) == 0;
        if (!told && n++ < NAMED)
            text_append(&names, ", ", "%s", left->guests[g]->name);
    }
    if (n > NAMED)
        text_append(&names, " and ", "%zu more", n - NAMED);
    if (names)
        text_append(text, " ", "(%s)", names);
}

/* First guests that were not well, of whom nobody has said since that the others may follow. */
static void name_the_ill(const Drover__V1__Job *job, char **text, char **todo)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        Drover__V1__PlanStep *s = job->steps[i];
        if (s->care != DROVER__V1__STEP_CARE__CARE_ILL)
            continue;
        set_text(&s->todo, "look at the guest"); /* there is nothing to resume any more */
        text_append(text, ", ", "%s on %s (%s)", s->guest, s->to, s->why);
        text_append(todo, "; ", "look at %s on %s", s->guest, s->to);
    }
}

void plan_conclude(const struct plan *p, const struct fleet *fleet, const struct plan_left *left,
                   const char *why_not_known)
{
    Drover__V1__Job *job = p->job;
    plan_emptied_check(job, fleet);
    size_t done = plan_count(job, DROVER__V1__STEP_STATE__STEP_DONE);
    _cleanup_free_ char *those = NULL, *ill = NULL, *todo = NULL, *text = NULL;
    name_those_left(job, &those);
    name_the_ill(job, &ill, &todo);
    bool all = !those && !ill && (!p->empties || (left && left->n == 0));
    if (p->empties && left && left->n == 0) {
        text_append(&text, "", "%s is empty: libvirt there has no guest; %zu moved", job->source, done);
    } else if (p->empties && left) {
        text_append(&text, "", "%s is not empty: %zu guest%s left there", job->source, left->n,
                    plural(left->n));
        name_the_rest(job, left, &text);
        text_append(&text, ", ", "%zu moved", done);
    } else if (why_not_known) {
        text_append(&text, "",
                    "%zu guest%s moved from %s, which could not be asked whether it is empty now: %s", done,
                    plural(done), job->source, why_not_known);
    } else if (!job->n_steps && streq(job->kind, "return")) {
        text_append(&text, "", "there was nothing to bring back; %s is out of maintenance", job->destination);
    } else if (!job->n_steps) {
        text_append(&text, "", "there was nothing to move");
    } else {
        text_append(&text, "", "%zu of %zu guest%s moved", done, job->n_steps, plural(job->n_steps));
    }
    if (job->emptied[0])
        text_append(&text, "; without a guest now, to be powered off if you like: ", "%s", job->emptied);
    if (those)
        text_append(&text, "; not moved: ", "%s", those);
    if (ill)
        text_append(&text, "; not well: ", "%s", ill);
    if (why_not_known)
        text_append(&todo, "; ", "see that drover-agent and libvirt answer on %s, then ask again",
                    job->source);
    set_text(&job->text, text);
    set_text(&job->todo, todo);
    set_text(&job->phase, "ended");
    job->state = job->cancelled ? DROVER__V1__JOB_STATE__JOB_CANCELLED
                 : all          ? DROVER__V1__JOB_STATE__JOB_DONE
                 : done         ? DROVER__V1__JOB_STATE__JOB_PARTLY
                                : DROVER__V1__JOB_STATE__JOB_FAILED;
}
