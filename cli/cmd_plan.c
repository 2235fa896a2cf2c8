/* drover evacuate | return | move: many moves as one job. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/json.h"
#include "cli/order.h"
#include "cli/power_off.h"
#include "cli/render.h"
#include "cli/roll.h"
#include "cli/rolling_options.h"
#include "cli/text.h"
#include "cli/watch.h"
#include "common/base/memory.h"
#include "common/config/yaml.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int take_order(const struct args *args, const struct order *order, Drover__V1__PlanRequest *q,
                      struct error *err)
{
    const char *window = args_value(args, "window");
    order_of_plan(order, q);
    q->dry_run = args_flag(args, "dry-run");
    if (!window)
        return 0;
    if (!q->dry_run)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "--window goes with --dry-run, which says whether it fits; no move is held to it");
    int result = parse_duration_ms(window, &q->window, err);
    if (result < 0)
        return error_prefix(err, "--window");
    if (q->window <= 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "--window is '%s'; expected more than nothing, e.g. 30m", window);
    return 0;
}

/* Of a dry run: 0 when each guest can move (in the window), EXIT_PARTLY when some can't, EXIT_REFUSED when none can. */
static int dry_exit(const Drover__V1__Job *job)
{
    size_t stay = 0;
    for (size_t i = 0; i < job->n_steps; i++)
        stay += job_step_stays(job->steps[i]);
    if (stay && stay == job->n_steps)
        return EXIT_REFUSED;
    bool late = job->outlook && job->outlook->window && !job->outlook->fits;
    return stay || late ? EXIT_PARTLY : EXIT_DONE;
}

static int show_dry(struct cli *cli, const Drover__V1__Job *job)
{
    if (cli->json)
        cli_print_json(cli, json_of_message(&job->base));
    else
        render_plan(job, cli->out);
    return dry_exit(job);
}

/* Then the operator's command for the hosts that are empty now. */
static int hook(struct cli *cli, const struct args *args, const Drover__V1__PlanRequest *q,
                const Drover__V1__Job *job, int exit)
{
    bool ended = !job_is_open(job) && (exit == EXIT_DONE || exit == EXIT_PARTLY);
    if (!args_value(args, "power-off-hook"))
        return exit;
    if (!ended) {
        roll_say(cli, NULL, "not-run", job->id,
                 "the power-off hook is not run: the consolidation has not ended well");
        return exit;
    }
    int both[] = {exit, power_off(cli, args, q, job)};
    return both[1] == EXIT_INTERRUPTED ? both[1] : exits_join(both, 2);
}

static int ask(struct cli *cli, const struct args *args, Drover__V1__PlanRequest *q)
{
    bool detach = args_flag(args, "detach");
    ProtobufCMessage *reply = NULL;
    int exit = client_ask(cli, "MakePlan", &q->base, !q->dry_run, EXIT_REFUSED, &reply);
    if (exit)
        return exit;
    Drover__V1__Job *job = (Drover__V1__Job *)reply;
    char subject[256], clean[256];
    if (q->dry_run) {
        exit = show_dry(cli, job);
        reply_free(job);
        return exit;
    }
    if (!cli->json) {
        fprintf(cli->out, "%s: %zu guest%s: job %" PRIu64 "\n",
                text_clean(job_subject(job, subject), clean, sizeof(clean)), job->n_steps,
                job->n_steps == 1 ? "" : "s", job->id);
        render_remarks(job, cli->out);
        fflush(cli->out);
    }
    if (!detach && job_is_open(job)) {
        exit = watch_jobs(cli, &job, 1);
    } else if (!detach) {
        exit = job_exit(job);
        if (!cli->json)
            render_outcome(job, cli->out);
    }
    if (cli->json)
        cli_print_json(cli, json_of_message(&job->base));
    exit = hook(cli, args, q, job, exit);
    reply_free(job);
    return exit;
}

