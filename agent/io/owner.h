/* Who may write where images lie. A network file system judges by who asks: a server that squashes root, or takes the agent's own user
 * for anybody, lets the image's owner in, who is QEMU's user. So what is refused is tried again as that one:
 *
 *     _cleanup_owner_ struct owner owner = {0};
 *     do
 *         fd = open(path, ...);
 *     while (fd < 0 && owner_instead(&owner, path));
 *
 * (access(2) beforehand is no help: GlusterFS allows root there what it then refuses.) */
#pragma once

#include "common/base/cleanup.h"

#include <stdbool.h>
#include <sys/types.h>

struct owner {
    uid_t uid;
    gid_t gid;
    bool acting; /* the thread has become it (setfsuid), until owner_leave */
};

/* After a refusal (errno): true if the thread has now become the owner of the path, or, of one that can't be looked at, of its
 * directory. False for other errors, for what is root's, and the second time; errno is then as it was. */
bool owner_instead(struct owner *owner, const char *path);
void owner_leave(struct owner *owner); /* also of one that never became it */

#define _cleanup_owner_ _cleanup_(owner_leave)
