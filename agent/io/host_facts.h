/* What `drover doctor` judges of a host. Roots are arguments, so that tests can make them. */
#pragma once

#include "agent/config.h"
#include "agent/io/limit.h"
#include "proto/facts.pb-c.h"

#include <stddef.h>

/* From this machine's roots. What can't be read is said in inspection->errors. */
Drover__V1__HostFacts *host_facts_read(const struct limit *limit, const struct agent_config *config,
                                       Drover__V1__Inspection *inspection);

/* Looks a name up, beside all else. NULL: too many are. */
struct lookup *lookup_begin(const char *name);

/* The addresses that it stands for here, appended to the list; or why there are none. Waits until the limit, and ends it. NULL: says
 * so. The fields of a message. */
void lookup_end(struct lookup *lookup, const struct limit *limit, char ***ret, size_t *ret_n,
                char **ret_error);

/* Both, in a time of its own within the limit. */
void host_resolve(const struct limit *limit, const char *name, char ***ret, size_t *ret_n, char **ret_error);

/* `etc_libvirt`: /etc/libvirt. Each setting that matters to migrations, with the file and line that say so, or the default. */
void settings_read(const char *etc_libvirt, Drover__V1__HostFacts *facts);

/* One setting of a file there; NULL: it is not set. */
char *setting_read(const char *etc_libvirt, const char *file, const char *key);

/* Units that systemd knows of those that matter; without systemd by /run/NAME.pid. The parser takes what "systemctl show" prints. */
void services_read(const struct limit *limit, const char *run, const char *proc,
                   Drover__V1__HostFacts *facts);
void services_parse(const char *text, Drover__V1__HostFacts *facts);

/* The first certificate of a PEM file; nothing if there is no such file. */
void certificate_read(const char *path, const char *purpose, Drover__V1__HostFacts *facts);

/* `ip_tables`: /proc/net/ip_tables_names, which tells of the older kind of rules that nft doesn't show. */
void firewall_read(const struct limit *limit, const char *ip_tables, Drover__V1__HostFacts *facts);
bool firewall_parse(const char *json, Drover__V1__Firewall *firewall);

void hugepages_read(const char *sysfs, const char *procfs, Drover__V1__HostFacts *facts);
/* Of the kernel that runs, new at each boot; NULL if it can't be read. The caller's. */
char *boot_id_read(const char *procfs);

/* vm.unprivileged_userfaultfd; "none": this kernel has no userfaultfd at all; NULL: it can't be told (Linux before 5.2). */
char *userfaultfd_read(const char *procfs);

/* By os-release, or where there is none by redhat-release. `etc`: /etc. */
void os_read(const char *etc, Drover__V1__HostFacts *facts);
