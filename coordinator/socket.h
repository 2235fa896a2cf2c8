/* The local socket's file: a dead coordinator's is replaced, a live one's is not. */
#pragma once

#include "common/base/error.h"

/* The path of an ipc:// URL; NULL of another. */
const char *socket_path(const char *url);

/* Before listening: makes the directory if it is missing, removes a socket on which nobody listens. FAILED_PRECONDITION when
 * someone does, or when the path is something else than a socket. */
int socket_clear(const char *path, struct error *err);

/* After listening: mode 0660, and the group (-1: leave it). */
int socket_grant(const char *path, long gid, struct error *err);
