/* What the host and its guests use, read every few seconds and smoothed by core/meter.
 *
 * CPU time of all guests is one call of libvirt's that asks no QEMU; resident memory is read from /proc, because libvirt would ask
 * QEMU's monitor first (balloon.rss), which a QEMU that hangs never answers. A call that does not return takes one worker, and what
 * is known of the guests is forgotten after a while. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

struct measure;

/* `changed` is called on the loop when something worth telling has changed. Reads agent->libvirt if there is one. */
struct measure *measure_new(struct agent *agent, void (*changed)(void *arg), void *arg);
void measure_free(struct measure *measure);
DEFINE_CLEANUP(struct measure *, measure_free);

/* NULL: nothing is known yet. Good until the next turn of the loop. */
const Drover__V1__Measured *measure_last(const struct measure *measure);

/* ---- reading; roots are arguments, so that tests can make them ---- */

/* The time that all CPUs together have worked since the host's start, without waiting for I/O or other hosts' guests (steal). */
bool measure_busy_ns(const char *procfs, uint64_t *ret);

/* Resident bytes of a guest's QEMU; 0: not known. `run`: where libvirt keeps QEMU's process ids. */
uint64_t measure_resident(const char *run, const char *procfs, const char *guest);
