/* Which domain of this host uses a file. Blocks: workers only. */
#pragma once

#include "agent/io/libvirt.h"

/* *ret: the name of a domain other than `except` (a UUID; may be NULL), running or defined, that has the file as a disk or as what one is
 * backed by; NULL if none has. The caller's. */
int disk_users_find(virConnectPtr conn, const char *path, const char *except, char **ret, struct error *err);
