/* Runs the drover program in a test, on pipes or on a pseudo-terminal, against the coordinator of cli_fake.c.
 * $DROVER_CLI and $DROVER_CLI_FAKE name the two programs. Failures end the test (cmocka). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cli_run {
    pid_t pid;
    int fd;       /* its output, or its terminal */
    int error_fd; /* -1 on a terminal */
    char out[65536], err[8192];
    size_t n_out, n_err;
    int exit; /* -1: still running */
};

/* Words of `line` are separated by single spaces. */
void start(struct cli_run *r, const char *line);
void start_on_terminal(struct cli_run *r, const char *line);
void run(struct cli_run *r, const char *line);
void type(const struct cli_run *r, const char *keys);

/* Waits for output until `text` has come (NULL: until the end); false after 20 s. */
bool wait_for(struct cli_run *r, const char *text);

/* Waits for the program's end and takes its status. */
void end(struct cli_run *r);

void assert_has(const char *text, const char *part);

/* Of the program's output; the caller's. */
json_t *json_of(const struct cli_run *r);

/* What Meson says a file is; a name that can't be opened if the test was started without it. */
const char *file_of(const char *variable);

/* Group setup and teardown: the made-up coordinator. */
int start_fake(void **state);
int stop_fake(void **state);

/* What the coordinator has printed since, waiting for something. */
bool fake_said(char *buffer, size_t size);
