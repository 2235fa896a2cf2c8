#include "agent/config.h"

#include "common/base/memory.h"
#include "common/config/where.h"
#include "common/config/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ROLE_HYPERVISOR, ROLE_STORAGE };
enum {
    MAX_NAME = 63,
    HOOK_TIMEOUT_MS = 10 * 1000,
    HOOK_TIMEOUT_MAX_MS = 20 * 1000, /* both sides' votes are waited for 60 s */
    READ_BYTES = (1 << 20) + 1,      /* one more than yaml_load_text accepts, for its error */
};

struct tls_yaml {
    char *ca, *cert;
};

struct agent_yaml {
    char *name, *listen, *libvirt, *libvirt_remote, *agent_url, *migration_address, *state_dir, *hooks_dir,
        *hook_timeout;
    int *roles;
    unsigned roles_count;
    struct tls_yaml *tls;
    int *log;
};

/* ---- schema ---- */

static const cyaml_strval_t role_names[] = {{"hypervisor", ROLE_HYPERVISOR}, {"storage", ROLE_STORAGE}};
static const cyaml_strval_t log_names[] = {{"error", LOG_LEVEL_ERROR},
                                           {"warn", LOG_LEVEL_WARN},
                                           {"warning", LOG_LEVEL_WARN},
                                           {"info", LOG_LEVEL_INFO},
                                           {"debug", LOG_LEVEL_DEBUG}};

static const cyaml_schema_value_t role_schema = {
    CYAML_VALUE_ENUM(CYAML_FLAG_DEFAULT, int, role_names, CYAML_ARRAY_LEN(role_names))};

static const cyaml_schema_field_t tls_fields[] = {
    CYAML_FIELD_STRING_PTR("ca", CYAML_FLAG_POINTER, struct tls_yaml, ca, 1, CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("cert", CYAML_FLAG_POINTER, struct tls_yaml, cert, 1, CYAML_UNLIMITED),
    CYAML_FIELD_END};

#define OPTIONAL_STRING(key, field)                                                                          \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct agent_yaml, field, 1,       \
                           CYAML_UNLIMITED)

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct agent_yaml, name, 1, CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("listen", CYAML_FLAG_POINTER, struct agent_yaml, listen, 1, CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE("roles", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct agent_yaml, roles,
                         &role_schema, 1, 2),
    OPTIONAL_STRING("libvirt", libvirt),
    OPTIONAL_STRING("libvirt_remote", libvirt_remote),
    OPTIONAL_STRING("agent_url", agent_url),
    OPTIONAL_STRING("migration_address", migration_address),
    OPTIONAL_STRING("state_dir", state_dir),
    OPTIONAL_STRING("hooks_dir", hooks_dir),
    OPTIONAL_STRING("hook_timeout", hook_timeout),
    CYAML_FIELD_MAPPING_PTR("tls", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct agent_yaml, tls,
                            tls_fields),
    CYAML_FIELD_ENUM_PTR("log", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct agent_yaml, log, log_names,
                         CYAML_ARRAY_LEN(log_names)),
    CYAML_FIELD_END};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct agent_yaml, fields)};

/* ---- checks ---- */

/* What is being read, for the places of errors. */
struct source {
    const char *file, *text;
    size_t length;
    struct error *err;
};

/* "FILE:LINE:COLUMN: KEY: ...", or without the place when the key is missing. */
static __attribute__((format(printf, 3, 4))) int bad(const struct source *s, const char *key, const char *fmt,
                                                     ...)
{
    char what[384];
    size_t line, column;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (yaml_where(s->text, s->length, key, &line, &column) < 0)
        return error_set(s->err, STATUS_INVALID_ARGUMENT, "%s: %s: %s", s->file, key, what);
    return error_set(s->err, STATUS_INVALID_ARGUMENT, "%s:%zu:%zu: %s: %s", s->file, line, column, key, what);
}

static int unexpected(const struct source *s, const char *key, const char *seen, const char *expected)
{
    return bad(s, key, "is \"%.100s\"; expected %s", seen, expected);
}

static int check_name(const struct agent_config *c, const struct source *s)
{
    size_t length = strlen(c->name);
    bool good = length <= MAX_NAME && isalnum((unsigned char)c->name[0]);
    for (const char *p = c->name; *p; p++)
        good = good && (isalnum((unsigned char)*p) || strchr("-._", *p));
    return good ? 0
                : unexpected(
                      s, "name", c->name,
                      "the host's name in the coordinator's inventory: letters, digits, - . _, at most 63, "
                      "beginning with a letter or digit");
}

