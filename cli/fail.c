#include "cli/command.h"
#include "cli/text.h"

void cli_print_json(struct cli *cli, json_t *document)
{
    json_dumpf(document, cli->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', cli->out);
    json_decref(document);
}

json_t *cli_error_json(const struct error *why)
{
    char text[sizeof(why->text) * 4];
    return json_pack("{s:s,s:s}", "code", status_name(why->code), "text",
                     text_clean(why->text, text, sizeof(text)));
}

int cli_fail(struct cli *cli, int exit, const struct error *why)
{
    char text[sizeof(why->text) * 4];
    if (cli->json)
        cli_print_json(cli, json_pack("{s:o}", "error", cli_error_json(why)));
    else
        fprintf(cli->err, "drover: %s\n", text_clean(why->text, text, sizeof(text)));
    return exit;
}

int cli_usage(struct cli *cli, const struct command *command, const struct error *why)
{
    cli_fail(cli, EXIT_USAGE, why);
    if (!cli->json)
        fprintf(cli->err, "Try: drover %s%s--help\n", command ? command->name : "", command ? " " : "");
    return EXIT_USAGE;
}
