/* What a transaction sees of a domain and does to it. Everything blocks: workers only. All of it may be done twice. */
#pragma once

#include "agent/core/participant.h"
#include "agent/io/libvirt.h"

#include <stddef.h>

/* Fills guest, job, post_copy, operators_pause and by_hand of *facts; `text` says in words what was seen. On failure the guest is
 * PARTICIPANT_UNASKED. At the destination a domain that libvirt is still filling is PARTICIPANT_INCOMING. */
int domain_look(virConnectPtr conn, const char *uuid, enum participant_role role,
                struct participant_facts *facts, char *text, size_t size, struct error *err);

/* Asks libvirt to give up the job; success if there is none. It ends later. */
int domain_stop_job(virConnectPtr conn, const char *uuid, struct error *err);

/* Also during its migration: the job goes on, and what was sent stays sent. Success if it is paused already. */
int domain_suspend(virConnectPtr conn, const char *uuid, struct error *err);

/* The job's last pages follow the guest. Success if they do already. */
int domain_start_post_copy(virConnectPtr conn, const char *uuid, struct error *err);

/* Breaks QEMU's stream of a post-copy that stands still, so that it can be taken up again; nothing is lost. */
int domain_break_post_copy(virConnectPtr conn, const char *uuid, struct error *err);

/* Success if it runs already. */
int domain_resume(virConnectPtr conn, const char *uuid, struct error *err);

/* Starts it from its disks: from libvirt's definition, or if there is none from `xml`. Success if it runs already. */
int domain_start(virConnectPtr conn, const char *uuid, const char *xml, bool persistent, struct error *err);

/* An image that came and was paused, and that somebody resumed: it was neither booted here nor let run by libvirt itself. */
bool domain_is_resumed_image(virConnectPtr conn, const char *uuid);

/* Ends an image that never became anybody's guest. One that has a definition that is not `ours` or runs (but `running`: one that was
 * resumed) was not made by the transaction: FAILED_PRECONDITION, and nothing is done. Success if there is none, or a guest that was
 * booted here. */
int domain_drop_image(virConnectPtr conn, const char *uuid, bool ours, bool running, struct error *err);

/* Keeps nvram, snapshots' and checkpoints' files. Success if there is none; FAILED_PRECONDITION if it is active. */
int domain_undefine(virConnectPtr conn, const char *uuid, struct error *err);

int domain_set_autostart(virConnectPtr conn, const char *uuid, bool on, struct error *err);

/* NULL and STATUS_NOT_FOUND when there is none. */
virDomainPtr domain_find(virConnectPtr conn, const char *uuid, struct error *err);
