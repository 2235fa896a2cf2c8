/* What the host is and has. Capabilities are read when libvirt comes up and kept; the rest on change, put together
 * at most once a second, and free memory besides every 30 s. */
#pragma once

#include "agent/agent.h"
#include "proto/types.pb-c.h"

struct host_report;

/* `changed` is called on the loop with each new report that says something else than the one before (small changes
 * of free memory don't count). Reads agent->libvirt, ->guests and ->transactions, when they are there. */
int host_report_new(struct agent *agent, void (*changed)(void *arg, const Drover__V1__HostReport *report),
                    void *arg, struct host_report **ret, struct error *err);
void host_report_free(struct host_report *report);
DEFINE_CLEANUP(struct host_report *, host_report_free);

/* Something that it tells has changed (a guest, a reservation): a new one is put together soon. */
void host_report_changed(struct host_report *report);

/* The last one; never NULL. Good until the next turn of the loop. */
const Drover__V1__HostReport *host_report_last(const struct host_report *report);

/* Puts a new one together and calls fn once with it, on the loop; with NULL when the host_report is freed before. */
void host_report_fresh(struct host_report *report,
                       void (*fn)(void *arg, const Drover__V1__HostReport *report), void *arg);
