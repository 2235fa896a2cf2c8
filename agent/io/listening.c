#include "agent/io/listening.h"

#include "agent/io/xml.h"
#include "common/base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- libvirt's configuration files: KEY = NUMBER, KEY = "TEXT", # ---- */

struct conf {
    char *path;
    char *text; /* NULL if it can't be read */
    int errnum;
    bool used; /* a key was found */
};

enum { MAX_CONF = 1 << 20 };

static void conf_load(struct conf *c, const char *dir, const char *name)
{
    *c = (struct conf){.path = xasprintf("%s/%s", dir, name)};
    _cleanup_fclose_ FILE *f = fopen(c->path, "re");
    if (!f) {
        c->errnum = errno;
        return;
    }
    c->text = xcalloc(1, MAX_CONF + 1);
    size_t n = fread(c->text, 1, MAX_CONF, f);
    c->text[n] = 0;
    c->text = xrealloc(c->text, 1, n + 1);
}

static void conf_deinit(struct conf *c)
{
    free(c->path);
    free(c->text);
}

/* The last line that sets the key, as libvirt takes it; the caller's. */
static char *conf_get(struct conf *c, const char *key)
{
    char *value = NULL;
    size_t length = strlen(key);
    for (const char *line = c->text; line && *line;) {
        const char *end = strchrnul(line, '\n'), *p = line + strspn(line, " \t");
        const char *equals = strncmp(p, key, length) == 0 ? p + length + strspn(p + length, " \t") : NULL;
        if (equals && *equals == '=') {
            p = equals + 1 + strspn(equals + 1, " \t");
            size_t n = *p == '"' || *p == '\'' ? strcspn(p + 1, "\"'\n") : strcspn(p, " \t#\r\n");
            free(value);
            value = strndup(*p == '"' || *p == '\'' ? p + 1 : p, n);
        }
        line = *end ? end + 1 : end;
    }
    c->used = c->used || value;
    return value;
}

static bool conf_bool(struct conf *c, const char *key, bool otherwise)
{
    _cleanup_free_ char *value = conf_get(c, key);
    return value ? streq(value, "1") : otherwise;
}

static uint32_t conf_port(struct conf *c, const char *key, uint32_t otherwise)
{
    _cleanup_free_ char *value = conf_get(c, key);
    long port = value && isdigit((unsigned char)*value) ? strtol(value, NULL, 10) : 0;
    return port > 0 && port < 65536 ? (uint32_t)port : otherwise;
}

static void conf_text(struct conf *c, const char *key, const char *otherwise, char **field)
{
    char *value = conf_get(c, key);
    xml_set(field, value ? value : xstrdup(otherwise));
}

static char *conf_source(const struct conf *c)
{
    if (c->used)
        return xstrdup(c->path);
    if (c->errnum && c->errnum != ENOENT)
        return xasprintf("default (%s: %s)", c->path, strerror(c->errnum));
    return xstrdup("default");
}

/* ---- listeners ---- */

enum { TCP_LISTEN = 0x0a };

/* A line of PROC/net/tcp: "   0: 0B004D0A:407D 00000000:0000 0A ...", number, local and remote address and port, state. */
static bool is_listener(const char *line, uint32_t port)
{
    const char *local = strchr(line, ':');
    local = local ? local + 1 + strspn(local + 1, " ") : "";
    const char *colon = strchr(local, ':');
    const char *remote = colon ? strchr(colon, ' ') : NULL;
    const char *state = remote ? strchr(remote + 1, ' ') : NULL;
    if (!state || strtoul(state, NULL, 16) != TCP_LISTEN || strtoul(colon + 1, NULL, 16) != port)
        return false;
    static const char *const loopback[] = {"0100007F:", "00000000000000000000000001000000:"};
    return strncmp(local, loopback[0], strlen(loopback[0])) != 0 &&
           strncmp(local, loopback[1], strlen(loopback[1])) != 0;
}

/* 1: somebody listens on the port on more than loopback, 0: nobody, -1: can't be told. */
static int listened(const char *proc, uint32_t port)
{
    static const char *const tables[] = {"net/tcp", "net/tcp6"};
    int known = -1;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", proc, tables[i]);
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char line[512];
        while (f && fgets(line, sizeof(line), f)) {
            if (is_listener(line, port))
                return 1;
            known = 0;
        }
    }
    return known;
}

/* ---- both ---- */

static void choose_daemon(struct conf *c, const char *etc_libvirt, const char *run)
{
    _cleanup_free_ char *pid = xasprintf("%s/virtproxyd.pid", run);
    struct conf proxy;
    conf_load(&proxy, etc_libvirt, "virtproxyd.conf");
    conf_load(c, etc_libvirt, "libvirtd.conf");
    if (proxy.text && (access(pid, F_OK) == 0 || !c->text)) {
        conf_deinit(c);
        *c = proxy;
        return;
    }
    conf_deinit(&proxy);
}

Drover__V1__Listening *listening_read(const char *etc_libvirt, const char *run, const char *proc,
                                      const struct libvirt_url *remote)
{
    Drover__V1__Listening *l = new0(Drover__V1__Listening);
    drover__v1__listening__init(l);
    _cleanup_(conf_deinit) struct conf daemon = {0}, qemu = {0};
    choose_daemon(&daemon, etc_libvirt, run);
    conf_load(&qemu, etc_libvirt, "qemu.conf");
    /* The defaults are libvirt's (src/remote/remote_daemon_config.c, src/qemu/qemu_conf.h). */
    l->tcp_port = conf_port(&daemon, "tcp_port", 16509);
    l->tls_port = conf_port(&daemon, "tls_port", 16514);
    if (remote)
        *(remote->tls ? &l->tls_port : &l->tcp_port) = remote->port;
    conf_text(&daemon, "auth_tcp", "sasl", &l->auth_tcp);
    conf_text(&daemon, "auth_tls", "none", &l->auth_tls);
    bool says_tcp = conf_bool(&daemon, "listen_tcp", false),
         says_tls = conf_bool(&daemon, "listen_tls", true);
    int tcp = listened(proc, l->tcp_port), tls = listened(proc, l->tls_port);
    l->tcp = tcp < 0 ? says_tcp : tcp;
    l->tls = tls < 0 ? says_tls : tls;
    xml_set(&l->source, conf_source(&daemon));
    l->migration_port_min = conf_port(&qemu, "migration_port_min", 49152);
    l->migration_port_max = conf_port(&qemu, "migration_port_max", 49215);
    xml_set(&l->migration_source, conf_source(&qemu));
    return l;
}
