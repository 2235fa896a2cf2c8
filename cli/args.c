#include "cli/args.h"

#include "cli/text.h"
#include "common/base/memory.h"

#include <errno.h>
#include <string.h>

#define MAX_OPTIONS 64

static const struct option_spec *find(const struct option_spec *table, const char *name, size_t length)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == length && memcmp(table->name, name, length) == 0)
            return table;
    return NULL;
}

static int unknown_option(const char *word, size_t length, const struct option_spec *global,
                          const struct option_spec *own, struct error *err)
{
    const char *names[MAX_OPTIONS];
    size_t n = 0;
    for (const struct option_spec *o = own; o && o->name && n < MAX_OPTIONS; o++)
        names[n++] = o->name;
    for (const struct option_spec *o = global; o && o->name && n < MAX_OPTIONS; o++)
        names[n++] = o->name;
    _cleanup_free_ char *bare = xasprintf("%.*s", (int)length, word);
    const char *near = args_suggest(bare, names, n);
    if (near)
        return error_set(err, STATUS_INVALID_ARGUMENT, "unknown option --%s; did you mean --%s?", bare, near);
    return error_set(err, STATUS_INVALID_ARGUMENT, "unknown option --%s; --help lists what there is", bare);
}

static int give(struct args *args, const struct option_spec *option, const char *value, struct error *err)
{
    if (!option->repeats)
        for (size_t i = 0; i < args->n_given; i++)
            if (args->given[i].option == option)
                return error_set(err, STATUS_INVALID_ARGUMENT, "option --%s is given twice; give it once",
                                 option->name);
    args->given = xrealloc(args->given, args->n_given + 1, sizeof(*args->given));
    args->given[args->n_given++] = (struct arg_given){option, value};
    return 0;
}

static int parse(struct args *args, int argc, char **argv, const struct option_spec *global,
                 const struct option_spec *own, struct error *err)
{
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
            continue;
        }
        if (!word[0]) /* a variable of the shell that is not set must not come to mean "any host" */
            return error_set(err, STATUS_INVALID_ARGUMENT, "word %d is empty; is a variable not set?", i);
        if (only_words || word[0] != '-' || word[1] == 0) {
            args->rest[args->n_rest++] = word;
            continue;
        }
        if (strcmp(word, "-h") == 0)
            word = "--help";
        if (word[1] != '-')
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "unknown option %s; options have two dashes, except -h", word);
        const char *name = word + 2;
        size_t length = strcspn(name, "=");
        const struct option_spec *option = find(own, name, length);
        if (!option)
            option = find(global, name, length);
        if (!option)
            return unknown_option(name, length, global, own, err);
        const char *value = name[length] ? name + length + 1 : NULL;
        if (!option->value && value)
            return error_set(err, STATUS_INVALID_ARGUMENT, "option --%s takes no value, but got '%s'",
                             option->name, value);
        if (option->value && !value) {
            if (i + 1 == argc)
                return error_set(err, STATUS_INVALID_ARGUMENT, "option --%s needs a value: --%s %s",
                                 option->name, option->name, option->value);
            /* `drover maintenance --rolling --help`: nobody means a value of that name. */
            if (streq(argv[i + 1], "--help"))
                continue;
            value = argv[++i];
        }
        if (value && !value[0])
            return error_set(err, STATUS_INVALID_ARGUMENT, "option --%s is empty; expected --%s %s",
                             option->name, option->name, option->value);
        int r = give(args, option, value, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int args_parse(struct args *args, int argc, char **argv, const struct option_spec *global,
               const struct option_spec *own, struct error *err)
{
    struct args fresh = {.rest = xcalloc((size_t)argc + 1, sizeof(char *))};
    int r = parse(&fresh, argc, argv, global, own, err);
    if (r < 0) {
        args_deinit(&fresh);
        return r;
    }
    *args = fresh;
    return 0;
}

void args_deinit(struct args *args)
{
    free(args->given);
    free(args->rest);
    *args = (struct args){0};
}

bool args_flag(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            return true;
    return false;
}

const char *args_nth(const struct args *args, const char *name, size_t nth)
{
    for (size_t i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, name) == 0 && nth-- == 0)
            return args->given[i].value;
    return NULL;
}

const char *args_value(const struct args *args, const char *name)
{
    return args_nth(args, name, 0);
}

char *args_again(const struct args *args, const char *const *without)
{
    char *all = xstrdup("");
    for (size_t i = 0; i < args->n_given; i++) {
        const struct arg_given *g = &args->given[i];
        bool out = false;
        for (size_t k = 0; without[k]; k++)
            out = out || streq(g->option->name, without[k]);
        if (out)
            continue;
        _cleanup_free_ char *word = g->value ? text_shell_word(g->value) : xstrdup("");
        char *longer = xasprintf("%s --%s%s%s", all, g->option->name, g->value ? " " : "", word);
        free(all);
        all = longer;
    }
    return all;
}

int args_first_word(int argc, char **argv, const struct option_spec *global)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--") == 0)
            return i + 1 < argc ? i + 1 : 0;
        if (word[0] != '-' || word[1] == 0)
            return i;
        if (word[1] != '-' || strchr(word, '='))
            continue;
        const struct option_spec *option = find(global, word + 2, strlen(word + 2));
        if (option && option->value)
            i++;
    }
    return 0;
}

/* Edits that turn a into b: insert, delete, replace, swap of neighbours (optimal string alignment). */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t n = strnlen(a, MAX), m = strnlen(b, MAX);
    size_t d[MAX + 1][MAX + 1];
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *args_suggest(const char *word, const char *const *words, size_t n_words)
{
    const char *near = NULL;
    size_t length = strlen(word), limit = length / 3 + 1;
    for (size_t i = 0; i < n_words; i++) {
        if (length >= 2 && strncmp(word, words[i], length) == 0)
            return words[i];
        size_t d = distance(word, words[i]);
        if (d <= limit) {
            limit = d - (d > 0);
            near = words[i];
        }
    }
    return near;
}

int args_number(const char *text, const char *what, long min, long max, long *ret, struct error *err)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < min || n > max)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s is '%s'; expected a number from %ld to %ld", what,
                         text, min, max);
    *ret = n;
    return 0;
}
