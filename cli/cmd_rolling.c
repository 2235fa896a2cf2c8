/* drover maintenance --rolling: hosts emptied, worked on and filled again, one after the other. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/drill.h"
#include "cli/order.h"
#include "cli/render.h"
#include "cli/roll.h"
#include "cli/rolling.h"
#include "cli/rolling_options.h"
#include "common/base/memory.h"

#include <string.h>

#define BACK_TIMEOUT "30m"
#define STEADY "10s"

struct wish {
    struct roll_order order;
    struct order how;
    Drover__V1__PlanRequest evacuate;
    char **names; /* owned */
    size_t n_names;
    char *here, *again; /* owned */
};

static void wish_deinit(struct wish *w)
{
    order_deinit(&w->how);
    for (size_t i = 0; i < w->n_names; i++)
        free(w->names[i]);
    free(w->names);
    free(w->here);
    free(w->again);
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

static int add_names(struct wish *w, const char *list, struct error *err)
{
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        if (!n)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "'%s' is no list of hosts; expected names with commas between them: kvm1,kvm2",
                             list);
        char *name = strndup(p, n);
        w->names = xrealloc(w->names, w->n_names + 1, sizeof(*w->names));
        w->names[w->n_names++] = name;
        for (size_t i = 0; i + 1 < w->n_names; i++)
            if (streq(w->names[i], name))
                return error_set(err, STATUS_INVALID_ARGUMENT, "host %s is named twice; name it once", name);
        p += n;
        if (!*p)
            return 0;
    }
}

static int take_names(struct wish *w, const struct args *args, struct error *err)
{
    const char *list;
    int r = 0;
    for (size_t i = 0; r == 0 && (list = args_nth(args, "rolling", i)); i++)
        r = add_names(w, list, err);
    for (size_t i = 0; r == 0 && i < args->n_rest; i++)
        r = add_names(w, args->rest[i], err);
    return r;
}

static int take(struct wish *w, const struct args *args, struct error *err)
{
    static const char *const not_again[] = {"rolling", "json", NULL};
    const char *parallel = args_value(args, "parallel"), *to = args_value(args, "to"),
               *site = args_value(args, "to-site");
    long n = 1;
    struct roll_order *o = &w->order;
    int r = order_parse(args, &w->how, err);
    if (r == 0)
        r = take_names(w, args, err);
    o->command = args_value(args, "exec");
    if (r == 0 && !o->command && !args_flag(args, "dry-run"))
        r = error_set(err, STATUS_INVALID_ARGUMENT,
                      "--exec CMD is missing: what is to be run when a host is empty, e.g. --exec 'ssh "
                      "root@$DROVER_ADDRESS apt-get -y upgrade'");
    if (r == 0)
        r = option_time(args, "exec-timeout", EXEC_TIMEOUT, &o->exec_ms, err);
    if (r == 0)
        r = option_time(args, "back-timeout", BACK_TIMEOUT, &o->back_ms, err);
    if (r == 0)
        r = option_time(args, "steady", STEADY, &o->steady_ms, err);
    if (r == 0 && parallel)
        r = args_number(parallel, "--parallel", 1, 1000, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; to && i < w->n_names; i++)
        if (streq(w->names[i], to))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "--to %s: it is to be emptied itself; name a host that is not in the list", to);
    order_of_plan(&w->how, &w->evacuate);
    w->evacuate.to = (char *)(to ? to : "");
    w->evacuate.to_site = (char *)(site ? site : "");
    w->here = own_boot_id();
    w->again = args_again(args, not_again);
    o->hosts = (const char *const *)w->names;
    o->n = w->n_names;
    o->parallel = (unsigned)n;
    o->reboots = args_flag(args, "reboots");
    o->evacuate = &w->evacuate;
    o->here = w->here;
    o->again_before = "drover maintenance --rolling ";
    o->again_after = w->again;
    return 0;
}

/* ---- before anything moves --------------------------------------------------------------------------------------- */

