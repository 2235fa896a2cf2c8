/* drover pki init | issue | list */
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/pki.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/loop.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define DEFAULT_DIR "/etc/drover/pki"
#define MAX_ADDRESSES 64
#define WARN_DAYS 30

static const char *directory(const struct args *args)
{
    const char *dir = args_value(args, "dir");
    return dir ? dir : DEFAULT_DIR;
}

static int64_t now_seconds(void)
{
    return clock_realtime_ms() / 1000;
}

static int fail(struct cli *cli, const struct error *err)
{
    return cli_fail(cli, err->code == STATUS_INVALID_ARGUMENT ? EXIT_USAGE : EXIT_FAILED, err);
}

static int days_of(const struct args *args, long fallback, long *ret, struct error *err)
{
    const char *text = args_value(args, "days");
    *ret = fallback;
    return text ? args_number(text, "--days", 1, 36500, ret, err) : 0;
}

static int run_init(struct cli *cli, const struct args *args)
{
    struct error err;
    long days;
    const char *name = args_value(args, "name"), *dir = directory(args);
    if (days_of(args, 3650, &days, &err) < 0 ||
        pki_init(dir, name ? name : "Drover CA", days, now_seconds(), &err) < 0)
        return fail(cli, &err);
    if (cli->json) {
        _cleanup_free_ char *cert = xasprintf("%s/ca.pem", dir), *key = xasprintf("%s/ca-key.pem", dir);
        cli_print_json(cli, json_pack("{s:s,s:s}", "ca", cert, "key", key));
        return EXIT_DONE;
    }
    fprintf(cli->out,
            "The CA is made: %s/ca.pem goes to every host; %s/ca-key.pem stays here and secret.\n"
            "Next: drover pki issue agent/HOST --dir %s, for each host; coordinator/NAME; operator/NAME.\n",
            dir, dir, dir);
    return EXIT_DONE;
}

static int from_of(const struct args *args, int64_t *ret, struct error *err)
{
    const char *text = args_value(args, "from");
    struct tm tm = {0};
    *ret = now_seconds();
    if (!text)
        return 0;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (!end || *end)
        return error_set(err, STATUS_INVALID_ARGUMENT, "--from is '%s'; expected a date such as 2030-01-31",
                         text);
    *ret = (int64_t)timegm(&tm);
    return 0;
}

static int run_issue(struct cli *cli, const struct args *args)
{
    struct error err;
    _cleanup_free_ char *role = NULL, *name = NULL;
    struct pki_leaf leaf = {0};
    if (pki_parse_subject(args->rest[0], &role, &name, &err) < 0 ||
        days_of(args, 825, &leaf.days, &err) < 0 || from_of(args, &leaf.from, &err) < 0)
        return fail(cli, &err);
    const char *addresses[MAX_ADDRESSES];
    while ((addresses[leaf.n_addresses] = args_nth(args, "address", leaf.n_addresses)))
        if (++leaf.n_addresses == MAX_ADDRESSES) {
            error_set(&err, STATUS_INVALID_ARGUMENT, "--address is given too often; expected at most %d",
                      MAX_ADDRESSES - 1);
            return fail(cli, &err);
        }
    leaf.role = role;
    leaf.name = name;
    leaf.addresses = addresses;
    struct pki_issued issued = {0};
    if (pki_issue(directory(args), &leaf, args_value(args, "out"), &issued, &err) < 0)
        return fail(cli, &err);
    char until[TEXT_MAX];
    text_moment(issued.until * 1000, until);
    if (cli->json)
        cli_print_json(cli,
                       json_pack("{s:s,s:s,s:s,s:s,s:I}", "role", role, "name", name, "serial", issued.serial,
                                 "file", issued.file, "not_after", (json_int_t)issued.until * 1000));
    else
        fprintf(cli->out, "%s: certificate and key for drover://%s/%s, valid until %s.\n", issued.file, role,
                name, until);
    pki_issued_deinit(&issued);
    return EXIT_DONE;
}

static const char *status_of(const struct pki_entry *e, int64_t now)
{
    if (e->replaced)
        return "replaced";
    if (e->until <= now)
        return "EXPIRED";
    if (e->from > now)
        return "not yet valid";
    return e->until - now < WARN_DAYS * 86400 ? "expires soon" : "ok";
}

static int64_t days_left(int64_t until, int64_t now)
{
    return until > now ? (until - now) / 86400 : 0;
}

static json_t *entry_json(const struct pki_entry *e, int64_t now)
{
    _cleanup_free_ char *subject = xasprintf("drover://%s/%s", e->role, e->name);
    return json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:s}", "subject", subject, "role", e->role, "name",
                     e->name, "serial", e->serial, "not_before", (json_int_t)e->from * 1000, "not_after",
                     (json_int_t)e->until * 1000, "days_left", (json_int_t)days_left(e->until, now), "status",
                     status_of(e, now), "file", e->file);
}

static void list_json(struct cli *cli, const struct pki_index *index, int64_t now)
{
    json_t *list = json_array();
    for (size_t i = 0; i < index->n_entries; i++)
        json_array_append_new(list, entry_json(&index->entries[i], now));
    cli_print_json(cli, json_pack("{s:{s:s*,s:s,s:I,s:I,s:I,s:s},s:o}", "ca", "name", index->ca_name,
                                  "serial", index->ca_serial, "not_before", (json_int_t)index->ca_from * 1000,
                                  "not_after", (json_int_t)index->ca_until * 1000, "days_left",
                                  (json_int_t)days_left(index->ca_until, now), "file", index->ca_file,
                                  "certificates", list));
}

