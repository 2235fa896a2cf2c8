#include "coordinator/config_internal.h"

#include "common/base/memory.h"
#include "common/config/where.h"
#include "common/config/yaml.h"
#include "coordinator/config_rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)
enum allow { AUTO_CONVERGE = 1, POST_COPY = 2, OFFLINE = 4 };

struct raw_policy {
    char **guests, **labels;
    unsigned guests_count, labels_count;
    char *name, *max_pause, *deadline, *bandwidth, *vcpu_ratio;
    uint32_t allow, older_versions;
};

struct raw_host {
    char *name, *agent, *site, *bandwidth;
    char **labels;
    unsigned labels_count;
};

struct raw_tls {
    char *ca, *cert;
};

struct raw {
    char **listen;
    unsigned listen_count;
    char *store, *history, *group;
    struct {
        char *ca, *cert;
    } * tls;
    struct raw_host *hosts;
    unsigned hosts_count;
    struct raw_group *groups;
    struct raw_guest *guests;
    unsigned groups_count, guests_count;
    struct raw_policy *policies;
    unsigned policies_count;
    struct raw_mapping *mappings;
    unsigned mappings_count;
    char *bandwidth;
    struct raw_link *links;
    unsigned links_count;
    enum log_level log;
};

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, flags, type, member)                                                                       \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, 4096)

static const cyaml_schema_value_t text_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4096)};

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("ca", 0, struct raw_tls, ca),
    TEXT("cert", 0, struct raw_tls, cert),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t host_fields[] = {
    TEXT("name", 0, struct raw_host, name),
    TEXT("agent", 0, struct raw_host, agent),
    TEXT("site", OPTIONAL, struct raw_host, site),
    TEXT("bandwidth", OPTIONAL, struct raw_host, bandwidth),
    CYAML_FIELD_SEQUENCE("labels", CYAML_FLAG_POINTER | OPTIONAL, struct raw_host, labels, &text_value, 0,
                         64),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t host_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_host, host_fields)};

static const cyaml_strval_t allow_words[] = {
    {"auto-converge", AUTO_CONVERGE}, {"post-copy", POST_COPY}, {"offline", OFFLINE}};

static const cyaml_strval_t older_words[] = {{"warn", 0}, {"block", 1}};

static const cyaml_schema_field_t policy_fields[] = {
    TEXT("name", 0, struct raw_policy, name),
    CYAML_FIELD_SEQUENCE("guests", CYAML_FLAG_POINTER | OPTIONAL, struct raw_policy, guests, &text_value, 1,
                         1024),
    CYAML_FIELD_SEQUENCE("labels", CYAML_FLAG_POINTER | OPTIONAL, struct raw_policy, labels, &text_value, 1,
                         1024),
    TEXT("max_pause", OPTIONAL, struct raw_policy, max_pause),
    TEXT("deadline", OPTIONAL, struct raw_policy, deadline),
    TEXT("bandwidth", OPTIONAL, struct raw_policy, bandwidth),
    TEXT("vcpu_ratio", OPTIONAL, struct raw_policy, vcpu_ratio),
    CYAML_FIELD_ENUM("older_versions", OPTIONAL | CYAML_FLAG_STRICT, struct raw_policy, older_versions,
                     older_words, 2),
    CYAML_FIELD_FLAGS("allow", OPTIONAL | CYAML_FLAG_STRICT, struct raw_policy, allow, allow_words, 3),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t policy_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_policy, policy_fields)};

