#include "agent/io/exports.h"

#include "agent/io/nonce.h"
#include "agent/io/probe_say.h"
#include "agent/io/tcp_table.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void exports_deinit(struct exports *e)
{
    for (size_t i = 0; i < e->n; i++)
        drover__v1__export__free_unpacked(e->list[i], NULL);
    free(e->list);
    tree_list_free(e->errors, e->n_errors);
}

Drover__V1__Export *exports_add(struct exports *e, const char *kind, const char *server, const char *name)
{
    Drover__V1__Export *x = new0(Drover__V1__Export);
    drover__v1__export__init(x);
    xml_set(&x->kind, xstrdup(kind));
    xml_set(&x->server, xstrdup(server));
    xml_set(&x->name, xstrdup(name));
    message_append(&e->list, &e->n, x);
    return x;
}

void exports_add_client(Drover__V1__Export *x, const char *who, bool write, const char *options)
{
    Drover__V1__ExportClient *c = new0(Drover__V1__ExportClient);
    drover__v1__export_client__init(c);
    xml_set(&c->who, xstrdup(who));
    xml_set(&c->options, xstrdup(options));
    c->write = write;
    message_append(&x->clients, &x->n_clients, c);
}

void exports_say(struct exports *e, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    message_append(&e->errors, &e->n_errors, text);
}

struct wanted {
    unsigned port;
    bool found;
};

static void compare_port(void *arg, unsigned port)
{
    struct wanted *w = arg;
    w->found = w->found || port == w->port;
}

int exports_listened(const char *proc, unsigned port)
{
    struct wanted w = {.port = port};
    return tcp_listeners(proc, compare_port, &w) ? w.found : -1;
}

/* What has a directory behind it. */
static void read_directories(struct exports *e)
{
    exports_read_kernel_nfs("/etc", "/proc", "/var/lib/nfs", e);
    exports_read_ganesha("/etc", "/proc", e);
    exports_read_gluster("/var/lib/glusterd", e);
}

void exports_read(const struct limit *limit, Drover__V1__InspectClient *const *clients, size_t n,
                  Drover__V1__Inspection *r)
{
    struct exports e = {0};
    read_directories(&e);
    exports_read_lio("/sys", &e);
    exports_read_tgt(limit, &e);
    exports_judge_all(&e, clients, n);
    r->exports = e.list;
    r->n_exports = e.n;
    for (size_t i = 0; i < e.n_errors; i++)
        message_append(&r->errors, &r->n_errors, e.errors[i]);
    free(e.errors);
}

const Drover__V1__Export *exports_nearest(const struct exports *e, const char *path)
{
    const Drover__V1__Export *nearest = NULL;
    size_t longest = 0;
    _cleanup_free_ char *real = realpath(path, NULL);
    for (size_t i = 0; i < e->n; i++) {
        _cleanup_free_ char *directory = *e->list[i]->path ? realpath(e->list[i]->path, NULL) : NULL;
        size_t n = directory ? strlen(directory) : 0;
        if (!real || n <= longest || strncmp(real, directory, n) != 0 || (real[n] != '/' && n > 1))
            continue;
        longest = n;
        nearest = e->list[i];
    }
    return nearest;
}

bool exports_have(const char *path)
{
    _cleanup_(exports_deinit) struct exports e = {0};
    read_directories(&e);
    return e.n_errors || exports_nearest(&e, path);
}

void exports_find_nonce(const struct limit *limit, const char *nonce, const char *relative,
                        Drover__V1__ProbeResult *r)
{
    _cleanup_(exports_deinit) struct exports e = {0};
    unsigned looked = 0;
    bool closed = false;
    read_directories(&e);
    for (size_t i = 0; i < e.n && !limit_over(limit); i++) {
        struct stat st;
        if (!*e.list[i]->path)
            continue;
        bool told = stat(e.list[i]->path, &st) == 0;
        closed = closed || (!told && errno != ENOENT);
        if (!told || !S_ISDIR(st.st_mode))
            continue;
        looked++;
        if (nonce_find(limit, nonce, e.list[i]->path, relative, r)) {
            const Drover__V1__Export *nearest = exports_nearest(&e, r->found);
            xml_set(&r->export_name, xstrdup(nearest ? nearest->name : e.list[i]->name));
            return;
        }
    }
    if (limit_over(limit) || streq(r->reason, "timeout"))
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "timeout",
                  "not found in time in %u exported directories; not all could be looked at", looked);
    else if (closed || streq(r->reason, "skipped"))
        probe_say(
            r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "skipped",
            "not found in %u exported directories; what lies below them on other file systems, hidden, deep "
            "or closed to the agent was not looked at",
            looked);
    else
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent",
                  "it is in none of the %u directories exported here", looked);
}