static int run_plan(struct cli *cli, const struct args *args, const struct command *command,
                    Drover__V1__PlanRequest *q)
{
    struct error err;
    _cleanup_(order_deinit) struct order order = {0};
    if (order_parse(args, &order, &err) < 0 || take_order(args, &order, q, &err) < 0)
        return cli_usage(cli, command, &err);
    return ask(cli, args, q);
}

static int run_evacuate(struct cli *cli, const struct args *args)
{
    Drover__V1__PlanRequest q = DROVER__V1__PLAN_REQUEST__INIT;
    const char *to = args_value(args, "to"), *site = args_value(args, "to-site");
    q.kind = (char *)"evacuate";
    q.host = (char *)args->rest[0];
    q.to = (char *)(to ? to : "");
    q.to_site = (char *)(site ? site : "");
    return run_plan(cli, args, &cmd_evacuate, &q);
}

static int run_return(struct cli *cli, const struct args *args)
{
    Drover__V1__PlanRequest q = DROVER__V1__PLAN_REQUEST__INIT;
    q.kind = (char *)"return";
    q.host = (char *)args->rest[0];
    return run_plan(cli, args, &cmd_return, &q);
}

static int run_move(struct cli *cli, const struct args *args)
{
    struct error err;
    Drover__V1__PlanRequest q = DROVER__V1__PLAN_REQUEST__INIT;
    const char *from = args_value(args, "from"), *to = args_value(args, "to");
    if (!from || !to) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "--%s SITE is missing; expected: drover move %s",
                  from ? "to" : "from", cmd_move.usage);
        return cli_usage(cli, &cmd_move, &err);
    }
    q.kind = (char *)"move";
    q.from_site = (char *)from;
    q.to_site = (char *)to;
    for (const char *vm; (vm = args_nth(args, "vm", q.n_vms)); q.n_vms++) {
        q.vms = xrealloc(q.vms, q.n_vms + 1, sizeof(char *));
        q.vms[q.n_vms] = (char *)vm;
    }
    int exit = run_plan(cli, args, &cmd_move, &q);
    free(q.vms);
    return exit;
}

static int run_better(struct cli *cli, const struct args *args, const struct command *command,
                      const char *kind, int32_t headroom)
{
    Drover__V1__PlanRequest q = DROVER__V1__PLAN_REQUEST__INIT;
    const char *site = args_value(args, "site");
    q.kind = (char *)kind;
    q.from_site = (char *)(site ? site : "");
    q.headroom = headroom;
    return run_plan(cli, args, command, &q);
}

static int run_balance(struct cli *cli, const struct args *args)
{
    return run_better(cli, args, &cmd_balance, "balance", 0);
}

/* As in a request: 0 is the default, -1 is none. */
static int option_headroom(const struct args *args, int32_t *ret, struct error *err)
{
    const char *text = args_value(args, "headroom");
    char *end;
    *ret = 0;
    if (!text)
        return 0;
    unsigned long percent = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || percent > 99 || (*end && strcmp(end, "%") != 0))
        return error_set(err, STATUS_INVALID_ARGUMENT, "--headroom is '%s'; expected 0%% to 99%%, e.g. 20%%",
                         text);
    *ret = percent ? (int32_t)percent : -1;
    return 0;
}

