/* libvirt's settings that matter to migrations, with the place that says so. */
#include "agent/io/host_facts.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <ctype.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 20 };

/* Defaults are libvirt 9.0's (remote_daemon_config.c, qemu_conf.c); "" where the default is none. */
static const struct known {
    const char *file, *key, *otherwise;
} table[] = {
    {"libvirtd.conf", "listen_tls", "1"},
    {"libvirtd.conf", "listen_tcp", "0"},
    {"libvirtd.conf", "listen_addr", ""},
    {"libvirtd.conf", "tls_port", "16514"},
    {"libvirtd.conf", "tcp_port", "16509"},
    {"libvirtd.conf", "auth_tcp", "sasl"},
    {"libvirtd.conf", "auth_tls", "none"},
    {"libvirtd.conf", "tls_no_verify_certificate", "0"},
    {"libvirtd.conf", "tls_allowed_dn_list", ""},
    {"libvirtd.conf", "host_uuid", ""},
    {"libvirtd.conf", "max_clients", "5000"},
    {"libvirtd.conf", "keepalive_interval", "5"},
    {"libvirtd.conf", "keepalive_count", "5"},
    {"virtproxyd.conf", "listen_tls", "1"},
    {"virtproxyd.conf", "listen_tcp", "0"},
    {"virtproxyd.conf", "tls_port", "16514"},
    {"virtproxyd.conf", "tcp_port", "16509"},
    {"virtproxyd.conf", "auth_tcp", "sasl"},
    {"virtproxyd.conf", "auth_tls", "none"},
    {"virtqemud.conf", "host_uuid", ""},
    {"qemu.conf", "migration_address", "0.0.0.0"},
    {"qemu.conf", "migration_host", ""},
    {"qemu.conf", "migration_port_min", "49152"},
    {"qemu.conf", "migration_port_max", "49215"},
    {"qemu.conf", "migrate_tls_force", "0"},
    {"qemu.conf", "lock_manager", ""},
    {"qemu.conf", "user", ""},
    {"qemu.conf", "group", ""},
    {"qemu.conf", "dynamic_ownership", "1"},
    {"qemu.conf", "remember_owner", "1"},
    {"qemu.conf", "security_driver", ""},
    {"qemu.conf", "keepalive_interval", "5"},
    {"qemu.conf", "keepalive_count", "5"},
};

/* KEY = VALUE: the value without quotes; NULL unless the line sets the key. */
static char *value_in(const char *line, size_t n, const char *key)
{
    size_t skip = 0, length = strlen(key);
    while (skip < n && (line[skip] == ' ' || line[skip] == '\t'))
        skip++;
    if (n - skip < length || strncmp(line + skip, key, length) != 0)
        return NULL;
    const char *p = line + skip + length, *end = line + n;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p == end || *p != '=')
        return NULL;
    for (p++; p < end && (*p == ' ' || *p == '\t');)
        p++;
    if (p < end && (*p == '"' || *p == '\'')) {
        const char *close = memchr(p + 1, *p, (size_t)(end - p - 1));
        return strndup(p + 1, (size_t)((close ? close : end) - p - 1));
    }
    const char *stop = p;
    while (stop < end && (*p == '[' || (*stop != '#' && !isspace((unsigned char)*stop))))
        stop++;
    return strndup(p, (size_t)(stop - p));
}

/* The last one counts. *ret_line is where; NULL if there is none. */
static char *value_of(const char *text, const char *key, unsigned *ret_line)
{
    char *found = NULL;
    unsigned number = 1;
    for (const char *line = text; *line; number++) {
        const char *end = strchrnul(line, '\n');
        char *value = value_in(line, (size_t)(end - line), key);
        if (value) {
            free(found);
            found = value;
            *ret_line = number;
        }
        line = *end ? end + 1 : end;
    }
    return found;
}

static void add(const struct known *k, const char *path, const char *text, Drover__V1__HostFacts *f)
{
    Drover__V1__Setting *s = new0(Drover__V1__Setting);
    drover__v1__setting__init(s);
    xml_set(&s->key, xstrdup(k->key));
    char *value = value_of(text, k->key, &s->line);
    if (value)
        xml_set(&s->file, xstrdup(path));
    xml_set(&s->value, value ? value : xstrdup(k->otherwise));
    message_append(&f->settings, &f->n_settings, s);
}

char *setting_read(const char *etc_libvirt, const char *file, const char *key)
{
    unsigned line;
    _cleanup_free_ char *path = xasprintf("%s/%s", etc_libvirt, file);
    _cleanup_free_ char *text = tree_load(path, FILE_MAX_BYTES);
    return text ? value_of(text, key, &line) : NULL;
}

void settings_read(const char *etc_libvirt, Drover__V1__HostFacts *f)
{
    const char *last = "";
    _cleanup_free_ char *path = NULL, *text = NULL;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (!streq(table[i].file, last)) {
            free(path);
            free(text);
            path = xasprintf("%s/%s", etc_libvirt, table[i].file);
            text = tree_load(path, FILE_MAX_BYTES);
            last = table[i].file;
        }
        /* A daemon whose file is not there is not installed; libvirtd's and qemu's defaults hold without files. */
        if (text || streq(last, "libvirtd.conf") || streq(last, "qemu.conf"))
            add(&table[i], path, text ? text : "", f);
    }
}
