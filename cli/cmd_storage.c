/* drover storage, drover networks */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"

#include "proto/coordinator.pb-c.h"

static int run_storage(struct cli *cli, const struct args *args)
{
    Drover__V1__ListStorageRequest request = DROVER__V1__LIST_STORAGE_REQUEST__INIT;
    if (args->n_rest)
        request.host = (char *)args->rest[0];
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ListStorage", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        render_storage((const Drover__V1__ListStorageReply *)reply, args_flag(args, "all"), cli->out);
    return EXIT_DONE;
}

static const struct option_spec storage_options[] = {
    {"all", NULL, "local file systems and each volume, too", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_storage = {
    .name = "storage",
    .usage = "[HOST] [--all]",
    .summary = "what each host mounts, sees, exports and keeps in pools",
    .text =
        "Asked of the agents now: network file systems, adapters with the targets that they have logged in "
        "to, LUNs\n"
        "(FC, FCoE, iSCSI, SRP, multipath), what is exported to whom, and libvirt's storage pools with "
        "their volumes.\n",
    .examples = "  drover storage\n  drover storage kvm1 --all\n"
                "  drover storage --json | jq -r '.hosts[].inspection.luns[]?.wwid'\n",
    .exits = "  0  done\n  1  no such host\n  2  usage\n  5  coordinator not reachable\n",
    .options = storage_options,
    .max_words = 1,
    .run = run_storage,
};

static int run_networks(struct cli *cli, const struct args *args)
{
    Drover__V1__ListHostsRequest hosts_request = DROVER__V1__LIST_HOSTS_REQUEST__INIT;
    Drover__V1__ListGuestsRequest guests_request = DROVER__V1__LIST_GUESTS_REQUEST__INIT;
    const char *host = args->n_rest ? args->rest[0] : NULL;
    if (host)
        guests_request.host = (char *)host; /* refuses a host that is none */
    _cleanup_reply_ ProtobufCMessage *hosts = NULL;
    _cleanup_reply_ ProtobufCMessage *guests = NULL;
    int exit = client_ask(cli, "ListGuests", &guests_request.base, false, EXIT_FAILED, &guests);
    if (!exit)
        exit = client_ask(cli, "ListHosts", &hosts_request.base, false, EXIT_FAILED, &hosts);
    if (exit)
        return exit;
    json_t *document = render_networks_json((const Drover__V1__ListHostsReply *)hosts,
                                            (const Drover__V1__ListGuestsReply *)guests, host);
    if (cli->json) {
        cli_print_json(cli, document);
        return EXIT_DONE;
    }
    render_networks(document, cli->out);
    json_decref(document);
    return EXIT_DONE;
}

const struct command cmd_networks = {
    .name = "networks",
    .usage = "[HOST]",
    .summary = "the hosts' bridges and libvirt networks, and which guest hangs on which port",
    .text = "PORTS lists what a bridge has: uplinks, and taps with the guest that each belongs to.\n",
    .examples = "  drover networks\n  drover networks kvm1\n"
                "  drover networks --json | jq -r '.hosts[].bridges[].ports[] | select(.guest) | .guest'\n",
    .exits = "  0  done\n  1  no such host\n  2  usage\n  5  coordinator not reachable\n",
    .max_words = 1,
    .run = run_networks,
};
