#include "agent/io/owner.h"

#include "common/base/memory.h"

#include <errno.h>
#include <libgen.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* setfsuid tells the id that was, and takes -1 for a question (setfsuid(2)). The group first: without its user's id it can't be set. */
static bool become(struct owner *o)
{
    setfsgid(o->gid);
    setfsuid(o->uid);
    o->acting = true;
    if ((uid_t)setfsuid((uid_t)-1) != o->uid || (gid_t)setfsgid((gid_t)-1) != o->gid)
        owner_leave(o);
    return o->acting;
}

bool owner_instead(struct owner *o, const char *path)
{
    int why = errno;
    struct stat st;
    _cleanup_free_ char *copy = xstrdup(path);
    bool known = !o->acting && (why == EACCES || why == EPERM) &&
                 (stat(path, &st) == 0 || stat(dirname(copy), &st) == 0);
    if (known && st.st_uid != 0) {
        *o = (struct owner){st.st_uid, st.st_gid, false};
        if (become(o))
            return true;
    }
    errno = why;
    return false;
}

void owner_leave(struct owner *o)
{
    if (!o->acting)
        return;
    int why = errno;
    setfsuid(geteuid());
    setfsgid(getegid());
    prctl(PR_SET_DUMPABLE, 1); /* which the change has taken: /proc/self would be root's (prctl(2)) */
    o->acting = false;
    errno = why;
}
