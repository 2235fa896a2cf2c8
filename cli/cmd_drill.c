/* drover drill: could each host be emptied now? */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/drill.h"
#include "cli/job.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"
#include "common/base/memory.h"

int drill(struct cli *cli, const char *host, const Drover__V1__PlanRequest *how, json_t *all)
{
    Drover__V1__PlanRequest q = *how;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    char clean[256], took[TEXT_MAX];
    q.kind = (char *)"evacuate";
    q.host = (char *)host;
    q.dry_run = true;
    struct error err = {0};
    int exit = client_try(cli, "MakePlan", &q.base, false, EXIT_REFUSED, &reply, &err);
    if (exit && cli->json)
        json_array_append_new(all, json_pack("{s:s,s:o}", "source", text_clean(host, clean, sizeof(clean)),
                                             "error", cli_error_json(&err)));
    if (exit)
        return cli->json ? exit : cli_fail(cli, exit, &err);
    const Drover__V1__Job *job = (const Drover__V1__Job *)reply;
    size_t stuck = 0;
    for (size_t i = 0; i < job->n_steps; i++)
        stuck += job_step_stays(job->steps[i]);
    if (cli->json) {
        json_array_append_new(all, json_of_message(reply));
        return stuck ? EXIT_REFUSED : EXIT_DONE;
    }
    text_clean(host, clean, sizeof(clean));
    if (!stuck && job->outlook && job->outlook->finish >= 0)
        fprintf(cli->out, "%s can be emptied in %s (%zu guests).\n", clean,
                text_ms(job->outlook->finish, took), job->n_steps);
    else if (!stuck)
        fprintf(cli->out, "%s can be emptied (%zu guests); how long it takes is not known yet.\n", clean,
                job->n_steps);
    else
        fprintf(cli->out, "%s can't be emptied: %zu of %zu guests would stay.\n", clean, stuck, job->n_steps);
    render_remarks(job, cli->out);
    render_left(job, cli->out);
    fflush(cli->out);
    return stuck ? EXIT_REFUSED : EXIT_DONE;
}

int drill_end(struct cli *cli, json_t *all, int exit)
{
    if (cli->json)
        cli_print_json(cli, json_pack("{s:o}", "hosts", all));
    else
        json_decref(all);
    return exit;
}

int drill_join(int so_far, int exit)
{
    return exit == EXIT_DONE || so_far == EXIT_UNREACHABLE ? so_far
           : exit == EXIT_UNREACHABLE                      ? exit
                                                           : EXIT_REFUSED;
}

/* Each of the fleet's hypervisors. */
static int drill_all(struct cli *cli, const Drover__V1__PlanRequest *how)
{
    Drover__V1__ListHostsRequest request = DROVER__V1__LIST_HOSTS_REQUEST__INIT;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "ListHosts", &request.base, false, EXIT_FAILED, &reply);
    if (exit)
        return exit;
    json_t *all = json_array();
    const Drover__V1__ListHostsReply *hosts = (const Drover__V1__ListHostsReply *)reply;
    for (size_t i = 0; i < hosts->n_hosts && exit != EXIT_UNREACHABLE; i++) {
        const Drover__V1__HostStatus *h = hosts->hosts[i];
        if (!h->report || h->report->hypervisor)
            exit = drill_join(exit, drill(cli, h->name, how, all));
    }
    return drill_end(cli, all, exit);
}

static int run(struct cli *cli, const struct args *args)
{
    const Drover__V1__PlanRequest how = DROVER__V1__PLAN_REQUEST__INIT;
    if (!args->n_rest)
        return drill_all(cli, &how);
    json_t *all = json_array();
    return drill_end(cli, all, drill(cli, args->rest[0], &how, all));
}

const struct command cmd_drill = {
    .name = "drill",
    .usage = "[HOST]",
    .summary = "whether each host could be emptied now, how long it would take, and who is stuck",
    .text = "As `drover evacuate HOST --dry-run` for one host after the other; nothing moves. For a timer:\n"
            "drover-drill.timer runs it each night, and its exit code tells.\n"
            "Of a host that a job is emptying, that is told; its guests that wait are planned anew.\n"
            "With --json, a host that could not be planned is in the list with its `error`.\n",
    .examples = "  drover drill\n  drover drill kvm7 --json | jq '.hosts[0].outlook.finish'\n",
    .exits = "  0  each host can be emptied\n  2  usage\n  3  a host can't be emptied, is not known well "
             "enough, or there is no such host\n"
             "  5  coordinator not reachable\n",
    .max_words = 1,
    .run = run,
};
