/* Which questions prove that a guest can move, or that a host is ready. Pure: nonces are given by whoever asks. */
#pragma once

#include "coordinator/core/evidence.h"

enum {
    PROBES_MS = 3000,       /* all questions together */
    PROBE_WAIT_MS = 1500,   /* longest that one agent waits for what another made */
    PROBE_LEASE_MS = 15000, /* what a probe made is gone after that, whoever died */
};

/* The guest's disks and bridges, the ports and the clocks of both hosts, and what the fleet's export nodes export. */
void plan_check(struct evidence *evidence, const struct fleet *fleet, const struct fleet_host *source,
                const struct fleet_host *destination, const Drover__V1__Guest *guest, Drover__V1__Mode mode);

/* What `drover doctor` asks about a host; `peer` tries its ports (NULL: nobody can). */
void plan_doctor(struct evidence *evidence, const struct fleet_host *host, const struct fleet_host *peer);

/* The bridge that an interface hangs on at that host; NULL if it is none. */
const Drover__V1__Bridge *interface_bridge(const struct fleet_host *host, const Drover__V1__Interface *nic);

/* As a program in it would open it: "nfs://10.0.0.20/srv/nfs/web1.raw"; NULL for protocols that can't be asked. Owned by the caller. */
char *disk_url(const Drover__V1__Disk *disk);

/* Is it there for the guest to write to? Of others the path alone counts. */
bool disk_is_written(const Drover__V1__Disk *disk);
