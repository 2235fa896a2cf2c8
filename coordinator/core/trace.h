/* Where a disk is served from, as far as it can be traced: by the proof's file, by what the disk or its mount names, by the target of a
 * unit. Pure. */
#pragma once

#include "coordinator/core/preflight.h"

struct trace {
    const Drover__V1__Disk *disk;
    const char *kind; /* "nfs", "iscsi", "gluster", or another protocol or file system. Borrowed */
    char *server;     /* as the mount or the definition names it; "" if neither does. Owned */
    const struct fleet_host *host; /* the host of the fleet that it is; NULL: none */
    const Drover__V1__Export *share;
    bool found;                     /* the nonce was found there */
    bool asked;                     /* somebody was asked for it */
    const Drover__V1__Mount *mount; /* of a file: what holds it; NULL: not known */
};

/* False for disks that no server is to be known of: block devices of another network than iSCSI, file systems on those, what isn't
 * shared. trace_free in any case. */
bool trace_disk(const struct preflight *in, size_t i, struct trace *ret);
void trace_free(struct trace *trace);

#define each_trace(t)                                                                                        \
    for (size_t i_ = 0; i_ < in->guest->guest->n_disks; i_++)                                                \
        for (bool go_ = trace_disk(in, i_, (t)); go_ || (trace_free(t), false); go_ = false)

/* The one of the two hosts that serves it, or has a part of a volume that is spread over several; NULL: neither. */
const struct fleet_host *trace_own_server(const struct preflight *in, const struct trace *trace);

/* "kvm2:/srv/brick", "[fd00::2]:/srv/brick", "fd00::2:/srv/brick": the host of the fleet that it is at. */
const struct fleet_host *trace_brick(const struct preflight *in, const char *brick);