static const cyaml_strval_t log_words[] = {{"error", LOG_LEVEL_ERROR},
                                           {"warn", LOG_LEVEL_WARN},
                                           {"warning", LOG_LEVEL_WARN},
                                           {"info", LOG_LEVEL_INFO},
                                           {"debug", LOG_LEVEL_DEBUG}};

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_SEQUENCE("listen", CYAML_FLAG_POINTER | OPTIONAL, struct raw, listen, &text_value, 1, 16),
    TEXT("store", OPTIONAL, struct raw, store),
    TEXT("history", OPTIONAL, struct raw, history),
    TEXT("group", OPTIONAL, struct raw, group),
    CYAML_FIELD_MAPPING_PTR("tls", CYAML_FLAG_POINTER | OPTIONAL, struct raw, tls, tls_fields),
    CYAML_FIELD_SEQUENCE("hosts", CYAML_FLAG_POINTER | OPTIONAL, struct raw, hosts, &host_value, 0,
                         CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE("groups", CYAML_FLAG_POINTER | OPTIONAL, struct raw, groups, &config_group_value, 0,
                         CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE("guests", CYAML_FLAG_POINTER | OPTIONAL, struct raw, guests, &config_guest_value, 0,
                         CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE("policies", CYAML_FLAG_POINTER | OPTIONAL, struct raw, policies, &policy_value, 0,
                         64),
    CYAML_FIELD_SEQUENCE("mappings", CYAML_FLAG_POINTER | OPTIONAL, struct raw, mappings,
                         &config_mapping_value, 0, 1024),
    TEXT("bandwidth", OPTIONAL, struct raw, bandwidth),
    CYAML_FIELD_SEQUENCE("links", CYAML_FLAG_POINTER | OPTIONAL, struct raw, links, &config_link_value, 0,
                         1024),
    CYAML_FIELD_ENUM("log", OPTIONAL | CYAML_FLAG_STRICT, struct raw, log, log_words,
                     CYAML_ARRAY_LEN(log_words)),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, fields)};

static void raw_free(struct raw **raw)
{
    yaml_unload(&schema, *raw);
}

int config_bad(const struct config_source *s, const char *path, const char *fmt, ...)
{
    _cleanup_free_ char *what = NULL;
    size_t line, column;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&what, fmt, ap) < 0)
        what = NULL;
    va_end(ap);
    if (yaml_where(s->text, s->length, path, &line, &column) < 0)
        return error_set(s->err, STATUS_INVALID_ARGUMENT, "%s: %s: %s", s->file, path, what);
    return error_set(s->err, STATUS_INVALID_ARGUMENT, "%s:%zu:%zu: %s: %s", s->file, line, column, path,
                     what);
}

static const char *after(const char *text, const char *start)
{
    size_t n = strlen(start);
    return strncmp(text, start, n) == 0 ? text + n : NULL;
}

/* What is wrong with a URL; NULL if nothing is. */
static const char *url_fault(const char *url, bool has_tls)
{
    const char *path = after(url, "ipc://");
    if (path)
        return path[0] == '/' ? NULL
                              : "the socket's path must be absolute: ipc:///run/drover/coordinator.sock";
    const char *tls_address = after(url, "tls+tcp://");
    const char *address = tls_address ? tls_address : after(url, "tcp://");
    if (!address)
        return "expected tls+tcp://HOST:PORT, tcp://HOST:PORT (no TLS: for labs) or ipc:///PATH";
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")] ||
        strlen(colon + 1) > 5)
        return "expected HOST:PORT after the scheme, such as tls+tcp://10.0.0.11:7460";
    if (strtoul(colon + 1, NULL, 10) > 65535)
        return "a port is 65535 at most";
    if (strpbrk(address, "/ \t?#@"))
        return "only HOST:PORT may follow the scheme";
    if (tls_address && !has_tls)
        return "TLS needs a certificate: give tls: {ca: FILE, cert: FILE}";
    return NULL;
}

bool coordinator_config_exposed(const char *url)
{
    const char *address = after(url, "tcp://");
    return address && !after(address, "127.") && !after(address, "localhost:") && !after(address, "[::1]:");
}

static int take_listen(const struct config_source *s, struct raw *raw, struct coordinator_config *c)
{
    if (!raw->listen_count) {
        c->listen = xcalloc(1, sizeof(char *));
        c->listen[c->n_listen++] = xstrdup("ipc:///run/drover/coordinator.sock");
        return 0;
    }
    c->listen = xcalloc(raw->listen_count, sizeof(char *));
    for (unsigned i = 0; i < raw->listen_count; i++) {
        _cleanup_free_ char *path = xasprintf("listen[%u]", i);
        const char *fault = url_fault(raw->listen[i], raw->tls);
        if (fault)
            return config_bad(s, path, "'%s': %s", raw->listen[i], fault);
        for (unsigned j = 0; j < i; j++)
            if (streq(raw->listen[i], raw->listen[j]))
                return config_bad(s, path, "'%s' is there twice; keep one of them", raw->listen[i]);
        c->listen[c->n_listen++] = xstrdup(raw->listen[i]);
    }
    return 0;
}

