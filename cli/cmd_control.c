/* drover pause | resume | maintenance: plans held up, hosts taken out of service. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"
#include "common/base/memory.h"

#include "proto/coordinator.pb-c.h"

#include <inttypes.h>

static int pause_or_resume(struct cli *cli, const struct args *args, const struct command *command,
                           bool resume)
{
    struct error err;
    Drover__V1__PauseJobRequest request = DROVER__V1__PAUSE_JOB_REQUEST__INIT;
    request.resume = resume;
    if (job_id_of(args->rest[0], &request.id, &err) < 0)
        return cli_usage(cli, command, &err);
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "PauseJob", &request.base, true, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    char clean[800];
    const Drover__V1__PauseJobReply *said = (const Drover__V1__PauseJobReply *)reply;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        fprintf(cli->out, "Job %" PRIu64 " is %s: %s.\n", request.id, resume ? "resumed" : "paused",
                text_clean(said->text, clean, sizeof(clean)));
    return EXIT_DONE;
}

static int run_pause(struct cli *cli, const struct args *args)
{
    return pause_or_resume(cli, args, &cmd_pause, false);
}

static int run_resume(struct cli *cli, const struct args *args)
{
    return pause_or_resume(cli, args, &cmd_resume, true);
}

static int set_maintenance(struct cli *cli, const struct args *args, bool on)
{
    Drover__V1__SetMaintenanceRequest request = DROVER__V1__SET_MAINTENANCE_REQUEST__INIT;
    request.host = (char *)args->rest[0];
    request.on = on;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "SetMaintenance", &request.base, true, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    const Drover__V1__SetMaintenanceReply *r = (const Drover__V1__SetMaintenanceReply *)reply;
    char clean[256];
    text_clean(request.host, clean, sizeof(clean));
    if (cli->json) {
        cli_print_json(cli, json_of_message(reply));
        return EXIT_DONE;
    }
    fprintf(cli->out, "%s %s %s maintenance", clean, r->changed ? "is" : "was already", on ? "in" : "out of");
    if (on && r->guests_total)
        fprintf(cli->out, "; it has %u guest%s, %u running: `drover evacuate %s` moves them away",
                r->guests_total, r->guests_total == 1 ? "" : "s", r->guests_running, clean);
    if (!on && r->guests_away)
        fprintf(cli->out, "; %u guest%s that moved away %s not back: `drover return %s`", r->guests_away,
                r->guests_away == 1 ? "" : "s", r->guests_away == 1 ? "is" : "are", clean);
    fputs(".\n", cli->out);
    return EXIT_DONE;
}

static int run_on(struct cli *cli, const struct args *args)
{
    return set_maintenance(cli, args, true);
}

static int run_off(struct cli *cli, const struct args *args)
{
    return set_maintenance(cli, args, false);
}

const struct command cmd_pause = {
    .name = "pause",
    .usage = "ID",
    .summary = "let a plan start nothing new",
    .text =
        "The moves that are under way go on to their end. A job that moves one guest can't be paused.\n"
        "While a plan looks whether its hosts are empty (verifying), a pause holds up only the move of what\n"
        "has appeared there since; the look itself goes on. One that is being cancelled is not paused.\n",
    .examples = "  drover pause 12\n",
    .exits = "  0  done\n  2  usage\n  3  no such plan, or it is being cancelled\n  5  coordinator not "
             "reachable\n",
    .min_words = 1,
    .max_words = 1,
    .run = run_pause,
};

const struct command cmd_resume = {
    .name = "resume",
    .usage = "ID",
    .summary = "let a paused plan go on",
    .text =
        "A plan also pauses by itself when the first guest that moved between two hosts is not well there.\n"
        "What was held up while it looked whether its hosts are empty is moved, too. One that is being\n"
        "cancelled is not resumed: it only waits for its running moves.\n",
    .examples = "  drover resume 12 && drover watch 12\n",
    .exits = "  0  done\n  2  usage\n  3  no such plan, or it is being cancelled\n  5  coordinator not "
             "reachable\n",
    .min_words = 1,
    .max_words = 1,
    .run = run_resume,
};

const struct command cmd_maintenance_on = {
    .name = "maintenance on",
    .usage = "HOST",
    .summary = "the host gets no guests any more",
    .text = "What runs there stays there; `drover evacuate` moves it away. It lasts until `drover "
            "maintenance off`.\n",
    .examples = "  drover maintenance on kvm7\n",
    .exits = "  0  done\n  2  usage\n  3  no such host\n  5  coordinator not reachable\n",
    .min_words = 1,
    .max_words = 1,
    .run = run_on,
};

const struct command cmd_maintenance_off = {
    .name = "maintenance off",
    .usage = "HOST",
    .summary = "the host may get guests again",
    .text =
        "Guests that were moved away stay where they are; `drover return` brings them back. A host that is "
        "being emptied\n"
        "stays in maintenance: `drover cancel` the evacuation first.\n",
    .examples = "  drover maintenance off kvm7\n",
    .exits = "  0  done\n  2  usage\n  3  no such host, or an evacuation empties it\n  5  coordinator not "
             "reachable\n",
    .min_words = 1,
    .max_words = 1,
    .run = run_off,
};
