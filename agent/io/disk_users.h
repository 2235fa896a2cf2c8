/* Which domain of this host uses a file. Blocks: workers only. */
#pragma once

#include "agent/io/libvirt.h"

/* "POOL/VOLUME" of a file in the directory of an active pool, as domains name it; the volume need not be known yet. NULL if there is no
 * such pool. The caller's. */
char *disk_volume(virConnectPtr conn, const char *path);

/* Lets libvirt see what was made or renamed in the file's pool, if it is in one: it looks volumes up in a list that it keeps. */
int disk_volume_refresh(virConnectPtr conn, const char *path, struct error *err);

/* *ret: the name of a domain other than `except` (a UUID; may be NULL), running or defined, that has the file, by its path or as a volume,
 * as a disk or as what one is backed by; NULL if none has. The caller's. */
int disk_users_find(virConnectPtr conn, const char *path, const char *except, char **ret, struct error *err);
