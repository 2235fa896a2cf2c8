#include "cli/command.h"

#include <string.h>

#define COLUMN 25
#define WIDTH 100

/* Wrapped at WIDTH, all lines but the first indented. */
static void print_wrapped(FILE *out, const char *text)
{
    int used = COLUMN;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (used + n > WIDTH) {
            fprintf(out, "\n%*s", COLUMN, "");
            used = COLUMN;
        }
        fprintf(out, "%s%.*s", used > COLUMN ? " " : "", n, text);
        used += n + 1;
        text += n + (text[n] == ' ');
    }
    fputc('\n', out);
}

static void print_options(FILE *out, const char *title, const struct option_spec *table)
{
    if (!table || !table->name)
        return;
    fprintf(out, "\n%s:\n", title);
    for (; table->name; table++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", table->name, table->value ? " " : "",
                 table->value ? table->value : "");
        fprintf(out, "  %-22s ", left);
        print_wrapped(out, table->help);
    }
}

static void print_commands(FILE *out, const char *group)
{
    for (size_t i = 0; i < n_commands; i++)
        if (!group || (strncmp(commands[i]->name, group, strlen(group)) == 0 &&
                       commands[i]->name[strlen(group)] == ' '))
            fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
}

void help_program(FILE *out)
{
    fputs("drover moves running virtual machines between KVM hosts.\n\n"
          "Usage: drover COMMAND [ARGUMENTS] [OPTIONS]\n\n"
          "Commands (drover COMMAND --help tells more, with examples):\n",
          out);
    print_commands(out, NULL);
    print_options(out, "Options of every command", global_options);
    fputs("\nExit codes:\n"
          "  0  done\n"
          "  1  failed; the guest is safe where it was. Also: you may not command this coordinator\n"
          "  2  usage\n"
          "  3  refused by a check\n"
          "  4  partly done (several guests); or a guest is not well where it arrived: its plan waits, or "
          "ends\n"
          "  5  coordinator not reachable\n"
          "  6  in doubt: a host can't be asked; the coordinator keeps asking\n"
          "  130  Ctrl-C on a watch; the job goes on\n",
          out);
}

void help_command(FILE *out, const struct command *command)
{
    fprintf(out, "drover %s: %s\n\nUsage: drover %s%s%s\n", command->name, command->summary, command->name,
            *command->usage ? " " : "", command->usage);
    if (command->text)
        fprintf(out, "\n%s", command->text);
    print_options(out, "Options", command->options);
    fprintf(out, "\nOptions of every command (drover --help): --json%s --help\n",
            command->local ? "" : " --coordinator URL --tls-ca FILE --tls-cert FILE --timeout TIME");
    if (command->examples)
        fprintf(out, "\nExamples:\n%s", command->examples);
    fprintf(out, "\nExit codes:\n%s", command->exits);
}

void help_group(FILE *out, const char *group)
{
    fprintf(out, "Usage: drover %s COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n", group);
    print_commands(out, group);
    fprintf(out, "\ndrover %s COMMAND --help tells more, with examples.\n", group);
}