bool config_is_name(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    return text[0] && strlen(text) < 100;
}

static int take_hosts(const struct config_source *s, struct raw *raw, struct coordinator_config *c)
{
    c->hosts = xcalloc(raw->hosts_count ? raw->hosts_count : 1, sizeof(c->hosts[0]));
    for (unsigned i = 0; i < raw->hosts_count; i++) {
        const struct raw_host *h = &raw->hosts[i];
        _cleanup_free_ char *name_path = xasprintf("hosts[%u].name", i);
        _cleanup_free_ char *agent_path = xasprintf("hosts[%u].agent", i);
        if (!config_is_name(h->name))
            return config_bad(
                s, name_path,
                "'%s' is no name for a host: expected letters, digits, '.', '_' and '-', 99 at most",
                h->name);
        const char *fault = url_fault(h->agent, raw->tls);
        if (fault)
            return config_bad(s, agent_path, "'%s': %s", h->agent, fault);
        for (unsigned j = 0; j < i; j++) {
            if (streq(h->name, raw->hosts[j].name))
                return config_bad(s, name_path,
                                  "a second host '%s' (the first is hosts[%u]); each needs a name of its own",
                                  h->name, j);
            if (streq(h->agent, raw->hosts[j].agent))
                return config_bad(s, agent_path,
                                  "'%s' is the agent of %s, too; each host has an agent of its own", h->agent,
                                  raw->hosts[j].name);
        }
        c->hosts[c->n_hosts++] = (struct config_host){
            .name = xstrdup(h->name),
            .agent = xstrdup(h->agent),
            .site = xstrdup(h->site ? h->site : ""),
        };
        _cleanup_free_ char *bandwidth_path = xasprintf("hosts[%u].bandwidth", i);
        if (config_take_rate(s, bandwidth_path, h->bandwidth, &c->hosts[c->n_hosts - 1].bandwidth) < 0)
            return -STATUS_INVALID_ARGUMENT;
        _cleanup_free_ char *labels_path = xasprintf("hosts[%u].labels", i);
        int r = config_take_labels(s, labels_path, h->name, h->labels, h->labels_count, &c->rules);
        if (r < 0)
            return r;
    }
    return 0;
}

static int take_value(const struct config_source *s, const char *path, const char *text,
                      int (*parse)(const char *, int64_t *, struct error *), int64_t *ret)
{
    struct error why = {0};
    if (text && parse(text, ret, &why) < 0)
        return config_bad(s, path, "%s", why.text);
    return 0;
}

/* 0 means no limit to an agent, and whoever writes it means the opposite. */
static int take_limit(const struct config_source *s, const char *path, const char *text, const char *expected,
                      int64_t *ret)
{
    int r = take_value(s, path, text, parse_duration_ms, ret);
    if (r == 0 && text && *ret <= 0)
        return config_bad(s, path, "'%s': expected more than nothing, %s", text, expected);
    return r;
}

/* "4" or "1.5" -> 400 or 150. */
static int parse_ratio(const char *text, int64_t *ret_percent, struct error *err)
{
    char *end;
    unsigned long whole = strtoul(text, &end, 10), hundredths = 0;
    size_t digits = end[0] == '.' ? strspn(end + 1, "0123456789") : 0;
    if (digits == 1 || digits == 2)
        hundredths = strtoul(end + 1, NULL, 10) * (digits == 1 ? 10 : 1);
    if (!isdigit((unsigned char)text[0]) || digits > 2 || end[digits ? digits + 1 : 0] || whole > 1000 ||
        whole * 100 + hundredths == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "'%s' is no ratio of vCPUs to logical CPUs; expected 4 or 1.5, at most 1000", text);
    *ret_percent = (int64_t)(whole * 100 + hundredths);
    return 0;
}

