#include "coordinator/core/post_copy.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdbool.h>

static bool is_root(const char *user)
{
    return streq(user, "root") || streq(user, "0") || streq(user, "+0");
}

/* Measured with QEMU 7.2: as root it has userfaultfd, as another user "Operation not permitted" where the setting is 0. */
char *post_copy_missing(const Drover__V1__HostReport *r)
{
    if (!r)
        return NULL;
    if (streq(r->userfaultfd, "none"))
        return xasprintf("%s's kernel has no userfaultfd", r->name);
    if (!streq(r->userfaultfd, "0") || is_root(r->qemu_user))
        return NULL;
    return xasprintf("vm.unprivileged_userfaultfd is 0 on %s, and QEMU does not run as root there", r->name);
}

void post_copy_fit(Drover__V1__Policy *policy, Drover__V1__Mode mode,
                   const Drover__V1__HostReport *destination)
{
    _cleanup_free_ char *missing = post_copy_missing(destination);
    if (missing && mode != DROVER__V1__MODE__MODE_POST_COPY)
        policy->post_copy = false;
}
