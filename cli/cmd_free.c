/* drover free: what a host holds for a guest's move that nobody carries on. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/json.h"

#include "proto/coordinator.pb-c.h"

static int run(struct cli *cli, const struct args *args)
{
    Drover__V1__FreeGuestRequest request = DROVER__V1__FREE_GUEST_REQUEST__INIT;
    const char *host = args_value(args, "on");
    if (!host) {
        struct error err;
        error_set(&err, STATUS_INVALID_ARGUMENT, "--on is missing; expected the host that holds something");
        return cli_usage(cli, &cmd_free, &err);
    }
    request.guest = (char *)args->rest[0];
    request.host = (char *)host;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "FreeGuest", &request.base, true, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        fprintf(cli->out, "%s.\n", ((const Drover__V1__FreeGuestReply *)reply)->text);
    return EXIT_DONE;
}

static const struct option_spec options[] = {
    {"on", "HOST", "one of the two hosts", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_free = {
    .name = "free",
    .usage = "VM --on HOST",
    .summary = "give back what a host holds for a move that nobody carries on",
    .text =
        "Two hosts hold what a guest's move needs until its coordinator says how it ended, also when that "
        "never "
        "comes back\n"
        "(its store was lost, or restored from a backup; or it was another coordinator): until then the "
        "guest "
        "can't move\n"
        "there (finding guest-busy). `drover doctor` names such moves.\n"
        "\n"
        "Both hosts are asked, whichever is named, and what follows from their words is done, a step at a "
        "time:\n"
        "  the source has not given the guest up\n"
        "               it is asked to keep it, which stops a transfer that is on; then the destination lets "
        "go\n"
        "  it has, and the guest is the destination's\n"
        "               the source archives and removes its definition, then the destination has it for "
        "good\n"
        "Anything else is refused, with what each host says and what to do; nothing is touched then. Also "
        "refused while a\n"
        "job of this coordinator carries the move on, and where a newer coordinator has taken over. A "
        "coordinator that is\n"
        "older drives nothing any more; what it had begun is freed by this. A host whose agent has just come "
        "up is\n"
        "waited for, up to 15 s.\n",
    .examples = "  drover free web1 --on kvm2\n",
    .exits = "  0  done\n  2  usage\n  3  refused, or nothing is held\n  5  coordinator not reachable\n",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
