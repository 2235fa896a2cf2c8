/* Connections to libvirt, lent to one thread at a time.
 *
 * libvirt says that threads may share a connection, but when keepalive finds libvirtd dead while one thread of several waits in
 * it, libvirt 9.0 crashes: virNetClientIOEventLoop (virnetclient.c) returns without destroying its GSource, which points into
 * that thread's stack, and the next thread's turn runs it. Seen with a libvirtd stopped by SIGSTOP, every time. Without
 * keepalive the threads would wait for ever. */
#pragma once

#include "common/base/error.h"

#include <libvirt/libvirt.h>

struct libvirt_pool;

struct libvirt_pool *libvirt_pool_new(const char *uri);

/* What is lent goes on; it is closed when it comes back. */
void libvirt_pool_close(struct libvirt_pool *pool);

/* Blocks when there is none idle, for 5 s at most. NULL and UNAVAILABLE when it can't connect. */
virConnectPtr libvirt_pool_take(struct libvirt_pool *pool, struct error *err);

/* Of any pool, or of none: then it is closed. */
void libvirt_pool_put(virConnectPtr conn);