static int run_consolidate(struct cli *cli, const struct args *args)
{
    struct error err;
    int64_t timeout;
    int32_t headroom;
    if (args_flag(args, "detach") && args_value(args, "power-off-hook")) {
        error_set(&err, STATUS_INVALID_ARGUMENT,
                  "--power-off-hook is run by this command, which --detach ends; expected one of them");
        return cli_usage(cli, &cmd_consolidate, &err);
    }
    if (args_value(args, "exec-timeout") && !args_value(args, "power-off-hook")) {
        error_set(&err, STATUS_INVALID_ARGUMENT,
                  "--exec-timeout goes with --power-off-hook: it is how long that CMD may take");
        return cli_usage(cli, &cmd_consolidate, &err);
    }
    if (option_time(args, "exec-timeout", EXEC_TIMEOUT, &timeout, &err) < 0 ||
        option_headroom(args, &headroom, &err) < 0)
        return cli_usage(cli, &cmd_consolidate, &err);
    return run_better(cli, args, &cmd_consolidate, "consolidate", headroom);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

#define PLAN_OPTIONS                                                                                         \
    MODE_OPTION, POLICY_OPTIONS, COPY_OPTION, ACCEPT_OPTION,                                                 \
        {"dry-run", NULL, "show every move, how long all takes, and who can't move; nothing moves", false},  \
        {"detach", NULL, "don't wait: print the job's number and return", false},                            \
    {                                                                                                        \
        NULL, NULL, NULL, false                                                                              \
    }

#define PLAN_EXITS                                                                                           \
    "  0  done\n  1  failed or cancelled; each guest is safe where it was\n  2  usage\n"                     \
    "  3  refused: no guest can move, there is no such host, or it is not known what runs there\n"           \
    "  4  partly done: some guests stayed, or one is not well where it arrived; each is listed with what "   \
    "to do.\n"                                                                                               \
    "     Off a terminal also a plan that waits for `drover resume` or `drover cancel`, because of such a "  \
    "guest\n  5  "                                                                                           \
    "coordinator not reachable\n"                                                                            \
    "  6  in doubt: a host can't be asked; the coordinator keeps asking\n"                                   \
    "  130  interrupted; the job goes on\n"

static const struct option_spec evacuate_options[] = {
    {"to", "HOST", "all to this host (default: the coordinator picks hosts with room)", false},
    {"to-site", "SITE", "only to hosts of this site", false},
    {"window", "TIME", "with --dry-run: does it fit this time, e.g. 30m", false},
    PLAN_OPTIONS,
};

const struct command cmd_evacuate = {
    .name = "evacuate",
    .usage = "HOST [--to HOST | --to-site SITE] [--dry-run] [--window TIME] [--detach]",
    .summary = "empty a host: all its guests move away",
    .text = "The host goes into maintenance (it gets no guests any more); running guests move live, of those "
            "that are shut\n"
            "off the definition moves. The first guest between two hosts is looked at before others follow: "
            "does it run,\n"
            "without I/O errors, and does its guest agent answer? A guest that can't move doesn't stop the "
            "others. What\n"
            "appears on the host meanwhile moves, too. The host is called empty only after libvirt there "
            "says so.\n"
            "While the host can't be asked its guests wait, and the plan is in doubt.\n"
            "The job goes on without this shell: `drover watch`, `pause`, `resume`, `cancel`. Afterwards "
            "`drover return HOST`\n"
            "brings the guests back.\n",
    .examples = "  drover evacuate kvm7 --dry-run --window 30m\n  drover evacuate kvm7\n"
                "  drover evacuate kvm7 --to-site osaka --detach --json | jq .id\n",
    .exits = PLAN_EXITS,
    .options = evacuate_options,
    .min_words = 1,
    .max_words = 1,
    .run = run_evacuate,
};

static const struct option_spec return_options[] = {
    PLAN_OPTIONS,
};

const struct command cmd_return = {
    .name = "return",
    .usage = "HOST [--dry-run] [--detach]",
    .summary = "bring back to a host what an evacuation took away",
    .text = "The host leaves maintenance, and every guest that evacuations took from it and that is not back "
            "yet, comes back\n"
            "from wherever it is now. Where none is away, it only leaves maintenance.\n",
    .examples = "  drover return kvm7\n",
    .exits = PLAN_EXITS,
    .options = return_options,
    .min_words = 1,
    .max_words = 1,
    .run = run_return,
};

static const struct option_spec move_options[] = {
    {"from", "SITE", "the site where the guests are", false},
    {"to", "SITE", "the site where they go", false},
    {"vm", "PATTERN", "guests whose names fit, such as 'web*'; several are groups, moved in the order given",
     true},
    {"window", "TIME", "with --dry-run: does it fit this time, e.g. 2h", false},
    PLAN_OPTIONS,
};

const struct command cmd_move = {
    .name = "move",
    .usage = "--from SITE --to SITE [--vm PATTERN]... [--dry-run] [--window TIME] [--detach]",
    .summary = "move guests from one site to another",
    .text = "All guests of the site, or those whose names fit. Each --vm is a group: its guests move "
            "together, and the next\n"
            "group begins when all of them are done; where one has not moved, the later groups stay.\n"
            "A pattern that fits no guest of the fleet is refused. So is a move while a host of the site "
            "can't be\n"
            "asked, unless that is in maintenance: then it is left out.\n"
            "--dry-run says for each guest where it goes, what "
            "it may lose there, or why it can't go.\n",
    .examples = "  drover move --from tokyo --to osaka --vm 'db*' --vm 'web*' --dry-run\n",
    .exits = PLAN_EXITS,
    .options = move_options,
    .run = run_move,
};

static const struct option_spec better_options[] = {
    {"site", "SITE", "only the guests of this site", false},
    PLAN_OPTIONS,
};

const struct command cmd_balance = {
    .name = "balance",
    .usage = "[--site SITE] [--dry-run] [--detach]",
    .summary = "spread the guests over the hosts",
    .text =
        "By what the agents have measured of late: CPU time and memory in use, of hosts and guests; while "
        "nothing is\n"
        "measured, by memory and vCPUs. A move is only made where it gains enough, and a guest that moved "
        "within the last\n"
        "30 minutes stays where it is; nothing moves in a fleet that is balanced. A guest that its\n"
        "destination refuses stays where it is, too, and the reason is told.\n",
    .examples = "  drover balance --dry-run\n",
    .exits = PLAN_EXITS,
    .options = better_options,
    .run = run_balance,
};

static const struct option_spec consolidate_options[] = {
    {"power-off-hook", "CMD", "what is run by sh -c, on this machine, for each host that is empty then",
     false},
    {"exec-timeout", "TIME", "how long CMD may take (default: " EXEC_TIMEOUT ")", false},
    {"site", "SITE", "only the guests of this site", false},
    {"headroom", "PERCENT", "how much of each host's memory and CPU time stays free (default: 10%)", false},
    PLAN_OPTIONS,
};

const struct command cmd_consolidate = {
    .name = "consolidate",
    .usage = "[--site SITE] [--headroom PERCENT] [--power-off-hook CMD [--exec-timeout TIME]] [--dry-run] "
             "[--detach]",
    .summary = "bring the guests together on as few hosts as there is room",
    .text =
        "A tenth of each host's memory and, as far as it is measured, CPU time stays free (--headroom: "
        "another part), also where\n"
        "a guest goes that its first destination refused. The hosts that have no guest afterwards are listed "
        "(not\n"
        "those that had none before); what is done with them is yours to say. With --power-off-hook, "
        "each of them goes into maintenance, so "
        "that it gets no\n"
        "guests any more, libvirt there is asked whether it is empty, and CMD is run for it with "
        "DROVER_HOST,\n"
        "DROVER_ADDRESS and DROVER_SITE, as by `drover maintenance --rolling`. It stays in maintenance "
        "until\n"
        "`drover maintenance off HOST`.\n"
        "With --json the job is printed first, and then, with the hook, one object per event and line, as "
        "by `drover\n"
        "maintenance --rolling`. The event \"not-run\" is of a host for which the hook is not run, or "
        "says (\"host\" is empty)\n"
        "that it is run for none.\n",
    .examples = "  drover consolidate --dry-run --json | jq -r .emptied\n"
                "  drover consolidate --power-off-hook 'ssh root@$DROVER_ADDRESS poweroff'\n",
    .exits = PLAN_EXITS,
    .options = consolidate_options,
    .run = run_consolidate,
};
