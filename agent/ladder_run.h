/* The ladder at work (core/ladder.h) on the source's transfer: libvirt's samples go in, its decisions are carried out.
 *
 * A pause is in the transaction's manifest before libvirt is asked for it, so that whoever settles knows whose it is; it is
 * an operation of the guest's turn, and so never comes after SETTLE. Should libvirt's job have ended meanwhile, the guest
 * is resumed again. A program that is started anew begins at the rung that it sees.
 *
 * Post-copy is in the manifest before it is asked for, too, and from then on nothing is stopped or paused. A job that may come
 * to it is begun so (ladder_start.post_copy), and its guest runs at the destination as soon as libvirt says so.
 *
 * Everything here is the loop's. */
#pragma once

#include "agent/core/ladder.h"
#include "agent/transaction.h"

struct ladder_run;

struct ladder_policy ladder_run_policy(Drover__V1__Mode mode, const Drover__V1__Policy *policy);

/* Bytes per second that the job may use: the policy's, and no more than its share of the link; 0: no limit is known. */
uint64_t ladder_run_limit(const struct transaction *txn);

/* Decides how the job is to be begun, into the record, to be written with MIGRATING. The loop's, in the guest's turn. */
void ladder_run_begin(struct transaction *txn);

/* *ret_start is how the job is begun, or was; its `why` is the first decision. Borrows the transaction. `said` gets every
 * later decision; `downtime` is called when the limit of the switch-over is to be changed. */
struct ladder_run *ladder_run_new(struct transaction *txn, void (*said)(void *arg, const char *text),
                                  void (*downtime)(void *arg, int64_t ms), void *arg, bool adopt,
                                  struct ladder_start *ret_start);
struct ladder_run *ladder_run_free(struct ladder_run *run);

/* `paused_for`: ms, 0 if the guest runs. `others`: somebody else paused it. */
void ladder_run_sample(struct ladder_run *run, const Drover__V1__Progress *sample, int64_t paused_for,
                       bool others);

/* It has asked for a pause, or had in the program's last run. */
bool ladder_run_pauses(const struct ladder_run *run);

/* Breaks QEMU's stream of a post-copy that stands still (io/domain.h). */
void ladder_run_break_post_copy(struct ladder_run *run);

/* ms until the end; -1: not known. */
int64_t ladder_run_time_left(const struct ladder_run *run);

/* Bytes per second that the link carried, of all that was sent; 0: not known. */
int64_t ladder_run_carried(const struct ladder_run *run);

/* Why the ladder gave the job up, or NULL. */
const char *ladder_run_cancelled(const struct ladder_run *run);

/* Why it had given the job up in the program's last run, or in this; NULL: it has not. The record may be read. */
const char *ladder_run_given_up(const struct transaction *txn);

/* Of an adopted job: when the guest was paused by the program's last run, ms of clock_monotonic_ms; 0: it was not. */
int64_t ladder_run_paused_since(const struct transaction *txn);
