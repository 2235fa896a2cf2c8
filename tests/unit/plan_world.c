#include "plan_world.h"

#include "common/base/memory.h"
#include "coordinator/core/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void act(struct world *w, const struct plan_actions *actions)
{
    static const char *const names[] = {
        [PLAN_ACTION_JOURNAL] = "JOURNAL", [PLAN_ACTION_START] = "START", [PLAN_ACTION_PLACE] = "PLACE",
        [PLAN_ACTION_CANCEL] = "CANCEL",   [PLAN_ACTION_TAKEN] = "TAKEN", [PLAN_ACTION_LOOK] = "LOOK",
        [PLAN_ACTION_VERIFY] = "VERIFY",   [PLAN_ACTION_WAIT] = "WAIT",   [PLAN_ACTION_TELL] = "TELL",
        [PLAN_ACTION_FINISH] = "FINISH",
    };
    for (size_t i = 0; i < actions->n; i++) {
        const struct plan_action *a = &actions->list[i];
        size_t used = strlen(w->trace);
        if (a->kind == PLAN_ACTION_WAIT)
            w->wait_ms = a->ms;
        if (a->kind == PLAN_ACTION_TELL) {
            size_t told = strlen(w->told);
            snprintf(w->told + told, sizeof(w->told) - told, "%s\n", a->text);
        } else if (a->kind == PLAN_ACTION_JOURNAL || a->kind == PLAN_ACTION_VERIFY ||
                   a->kind == PLAN_ACTION_WAIT || a->kind == PLAN_ACTION_FINISH) {
            snprintf(w->trace + used, sizeof(w->trace) - used, "%s%s", used ? " " : "", names[a->kind]);
        } else {
            snprintf(w->trace + used, sizeof(w->trace) - used, "%s%s%zu", used ? " " : "", names[a->kind],
                     a->step);
        }
    }
}

const char *world_feed(struct world *w, struct plan_event event)
{
    struct plan_actions actions = {0};
    event.fleet = &w->fleet;
    event.now_ms = w->now;
    w->trace[0] = '\0';
    plan_step(&w->plan, &event, &actions);
    act(w, &actions);
    plan_actions_deinit(&actions);
    return w->trace;
}

void world_place(struct world *w, size_t step)
{
    const struct plan_making making = {.fleet = &w->fleet, .request = &w->request, .policy = &w->policy};
    plan_place(&making, &w->job, w->job.steps[step]);
    world_feed(w, (struct plan_event){.kind = PLAN_EVENT_PLACED,
                                      .step = step,
                                      .text = w->job.steps[step]->why,
                                      .todo = w->job.steps[step]->todo});
}

/* kvm1 with web1 and web2 (running) and cold1 (shut off); kvm2, and kvm3 with less room. */
void world_setup(struct world *w)
{
    *w = (struct world){.job = DROVER__V1__JOB__INIT, .now = 1000000};
    drover__v1__plan_request__init(&w->request);
    drover__v1__policy__init(&w->policy);
    w->policy.offline = true;
    fleet_init(&w->fleet);
    made_guest(made_host(&w->fleet, "kvm1"), "web1", UUID_A);
    made_guest(fleet_host(&w->fleet, "kvm1"), "web2", UUID_B);
    made_guest(fleet_host(&w->fleet, "kvm1"), "cold1", UUID_C)->guest->state =
        DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    made_host(&w->fleet, "kvm2");
    made_host(&w->fleet, "kvm3")->report->memory_free = 20 * GIB;
}

/* Three steps to kvm2, in a known order. */
void world_plan(struct world *w)
{
    const struct fleet_host *host = fleet_host(&w->fleet, "kvm1");
    w->request.kind = (char *)"evacuate";
    w->request.host = (char *)"kvm1";
    set_text(&w->job.kind, "evacuate");
    set_text(&w->job.source, "kvm1");
    for (size_t g = 0; g < host->n_guests; g++)
        set_text(&plan_add(&w->job, host->guests[g].guest, "kvm1")->to, "kvm2");
    w->plan = (struct plan){.job = &w->job, .empties = true};
    fleet_host(&w->fleet, "kvm1")->maintenance = true;
}

void world_teardown(struct world *w)
{
    for (size_t i = 0; i < w->job.n_steps; i++)
        drover__v1__plan_step__free_unpacked(w->job.steps[i], NULL);
    free(w->job.steps);
    for (size_t i = 0; i < w->job.n_remarks; i++)
        free(w->job.remarks[i]);
    free(w->job.remarks);
    char **texts[] = {&w->job.kind, &w->job.source, &w->job.destination, &w->job.text,
                      &w->job.todo, &w->job.phase,  &w->job.emptied};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (*texts[i] != protobuf_c_empty_string)
            free(*texts[i]);
    fleet_deinit(&w->fleet);
}

void world_gone(struct world *w, const char *host, const char *uuid)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.guest_gone = (char *)uuid;
    fleet_event(fleet_host(&w->fleet, host), &event);
}

Drover__V1__StepState world_state(const struct world *w, size_t step)
{
    return w->job.steps[step]->state;
}

void world_started(struct world *w, size_t step, uint64_t job)
{
    world_feed(w, (struct plan_event){.kind = PLAN_EVENT_STARTED, .step = step, .job = job});
}

const char *world_ended(struct world *w, size_t step, Drover__V1__JobState outcome)
{
    if (outcome == DONE)
        world_gone(w, "kvm1", w->job.steps[step]->guest_uuid);
    return world_feed(w, (struct plan_event){.kind = PLAN_EVENT_ENDED,
                                             .step = step,
                                             .outcome = outcome,
                                             .text = outcome == DONE ? "moved" : "too busy",
                                             .todo = outcome == DONE ? "" : "allow a longer pause"});
}
