/* One call of Probe or Inspect: work on a thread of the probes' own, and an answer by its deadline.
 *
 * The work owns `request` and `result`; the loop owns the rest. Answered once: by `done` when the work has ended, or at the
 * deadline by `late`; what ends after that is thrown away. */
#pragma once

#include "agent/io/limit.h"
#include "agent/probe.h"

struct probe_job {
    struct probe_job *next;
    struct probes *probes;
    struct rpc_call *call;
    ProtobufCClosure reply;
    ProtobufCMessage *request, *result;
    struct limit limit;
    struct loop_timer *timer;
    bool answered, skipped, left;         /* left: the work may have made something and could not take it away */
    int fd;                               /* that the work has opened for `after`; -1: none */
    int64_t begun;                        /* monotonic */
    void (*work)(struct probe_job *job);  /* worker */
    void (*after)(struct probe_job *job); /* loop, when work has ended; may be NULL */
    void (*late)(struct probe_job *job);  /* loop: fills a result of the loop's own in `job->result` */
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
    bool sweeping;
    struct loop_timer *sweep_timer;
};

/* Takes over request and result; starts at once, or fails the call when too many are at work. */
void probe_job_start(struct probes *probes, struct rpc_call *call, ProtobufCClosure reply,
                     ProtobufCMessage *request, ProtobufCMessage *result, int64_t wait_ms,
                     void (*work)(struct probe_job *job), void (*after)(struct probe_job *job),
                     void (*late)(struct probe_job *job));
void probes_unref(struct probes *probes);

int64_t probe_realtime_us(void); /* CLOCK_REALTIME */

/* Holds for lease_ms. fd: a listener, which greets who connects; -1: a file. */
void probe_hold(struct probes *probes, const char *nonce, int fd, int64_t lease_ms);
void probe_unhold(struct probe_held *held);
struct probe_held *probe_find(struct probes *probes, const char *nonce, bool listener);
bool probes_full(const struct probes *probes);

/* It could not be removed now: tried again until it can. */
void probes_stale(struct probes *probes, const char *nonce);
