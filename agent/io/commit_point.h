/* Sees libvirt's own commit point at the source, 200 ms and more before libvirt tells anyone.
 *
 * When the destination has answered Finish with success, the source's libvirt sets the migration's phase to "confirm3" and
 * saves it in the domain's status file (STATUS_DIR/NAME.xml, renamed into place) before it ends its QEMU. From there it can
 * only end it, also after a restart of its own (libvirt 9.0: qemu_migration.c qemuMigrationSrcConfirmPhase, qemu_process.c
 * qemuProcessRecoverMigrationOut), and the job keeps everyone else from resuming it. A failed Finish gives
 * "confirm3_cancelled" instead, and the source resumes.
 *
 * The event "stopped, migrated" and the call's return come only after QEMU has ended, for which libvirt looks every 200 ms
 * (virprocess.c virProcessKillPainfullyDelay). Measured with a 256 MiB guest: paused at 0, confirm3 at 92 ms, QEMU gone at
 * 106 ms, event at 305 ms. The guest is paused all that time, so a hand-over must not wait for it.
 *
 * Where the file can't be read (a session daemon, another layout), nothing is told, and the caller goes by the event. */
#pragma once

#include "common/base/loop.h"

struct commit_point;

/* Calls fn(arg) once, on the loop and not before this has returned, when the phase of the domain's outgoing migration is, or becomes,
 * confirm3. `status_dir` is libvirt's
 * (/run/libvirt/qemu); `name` and `uuid` are the domain's, which must be running now. Loop's thread.
 * Errors: NOT_FOUND (no status file), FAILED_PRECONDITION (it is another domain's), DATA_LOSS (not XML). */
int commit_point_watch(struct loop *loop, const char *status_dir, const char *name, const char *uuid,
                       void (*fn)(void *arg), void *arg, struct commit_point **ret, struct error *err);

/* NULL is fine; returns NULL. May be called inside of fn. */
struct commit_point *commit_point_free(struct commit_point *watch);
