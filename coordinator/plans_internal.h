/* What the plans' files share: one `plan_run` per open plan. Events wait in a queue while one is worked off, or while the
 * journal can't be written. */
#pragma once

#include "coordinator/core/message.h"
#include "coordinator/core/plan_make.h"
#include "coordinator/core/under_way.h"
#include "coordinator/plans.h"

struct plan_run;

struct step_run { /* what is under way for one step */
    struct plan_run *run;
    size_t step;
    struct move *move;     /* it is checked, and then ordered */
    struct step_run *next; /* of those that wait to be checked */
    bool queued;
    struct driver_watch *watch; /* its migration */
    struct loop_timer *timer;   /* until it is looked at again */
    struct plan_call *call;     /* the destination is asked how the guest does */
    unsigned looks;
    char *phase;  /* of its migration, when it was last told of */
    bool cancel;  /* as soon as there is a job */
    bool adopted; /* it was running when the coordinator was restarted */
};

struct plan_queued {
    struct plan_queued *next;
    struct plan_event event;
    char *text, *todo;
    Drover__V1__SurveyReply *survey;
};

struct plan_run {
    struct plan_run *next;
    struct plans *plans;
    Drover__V1__Job *job;             /* what the operator sees; its steps */
    Drover__V1__PlanRequest *request; /* as it was asked for: kept in the journal */
    struct plan plan;
    struct step_run **steps; /* as many as were needed; NULL: nothing is under way */
    size_t n_steps;
    struct plan_call *survey;
    struct plan_forecasts *forecasts; /* what is known is asked for first: events wait */
    char *canceller;                  /* who cancelled its running moves, the last of them */

    struct plan_queued *first, **last;
    struct plan_actions actions;
    size_t next_action;
    bool busy;
    struct loop_timer *disk_retry, *wait, *ending, *progress;
};

struct plans_watch {
    struct plans *plans;
    struct plans_watch *next;
    uint64_t job;
    void (*fn)(void *arg, const Drover__V1__Job *job);
    void *arg;
};

struct plans {
    struct move_config config;
    struct plan_run *runs; /* oldest first */
    struct plans_watch *watches;
    bool telling; /* watches are freed afterwards */
    unsigned checking;
    struct step_run *to_check; /* of all plans, the first first */
    struct loop_timer *fleet_timer;
};

/* ---- plans_run.c ---- */

struct plan_run *plan_run_new(struct plans *plans, Drover__V1__Job *job, Drover__V1__PlanRequest *request);
void plan_run_free(struct plan_run *run);

/* Of a new plan: asks what is known of its guests, and starts. */
void plan_run_begin(struct plan_run *run);

/* Takes a copy of the event (and the survey over). The run may be gone afterwards. */
void plan_run_feed(struct plan_run *run, const struct plan_event *event, Drover__V1__SurveyReply *survey);

/* Writes the job and its request. */
int plan_run_journal(struct plan_run *run, struct error *err);

/* A running move has got on: the next one may be due. */
void plan_run_progress(struct plan_run *run);

void plan_run_log(struct plan_run *run, const char *text);
void plan_run_tell(struct plan_run *run); /* the job has changed */

/* ---- plans_besides.c: what goes on beside a plan ---- */

struct plan_besides {
    struct under_way open;
    const Drover__V1__Job **migrations;
    bool *emptied; /* by host, by other plans */
};

/* `but`: the plan itself, of which only the migrations are taken; NULL: it is being made. */
void plan_besides_take(const struct plans *plans, const struct plan_run *but, enum under_way_what what,
                       struct plan_besides *ret);
void plan_besides_deinit(struct plan_besides *besides);

/* What the planning of this run sees, good as long as `besides`. */
struct plan_making plan_run_making(const struct plan_run *run, const struct plan_besides *besides);

/* ---- plans_step.c: what is under way for a step ---- */

void plan_step_start(struct plan_run *run, size_t step);
void plan_step_cancel(struct plan_run *run, size_t step);
void plan_step_look(struct plan_run *run, size_t step);

/* After a restart: what became of a step that was running. */
void plan_step_adopt(struct plan_run *run, size_t step);
void plan_step_drop(struct step_run *step);

/* ---- plans_ask.c: questions to agents ---- */

struct plan_call;

/* done(arg, reply, why) once, later; reply NULL: why. `why` is set also if the host has no agent. */
struct plan_call *plan_ask_survey(const struct plans *plans, const char *host,
                                  void (*done)(void *arg, const Drover__V1__SurveyReply *reply,
                                               const struct error *why),
                                  void *arg);
struct plan_call *plan_ask_look(const struct plans *plans, const char *host, const char *guest_uuid,
                                void (*done)(void *arg, const Drover__V1__LookReply *reply,
                                             const struct error *why),
                                void *arg);
struct plan_call *plan_call_drop(struct plan_call *call); /* done is not called; NULL is fine, and returned */
