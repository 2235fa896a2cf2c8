/* Command lines by tables: options of a command and of the program, and what a user gave of them. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct option_spec {
    const char *name;  /* without "--"; a NULL name ends a table */
    const char *value; /* what follows it, as help shows it; NULL: nothing does */
    const char *help;
    bool repeats;
};

struct args {
    struct arg_given {
        const struct option_spec *option;
        const char *value; /* NULL for a flag */
    } * given;
    size_t n_given;
    const char **rest; /* what is no option, in order */
    size_t n_rest;
};

/* Reads argv[1..] by both tables (`own` may be NULL). Options may stand anywhere before "--". Strings stay argv's.
 * INVALID_ARGUMENT: an unknown option (with a near one suggested), a value missing or not wanted, one given twice. */
int args_parse(struct args *args, int argc, char **argv, const struct option_spec *global,
               const struct option_spec *own, struct error *err);
void args_deinit(struct args *args);

bool args_flag(const struct args *args, const char *name);
const char *args_value(const struct args *args, const char *name); /* NULL: not given */

/* The i-th value of a repeated option; NULL past the last. */
const char *args_nth(const struct args *args, const char *name, size_t i);

/* What was given, as words for a shell with a space before each, without the options named (up to NULL). The caller's. */
char *args_again(const struct args *args, const char *const *without);

/* The first word of argv that is neither an option nor an option's value, as far as `global` tells; 0: none. */
int args_first_word(int argc, char **argv, const struct option_spec *global);

/* Which of `words` a user may have meant by `word`; NULL: none is near. */
const char *args_suggest(const char *word, const char *const *words, size_t n_words);

int args_number(const char *text, const char *what, long min, long max, long *ret, struct error *err);