static int judge(const struct roll_order *o, const Drover__V1__HostStatus *s, struct error *err)
{
    const struct rolling r = {.reboots = o->reboots, .here = o->here};
    const Drover__V1__HostReport *report = s->report;
    if (!s->up || !report)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s: its agent has no session (%s), so what runs there is not known: mend it, or leave the "
            "host out",
            s->name, *s->why ? s->why : "it has not reported yet");
    if (!report->hypervisor)
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s is no hypervisor: it has no guests", s->name);
    if (o->reboots && !*report->boot_id)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s: its agent (%s) does not tell the kernel's boot id: update drover-agent there, or leave "
            "--reboots out",
            s->name, report->agent_version);
    if (rolling_is_here(&r, s))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s is the machine that this command runs on, and its reboot would end it: run it "
                         "elsewhere, or leave the host out",
                         s->name);
    return 0;
}

/* A host that is not ready now would be emptied, and not count as back: what CMD will mend is not known. */
static int ask_doctor(struct cli *cli, const char *host)
{
    struct error err = {0}, why = {0};
    Drover__V1__DoctorRequest request = DROVER__V1__DOCTOR_REQUEST__INIT;
    _cleanup_reply_ ProtobufCMessage *reply = NULL;
    _cleanup_free_ char *ids = NULL;
    request.host = (char *)host;
    int exit = client_try(cli, "Doctor", &request.base, false, EXIT_REFUSED, &reply, &why);
    const Drover__V1__DoctorReply *d = (const Drover__V1__DoctorReply *)reply;
    if (exit || !d->n_hosts) {
        error_set(
            &err, exit ? why.code : STATUS_NOT_FOUND,
            "%s: the doctor can't be asked whether it would count as back afterwards, so nothing begins: "
            "%s",
            host, exit ? why.text : "the doctor does not know it");
        return cli_fail(cli, exit ? exit : EXIT_REFUSED, &err);
    }
    for (size_t i = 0; i < d->hosts[0]->n_findings; i++) {
        const Drover__V1__Finding *f = d->hosts[0]->findings[i];
        if (f->severity != DROVER__V1__SEVERITY__BLOCK)
            continue;
        if (!cli->json)
            render_finding(f, cli->err);
        char *longer = xasprintf("%s%s%s", ids ? ids : "", ids ? ", " : "", f->id);
        free(ids);
        ids = longer;
    }
    if (!ids)
        return EXIT_DONE;
    error_set(
        &err, STATUS_FAILED_PRECONDITION,
        "%s would not count as back afterwards: the doctor has %s against it. Mend that first (`drover "
        "doctor %s` says how), or leave the host out; by hand: drover evacuate %s, CMD, drover return %s",
        host, ids, host, host, host);
    return cli_fail(cli, EXIT_REFUSED, &err);
}

static int check(struct cli *cli, const struct roll_order *o)
{
    for (size_t i = 0; i < o->n; i++) {
        struct error err = {0};
        Drover__V1__ListHostsRequest request = DROVER__V1__LIST_HOSTS_REQUEST__INIT;
        _cleanup_reply_ ProtobufCMessage *reply = NULL;
        request.host = (char *)o->hosts[i];
        int exit = client_ask(cli, "ListHosts", &request.base, false, EXIT_REFUSED, &reply);
        if (exit)
            return exit;
        const Drover__V1__ListHostsReply *r = (const Drover__V1__ListHostsReply *)reply;
        const Drover__V1__HostStatus *s = NULL;
        for (size_t h = 0; h < r->n_hosts; h++)
            if (streq(r->hosts[h]->name, o->hosts[i]))
                s = r->hosts[h];
        if (!s)
            error_set(&err, STATUS_NOT_FOUND, "no host '%s': `drover hosts` lists them", o->hosts[i]);
        if (!s || judge(o, s, &err) < 0)
            return cli_fail(cli, EXIT_REFUSED, &err);
        exit = ask_doctor(cli, o->hosts[i]);
        if (exit)
            return exit;
    }
    return EXIT_DONE;
}

static int dry_run(struct cli *cli, const struct roll_order *o)
{
    int exit = EXIT_DONE;
    json_t *all = json_array();
    for (size_t i = 0; i < o->n && exit != EXIT_UNREACHABLE; i++) {
        if (!cli->json)
            fprintf(cli->out, "%zu. ", i + 1);
        exit = drill_join(exit, drill(cli, o->hosts[i], o->evacuate, all));
    }
    if (!cli->json && o->parallel > 1)
        fprintf(cli->out, "Up to %u at a time are empty, where room allows.\n", o->parallel);
    return drill_end(cli, all, exit);
}

