/* Runs a program: no shell, an end by the limit. */
#pragma once

#include "agent/io/limit.h"
#include "common/base/error.h"

#include <stdatomic.h>

/* argv[0] is searched in PATH unless it has a slash; nothing is on standard input. Standard output is at most 1 MiB; *ret_output is the caller's. Errors:
 *   NOT_FOUND            there is no such program
 *   FAILED_PRECONDITION  it failed: its exit status and the last line of its standard error
 *   DEADLINE_EXCEEDED    it was killed, with its children, when the limit was over (CANCELLED: nobody waits)
 *   RESOURCE_EXHAUSTED   it said too much */
int run_program(const struct limit *limit, const char *const *argv, char **ret_output, struct error *err);

/* The same of a program whose errors don't all show in its exit status: what it says on standard error is a failure, too. */
int run_silent(const struct limit *limit, const char *const *argv, struct error *err);

/* The same with `input` on standard input: a file, so that a program that reads nothing of it holds up nothing. */
int run_with_input(const struct limit *limit, const char *const *argv, const char *input, char **ret_output,
                   struct error *err);

/* The same of a program that takes long: *ret_pid is its process while it runs, else 0. Any thread may look at it, and by it at how many
 * bytes the program has read of files so far (not of sockets); false where that can't be known. */
int run_watched(const struct limit *limit, const char *const *argv, atomic_int *ret_pid, struct error *err);
bool run_has_read(int pid, uint64_t *ret_bytes);
