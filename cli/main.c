/* drover: the operator's command line. Reads the command line, finds the command, runs it. */
#include "cli/command.h"
#include "common/base/memory.h"
#include "common/config/yaml.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define DEFAULT_COORDINATOR "ipc:///run/drover/coordinator.sock"

const struct option_spec global_options[] = {
    {"json", NULL, "one JSON document instead of text", false},
    {"coordinator", "URL",
     "ipc:///PATH, tls+tcp://HOST:PORT or tcp://HOST:PORT (default: $DROVER_COORDINATOR, "
     "else " DEFAULT_COORDINATOR ")",
     false},
    {"tls-ca", "FILE", "the fleet's CA (default: $DROVER_TLS_CA, else ~/.config/drover/ca.pem)", false},
    {"tls-cert", "FILE",
     "your certificate and key (default: $DROVER_TLS_CERT, else ~/.config/drover/operator.pem)", false},
    {"timeout", "TIME", "how long to wait for an answer, e.g. 5s (default: 5s to connect, 60s for an answer)",
     false},
    {"help", NULL, "this text, or the command's", false},
    {"version", NULL, "the version", false},
    {NULL, NULL, NULL, false},
};

static char *from_environment(const char *given, const char *variable, const char *in_home)
{
    const char *value = given ? given : getenv(variable);
    if (value && *value)
        return xstrdup(value);
    const char *home = getenv("HOME");
    return xasprintf("%s/.config/drover/%s", home ? home : "", in_home);
}

static int fill(struct cli *cli, const struct args *args, struct error *err)
{
    const char *url = args_value(args, "coordinator");
    if (!url)
        url = getenv("DROVER_COORDINATOR");
    cli->coordinator = url && *url ? url : DEFAULT_COORDINATOR;
    cli->tls_ca = from_environment(args_value(args, "tls-ca"), "DROVER_TLS_CA", "ca.pem");
    cli->tls_cert = from_environment(args_value(args, "tls-cert"), "DROVER_TLS_CERT", "operator.pem");
    const char *timeout = args_value(args, "timeout");
    if (!timeout)
        return 0;
    int r = parse_duration_ms(timeout, &cli->timeout_ms, err);
    if (r < 0)
        return error_prefix(err, "--timeout");
    if (cli->timeout_ms <= 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "--timeout is '%s'; expected more than nothing, e.g. 5s", timeout);
    return 0;
}

static bool find_command(const char *first, const char *second, const struct command **ret)
{
    for (size_t i = 0; i < n_commands; i++) {
        const char *name = commands[i]->name, *space = strchr(name, ' ');
        size_t length = space ? (size_t)(space - name) : strlen(name);
        if (strlen(first) == length && memcmp(first, name, length) == 0 &&
            (!space || streq(second, space + 1))) {
            *ret = commands[i];
            return true;
        }
    }
    return false;
}

static bool is_group(const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i < n_commands; i++)
        if (strncmp(commands[i]->name, word, length) == 0 && commands[i]->name[length] == ' ')
            return true;
    return false;
}

/* What was typed where a command should be, and what may have been meant. */
static void unknown_command(const char *first, const char *second, struct error *err)
{
    bool group = is_group(first);
    const char *names[64];
    char heads[64][16];
    size_t n = 0;
    for (size_t i = 0; i < n_commands && n < 64; i++) {
        const char *name = commands[i]->name, *space = strchr(name, ' ');
        if (group && !(space && strncmp(name, first, strlen(first)) == 0))
            continue;
        snprintf(heads[n], sizeof(heads[n]), "%.*s", space && !group ? (int)(space - name) : 15,
                 group ? space + 1 : name);
        names[n] = heads[n];
        n++;
    }
    const char *word = group ? second : first;
    const char *near = args_suggest(word, names, n), *of = group ? first : "", *gap = group ? " " : "";
    if (near)
        error_set(err, STATUS_INVALID_ARGUMENT, "unknown command '%s%s%s'; did you mean 'drover %s%s%s'?", of,
                  gap, word, of, gap, near);
    else
        error_set(err, STATUS_INVALID_ARGUMENT,
                  "unknown command '%s%s%s'; 'drover%s%s --help' lists what there is", of, gap, word, gap,
                  of);
}

