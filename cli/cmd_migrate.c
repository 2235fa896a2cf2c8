/* drover migrate | check */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "cli/forecast.h"
#include "cli/job.h"
#include "cli/json.h"
#include "cli/order.h"
#include "cli/render.h"
#include "cli/text.h"
#include "cli/watch.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* One guest of the command line, and what became of the request to move it. */
struct asked {
    const char *vm;
    Drover__V1__MigrateGuestReply *reply; /* NULL: `error` says why */
    struct error error;
    Drover__V1__Job *job;           /* while and after it is watched */
    Drover__V1__Forecast *forecast; /* of a dry run, as JSON */
    int exit;
};

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static bool is_refused(const Drover__V1__MigrateGuestReply *reply)
{
    return findings_of(reply->findings, reply->n_findings, DROVER__V1__SEVERITY__BLOCK) > 0;
}

static void ask(struct client *client, Drover__V1__MigrateGuestRequest *request, struct asked *a)
{
    ProtobufCMessage *reply = NULL;
    request->guest = (char *)a->vm;
    if (client_call(client, "MigrateGuest", &request->base, !request->dry_run, &reply, &a->error) < 0) {
        a->exit = client_exit(&a->error, EXIT_REFUSED);
        return;
    }
    a->reply = (Drover__V1__MigrateGuestReply *)reply;
    a->exit = is_refused(a->reply) ? EXIT_REFUSED : EXIT_DONE;
    if (a->exit == EXIT_DONE && !request->dry_run && !a->reply->job)
        a->exit = EXIT_FAILED;
}

/* `chosen`: the coordinator chose the destination, and its reason is of interest. */
static void tell_asked(struct cli *cli, const struct asked *a, bool dry_run, bool chosen)
{
    char guest[256], from[128], to[128], why[600];
    if (!a->reply) {
        char text[sizeof(a->error.text) * 4];
        fprintf(cli->err, "%s: %s\n", text_clean(a->vm, guest, sizeof(guest)),
                text_clean(a->error.text, text, sizeof(text)));
        return;
    }
    const Drover__V1__MigrateGuestReply *r = a->reply;
    text_clean(*r->guest ? r->guest : a->vm, guest, sizeof(guest));
    text_clean(r->source, from, sizeof(from));
    text_clean(*r->destination ? r->destination : "?", to, sizeof(to));
    text_clean(chosen ? r->why : "", why, sizeof(why));
    render_findings(r->findings, r->n_findings, cli->out);
    render_changes(r, cli->out);
    if (a->exit == EXIT_REFUSED)
        fprintf(cli->out, "%s can't move from %s to %s: refused by a check. It stays where it is.\n", guest,
                from, to);
    else
        fprintf(cli->out, "%s %s from %s to %s, mode %s%s%s%s", guest, dry_run ? "can move" : "moves", from,
                to, enum_word(&drover__v1__mode__descriptor, (int)r->mode), *why ? " (" : "", why,
                *why ? ")" : "");
    if (a->exit == EXIT_REFUSED)
        return;
    if (dry_run && *r->policy) {
        text_clean(r->policy, why, sizeof(why));
        fprintf(cli->out, ".\npolicy %s.\n", why);
    } else if (r->job)
        fprintf(cli->out, ": job %" PRIu64 "\n", r->job);
    else
        fputs(dry_run ? ".\n" : ": but the coordinator made no job; look at its log.\n", cli->out);
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

static json_t *error_json(const struct error *e)
{
    char text[sizeof(e->text) * 4];
    return json_pack("{s:s,s:s}", "code", status_name(e->code), "text",
                     text_clean(e->text, text, sizeof(text)));
}

/* {"jobs": [...], "refused": [...]}, or with --dry-run {"possible": [...], "refused": [...]}, each with its forecast. A job that
 * was watched is the whole job, one that was not has its id, guest, source, destination, mode, why and findings. */
static void print_json(struct cli *cli, const struct asked *asked, size_t n, bool dry_run)
{
    json_t *good = json_array(), *refused = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct asked *a = &asked[i];
        if (a->job) {
            json_array_append_new(good, json_of_message(&a->job->base));
        } else if (!a->reply) {
            json_array_append_new(refused,
                                  json_pack("{s:s,s:o}", "guest", a->vm, "error", error_json(&a->error)));
        } else {
            json_t *reply = json_of_message(&a->reply->base);
            json_object_set(reply, "id", json_object_get(reply, "job"));
            json_object_del(reply, "job");
            if (a->forecast)
                json_object_set_new(reply, "forecast", json_of_message(&a->forecast->base));
            json_array_append_new(a->exit == EXIT_REFUSED ? refused : good, reply);
        }
    }
    cli_print_json(cli, json_pack("{s:o,s:o}", dry_run ? "possible" : "jobs", good, "refused", refused));
}

