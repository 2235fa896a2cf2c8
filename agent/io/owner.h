/* Who may write where images lie. A network file system judges by who asks: a server that squashes root, or takes the agent's own user
 * for anybody, lets the image's owner in, who is QEMU's user. So what is refused is tried as that one. */
#pragma once

#include "common/base/cleanup.h"

#include <stdbool.h>
#include <sys/types.h>

struct owner {
    uid_t uid;
    gid_t gid;
    bool acting; /* the thread has become it */
};

/* Whose the path is; of one that is not there, or can't be looked at, whose its directory is. What is root's is nobody else's to try. */
struct owner owner_of(const char *path);

/* From now on this thread opens and makes files as the owner (setfsuid), until owner_leave; false if it may not. */
bool owner_become(struct owner *owner);
void owner_leave(struct owner *owner); /* also of one that never became it */

/* The directory is its user's to write to, and nobody else's: becomes its owner for as long as the variable lives. */
struct owner owner_where_needed(const char *directory);

#define _cleanup_owner_ _cleanup_(owner_leave)
