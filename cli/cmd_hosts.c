/* drover hosts */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/render.h"

#include "proto/coordinator.pb-c.h"

static int run(struct cli *cli, const struct args *args)
{
    (void)args;
    Drover__V1__ListHostsRequest request = DROVER__V1__LIST_HOSTS_REQUEST__INIT;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ListHosts", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    const Drover__V1__ListHostsReply *hosts = (const Drover__V1__ListHostsReply *)reply;
    if (cli->json)
        cli_print_json(cli, render_hosts_json(hosts));
    else
        render_hosts(hosts, cli->out);
    return EXIT_DONE;
}

const struct command cmd_hosts = {
    .name = "hosts",
    .usage = "",
    .summary = "the hosts, their state, memory, CPU time in use and guests",
    .text =
        "STATE is 'up', 'down', 'maintenance' (it gets no guests), or 'syncing' while a host that has "
        "just come up tells its\n"
        "guests. GUESTS is how many run, of all that it has; MEMORY what running guests may use at most, of "
        "all that the\n"
        "host has; VCPUS/CPUS the vCPUs of running guests, and the host's logical CPUs. CPU is what is used "
        "of its CPUs,\n"
        "on average over the last minutes ('-' while its agent has measured for less than half a minute). "
        "The last\n"
        "column says since when a host is up, or why it is not. In JSON, maintenance is a field of its own, "
        "and state\n"
        "one of the other three.\n",
    .examples =
        "  drover hosts\n  drover hosts --json | jq -r '.hosts[] | select(.state != \"up\") | .name'\n",
    .exits = "  0  done\n  2  usage\n  5  coordinator not reachable\n",
    .run = run,
};