/* Until WatchJob says more: a job as the reply to MigrateGuest knows it. */
static Drover__V1__Job *job_of(const Drover__V1__MigrateGuestReply *reply)
{
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    job.id = reply->job;
    job.guest = reply->guest;
    job.source = reply->source;
    job.destination = reply->destination;
    job.mode = reply->mode;
    job.state = DROVER__V1__JOB_STATE__JOB_QUEUED;
    return job_copy(&job);
}

static int watch(struct cli *cli, struct asked *asked, size_t n)
{
    Drover__V1__Job **jobs = xcalloc(n, sizeof(*jobs));
    int *exits = xcalloc(n + 1, sizeof(*exits));
    size_t n_jobs = 0, n_exits = 0;
    for (size_t i = 0; i < n; i++)
        if (asked[i].reply && asked[i].reply->job)
            jobs[n_jobs++] = job_of(asked[i].reply);
        else
            exits[n_exits++] = asked[i].exit;
    int watched = n_jobs ? watch_jobs(cli, jobs, n_jobs) : EXIT_DONE;
    if (n_jobs)
        exits[n_exits++] = watched;
    size_t next = 0;
    for (size_t i = 0; i < n; i++)
        if (asked[i].reply && asked[i].reply->job)
            asked[i].job = jobs[next++];
    int exit =
        watched == EXIT_INTERRUPTED || watched == EXIT_UNREACHABLE ? watched : exits_join(exits, n_exits);
    free(exits);
    free(jobs);
    return exit;
}

static int check_words(const struct args *args, struct error *err)
{
    for (size_t i = 0; i < args->n_rest; i++)
        for (size_t k = 0; k < i; k++)
            if (streq(args->rest[i], args->rest[k]))
                return error_set(err, STATUS_INVALID_ARGUMENT, "%s is named twice; name each guest once",
                                 args->rest[i]);
    return 0;
}

static int run_migrate(struct cli *cli, const struct args *args)
{
    struct error err;
    _cleanup_(order_deinit) struct order order = {0};
    if (check_words(args, &err) < 0 || order_parse(args, &order, &err) < 0)
        return cli_usage(cli, &cmd_migrate, &err);
    bool dry_run = args_flag(args, "dry-run"), detach = args_flag(args, "detach");
    order.request.dry_run = dry_run;
    struct client *client = NULL;
    if (client_open(cli, NULL, NULL, NULL, &client, &err) < 0)
        return cli_fail(cli, client_exit(&err, EXIT_FAILED), &err);
    size_t n = args->n_rest;
    struct asked *asked = xcalloc(n, sizeof(*asked));
    int *exits = xcalloc(n, sizeof(*exits));
    for (size_t i = 0; i < n; i++) {
        asked[i].vm = args->rest[i];
        ask(client, &order.request, &asked[i]);
        exits[i] = asked[i].exit;
        if (!cli->json)
            tell_asked(cli, &asked[i], dry_run, !*order.request.to);
    }
    client_close(client);
    for (size_t i = 0; i < n && dry_run; i++) {
        if (asked[i].exit != EXIT_DONE)
            continue;
        order.request.guest = (char *)asked[i].vm;
        if (cli->json)
            asked[i].forecast = forecast_ask(cli, &order.request, asked[i].reply, &err);
        else
            forecast_tell(cli, &order.request, asked[i].reply);
    }
    fflush(cli->out);
    int exit = dry_run || detach ? exits_join(exits, n) : watch(cli, asked, n);
    if (cli->json && n == 1 && !asked[0].reply)
        cli_fail(cli, exit, &asked[0].error);
    else if (cli->json)
        print_json(cli, asked, n, dry_run);
    for (size_t i = 0; i < n; i++) {
        reply_free(asked[i].reply);
        reply_free(asked[i].job);
        reply_free(asked[i].forecast);
    }
    free(asked);
    free(exits);
    return exit;
}

