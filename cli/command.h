/* The table of commands: one entry and one file per command. */
#pragma once

#include "cli/args.h"
#include "cli/exits.h"
#include "common/base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What the global options and the environment say, and where output goes. */
struct cli {
    const char *coordinator; /* URL */
    char *tls_ca, *tls_cert;
    int64_t timeout_ms; /* 0: not given */
    bool json;
    bool terminal; /* standard output and input are one */
    FILE *out, *err;
};

struct command {
    const char *name;    /* "hosts"; "pki init" for a command of a group */
    const char *usage;   /* what follows the name: "VM... [--to HOST]" */
    const char *summary; /* one line, for the list */
    const char *text;    /* paragraphs, for its own help */
    const char *examples;
    const char *exits; /* lines on the exit codes that it has */
    const struct option_spec *options;
    size_t min_words, max_words;
    bool local; /* never talks to the coordinator */
    int (*run)(struct cli *cli, const struct args *args);
};

extern const struct command *const commands[];
extern const size_t n_commands;
extern const struct option_spec global_options[];

/* Tells an error, as {"error": {"code", "text"}} on standard output with --json, and returns `exit`. */
int cli_fail(struct cli *cli, int exit, const struct error *why);
int cli_usage(struct cli *cli, const struct command *command, const struct error *why);
json_t *cli_error_json(const struct error *why); /* {"code", "text"} */

/* Prints a document and frees it. */
void cli_print_json(struct cli *cli, json_t *document);

void help_program(FILE *out);
void help_command(FILE *out, const struct command *command);
void help_group(FILE *out, const char *group);
