/* drover fence list | release: what the storage keeps closed to a host that could not be asked. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/table.h"

#include "proto/coordinator.pb-c.h"

static void print(const Drover__V1__ListFencesReply *reply, FILE *out)
{
    if (reply->n_fences) {
        struct table *t = table_new("CLOSED TO|GUEST|OPEN TO|NODE|TARGET|HOLDS");
        for (size_t i = 0; i < reply->n_fences; i++) {
            const Drover__V1__Closure *c = reply->fences[i];
            table_cell(t, c->source);
            table_cell(t, c->guest_name);
            table_cell(t, c->destination);
            table_cell(t, c->node);
            table_cell(t, c->target);
            table_cell(t, c->holds ? "yes" : c->text);
        }
        table_print(t, out);
    } else if (!reply->n_unknown) {
        fputs("Nothing is closed.\n", out);
    }
    for (size_t i = 0; i < reply->n_unknown; i++)
        fprintf(out, "Not known: %s\n", reply->unknown[i]);
}

static int run_list(struct cli *cli, const struct args *args)
{
    (void)args;
    Drover__V1__ListFencesRequest request = DROVER__V1__LIST_FENCES_REQUEST__INIT;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ListFences", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        print((const Drover__V1__ListFencesReply *)reply, cli->out);
    return EXIT_DONE;
}

static int run_release(struct cli *cli, const struct args *args)
{
    Drover__V1__ReleaseFenceRequest request = DROVER__V1__RELEASE_FENCE_REQUEST__INIT;
    request.host = (char *)args->rest[0];
    request.source_off = args_flag(args, "source-is-off");
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ReleaseFence", &request.base, true, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        fprintf(cli->out, "%s.\n", ((const Drover__V1__ReleaseFenceReply *)reply)->text);
    return EXIT_DONE;
}

const struct command cmd_fence_list = {
    .name = "fence list",
    .usage = "",
    .summary = "what the storage keeps closed to a host",
    .text = "`drover job ID --resolve destination --fence` closes a guest's iSCSI targets to all but its new "
            "host, and they "
            "stay so\n"
            "until `drover fence release`: the guest can't move on before. HOLDS is read back from the "
            "server now.\n",
    .examples = "  drover fence list\n",
    .exits = "  0  done\n  2  usage\n  5  coordinator not reachable\n",
    .run = run_list,
};

static const struct option_spec release_options[] = {
    {"source-is-off", NULL,
     "the host can't be asked whether a copy is left there, and is known to be switched off", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_fence_release = {
    .name = "fence release",
    .usage = "HOST [--source-is-off]",
    .summary = "open the storage to a host again",
    .text = "As it was before it was closed to HOST. Refused while a copy of a guest that was given "
            "away may be left\n"
            "there: it would write to the disks beside the other one, or with an older memory.\n",
    .examples = "  drover fence release kvm1\n",
    .exits =
        "  0  done\n  2  usage\n  3  refused, or nothing is closed to it\n  5  coordinator not reachable\n",
    .options = release_options,
    .min_words = 1,
    .max_words = 1,
    .run = run_release,
};
