/* One call of Probe or Inspect: work on a thread of the probes' own, and an answer by its deadline.
 *
 * The work owns `request` and `result`; the loop owns the rest. Answered once: by `done` when the work has ended, or at the
 * deadline by `late`; what ends after that is thrown away.
 *
 * A file system whose server is gone may never let the work end. So each job says which places it touches, and nothing new is begun
 * at a place from which an overdue one has not come back: it would only be one thread more that hangs. */
#pragma once

#include "agent/io/limit.h"
#include "agent/probe.h"

#include <stdatomic.h>

struct probe_job;

struct probe_work {
    void (*work)(struct probe_job *job);  /* worker */
    void (*after)(struct probe_job *job); /* loop, when work has ended; may be NULL */
    void (*late)(struct probe_job *
                     job); /* loop: fills a result of the loop's own in `job->result`; NULL: the call fails */
    char **places;         /* of probes_places: what it touches; taken over */
    size_t n_places;
};

#define PROBE_NOWHERE SIZE_MAX

struct probe_job {
    struct probe_job *next;
    struct probes *probes;
    struct rpc_call *call;
    ProtobufCClosure reply;
    ProtobufCMessage *request, *result;
    struct limit limit;
    struct loop_timer *timer;
    bool answered, skipped, left; /* left: the work may have made something and could not take it away */
    bool unwanted;                /* nobody waits for its answer any more: what it makes is not held */
    int fd;                       /* that the work has opened for `after`; -1: none */
    int64_t begun;                /* monotonic */
    struct probe_work does;
    _Atomic size_t at; /* which of its places the work is at; PROBE_NOWHERE: none */
    int64_t
        overdue; /* monotonic: the deadline passed then, and the work has not ended; 0: it has not passed */
};

struct probe_held { /* what a probe has made and a later step, a lease or the end of the agent takes away */
    struct probe_held *next;
    struct probes *probes;
    char nonce[37];
    int fd; /* a listener; -1: a file */
    struct loop_fd *watch;
    struct loop_timer *lease;
};

struct probes {
    unsigned refs; /* the owner's, and one of each job */
    bool freed;
    struct agent *agent;
    struct workers *workers;
    struct probe_job *jobs;
    unsigned n_jobs;
    struct probe_held *held;
    char **stale; /* nonces to be removed: of an earlier start, or that could not be */
    size_t n_stale;
    struct sweep *sweeps; /* in progress */
    struct loop_timer *sweep_timer;
};

/* Takes over request, result and places; starts at once, or fails the call when too many are at work. */
void probe_job_start(struct probes *probes, struct rpc_call *call, ProtobufCClosure reply,
                     ProtobufCMessage *request, ProtobufCMessage *result, int64_t wait_ms,
                     const struct probe_work *work);
void probes_unref(struct probes *probes);

int64_t probe_realtime_us(void); /* CLOCK_REALTIME */

/* Of n paths (empty ones: ""); tree_list_free frees them. By the mounts as they are now, and without touching what may hang. */
char **probes_places(char *const *paths, size_t n);

/* How long work has not come back from that place; 0: none is overdue there, by more than a busy host explains. */
int64_t probes_stuck_ms(const struct probes *probes, const char *place);

/* Holds for lease_ms. fd: a listener, which greets who connects; -1: a file. */
void probe_hold(struct probes *probes, const char *nonce, int fd, int64_t lease_ms);
void probe_unhold(struct probe_held *held);
struct probe_held *probe_find(struct probes *probes, const char *nonce, bool listener);
bool probes_full(const struct probes *probes);

/* It could not be removed now: tried again until it can. */
void probes_stale(struct probes *probes, const char *nonce);
