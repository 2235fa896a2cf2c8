/* What a migration is expected to be, beforehand; and beside what it was. */
#pragma once

#include "cli/command.h"
#include "proto/coordinator.pb-c.h"

#include <stdio.h>

/* One line, with the reason. */
void render_forecast(const Drover__V1__Forecast *forecast, FILE *out);

/* Two lines of a job that has both; nothing otherwise. */
void render_forecast_and_fact(const Drover__V1__Job *job, FILE *out);

/* Why a migration went as it did: what was expected, each pass, what was decided, and what it cost the guest. */
void render_explanation(const Drover__V1__Job *job, FILE *out);

/* Asks the coordinator for the forecast of a move that no finding blocks; NULL and `why` if there is none. The answer is freed
 * with protobuf-c's free function. */
Drover__V1__Forecast *forecast_ask(struct cli *cli, const Drover__V1__MigrateGuestRequest *request,
                                   const Drover__V1__MigrateGuestReply *reply, struct error *why);

/* The same, told. */
void forecast_tell(struct cli *cli, const Drover__V1__MigrateGuestRequest *request,
                   const Drover__V1__MigrateGuestReply *reply);