static void warn(struct cli *cli, const char *role, const char *name, int64_t until, int64_t now,
                 const char *todo)
{
    char clean[300], when[TEXT_MAX];
    text_clean(name, clean, sizeof(clean));
    if (until <= now)
        fprintf(cli->err, "warning: %s %s expired on %s; %s\n", role, clean, text_moment(until * 1000, when),
                todo);
    else if (until - now < WARN_DAYS * 86400)
        fprintf(cli->err, "warning: %s %s expires in %" PRId64 " days; %s\n", role, clean,
                days_left(until, now), todo);
}

static void row(struct table *table, const char *role, const struct pki_entry *e, int64_t now)
{
    char when[TEXT_MAX];
    table_cell(table, role);
    table_cell(table, e->name);
    table_cell(table, text_moment(e->until * 1000, when));
    table_cellf(table, "%" PRId64, days_left(e->until, now));
    table_cell(table, status_of(e, now));
    table_cell(table, e->serial);
    table_cell(table, e->file);
}

static int run_list(struct cli *cli, const struct args *args)
{
    struct error err;
    struct pki_index index;
    int64_t now = now_seconds();
    if (pki_list(directory(args), &index, &err) < 0)
        return fail(cli, &err);
    if (cli->json) {
        list_json(cli, &index, now);
    } else {
        struct table *table = table_new("ROLE|NAME|EXPIRES|>DAYS LEFT|STATUS|SERIAL|FILE");
        struct pki_entry ca = {.name = index.ca_name,
                               .serial = index.ca_serial,
                               .file = index.ca_file,
                               .from = index.ca_from,
                               .until = index.ca_until};
        row(table, "CA", &ca, now);
        for (size_t i = 0; i < index.n_entries; i++)
            row(table, index.entries[i].role, &index.entries[i], now);
        table_print(table, cli->out);
        fflush(cli->out);
        warn(cli, "the CA", ca.name, ca.until, now, "make a new one in another directory and issue anew");
        for (size_t i = 0; i < index.n_entries; i++) {
            const struct pki_entry *e = &index.entries[i];
            _cleanup_free_ char *todo = xasprintf("renew it: drover pki issue %s/%s", e->role, e->name);
            if (!e->replaced)
                warn(cli, e->role, e->name, e->until, now, todo);
        }
    }
    pki_index_deinit(&index);
    return EXIT_DONE;
}

#define DIR_OPTION                                                                                           \
    {                                                                                                        \
        "dir", "DIR", "where the CA is (default " DEFAULT_DIR ")", false                                     \
    }
#define PKI_EXITS "  0  done\n  1  failed; nothing was overwritten\n  2  usage\n"

static const struct option_spec init_options[] = {
    DIR_OPTION,
    {"name", "TEXT", "the CA's name (default 'Drover CA')", false},
    {"days", "N", "how long it is valid (default 3650)", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_pki_init = {
    .name = "pki init",
    .usage = "[--dir DIR] [--name TEXT] [--days N]",
    .summary = "make a certificate authority for the fleet",
    .text = "Makes DIR/ca.pem, the certificate that every host needs to know the others, and DIR/ca-key.pem, "
            "the\n"
            "secret key that is needed to issue certificates only. An existing CA is never overwritten.\n",
    .examples = "  drover pki init\n  drover pki init --dir ./pki --name 'Drover Tokyo'\n",
    .exits = PKI_EXITS,
    .options = init_options,
    .local = true,
    .run = run_init,
};

static const struct option_spec issue_options[] = {
    DIR_OPTION,
    {"address", "ADDRESS", "IP address or DNS name by which it is called; may be repeated", true},
    {"days", "N", "how long it is valid (default 825, never longer than the CA)", false},
    {"from", "DATE", "valid from this day on, e.g. 2030-01-31 (default: now)", false},
    {"out", "FILE", "where to write it (default DIR/ROLE-NAME.pem)", false},
    {NULL, NULL, NULL, false},
};

const struct command cmd_pki_issue = {
    .name = "pki issue",
    .usage = "ROLE/NAME [--address ADDRESS]... [--days N] [--from DATE] [--out FILE] [--dir DIR]",
    .summary = "issue a certificate for an agent, a coordinator or an operator",
    .text =
        "ROLE says what the holder may do: an 'agent' serves a KVM host, a 'coordinator' commands agents, "
        "an\n"
        "'operator' commands coordinators. For an agent, NAME is the host's name in the coordinator's\n"
        "inventory. The file holds the certificate and its key: move it to its host and nowhere else.\n"
        "Issuing again for the same role and name replaces the file, whose owner and mode stay (a renewal);\n"
        "programs take up the new one without a restart.\n",
    .examples = "  drover pki issue agent/kvm1 --address 10.0.0.11\n"
                "  drover pki issue coordinator/main --address 10.0.0.5 --address drover.example.net\n"
                "  drover pki issue operator/oncall --days 90 --out ~/.config/drover/operator.pem\n",
    .exits = PKI_EXITS,
    .options = issue_options,
    .min_words = 1,
    .max_words = 1,
    .local = true,
    .run = run_issue,
};

static const struct option_spec list_options[] = {DIR_OPTION, {NULL, NULL, NULL, false}};

const struct command cmd_pki_list = {
    .name = "pki list",
    .usage = "[--dir DIR]",
    .summary = "the certificates that were issued, and when they expire",
    .text = "Warns about certificates that expire within 30 days.\n",
    .examples =
        "  drover pki list\n  drover pki list --json | jq '.certificates[] | select(.days_left < 90)'\n",
    .exits = PKI_EXITS,
    .options = list_options,
    .local = true,
    .run = run_list,
};
