/* What agents are asked before a guest moves, and what they answered: the facts behind the rules that prove. Pure: who asks is
 * coordinator/probes.c.
 *
 * A request is asked when its step is due: requests of one group come step by step, groups run side by side.
 *
 *     NEW --due--> DUE --sent--> SENT --> ANSWERED | FAILED
 *      |                           \----> ENOUGH (its answer is no longer needed)
 *      \--an earlier step did not work--> SKIPPED
 *
 * A farewell (remove, close) is sent when the steps before it are over, whatever came of them; nobody waits for it. */
#pragma once

#include "coordinator/core/fleet.h"

enum ask_state { ASK_NEW, ASK_DUE, ASK_SENT, ASK_ANSWERED, ASK_FAILED, ASK_SKIPPED, ASK_ENOUGH };

struct ask {
    const struct fleet_host *host;
    char *key;                           /* what it is about: a disk's target, a bridge; "" */
    unsigned group, step;                /* steps count from 0 */
    bool farewell;                       /* undoes what step 0 made */
    Drover__V1__ProbeRequest *probe;     /* owned; NULL: inspect */
    Drover__V1__InspectRequest *inspect; /* owned; NULL: probe */
    enum ask_state state;
    Drover__V1__ProbeResult *result;    /* owned; when ANSWERED */
    Drover__V1__Inspection *inspection; /* owned; when ANSWERED */
    enum status_code code;              /* when FAILED */
    char *why;                          /* owned; when FAILED */
    int64_t sent_us, answered_us;       /* of the coordinator's CLOCK_REALTIME, for clocks */
};

#define BACKING "backing" /* key of inspections that only look at paths of backing files */

struct evidence {
    struct ask *asks;
    size_t n;
    unsigned groups;
    const struct fleet_host *source, *destination; /* of a move: answers about its images bring questions */
    bool closed;                                   /* no time is left for those */
};

void evidence_deinit(struct evidence *evidence);

/* Adds a request, which it takes over (either of the two). Pointers to asks are good until the next is added. */
struct ask *evidence_add(struct evidence *evidence, const struct fleet_host *host, const char *key,
                         unsigned group, unsigned step, Drover__V1__ProbeRequest *probe,
                         Drover__V1__InspectRequest *inspect);

/* Of one host and kind, about `key` (NULL: the first); NULL if nobody asked. */
const struct ask *evidence_probe(const struct evidence *evidence, const struct fleet_host *host,
                                 Drover__V1__ProbeKind kind, const char *key);

/* The last inspection of that host that was answered, NULL if there is none; those of single paths (key BACKING) aside. */
const Drover__V1__Inspection *evidence_inspection(const struct evidence *evidence,
                                                  const struct fleet_host *host);
/* What that host's libvirt said of the guest when it was asked; NULL if it was not. */
const Drover__V1__GuestNow *evidence_guest(const struct evidence *evidence, const struct fleet_host *host);
const struct ask *evidence_inspect(const struct evidence *evidence, const struct fleet_host *host);
const Drover__V1__PathFacts *evidence_path(const struct evidence *evidence, const struct fleet_host *host,
                                           const char *path);

/* Makes due what can be asked now, and fills in what earlier answers tell; may add requests. True while something is to be waited for. */
bool evidence_advance(struct evidence *evidence);

static inline bool ask_proven(const struct ask *a)
{
    return a && a->result && a->result->outcome == DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN;
}
static inline bool ask_refuted(const struct ask *a)
{
    return a && a->result && a->result->outcome == DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED;
}

/* Why there is no proof, in words: the result's, or why there is no result. */
const char *ask_words(const struct ask *a);

/* It was asked, and no question to it was answered in time: the agent hangs, or the way to it is gone. Then nothing that it did not
 * say tells anything of the host. */
bool evidence_silent(const struct evidence *evidence, const struct fleet_host *host);

/* The result's reason; "" without one. */
const char *ask_reason(const struct ask *a);

/* The agent is of a version that can't be asked this. */
static inline bool ask_unknown(const struct ask *a)
{
    return a && a->state == ASK_FAILED && a->code == STATUS_UNIMPLEMENTED;
}

/* How far the host's clock is ahead of the coordinator's, and how far wrong that may be, in ms. False if it wasn't told. */
bool evidence_clock(const struct evidence *evidence, const struct fleet_host *host, int64_t *ret_ahead_ms,
                    int64_t *ret_doubt_ms);

/* The host's pool that holds the disk, which is a volume; NULL if it is none, or the host has no such pool. */
const Drover__V1__StoragePool *disk_pool(const struct fleet_host *host, const Drover__V1__Disk *disk);
/* What volumes of it are: files in a directory, or devices of the host; else only QEMU reaches them. */
bool pool_is_directory(const Drover__V1__StoragePool *pool);
bool pool_has_devices(const Drover__V1__StoragePool *pool);

/* A file's path of a disk as the hosts see it: of type file, or of a volume in a pool that is a directory there. Owned by the
 * caller; NULL if it is none. */
char *disk_path(const struct fleet_host *host, const Drover__V1__Disk *disk);

/* True of hosts that export storage, beside the hypervisor's role or without it. */
bool host_exports(const struct fleet_host *host);
