/* One connection to libvirt, from its opening to its end, with the events it is asked for. Only for libvirt.c. */
#pragma once

#include "agent/io/libvirt.h"

struct libvirt_session;

/* Starts libvirt's event loop in a thread of its own, once per process; it runs to the process's end (libvirt has
 * no way to take its event loop back). */
int libvirt_events_start(struct error *err);

/* Blocks. `fn` gets each event on the loop, among them LIBVIRT_DOWN if the connection breaks; it may still get some
 * after libvirt_session_close, and none after gone(arg), which runs once on any thread, on failure too. */
int libvirt_session_open(struct loop *loop, const char *uri,
                         void (*fn)(void *arg, struct libvirt_session *session, struct libvirt_event *event),
                         void (*gone)(void *arg), void *arg, struct libvirt_session **ret, struct error *err);

/* Blocks: libvirtd is told. */
void libvirt_session_close(struct libvirt_session *session);

bool libvirt_session_broken(const struct libvirt_session *session);
virConnectPtr libvirt_session_connection(const struct libvirt_session *session); /* borrowed */
