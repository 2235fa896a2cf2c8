/* Can the destination take a guest in by post-copy? Its QEMU needs userfaultfd, and refuses the whole migration without, whether
 * post-copy would come to be asked for or not. Pure. */
#pragma once

#include "proto/types.pb-c.h"

/* What is missing there, to be freed; NULL: nothing, as far as is known. */
char *post_copy_missing(const Drover__V1__HostReport *destination);

/* Takes post-copy out of the policy where it is one rung of several and can't be had. */
void post_copy_fit(Drover__V1__Policy *policy, Drover__V1__Mode mode,
                   const Drover__V1__HostReport *destination);