static int run_check(struct cli *cli, const struct args *args)
{
    struct error err;
    const char *id = args_value(args, "explain");
    if (args_flag(args, "markdown") && !(id && streq(id, "all"))) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "--markdown goes with --explain all");
        return cli_usage(cli, &cmd_check, &err);
    }
    if (id)
        return explain(cli, id, args_flag(args, "markdown"));
    if (!args->n_rest) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "something is missing; expected: drover check %s",
                  cmd_check.usage);
        return cli_usage(cli, &cmd_check, &err);
    }
    if (!args_value(args, "to")) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "--to HOST is missing; expected: drover check %s --to HOST",
                  args->rest[0]);
        return cli_usage(cli, &cmd_check, &err);
    }
    _cleanup_(order_deinit) struct order order = {0};
    if (order_parse(args, &order, &err) < 0)
        return cli_usage(cli, &cmd_check, &err);
    order.request.guest = (char *)args->rest[0];
    order.request.dry_run = true;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    order.request.refresh = args_flag(args, "refresh");
    int exit = client_ask(cli, "MigrateGuest", &order.request.base, false, EXIT_REFUSED, &reply);
    order.request.n_accept = 0;
    if (exit)
        return exit;
    const Drover__V1__MigrateGuestReply *r = (const Drover__V1__MigrateGuestReply *)reply;
    bool refused = is_refused(r);
    if (cli->json) {
        json_t *document = json_of_message(reply);
        json_object_del(document, "job");
        json_object_set_new(document, "refused", json_boolean(refused));
        Drover__V1__Forecast *f = refused ? NULL : forecast_ask(cli, &order.request, r, &err);
        if (f) {
            json_object_set_new(document, "forecast", json_of_message(&f->base));
            protobuf_c_message_free_unpacked(&f->base, NULL);
        }
        cli_print_json(cli, document);
    } else {
        render_check(r, cli->out);
        if (!refused)
            forecast_tell(cli, &order.request, r);
    }
    return refused ? EXIT_REFUSED : EXIT_DONE;
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static const struct option_spec migrate_options[] = {
    {"to", "HOST", "the destination (default: the coordinator picks a host with room)", false},
    MODE_OPTION,
    POLICY_OPTIONS,
    COPY_OPTION,
    ACCEPT_OPTION,
    {"dry-run", NULL, "check only; nothing moves", false},
    {"detach", NULL, "don't wait: print the job's number and return", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_migrate = {
    .name = "migrate",
    .usage = "VM... [--to HOST] [--mode MODE] [--max-pause TIME] [--deadline TIME] [--bandwidth RATE] "
             "[--allow LIST] [--copy-storage] [--accept ID]... [--dry-run] [--detach]",
    .summary = "move guests to another host",
    .text = "VM is a guest's name, its UUID, or HOST/NAME. Everything is checked first, and nothing moves if "
            "a check\n"
            "says no; all findings are printed with what to do. Running guests go on running; of a guest "
            "that is shut\n"
            "off, the definition moves. Then the job is watched to its end, as by `drover watch`; Ctrl-C "
            "there asks on\n"
            "a terminal, and elsewhere leaves the job running.\n",
    .examples = "  drover migrate web1 --to kvm2\n"
                "  drover migrate web1 web2 db1 --max-pause 500ms --bandwidth 1gbit\n"
                "  drover migrate kvm1/db1 --to kvm2 --mode offline\n"
                "  drover migrate web1 --to kvm2 --copy-storage\n"
                "  drover migrate web1 --to kvm2 --detach --json | jq '.jobs[0].id'\n",
    .exits = "  0  done: all guests run at their destination\n"
             "  1  failed or cancelled; the guest is safe where it was\n"
             "  2  usage\n  3  refused by a check, or there is no such guest or host\n"
             "  4  partly done: some of the guests were moved\n  5  coordinator not reachable\n"
             "  6  in doubt: a host can't be asked; the coordinator keeps asking\n"
             "  130  interrupted; the jobs go on\n",
    .options = migrate_options,
    .min_words = 1,
    .max_words = 1000,
    .run = run_migrate,
};

static const struct option_spec check_options[] = {
    {"to", "HOST", "the destination", false},
    MODE_OPTION,
    POLICY_OPTIONS,
    COPY_OPTION,
    ACCEPT_OPTION,
    {"refresh", NULL, "sample the guest and the link anew for the forecast", false},
    {"explain", "ID", "only say what this finding means; `all`: every one that there is", false},
    {"markdown", NULL, "with --explain all: as the page doc/findings.md", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_check = {
    .name = "check",
    .usage =
        "VM --to HOST [--mode MODE] [--max-pause TIME] [--deadline TIME] [--bandwidth RATE] [--allow LIST] "
        "[--copy-storage] [--accept ID]... [--refresh] | --explain ID|all [--markdown]",
    .summary = "whether a guest could move to a host, and what speaks against it",
    .text = "Runs the same checks as `drover migrate` and prints all findings; nothing moves. 'block' "
            "forbids the move,\n"
            "'warn' and 'info' don't. Storage, networks and ports are proven between the hosts and the "
            "storage node, "
            "in 3 s\n"
            "at most; the forecast of a guest that has never been sampled takes 4 s more.\n",
    .examples = "  drover check web1 --to kvm2\n"
                "  drover check web1 --to kvm2 --max-pause 500ms --allow offline\n"
                "  drover check web1 --to kvm2 --json | jq '.findings[] | select(.severity == \"block\")'\n"
                "  drover check --explain storage-not-shared\n",
    .exits = "  0  it can move\n  2  usage\n  3  a finding blocks it, or there is no such guest or host\n"
             "  5  coordinator not reachable\n",
    .options = check_options,
    .min_words = 0,
    .max_words = 1,
    .run = run_check,
};
