/* What the commands print, from the coordinator's messages: pure, no clock and no connection. */
#pragma once

#include "proto/coordinator.pb-c.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

void render_hosts(const Drover__V1__ListHostsReply *reply, FILE *out);
json_t *render_hosts_json(const Drover__V1__ListHostsReply *reply);

/* `host`: the one asked for, or NULL. */
void render_guests(const Drover__V1__ListGuestsReply *reply, const char *host, FILE *out);

/* `all`: local file systems and single volumes, too. */
void render_storage(const Drover__V1__ListStorageReply *reply, bool all, FILE *out);

/* Bridges with their ports, and which guest's tap each is; of one host, or all (NULL). The table is made from the document. */
json_t *render_networks_json(const Drover__V1__ListHostsReply *hosts,
                             const Drover__V1__ListGuestsReply *guests, const char *host);
void render_networks(const json_t *document, FILE *out);

/* "block memory-free (host kvm2): seen 1.2 GiB free; expected at least 4 GiB. Do: ..." */
void render_finding(const Drover__V1__Finding *finding, FILE *out);
void render_findings(Drover__V1__Finding *const *findings, size_t n, FILE *out);

/* Each host's findings, and whether it is ready. */
void render_doctor(const Drover__V1__DoctorReply *reply, FILE *out);

/* All findings of a dry run, and what they come to. */
/* What is otherwise in the definition at the destination, as a diff. */
void render_changes(const Drover__V1__MigrateGuestReply *reply, FILE *out);
void render_check(const Drover__V1__MigrateGuestReply *reply, FILE *out);

/* Tables of jobs; `ended`: history, else open ones; `guest`: the only one asked for, or NULL. */
void render_jobs(const Drover__V1__ListJobsReply *reply, int ended, const char *guest, FILE *out);

/* All about one job. */
void render_job(const Drover__V1__Job *job, FILE *out);

/* "web1 now runs on kvm2. 3.1 s in all, paused 61 ms (libvirt 52 ms + handover 9 ms), 312 MiB.", or what became of it
 * otherwise with what to do, on one or several lines. */
void render_outcome(const Drover__V1__Job *job, FILE *out);

/* A plan that was not begun: each move with its forecast, the whole, and who can't move. */
void render_plan(const Drover__V1__Job *job, FILE *out);
void render_remarks(const Drover__V1__Job *job, FILE *out); /* what the plan goes by */

/* A plan's steps as a table; how it ended, with those that stayed and what to do for each. */
void render_steps(const Drover__V1__Job *job, FILE *out);
void render_plan_outcome(const Drover__V1__Job *job, FILE *out);

/* Those that stay where they are, and those that are not well where they went: why, and what to do for each. */
void render_left(const Drover__V1__Job *job, FILE *out);

/* What the coordinator says about a cancel, and how to see the end. */
void render_cancel(uint64_t id, const Drover__V1__CancelJobReply *reply, FILE *out);
