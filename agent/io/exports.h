/* What this node exports: NFS, iSCSI, GlusterFS; to whom, and from which directory or device. Read from configuration files,
 * configfs and tgtadm; roots are arguments, so that tests can make them. */
#pragma once

#include "agent/io/limit.h"
#include "proto/facts.pb-c.h"
#include "proto/probe.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

struct exports {
    Drover__V1__Export **list;
    size_t n;
    char **errors; /* what could not be read, and why */
    size_t n_errors;
};

void exports_deinit(struct exports *exports);

/* A new one at the end of the list; strings of protobuf-c's default. */
Drover__V1__Export *exports_add(struct exports *exports, const char *kind, const char *server,
                                const char *name);
void exports_add_client(Drover__V1__Export *exported, const char *who, bool write, const char *options);
void exports_say(struct exports *exports, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* `etc`: /etc, `proc`: /proc, `nfs`: /var/lib/nfs. Kernel NFS: exports, exports.d and what is exported; then ganesha.conf. */
void exports_read_kernel_nfs(const char *etc, const char *proc, const char *nfs, struct exports *ret);
void exports_read_ganesha(const char *etc, const char *proc, struct exports *ret);

/* `sysfs`: /sys, LIO's configfs below it. The parser of tgt takes what "tgtadm --mode target --op show" prints. */
void exports_read_lio(const char *sysfs, struct exports *ret);
void exports_parse_tgt(const char *targets, const char *portals, struct exports *ret);
void exports_read_tgt(const struct limit *limit, struct exports *ret);

/* `glusterd`: /var/lib/glusterd. */
void exports_read_gluster(const char *glusterd, struct exports *ret);

/* May each of the clients use it? Resolves names that the configuration holds. */
void exports_judge(Drover__V1__Export *exported, Drover__V1__InspectClient *const *clients, size_t n);

/* Of all of them, judged; the first of several of one directory, by which it is known, tells the most that a host may by any. */
void exports_judge_all(struct exports *exports, Drover__V1__InspectClient *const *clients, size_t n);

/* All of it, from this machine's roots. */
void exports_read(const struct limit *limit, Drover__V1__InspectClient *const *clients, size_t n,
                  Drover__V1__Inspection *result);

/* Exports may lie in each other ("/srv *(ro,fsid=0)" and "/srv/vms kvm*(rw)"): the innermost that holds the file is what clients
 * reach it through. NULL if none does. */
const Drover__V1__Export *exports_nearest(const struct exports *exports, const char *path);

/* A directory that this machine exports has it, or not all of what it exports could be read. */
bool exports_have(const char *path);

/* Looks for the nonce in every exported directory, first in `relative` below it. */
void exports_find_nonce(const struct limit *limit, const char *nonce, const char *relative,
                        Drover__V1__ProbeResult *result);

/* Somebody listens on the TCP port here: 1 yes, 0 no, -1 can't be told. */
int exports_listened(const char *proc, unsigned port);