static int print_version(struct cli *cli)
{
    if (cli->json)
        cli_print_json(cli, json_pack("{s:s}", "version", DROVER_VERSION));
    else
        fputs("drover " DROVER_VERSION "\n", cli->out);
    return EXIT_DONE;
}

static int run_command(struct cli *cli, const struct command *command, int argc, char **argv)
{
    struct error err = {0};
    struct args args = {0};
    if (args_parse(&args, argc, argv, global_options, command->options, &err) < 0)
        return cli_usage(cli, command, &err);
    int exit;
    const char *space = strchr(command->name, ' ');
    bool word = space && space[1] != '-'; /* `maintenance --rolling` is told by an option, not by a word */
    size_t own_words = word ? 2 : 1;
    if (word && (args.n_rest < 2 || !streq(args.rest[1], space + 1))) {
        error_set(&err, STATUS_INVALID_ARGUMENT,
                  "which command is meant? Write options after it: drover %s ...", command->name);
        args_deinit(&args);
        return cli_usage(cli, command, &err);
    }
    size_t words = args.n_rest - own_words;
    memmove(args.rest, args.rest + own_words, words * sizeof(*args.rest));
    args.n_rest = words;
    if (args_flag(&args, "help")) {
        help_command(cli->out, command);
        exit = EXIT_DONE;
    } else if (args_flag(&args, "version")) {
        exit = print_version(cli);
    } else if (words < command->min_words) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "something is missing; expected: drover %s %s",
                  command->name, command->usage);
        exit = cli_usage(cli, command, &err);
    } else if (words > command->max_words) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "'%s' is one word too many; expected: drover %s %s",
                  args.rest[command->max_words], command->name, command->usage);
        exit = cli_usage(cli, command, &err);
    } else if (fill(cli, &args, &err) < 0) {
        exit = cli_usage(cli, command, &err);
    } else {
        exit = command->run(cli, &args);
    }
    args_deinit(&args);
    free(cli->tls_ca);
    free(cli->tls_cert);
    return exit;
}

static int without_command(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    struct args args = {0};
    if (args_parse(&args, argc, argv, global_options, NULL, &err) < 0)
        return cli_usage(cli, NULL, &err);
    bool version = args_flag(&args, "version"), help = args_flag(&args, "help");
    args_deinit(&args);
    if (version)
        return print_version(cli);
    if (help) {
        help_program(cli->out);
        return EXIT_DONE;
    }
    help_program(cli->err);
    return EXIT_USAGE;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
    int first = args_first_word(argc, argv, global_options);
    if (!first)
        return without_command(cli, argc, argv);
    /* In a group, options may stand before the second word: `drover pki --dir D list`. */
    const char *word2 = NULL;
    const struct command *command;
    bool found = find_command(argv[first], NULL, &command);
    for (int i = first + 1; i < argc && !found; i++) {
        word2 = argv[i][0] != '-' && !word2 ? argv[i] : word2;
        found = find_command(argv[first], argv[i], &command);
    }
    if (found)
        return run_command(cli, command, argc, argv);
    if (is_group(argv[first]) && !word2) {
        bool asked = false;
        for (int i = 1; i < argc; i++)
            asked = asked || streq(argv[i], "--help") || streq(argv[i], "-h");
        help_group(asked ? cli->out : cli->err, argv[first]);
        return asked ? EXIT_DONE : EXIT_USAGE;
    }
    struct error err;
    unknown_command(argv[first], word2, &err);
    return cli_usage(cli, NULL, &err);
}

int main(int argc, char **argv)
{
    /* `drover vms | head` ends by a failed write, not by a signal in the middle of a call. */
    signal(SIGPIPE, SIG_IGN);
    struct cli cli = {
        .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), .out = stdout, .err = stderr};
    int exit = dispatch(&cli, argc, argv);
    /* Output that did not arrive (a full disk) must not pass for success; a reader that left early is no failure. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE) {
        fprintf(stderr, "drover: cannot write the output: %s\n", strerror(errno));
        if (exit == EXIT_DONE)
            exit = EXIT_FAILED;
    }
    return exit;
}
