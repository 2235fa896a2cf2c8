/* Sees libvirt's own commit point at the source, some 200 to 400 ms before libvirt tells anyone.
 *
 * When the destination has answered Finish with success, the source's libvirt sets the migration's phase to "confirm3" and
 * saves it in the domain's status file (STATUS_DIR/NAME.xml, renamed into place) before it ends its QEMU; from there it can
 * only end it, also after a restart of its own (libvirt 9.0, qemu_migration.c qemuMigrationSrcConfirmPhase, qemu_process.c
 * qemuProcessRecoverMigrationOut). A failed Finish gives "confirm3_cancelled" instead, and the source resumes.
 * The event and the call's return come later, because libvirt sends SIGTERM and then looks once in 200 ms whether QEMU has
 * ended (virprocess.c virProcessKillPainfullyDelay). The guest is paused all that time.
 *
 * So two local facts together are the commit point: the phase is confirm3, and the QEMU that ran the guest has ended. Either
 * alone proves nothing. Where the files can't be read, nothing is told, and the caller goes by libvirt's event. */
#pragma once

#include "common/base/loop.h"

struct commit_point;

/* Calls fn(arg) once, on the loop, when both facts are there. `status_dir` is libvirt's (/run/libvirt/qemu); `name` and `uuid`
 * are the domain's, which must be running now: its QEMU's pid is read from the status file. Loop's thread.
 * Errors: NOT_FOUND (no status file: session daemon, other version), FAILED_PRECONDITION (it is another domain's, or there
 * is no live process behind it). */
int commit_point_watch(struct loop *loop, const char *status_dir, const char *name, const char *uuid,
                       void (*fn)(void *arg), void *arg, struct commit_point **ret, struct error *err);

/* NULL is fine; returns NULL. May be called inside of fn. */
struct commit_point *commit_point_free(struct commit_point *watch);
