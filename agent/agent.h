/* What the files of the agent share. Made and freed by main.c; the pointers stay the same while the program runs.
 *
 * Threads. State belongs to the loop. What blocks (libvirt, files, sysfs) runs on a worker as a function of its
 * arguments, and its `done` changes the state on the loop.
 *
 * The halves meet in three places: service.c lets transactions_serve set its handlers; the report and the table of
 * guests ask transactions_reserved_bytes and transactions_of_guest; a transaction that opens or ends calls
 * host_report_changed and guests_refresh. */
#pragma once

#include "agent/config.h"
#include "common/base/loop.h"
#include "common/rpc/rpc.h"

struct libvirt;      /* agent/io/libvirt.h: the connection and its events */
struct guests;       /* agent/io/guests.h: the table of guests */
struct host_report;  /* agent/io/host_report.h: what the host is and has */
struct measure;      /* agent/io/measure.h: what the host and its guests use */
struct samples;      /* agent/samples.h: dirty rates and links, known beforehand */
struct transactions; /* agent/transactions.h: the agent's half of the migrations */

struct agent {
    struct loop *loop;
    struct workers *workers;
    const struct agent_config *config;
    struct rpc_tls *tls; /* NULL without TLS; for calls to other agents, too */
    struct rpc_server *server;
    struct libvirt *libvirt; /* this and the next one: NULL unless the host is a hypervisor */
    struct guests *guests;
    struct host_report *report;
    struct measure *measure;
    struct samples *samples;
    struct transactions *transactions;
    char instance[37];  /* random, new at each start */
    char *boot_id;      /* the kernel's; NULL: not known */
    int64_t started_ms; /* realtime */
    bool hangs;         /* while it ends: a thread hangs in a file system, and what it uses stays */
};
