/* Which questions prove that a guest can move, or that a host is ready. Pure: nonces are given by whoever asks. */
#pragma once

#include "coordinator/core/evidence.h"

enum {
    PROBES_MS = 3000, /* all questions together */
    PROBES_NAMES_MS =
        7000,             /* where a server's name is to be looked up: a nameserver that is down takes 5 s */
    INSPECT_PATHS = 512,  /* that one agent tells of at once (agent/inspect.c) */
    PROBE_WAIT_MS = 1500, /* longest that one agent waits for what another made */
    PROBE_LEASE_MS = 15000, /* what a probe made is gone after that, whoever died */
};

/* The guest's disks and bridges, the ports and the clocks of both hosts, and what the fleet's export nodes export. */
void plan_check(struct evidence *evidence, const struct fleet *fleet, const struct fleet_host *source,
                const struct fleet_host *destination, const Drover__V1__Guest *guest, Drover__V1__Mode mode);

/* Of it: the CPU, and who iSCSI units are. */
void plan_needs(struct evidence *evidence, const struct fleet_host *source,
                const struct fleet_host *destination, const Drover__V1__Guest *guest, Drover__V1__Mode mode);

/* With the times that all probes have; freed as an unpacked message. */
Drover__V1__ProbeRequest *probe_request_new(Drover__V1__ProbeKind kind);

/* What guests of this one's type may have at that host; NULL if it is not told. */
const Drover__V1__Accelerated *guest_accelerated(const struct fleet_host *host,
                                                 const Drover__V1__Guest *guest);

/* What must be there before the guest starts: the path, or its directory. Owned by the caller. */
char *device_path_there(const Drover__V1__DevicePath *path);

/* What `drover doctor` asks about a host; `peer` tries its ports (NULL: nobody can). */
void plan_doctor(struct evidence *evidence, const struct fleet_host *host, const struct fleet_host *peer);

/* What `drover storage` asks about a host: mounts, LUNs, exports and volumes. */
void plan_storage(struct evidence *evidence, const struct fleet_host *host);

/* The network of libvirt's that an interface of that type hangs on at that host; NULL if it has none of the name. */
const Drover__V1__Network *interface_network(const struct fleet_host *host, const Drover__V1__Interface *nic);

/* The bridge that an interface hangs on at that host; NULL if it is none. */
const Drover__V1__Bridge *interface_bridge(const struct fleet_host *host, const Drover__V1__Interface *nic);

/* What the question is about whether a frame sent on the one is heard on the other: two interfaces on one bridge may lead to
 * different ones at the destination. Owned by the caller. */
char *bridges_key(const Drover__V1__Bridge *here, const Drover__V1__Bridge *there);

/* As a program would open it: "nfs://10.0.0.20/srv/nfs/web1.raw"; NULL for what can't be asked: other protocols, local sockets,
 * disks whose secret only libvirt has. Owned by the caller. */
char *disk_url(const Drover__V1__Disk *disk);

/* The IQN that QEMU logs in with for the disk: the definition's, else its own by the guest's UUID (block/iscsi.c; libvirt always gives
 * it -uuid). A target's ACL may name it. NULL: it is no iSCSI disk. Owned by the caller. */
char *disk_initiator(const Drover__V1__Guest *guest, const Drover__V1__Disk *disk);

/* Server `i` that a network disk names, by host name or address (not a socket); NULL past the last. */
const char *disk_server(const Drover__V1__Disk *disk, size_t i);

/* A drive whose media can be changed. */
bool disk_is_media(const Drover__V1__Disk *disk);

/* Is it there for the guest to write to? */
bool disk_is_written(const Drover__V1__Disk *disk);
