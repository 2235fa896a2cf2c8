/* drover doctor */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"

#include "proto/coordinator.pb-c.h"

static int run(struct cli *cli, const struct args *args)
{
    Drover__V1__DoctorRequest request = DROVER__V1__DOCTOR_REQUEST__INIT;
    if (args->n_rest)
        request.host = (char *)args->rest[0];
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "Doctor", &request.base, false, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    const Drover__V1__DoctorReply *r = (const Drover__V1__DoctorReply *)reply;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        render_doctor(r, cli->out);
    for (size_t i = 0; i < r->n_hosts; i++)
        if (!r->hosts[i]->ready)
            return EXIT_REFUSED;
    return EXIT_DONE;
}

const struct command cmd_doctor = {
    .name = "doctor",
    .usage = "[HOST]",
    .summary = "whether the hosts are ready for migrations, and what to change where not",
    .text = "Looks at each host (or the one that is named): libvirt's services and settings, ports as "
            "another host "
            "reaches\n"
            "them, names, clocks, certificates, mounts and exports. 'block' means that the host is not "
            "ready, and each\n"
            "finding says the exact change to make.\n",
    .examples = "  drover doctor\n  drover doctor kvm2\n"
                "  drover doctor --json | jq -r '.hosts[] | select(.ready | not) | .host'\n",
    .exits = "  0  all are ready\n  2  usage\n  3  a host is not ready, or there is no such host\n"
             "  5  coordinator not reachable\n",
    .max_words = 1,
    .run = run,
};