enum url_kind { URL_BAD, URL_TLS, URL_TCP, URL_IPC };

/* tls+tcp://HOST:PORT, tcp://HOST:PORT (HOST may be [IPv6]), ipc:///PATH. ret_host: the caller's; NULL for ipc. */
static enum url_kind url_parse(const char *url, char **ret_host, long *ret_port)
{
    enum url_kind kind = URL_BAD;
    const char *rest = url;
    if (strncmp(url, "ipc:///", 7) == 0)
        return url[7] ? URL_IPC : URL_BAD;
    if (strncmp(url, "tls+tcp://", 10) == 0)
        kind = URL_TLS, rest += 10;
    else if (strncmp(url, "tcp://", 6) == 0)
        kind = URL_TCP, rest += 6;
    const char *colon = strrchr(rest, ':');
    if (kind == URL_BAD || !colon || colon == rest || !isdigit((unsigned char)colon[1]))
        return URL_BAD;
    char *end;
    long port = strtol(colon + 1, &end, 10);
    size_t length = (size_t)(colon - rest);
    if (*end || port < 0 || port > 65535)
        return URL_BAD;
    if (rest[0] == '[' && length > 2 && rest[length - 1] == ']')
        rest++, length -= 2;
    else if (memchr(rest, ':', length))
        return URL_BAD;
    if (strcspn(rest, "/@[] ") < length)
        return URL_BAD;
    *ret_host = strndup(rest, length);
    *ret_port = port;
    return kind;
}

static bool is_any(const char *host)
{
    return streq(host, "0.0.0.0") || streq(host, "::") || streq(host, "*");
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || streq(host, "::1") || streq(host, "localhost");
}

bool agent_config_exposed(const struct agent_config *c)
{
    _cleanup_free_ char *host = NULL;
    long port;
    return url_parse(c->listen, &host, &port) == URL_TCP && !is_loopback(host);
}

static int check_listen(struct agent_config *c, const struct source *s)
{
    _cleanup_free_ char *host = NULL, *agent_host = NULL;
    long port, agent_port = 0;
    enum url_kind kind = url_parse(c->listen, &host, &port);
    if (kind == URL_BAD)
        return unexpected(s, "listen", c->listen,
                          "tls+tcp://ADDRESS:PORT, or tcp://ADDRESS:PORT or ipc:///PATH for a lab");
    if (kind == URL_TLS && !c->tls_ca)
        return bad(s, "tls",
                   "is missing, but listen is tls+tcp://; expected {ca: FILE, cert: FILE}, made by "
                   "\"drover pki\"");
    if (kind != URL_IPC && is_any(host) && !c->agent_url)
        return bad(s, "agent_url",
                   "is missing; needed when listen is every address (%s): the URL at which other "
                   "agents reach this one",
                   host);
    c->agent_url_given = c->agent_url;
    if (!c->agent_url)
        c->agent_url = xstrdup(c->listen);
    enum url_kind agent_kind = url_parse(c->agent_url, &agent_host, &agent_port);
    if (agent_kind == URL_BAD || (agent_host && is_any(agent_host)) ||
        (c->agent_url_given && agent_host && !agent_port))
        return unexpected(s, "agent_url", c->agent_url,
                          "tls+tcp://ADDRESS:PORT at which other agents reach this one");
    if (!c->migration_address && agent_host)
        c->migration_address = xstrdup(agent_host);
    return 0;
}

static int check_migration(struct agent_config *c, const struct source *s)
{
    if (!c->hypervisor)
        return 0;
    if (!c->migration_address)
        return bad(s, "migration_address",
                   "is missing; needed when listen is ipc://: the address at which other "
                   "hosts send their guests");
    if (strpbrk(c->migration_address, "/@[] ") || is_any(c->migration_address))
        return unexpected(s, "migration_address", c->migration_address,
                          "an address or a name, without a port");
    if (!c->libvirt)
        c->libvirt = xstrdup("qemu:///system");
    if (!c->libvirt_remote) {
        bool v6 = strchr(c->migration_address, ':');
        c->libvirt_remote =
            xasprintf(v6 ? "qemu+tls://[%s]/system" : "qemu+tls://%s/system", c->migration_address);
    }
    if (!strstr(c->libvirt, "://"))
        return unexpected(s, "libvirt", c->libvirt, "a libvirt URI such as qemu:///system");
    if (!strstr(c->libvirt_remote, "://"))
        return unexpected(s, "libvirt_remote", c->libvirt_remote,
                          "a libvirt URI such as qemu+tls://HOST/system");
    return 0;
}

