/* drover vms */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"

#include "proto/coordinator.pb-c.h"

static int run(struct cli *cli, const struct args *args)
{
    Drover__V1__ListGuestsRequest request = DROVER__V1__LIST_GUESTS_REQUEST__INIT;
    const char *host = args_value(args, "host");
    if (host)
        request.host = (char *)host;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ListGuests", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        render_guests((const Drover__V1__ListGuestsReply *)reply, host, cli->out);
    return EXIT_DONE;
}

static const struct option_spec options[] = {
    {"host", "HOST", "only this host's guests", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_vms = {
    .name = "vms",
    .usage = "[--host HOST]",
    .summary = "the guests, where they are and how they are",
    .text =
        "A state with a question mark is what a host said last before it went down. MEMORY is the guest's\n"
        "maximum. CPU is what its QEMU uses of its vCPUs, on average over the last minutes. JOB is the open "
        "job that works on the guest (drover job ID).\n",
    .examples =
        "  drover vms\n  drover vms --host kvm1\n"
        "  drover vms --json | jq -r '.guests[] | select(.guest.state == \"running\") | .guest.name'\n",
    .exits = "  0  done\n  1  no such host\n  2  usage\n  5  coordinator not reachable\n",
    .options = options,
    .run = run,
};
