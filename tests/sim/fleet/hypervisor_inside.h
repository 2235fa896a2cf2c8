/* Shared by hypervisor.c and job.c. */
#pragma once

#include "world.h"

enum told { TOLD_CHANGE, TOLD_COMMITTED, TOLD_MIGRATED, TOLD_CALL_FAILED, TOLD_ENDED, TOLD_PAUSED };

/* libvirt tells the agent of a host. */
void hypervisor_tells(struct world *w, int host, enum told what);
/* True if the other copy's lock keeps one from running here. */
bool hypervisor_is_locked(struct world *w, int host);
void hypervisor_runs(struct world *w, int host);

/* job.c */
void job_event(struct world *w);
/* As libvirt does when the job fails before its point of no return: the destination drops its half, the source runs. */
void job_fail(struct world *w, const char *why);
/* One that is being copied, or was begun by libvirt's own handover. */
void job_loses_source_libvirt(struct world *w);
void job_loses_destination_libvirt(struct world *w);
void job_loses_source_qemu(struct world *w, bool ran);
void job_loses_destination_qemu(struct world *w);
void job_end(struct world *w, enum told what);