/* ---- from the file ---- */

/* Names of files in the configuration are next to it, not where the program was started. */
static char *beside(const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    if (!name || name[0] == '/' || !slash)
        return xstrdup(name);
    return xasprintf("%.*s/%s", (int)(slash - file), file, name);
}

static int check_hooks(struct agent_config *c, const struct agent_yaml *y, const struct source *s)
{
    struct error why = {0};
    c->hooks_dir = xstrdup(y->hooks_dir ? y->hooks_dir : "/etc/drover/hooks.d");
    c->hook_timeout_ms = HOOK_TIMEOUT_MS;
    if (c->hooks_dir[0] != '/')
        return unexpected(s, "hooks_dir", c->hooks_dir, "an absolute path");
    if (y->hook_timeout && (parse_duration_ms(y->hook_timeout, &c->hook_timeout_ms, &why) < 0 ||
                            c->hook_timeout_ms < 1 || c->hook_timeout_ms > HOOK_TIMEOUT_MAX_MS))
        return unexpected(s, "hook_timeout", y->hook_timeout, "a time of at most 20s, such as 10s");
    return 0;
}

static int fill(struct agent_config *c, const struct agent_yaml *y, const struct source *s)
{
    c->name = xstrdup(y->name);
    c->listen = xstrdup(y->listen);
    c->libvirt = xstrdup(y->libvirt);
    c->libvirt_remote = xstrdup(y->libvirt_remote);
    c->agent_url = xstrdup(y->agent_url);
    c->migration_address = xstrdup(y->migration_address);
    c->state_dir = xstrdup(y->state_dir ? y->state_dir : "/var/lib/drover-agent");
    c->tls_ca = y->tls ? beside(c->file, y->tls->ca) : NULL;
    c->tls_cert = y->tls ? beside(c->file, y->tls->cert) : NULL;
    c->log = y->log ? (enum log_level) * y->log : LOG_LEVEL_INFO;
    c->hypervisor = !y->roles_count;
    for (unsigned i = 0; i < y->roles_count; i++) {
        c->hypervisor = c->hypervisor || y->roles[i] == ROLE_HYPERVISOR;
        c->storage = c->storage || y->roles[i] == ROLE_STORAGE;
    }
    if (c->state_dir[0] != '/')
        return unexpected(s, "state_dir", c->state_dir, "an absolute path");
    int r = check_name(c, s);
    if (r == 0)
        r = check_hooks(c, y, s);
    if (r == 0)
        r = check_listen(c, s);
    return r ? r : check_migration(c, s);
}

int agent_config_parse(const char *file, const char *text, size_t length, struct agent_config **ret,
                       struct error *err)
{
    const struct source s = {file, text, length, err};
    void *y = NULL;
    int r = yaml_load_text(file, text, length, &schema, &y, err);
    if (r < 0)
        return r;
    _cleanup_(agent_config_freep) struct agent_config *c = new0(struct agent_config);
    c->file = xstrdup(file);
    r = fill(c, y, &s);
    yaml_unload(&schema, y);
    if (r < 0)
        return r;
    *ret = steal(&c);
    return 0;
}

int agent_config_load(const char *file, struct agent_config **ret, struct error *err)
{
    _cleanup_fclose_ FILE *f = fopen(file, "re");
    if (!f)
        return error_errno(err, errno, "cannot open the configuration %s", file);
    _cleanup_free_ char *text = xcalloc(1, READ_BYTES);
    size_t length = fread(text, 1, READ_BYTES, f);
    if (ferror(f))
        return error_errno(err, errno, "cannot read the configuration %s", file);
    return agent_config_parse(file, text, length, ret, err);
}

void agent_config_free(struct agent_config *c)
{
    if (!c)
        return;
    free(c->file);
    free(c->name);
    free(c->listen);
    free(c->agent_url);
    free(c->libvirt);
    free(c->libvirt_remote);
    free(c->migration_address);
    free(c->state_dir);
    free(c->hooks_dir);
    free(c->tls_ca);
    free(c->tls_cert);
    free(c);
}