/* What `policies[i]` says, over what *policy has. */
static int take_policy(const struct config_source *s, const struct raw_policy *p, unsigned i,
                       Drover__V1__Policy *policy)
{
    int64_t bandwidth = (int64_t)policy->bandwidth, vcpu_percent = policy->vcpu_percent;
    _cleanup_free_ char *pause_path = xasprintf("policies[%u].max_pause", i);
    _cleanup_free_ char *deadline_path = xasprintf("policies[%u].deadline", i);
    _cleanup_free_ char *ratio_path = xasprintf("policies[%u].vcpu_ratio", i);
    _cleanup_free_ char *bandwidth_path = xasprintf("policies[%u].bandwidth", i);
    int r =
        take_limit(s, pause_path, p->max_pause,
                   "such as 500ms: a live move pauses its guest at the end, too; `allow: []` keeps it live",
                   &policy->max_pause);
    if (r == 0)
        r = take_limit(s, deadline_path, p->deadline, "such as 30m", &policy->deadline);
    if (r == 0)
        r = take_value(s, bandwidth_path, p->bandwidth, parse_rate, &bandwidth);
    if (r == 0)
        r = take_value(s, ratio_path, p->vcpu_ratio, parse_ratio, &vcpu_percent);
    if (r < 0)
        return r;
    policy->bandwidth = (uint64_t)bandwidth;
    policy->vcpu_percent = (uint32_t)vcpu_percent;
    _cleanup_free_ char *older_path = xasprintf("policies[%u].older_versions", i);
    size_t line, column;
    if (yaml_where(s->text, s->length, older_path, &line, &column) == 0)
        policy->block_older = p->older_versions;
    /* `allow: []` allows nothing; left out, what is allowed by default stays so. */
    _cleanup_free_ char *allow_path = xasprintf("policies[%u].allow", i);
    if (yaml_where(s->text, s->length, allow_path, &line, &column) < 0)
        return 0;
    policy->auto_converge = p->allow & AUTO_CONVERGE;
    policy->post_copy = p->allow & POST_COPY;
    policy->offline = p->allow & OFFLINE;
    return 0;
}

/* For some guests; what it leaves out is the default's. */
static int take_intent(const struct config_source *s, const struct raw_policy *p, unsigned i,
                       struct coordinator_config *c)
{
    _cleanup_free_ char *name_path = xasprintf("policies[%u].name", i);
    if (!config_is_name(p->name))
        return config_bad(s, name_path,
                          "'%s' is no name for a policy: expected letters, digits, '.', '_' and '-'",
                          p->name);
    if (!p->guests_count && !p->labels_count)
        return config_bad(
            s, name_path,
            "policy '%s' says for no guest: give it guests: [NAME or PATTERN] or labels: [LABEL] "
            "(what holds for all others is policy 'default')",
            p->name);
    for (size_t k = 0; k < c->policies.n; k++)
        if (streq(c->policies.list[k].name, p->name))
            return config_bad(s, name_path, "a second policy '%s'; each needs a name of its own", p->name);
    c->policies.list = xrealloc(c->policies.list, c->policies.n + 1, sizeof(*c->policies.list));
    struct intent *intent = &c->policies.list[c->policies.n++];
    *intent = (struct intent){.name = xstrdup(p->name), .policy = c->policy};
    for (unsigned k = 0; k < p->guests_count; k++)
        names_add(&intent->guests, p->guests[k]);
    for (unsigned k = 0; k < p->labels_count; k++)
        names_add(&intent->labels, p->labels[k]);
    return take_policy(s, p, i, &intent->policy);
}

static int take_policies(const struct config_source *s, const struct raw *raw, struct coordinator_config *c)
{
    drover__v1__policy__init(&c->policy);
    c->policy.max_pause = 2000;
    c->policy.deadline = INT64_C(30) * 60 * 1000;
    c->policy.offline = true;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < raw->policies_count; i++) {
        const struct raw_policy *p = &raw->policies[i];
        if (!streq(p->name, "default"))
            continue;
        _cleanup_free_ char *path = xasprintf("policies[%u].name", i);
        if (p->guests_count || p->labels_count)
            return config_bad(s, path,
                              "policy 'default' holds for every guest that no other names: leave out "
                              "guests and labels, or give it another name");
        r = take_policy(s, p, i, &c->policy);
    }
    for (unsigned i = 0; r == 0 && i < raw->policies_count; i++)
        if (!streq(raw->policies[i].name, "default"))
            r = take_intent(s, &raw->policies[i], i, c);
    return r;
}

