/* Mounts, by libmount from a mountinfo file, and what statfs says of them. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "proto/facts.pb-c.h"

#include <stdbool.h>

struct mounts;

/* `mountinfo`: /proc/self/mountinfo, or a file like it. Never blocks on the file systems themselves. */
int mounts_read(const char *mountinfo, struct mounts **ret, struct error *err);
void mounts_free(struct mounts *mounts);
DEFINE_CLEANUP(struct mounts *, mounts_free);

/* Those that can hold images: not proc, sysfs and their like. statfs_ms: how long each may take to answer statfs, all side by
 * side; 0: it is not asked. Messages are the caller's. */
size_t mounts_list(const struct mounts *mounts, int statfs_ms, Drover__V1__Mount ***ret);

/* The mount that an existing path lies on (by the kernel's mount id), or else, when `path` does not exist here, the one with
 * the longest target. NULL if there is none. */
Drover__V1__Mount *mounts_of_path(const struct mounts *mounts, const char *path);

/* What hangs together with that path, by its name alone, so that nothing is touched that may hang: the mount that it is below (mounted
 * anew it is another), or, below none but the root, its directory, which may be a symbolic link to anywhere. Owned by the caller. */
char *mounts_place(const struct mounts *mounts, const char *path);

/* Fills the fields of statfs; blocks as long as the file system does. */
void mounts_stat(Drover__V1__Mount *mount);

/* By its type several hosts may have the same one. */
bool mounts_is_network(const char *fs_type);

/* Of one host alone, whatever device is below: what others write never comes to it later. Of types that neither names, nothing is known. */
bool mounts_is_local(const char *fs_type);