static int run(struct cli *cli, const struct args *args)
{
    struct error err = {0};
    _cleanup_(wish_deinit) struct wish w = {.evacuate = DROVER__V1__PLAN_REQUEST__INIT};
    if (take(&w, args, &err) < 0)
        return cli_usage(cli, &cmd_rolling, &err);
    int exit = check(cli, &w.order);
    if (exit)
        return exit;
    return args_flag(args, "dry-run") ? dry_run(cli, &w.order) : roll_run(cli, &w.order);
}

static const struct option_spec options[] = {
    {"rolling", "HOSTS", "the hosts, in this order, with commas between them", true},
    {"exec", "CMD", "what is run by sh -c, on this machine, once a host is empty", false},
    {"reboots", NULL, "CMD reboots the host: it counts as back only with another boot id than before", false},
    {"parallel", "N", "so many hosts may be empty at a time, where room allows (default: 1)", false},
    {"exec-timeout", "TIME", "how long CMD may take (default: " EXEC_TIMEOUT ")", false},
    {"back-timeout", "TIME", "how long a host may take to come back after CMD (default: " BACK_TIMEOUT ")",
     false},
    {"steady", "TIME",
     "without --reboots: how long it must have answered without a break (default: " STEADY ")", false},
    {"to", "HOST", "all guests to this host meanwhile (default: the coordinator picks hosts with room)",
     false},
    {"to-site", "SITE", "only to hosts of this site", false},
    MODE_OPTION,
    POLICY_OPTIONS,
    COPY_OPTION,
    ACCEPT_OPTION,
    {"dry-run", NULL, "show the order, and whether each host can be emptied now; nothing moves", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_rolling = {
    .name = "maintenance --rolling",
    .usage = "HOSTS... --exec CMD [--reboots] [--parallel N] [--dry-run]",
    .summary = "empty hosts one by one, run a command for each, fill them again",
    .text =
        "For each host in turn: its guests move away (as `drover evacuate`), CMD is run once libvirt there "
        "says "
        "that it is\n"
        "empty, and when the host is truly back (its agent, its libvirt, no finding of `drover doctor` that "
        "blocks) its\n"
        "guests come back (as `drover return`). Nothing begins while there is such a finding of one of them. "
        "It stops at the\n"
        "first host that can't be emptied, whose CMD fails, or that doesn't come back in time, and says how "
        "each host is left\n"
        "and how to go on. CMD never runs for a host that isn't proven empty.\n\n"
        "CMD is run here, by sh -c, without a terminal, with DROVER_HOST, DROVER_ADDRESS (of its agent) and "
        "DROVER_SITE set;\n"
        "what it says is shown behind the host's name. A reboot command that returns at once is no proof: "
        "say "
        "--reboots, and\n"
        "the host is back only with another boot id. Without it, a host must have answered without a break "
        "for "
        "--steady.\n\n"
        "Ctrl-C leaves everything as it is, and says how to go on; a CMD that runs is waited for (once more "
        "Ctrl-C ends it).\n"
        "With --json, one object per event and line, the last one {\"event\": \"end\", \"exit\", \"hosts\", "
        "\"again\"}.\n",
    .examples =
        "  drover maintenance --rolling kvm1,kvm2,kvm3 --dry-run\n"
        "  drover maintenance --rolling kvm1,kvm2,kvm3 --reboots \\\n"
        "      --exec 'ssh root@$DROVER_ADDRESS systemctl --no-block reboot'\n"
        "  drover maintenance --rolling kvm1,kvm2 --exec 'ansible-playbook -l $DROVER_HOST upgrade.yaml'\n",
    .exits =
        "  0  all hosts are done\n  1  CMD failed, or a host did not come back; the guests run elsewhere\n"
        "  2  usage\n"
        "  3  refused: a host can't be emptied, is not ready (`drover doctor`), or there is no such host\n"
        "  4  partly done: some hosts are done, some guests stayed, or one is not well where it arrived\n"
        "  5  coordinator not reachable\n  130  interrupted; nothing more begins\n",
    .options = options,
    .max_words = 1000,
    .run = run,
};
