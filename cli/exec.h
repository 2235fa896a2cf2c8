/* An operator's own command, run by `sh -c` beside a loop. It has a session of its own (what a terminal sends to the shell
 * does not reach it), no terminal and nothing to read; what it says is told line by line. */
#pragma once

#include "common/base/error.h"
#include "common/base/loop.h"

#include <stdint.h>

struct exec;

struct exec_config {
    struct loop *loop;
    const char *command;
    const char *const *environment; /* "NAME=VALUE", ..., NULL: beside this process's own */
    int64_t timeout_ms;
    void (*on_line)(void *arg, const char *line);
    /* Once, after the last line: how it failed, or NULL. exec_free may be called from it. */
    void (*on_end)(void *arg, const char *why);
    void *arg;
};

int exec_start(const struct exec_config *config, struct exec **ret, struct error *err);

/* After each SIGCHLD, which the program must watch. */
void exec_reap(struct exec *exec);

/* SIGTERM to all its processes, and SIGKILL some seconds later; on_end still comes. */
void exec_end(struct exec *exec, const char *why);

/* Of one that has not ended: it goes on, and what it says is lost. NULL is fine. */
void exec_free(struct exec *exec);