/* Balance leaves alone what moved within the last half hour, which it knows from there. */
static int take_history(const struct config_source *s, const char *text, struct coordinator_config *c)
{
    c->history_ms = 400 * DAY_MS;
    int r = take_value(s, "history", text, parse_duration_ms, &c->history_ms);
    if (r == 0 && (c->history_ms < DAY_MS || c->history_ms > 36500 * DAY_MS))
        return config_bad(s, "history", "'%s': expected 1d to 36500d", text);
    return r;
}

/* Relative names in a file are next to it, wherever the program was started. */
static char *next_to(const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    return name[0] == '/' || !slash ? xstrdup(name) : xasprintf("%.*s/%s", (int)(slash - file), file, name);
}

int coordinator_config_parse(const char *file, const char *text, size_t length,
                             struct coordinator_config **ret, struct error *err)
{
    const struct config_source s = {file, text, length, err};
    void *loaded = NULL;
    int r = yaml_load_text(file, text, length, &schema, &loaded, err);
    if (r < 0)
        return r;
    _cleanup_(raw_free) struct raw *raw = loaded;
    _cleanup_(coordinator_config_freep) struct coordinator_config *c = new0(struct coordinator_config);
    c->file = xstrdup(file);
    c->store = raw->store ? next_to(file, raw->store) : xstrdup("/var/lib/drover/coordinator.db");
    c->group = xstrdup(raw->group ? raw->group : "drover");
    c->group_given = raw->group;
    c->log = raw->log ? raw->log : LOG_LEVEL_INFO;
    if (raw->tls) {
        c->tls_ca = next_to(file, raw->tls->ca);
        c->tls_cert = next_to(file, raw->tls->cert);
    }
    r = take_history(&s, raw->history, c);
    if (r == 0)
        r = take_listen(&s, raw, c);
    if (r == 0)
        r = take_hosts(&s, raw, c);
    if (r == 0)
        r = config_take_rules(&s, raw->groups, raw->groups_count, raw->guests, raw->guests_count, c);
    if (r == 0)
        r = take_policies(&s, raw, c);
    if (r == 0)
        r = config_take_mappings(&s, raw->mappings, raw->mappings_count, c);
    if (r == 0)
        r = config_take_rate(&s, "bandwidth", raw->bandwidth, &c->bandwidth);
    if (r == 0)
        r = config_take_links(&s, raw->links, raw->links_count, c);
    if (r < 0)
        return r;
    *ret = steal(&c);
    return 0;
}

int coordinator_config_load(const char *file, struct coordinator_config **ret, struct error *err)
{
    enum { MAX_BYTES = 1 << 20 }; /* one more than yaml_load_text accepts is read, for its error */
    _cleanup_fclose_ FILE *f = fopen(file, "re");
    if (!f)
        return error_errno(err, errno, "can't open the configuration %s", file);
    _cleanup_free_ char *text = xcalloc(1, MAX_BYTES + 1);
    size_t length = fread(text, 1, MAX_BYTES + 1, f);
    if (ferror(f))
        return error_errno(err, errno, "can't read the configuration %s", file);
    return coordinator_config_parse(file, text, length, ret, err);
}

void coordinator_config_free(struct coordinator_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_listen; i++)
        free(c->listen[i]);
    for (size_t i = 0; i < c->n_hosts; i++) {
        free(c->hosts[i].name);
        free(c->hosts[i].agent);
        free(c->hosts[i].site);
    }
    guest_rules_deinit(&c->rules);
    policies_deinit(&c->policies);
    mappings_deinit(&c->mappings);
    for (size_t i = 0; i < c->n_links; i++) {
        free(c->links[i].sites[0]);
        free(c->links[i].sites[1]);
    }
    free(c->links);
    free(c->listen);
    free(c->hosts);
    free(c->file);
    free(c->store);
    free(c->group);
    free(c->tls_ca);
    free(c->tls_cert);
    free(c);
}
