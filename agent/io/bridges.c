#include "agent/io/bridges.h"

#include "agent/io/openvswitch.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 65536 };

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The entries of a directory but for the hidden ones, sorted; none if there is no such directory. */
static size_t list(const char *path, char ***ret)
{
    char **names = NULL;
    size_t n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && n < MAX_ENTRIES && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        names = xrealloc(names, n + 1, sizeof(*names));
        names[n++] = xstrdup(e->d_name);
    }
    if (dir)
        closedir(dir);
    if (n)
        qsort(names, n, sizeof(*names), compare_names);
    *ret = names;
    return n;
}

static uint32_t read_mtu(const char *dir)
{
    _cleanup_free_ char *path = xasprintf("%s/mtu", dir);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    char line[32] = "";
    return f && fgets(line, sizeof(line), f) ? (uint32_t)strtoul(line, NULL, 10) : 0;
}

struct found {
    Drover__V1__Bridge **bridges;
    size_t n;
};

static void add(struct found *f, const char *net, const char *name, const char *kind)
{
    Drover__V1__Bridge *b = new0(Drover__V1__Bridge);
    drover__v1__bridge__init(b);
    _cleanup_free_ char *dir = xasprintf("%s/%s", net, name);
    _cleanup_free_ char *ports = xasprintf("%s/brif", dir);
    b->name = xstrdup(name);
    b->kind = xstrdup(kind);
    b->mtu = read_mtu(dir);
    b->n_ports = list(ports, &b->ports);
    f->bridges = xrealloc(f->bridges, f->n + 1, sizeof(*f->bridges));
    f->bridges[f->n++] = b;
}

static void find_linux(const char *net, struct found *f)
{
    char **names;
    size_t n = list(net, &names);
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *bridge = xasprintf("%s/%s/bridge", net, names[i]);
        if (access(bridge, F_OK) == 0)
            add(f, net, names[i], "linux");
        free(names[i]);
    }
    free(names);
}

static void find_openvswitch(const char *net, const char *run, struct found *f)
{
    static const char suffix[] = ".mgmt";
    _cleanup_free_ char *dir = xasprintf("%s/openvswitch", run);
    char **names;
    size_t n = list(dir, &names);
    for (size_t i = 0; i < n; i++) {
        char *dot = strrchr(names[i], '.');
        if (dot && dot != names[i] && streq(dot, suffix)) {
            *dot = 0;
            _cleanup_free_ char *device = xasprintf("%s/%s", net, names[i]);
            if (access(device, F_OK) == 0) /* the socket of a dead ovs-vswitchd stays */
                add(f, net, names[i], "openvswitch");
        }
        free(names[i]);
    }
    free(names);
}

size_t bridges_read(const char *sysfs, const char *run, Drover__V1__Bridge ***ret)
{
    _cleanup_free_ char *net = xasprintf("%s/class/net", sysfs);
    struct found f = {0};
    find_linux(net, &f);
    find_openvswitch(net, run, &f);
    openvswitch_ports(run, f.bridges, f.n);
    *ret = f.bridges;
    return f.n;
}
