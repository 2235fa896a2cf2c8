/* drover watch */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/watch.h"

static int run(struct cli *cli, const struct args *args)
{
    struct error err;
    Drover__V1__GetJobRequest request = DROVER__V1__GET_JOB_REQUEST__INIT;
    if (job_id_of(args->rest[0], &request.id, &err) < 0)
        return cli_usage(cli, &cmd_watch, &err);
    ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "GetJob", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    Drover__V1__Job *job = (Drover__V1__Job *)reply;
    if (job_is_open(job)) {
        exit = watch_jobs(cli, &job, 1);
    } else {
        exit = job_exit(job);
        if (!cli->json)
            render_outcome(job, cli->out);
    }
    if (cli->json)
        cli_print_json(cli, json_of_message(&job->base));
    reply_free(job);
    return exit;
}

const struct command cmd_watch = {
    .name = "watch",
    .usage = "ID",
    .summary = "follow a job to its end",
    .text = "On a terminal, a display with progress, rate, remaining time and pause; Ctrl-C asks whether to "
            "leave the\n"
            "job running or to cancel it. Elsewhere, one line per event with its time; an interrupt leaves "
            "the job\n"
            "running, and the watch ends with 6 after 30 s in doubt, with 5 after 2 minutes without a "
            "coordinator. With\n"
            "--json, nothing until the end, and then the job. A job that has ended is told at once.\n",
    .examples = "  drover watch 12\n  drover watch 12 --json | jq -r .state\n",
    .exits =
        "  0  the guest has moved\n  1  it was not moved and is safe where it was, or there is no such job\n"
        "  2  usage\n  3  a check refused it\n  4  a plan is partly done\n  5  coordinator not reachable\n"
        "  6  in doubt\n  130  interrupted; the job goes on\n",
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
