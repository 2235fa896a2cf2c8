/* Answers to all that is asked before a move, as good as they can be, until a test spoils one. */
#pragma once

#include "coordinator_made.h"

/* Plans the check and answers it: every probe proven, every image a file on an NFS mount of export1, clocks equal. */
void made_proof(struct evidence *evidence, const struct fleet *fleet, const struct fleet_host *source,
                const struct fleet_host *destination, const Drover__V1__Guest *guest);

/* Answers whatever was planned. */
void made_answers(struct evidence *evidence);

/* For spoiling. Both fail the test's program when there is no such request. */
struct ask *made_ask(struct evidence *evidence, const struct fleet_host *host, Drover__V1__ProbeKind kind,
                     const char *key);
Drover__V1__Inspection *made_inspection(struct evidence *evidence, const struct fleet_host *host);

/* The answer becomes this one. */
void made_answer(struct ask *ask, Drover__V1__ProbeOutcome outcome, const char *reason, const char *seen);
void made_silence(struct ask *ask, enum status_code code, const char *why);
