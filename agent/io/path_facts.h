/* What lies at the path of an image. Blocks as long as the file system does. */
#pragma once

#include "agent/io/mounts.h"

/* `sysfs`: root of sysfs, for block devices. Never fails: what can't be told is said in `error`. The caller's. */
Drover__V1__PathFacts *path_facts_read(const struct mounts *mounts, const char *sysfs, const char *path);

/* The directory that holds the file at `path`, symbolic links resolved, or `path` itself if it is a directory; the caller's.
 * NULL with errno set when there is none; ENOTBLK when `path` is a device. */
char *path_directory(const char *path);

/* Fills the fields of a qcow2 file from its header; `data` are its first bytes. False if it is none. */
bool path_facts_qcow2(const unsigned char *data, size_t n, Drover__V1__PathFacts *facts);
