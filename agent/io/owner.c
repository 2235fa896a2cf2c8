#include "agent/io/owner.h"

#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct owner owner_of(const char *path)
{
    struct stat st;
    _cleanup_free_ char *copy = xstrdup(path);
    if (stat(path, &st) < 0 && stat(dirname(copy), &st) < 0)
        return (struct owner){0};
    return (struct owner){st.st_uid, st.st_gid, false};
}

/* setfsuid tells the id that was, and takes -1 for a question (setfsuid(2)). The group first: without its user's id it can't be set. */
bool owner_become(struct owner *o)
{
    if (o->uid == 0 || o->acting)
        return o->acting;
    setfsgid(o->gid);
    setfsuid(o->uid);
    o->acting = true;
    if ((uid_t)setfsuid((uid_t)-1) != o->uid || (gid_t)setfsgid((gid_t)-1) != o->gid)
        owner_leave(o);
    return o->acting;
}

void owner_leave(struct owner *o)
{
    if (!o->acting)
        return;
    setfsuid(geteuid());
    setfsgid(getegid());
    prctl(PR_SET_DUMPABLE, 1); /* which the change has taken: /proc/self would be root's (prctl(2)) */
    o->acting = false;
}

struct owner owner_where_needed(const char *directory)
{
    struct owner o = owner_of(directory);
    if (o.uid && faccessat(AT_FDCWD, directory, R_OK | W_OK | X_OK, AT_EACCESS) < 0 &&
        (errno == EACCES || errno == EPERM))
        owner_become(&o);
    return o;
}
