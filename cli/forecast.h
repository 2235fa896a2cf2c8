/* What a migration is expected to be, beforehand; and beside what it was. */
#pragma once

#include "cli/command.h"
#include "proto/coordinator.pb-c.h"

#include <jansson.h>
#include <stdio.h>

/* One line, with the reason. */
void render_forecast(const Drover__V1__Forecast *forecast, FILE *out);

/* A line of each that the job has; the fact only when it has ended. */
void render_forecast_and_fact(const Drover__V1__Job *job, FILE *out);

/* How far forecasts were from the facts, over all jobs that have both. */
struct accuracy {
    size_t n,
        mode_right;     /* whether it would be moved, and the guest stand still for more than half a second */
    size_t given_up;    /* of them, by the ladder; their times are not compared */
    double time_error;  /* medians; of the time, as a share of the fact */
    double pause_error; /* the same of the pause; 0 where it was off by 100 ms or less */
    double pause_error_ms;
};
struct accuracy accuracy_of(const Drover__V1__ListJobsReply *reply);
void render_accuracy(const Drover__V1__ListJobsReply *reply, FILE *out);
json_t *render_accuracy_json(const Drover__V1__ListJobsReply *reply);

/* ms of libvirt's job and the handover: what a forecast's time is of. */
int64_t fact_time(const Drover__V1__Result *result);

/* Before the CPU time that a guest has lost: "at least ", or nothing. */
const char *at_least(const Drover__V1__Result *result);

/* Why a migration went as it did: what was expected, each pass, what was decided, and what it cost the guest. */
void render_explanation(const Drover__V1__Job *job, FILE *out);

/* Asks the coordinator for the forecast of a move that no finding blocks; NULL and `why` if there is none. The answer is freed
 * with protobuf-c's free function. */
Drover__V1__Forecast *forecast_ask(struct cli *cli, const Drover__V1__MigrateGuestRequest *request,
                                   const Drover__V1__MigrateGuestReply *reply, struct error *why);

/* The same, told. */
void forecast_tell(struct cli *cli, const Drover__V1__MigrateGuestRequest *request,
                   const Drover__V1__MigrateGuestReply *reply);
