/* drover jobs | job | history | cancel: what is and was going on. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/forecast.h"
#include "cli/json.h"
#include "cli/render.h"

#include "proto/coordinator.pb-c.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

static int list(struct cli *cli, const Drover__V1__ListJobsRequest *request)
{
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ListJobs", &request->base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        render_jobs((const Drover__V1__ListJobsReply *)reply, request->ended,
                    *request->guest ? request->guest : NULL, cli->out);
    return EXIT_DONE;
}

static int run_jobs(struct cli *cli, const struct args *args)
{
    (void)args;
    Drover__V1__ListJobsRequest request = DROVER__V1__LIST_JOBS_REQUEST__INIT;
    request.limit = UINT32_MAX;
    return list(cli, &request);
}

static int run_history(struct cli *cli, const struct args *args)
{
    struct error err;
    long limit = 20;
    const char *text = args_value(args, "limit"), *guest = args_value(args, "vm");
    if (text && args_number(text, "--limit", 1, 1000, &limit, &err) < 0)
        return cli_usage(cli, &cmd_history, &err);
    Drover__V1__ListJobsRequest request = DROVER__V1__LIST_JOBS_REQUEST__INIT;
    request.ended = true;
    request.limit = (uint32_t)limit;
    if (guest)
        request.guest = (char *)guest;
    if (!args_flag(args, "forecast"))
        return list(cli, &request);
    request.limit = text ? (uint32_t)limit : 1000;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ListJobs", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, render_accuracy_json((const Drover__V1__ListJobsReply *)reply));
    else
        render_accuracy((const Drover__V1__ListJobsReply *)reply, cli->out);
    return EXIT_DONE;
}

int job_id_of(const char *text, uint64_t *ret, struct error *err)
{
    long id;
    int r = args_number(text, "the job's ID", 1, LONG_MAX, &id, err);
    if (r >= 0)
        *ret = (uint64_t)id;
    else
        error_set(err, STATUS_INVALID_ARGUMENT,
                  "'%s' is no job; expected its number, as `drover jobs` lists it", text);
    return r;
}

static int resolve(struct cli *cli, uint64_t id, const char *to, const struct args *args)
{
    Drover__V1__ResolveJobRequest request = DROVER__V1__RESOLVE_JOB_REQUEST__INIT;
    request.id = id;
    request.to = (char *)to;
    request.source_off = args_flag(args, "source-is-off");
    request.destination_off = args_flag(args, "destination-is-off");
    request.fence = args_flag(args, "fence");
    request.with_memory = args_flag(args, "with-memory");
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ResolveJob", &request.base, true, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        fprintf(cli->out, "Job %" PRIu64 ": %s. To see how it ends: drover watch %" PRIu64 "\n", id,
                ((const Drover__V1__ResolveJobReply *)reply)->text, id);
    return EXIT_DONE;
}

static int run_job(struct cli *cli, const struct args *args)
{
    struct error err;
    Drover__V1__GetJobRequest request = DROVER__V1__GET_JOB_REQUEST__INIT;
    if (job_id_of(args->rest[0], &request.id, &err) < 0)
        return cli_usage(cli, &cmd_job, &err);
    const char *to = args_value(args, "resolve");
    if (to && strcmp(to, "source") != 0 && strcmp(to, "destination") != 0) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "--resolve '%s'; expected source or destination", to);
        return cli_usage(cli, &cmd_job, &err);
    }
    bool off = args_flag(args, "source-is-off"), fence = args_flag(args, "fence");
    if ((off || fence) && ((off && fence) || !to || strcmp(to, "destination") != 0)) {
        error_set(&err, STATUS_INVALID_ARGUMENT,
                  "--source-is-off and --fence go with --resolve destination, one at a time");
        return cli_usage(cli, &cmd_job, &err);
    }
    if (args_flag(args, "destination-is-off") && (!to || strcmp(to, "source") != 0)) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "--destination-is-off goes with --resolve source");
        return cli_usage(cli, &cmd_job, &err);
    }
    if (args_flag(args, "with-memory") && (!to || strcmp(to, "destination") != 0)) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "--with-memory goes with --resolve destination");
        return cli_usage(cli, &cmd_job, &err);
    }
    if (to)
        return resolve(cli, request.id, to, args);
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "GetJob", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else if (args_flag(args, "explain"))
        render_explanation((const Drover__V1__Job *)reply, cli->out);
    else
        render_job((const Drover__V1__Job *)reply, cli->out);
    return EXIT_DONE;
}

static int run_cancel(struct cli *cli, const struct args *args)
{
    struct error err;
    Drover__V1__CancelJobRequest request = DROVER__V1__CANCEL_JOB_REQUEST__INIT;
    request.now = args_flag(args, "now");
    if (job_id_of(args->rest[0], &request.id, &err) < 0)
        return cli_usage(cli, &cmd_cancel, &err);
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "CancelJob", &request.base, true, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    const Drover__V1__CancelJobReply *said = (const Drover__V1__CancelJobReply *)reply;
    if (cli->json)
        cli_print_json(cli, json_of_message(reply));
    else
        render_cancel(request.id, said, cli->out);
    return EXIT_DONE;
}

const struct command cmd_jobs = {
    .name = "jobs",
    .usage = "",
    .summary = "the open jobs",
    .text = "NOW is what a job does or waits for. Jobs that have ended are in `drover history`.\n",
    .examples = "  drover jobs\n  drover jobs --json | jq '.jobs[].id'\n",
    .exits = "  0  done\n  2  usage\n  5  coordinator not reachable\n",
    .run = run_jobs,
};

static const struct option_spec job_options[] = {
    {"explain", NULL, "why it went as it did: the forecast, each pass, what was decided", false},
    {"resolve", "SIDE", "of a job that is in doubt: the guest is the source's, or the destination's", false},
    {"source-is-off", NULL,
     "with --resolve destination: the source can't be asked, and is known to be switched off", false},
    {"destination-is-off", NULL,
     "with --resolve source: the destination can't be asked, and is known to be switched off", false},
    {"fence", NULL,
     "with --resolve destination: the source can't be asked; its access to the guest's disks is closed first",
     false},
    {"with-memory", NULL,
     "with --resolve destination: it goes on in its memory, for it can't have run on at the source", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_job = {
    .name = "job",
    .usage =
        "ID [--explain | --resolve source [--destination-is-off] | --resolve destination [--source-is-off | "
        "--fence] [--with-memory]]",
    .summary = "all about one job, open or ended",
    .text =
        "With where the guest is, the findings of the checks, and the job's log.\n"
        "\n"
        "--resolve is for an operator who knows what no host can tell: whose a guest is that is off at the "
        "source while\n"
        "nothing says that it migrated. 'source': it stays there, shut off, and the destination drops its "
        "image.\n"
        "'destination': the source gives it up, and the destination ends its image and starts the guest from "
        "its disks.\n"
        "Refused where libvirt says otherwise.\n"
        "\n"
        "The image is the guest as it was when it was paused for the switch-over. libvirt lets it run on at "
        "the source when it\n"
        "hears nothing of the destination, and no host can tell later whether it did: then its memory is "
        "older than its\n"
        "disks, and running it would spoil them. --with-memory runs the image all the same, and nothing of "
        "the guest is\n"
        "lost. That is right only if you know that the guest did not run at the source after the switch-over "
        "had begun: the\n"
        "host lost its power, or its QEMU was killed, before that moment, or the guest was seen paused there "
        "(virsh domstate)\n"
        "until it was ended. If you don't know, leave it out. Where all its disks were copied with the "
        "guest, they are as old as the\n"
        "image, and it goes on in its memory in any case.\n"
        "\n"
        "Both ask the source. Where its agent is gone for good, 'destination' with --source-is-off does "
        "without its word.\n"
        "That is safe only if no QEMU of the guest is left at the source: see that it is switched off, or "
        "kill it there.\n"
        "Before the host is started again, see that it can't start the guest (autostart), until the job has "
        "ended: its\n"
        "agent may have kept the guest, and gives that back. With --fence the storage nodes'\n"
        "agents first close the guest's disks to all but the destination, and prove it, so that a copy that "
        "still runs can't\n"
        "harm them: for iSCSI targets of tgtd; for all others it is refused with what is missing. They stay "
        "closed until\n"
        "`drover fence release`. The job waits for the source, to tell it; the same once more ends that.\n"
        "\n"
        "Where the destination is gone for good after the source has given the guest up, 'source' with "
        "--destination-is-off\n"
        "starts the guest from its disks at the source again. What it wrote at the destination, to disks "
        "that were "
        "copied there,\n"
        "stays there. That is safe only if the destination is switched off; before it is started again, see "
        "that it "
        "can't start\n"
        "the guest. What the source has paused is resumed by 'source' only if the destination can be asked, "
        "or with "
        "this.\n"
        "\n"
        "A job that only waits for a host to clear away ends by the same words, for a host that never comes "
        "back: "
        "'source' with\n"
        "--destination-is-off, or 'destination' with --source-is-off. The guest may be migrated between "
        "other hosts "
        "meanwhile.\n",
    .examples = "  drover job 12\n  drover job 12 --explain\n  drover job 12 --json | jq .result\n  drover "
                "job 12 --resolve "
                "destination\n",
    .exits = "  0  done\n  1  no such job\n  2  usage\n  3  --resolve is refused\n  5  coordinator not "
             "reachable\n",
    .options = job_options,
    .min_words = 1,
    .max_words = 1,
    .run = run_job,
};

static const struct option_spec cancel_options[] = {
    {"now", NULL, "of a plan: its running moves are cancelled, too; else they go on to their end", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_cancel = {
    .name = "cancel",
    .usage = "ID [--now]",
    .summary = "end a job; the guest stays where it was",
    .text =
        "What it means depends on the phase, which `drover jobs` shows:\n"
        "  preparing    nothing has moved: the guest stays, what was reserved is given back\n"
        "  transfer     the transfer is stopped and the guest stays, unless it switches over in that very "
        "moment:\n"
        "               then it ends at the destination. Refused once post-copy has begun: the guest runs at "
        "the\n"
        "               destination with a part of its memory, and either end alone is useless\n"
        "  settling     too late: the source is being asked whether the guest is still there\n"
        "  aborting     it is being undone already: the guest is safe at the source\n"
        "  activating, releasing\n"
        "               too late: the guest is at the destination; to bring it back, migrate it again\n"
        "  cold-start   too late: the memory was lost, the guest is being started anew at the source\n"
        "Cancelling is asked for and not waited for; `drover watch ID` shows how the job ends.\n"
        "\n"
        "Of a plan:\n"
        "  moving, paused\n"
        "               nothing new starts; its running moves end, or with --now are cancelled one by one\n"
        "  verifying    no move is left: it ends without having proven that its host is empty\n"
        "  cancelling   it waits for its running moves already; --now cancels them, too\n",
    .examples = "  drover cancel 12 && drover watch 12\n",
    .options = cancel_options,
    .exits = "  0  it is being cancelled\n  2  usage\n  3  no such job, or too late\n  5  coordinator not "
             "reachable\n",
    .min_words = 1,
    .max_words = 1,
    .run = run_cancel,
};

static const struct option_spec history_options[] = {
    {"vm", "VM", "only this guest's (name or UUID)", false},
    {"limit", "N", "as many at most, the newest first (default 20, at most 1000)", false},
    {"forecast", NULL, "forecasts beside facts, and how far they were off (default: of the last 1000)",
     false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_history = {
    .name = "history",
    .usage = "[--vm VM] [--limit N] [--forecast]",
    .summary = "the jobs that ended, the newest first",
    .text =
        "TOOK is the time in all, PAUSED what the guest felt, SENT the bytes that were moved. With "
        "--forecast:\n"
        "TIME and PAUSE are what was expected when the transfer began, TOOK and PAUSED what came of it (with "
        "--json: ms, in\n"
        "`jobs`, beside what all come to).\n",
    .examples = "  drover history\n  drover history --vm web1 --limit 5\n"
                "  drover history --json | jq '.jobs[] | {guest, pause: .result.pause}'\n",
    .exits = "  0  done\n  2  usage\n  5  coordinator not reachable\n",
    .options = history_options,
    .run = run_history,
};
