/* NFS as the kernel serves it: exports(5), and what nfsd says of itself. */
#include "agent/io/exports.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 1 << 20, NFS_PORT = 2049 };

static bool has_option(const char *options, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = options; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == 0))
            return true;
    return false;
}

/* "\040" is a space. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *p = text; *p; to++) {
        bool octal = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
                     p[3] >= '0' && p[3] <= '7';
        *to = octal ? (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0') : *p;
        p += octal ? 4 : 1;
    }
    *to = 0;
}

/* The next word, quotes removed and with its "(...)"; NULL at the end. */
static char *next_word(char **at)
{
    char *p = *at + strspn(*at, " \t");
    if (!*p)
        return NULL;
    char *word = p, *to = p;
    for (bool quoted = false; *p && (quoted || !isspace((unsigned char)*p)); p++) {
        if (*p == '"')
            quoted = !quoted;
        else
            *to++ = *p;
    }
    *at = *p ? p + 1 : p;
    *to = 0;
    unescape(word);
    return word;
}

static void add_client(Drover__V1__Export *x, char *word, const char *defaults)
{
    char *open = strchr(word, '('), *close = open ? strrchr(open, ')') : NULL;
    if (close)
        *close = 0;
    if (open)
        *open++ = 0;
    const char *given = open ? open : "";
    _cleanup_free_ char *options = xasprintf("%s%s%s", defaults, *defaults && *given ? "," : "", given);
    /* exports(5): read-only unless it says rw; the client's own word counts. */
    bool write = has_option(given, "rw") || (has_option(defaults, "rw") && !has_option(given, "ro"));
    exports_add_client(x, *word ? word : "*", write, options);
}

/* The index of what is exported from that directory, among those from `from` to `end`; `end` if nothing is. */
static size_t index_of(const struct exports *e, size_t from, size_t end, const char *path)
{
    while (from < end && !streq(e->list[from]->path, path))
        from++;
    return from;
}

/* Files are read into one table: those from `from` on. What several lines say of one directory is one export. */
struct table {
    struct exports *e;
    size_t from;
    Drover__V1__Answer active;
};

static Drover__V1__Export *export_of(struct table *t, const char *path, const char *file, unsigned number)
{
    size_t i = index_of(t->e, t->from, t->e->n, path);
    if (i < t->e->n)
        return t->e->list[i];
    Drover__V1__Export *x = exports_add(t->e, "nfs", "kernel", path);
    xml_set(&x->path, xstrdup(path));
    xml_set(&x->source, xasprintf("%s:%u", file, number));
    x->active = t->active;
    return x;
}

static void parse_line(char *line, const char *file, unsigned number, struct table *t)
{
    char *rest = line, *path = next_word(&rest), *word;
    const char *defaults = "";
    if (!path || path[0] != '/')
        return;
    Drover__V1__Export *x = export_of(t, path, file, number);
    size_t before = x->n_clients;
    while ((word = next_word(&rest))) {
        if (word[0] == '-')
            defaults = word + 1;
        else
            add_client(x, word, defaults);
    }
    if (x->n_clients == before)
        exports_add_client(x, "*", has_option(defaults, "rw"), defaults);
}

/* False if it is not there. */
static bool parse_file(const char *file, struct table *t)
{
    _cleanup_free_ char *text = tree_load(file, FILE_MAX_BYTES);
    if (!text) {
        if (errno != ENOENT)
            exports_say(t->e, "cannot read %s: %s", file, strerror(errno));
        return false;
    }
    unsigned number = 1;
    for (char *line = text; *line;) {
        unsigned first = number;
        char *p = line;
        for (bool comment = false; *p && *p != '\n'; p++) {
            if (p[0] == '\\' && p[1] == '\n') { /* goes on in the next line */
                p[0] = p[1] = ' ';
                number++;
            }
            comment = comment || *p == '#';
            *p = comment ? ' ' : *p;
        }
        char *next = *p ? p + 1 : p;
        *p = 0;
        parse_line(line, file, first, t);
        line = next;
        number++;
    }
    return true;
}

static void swap_clients(Drover__V1__Export *a, Drover__V1__Export *b)
{
    Drover__V1__ExportClient **clients = a->clients;
    size_t n = a->n_clients;
    a->clients = b->clients;
    a->n_clients = b->n_clients;
    b->clients = clients;
    b->n_clients = n;
}

/* What is served as configured is told once; what was exported by exportfs only is told, too. `whole`: the live table has all clients,
 * whatever the files say. */
static void join(struct exports *e, size_t from, size_t configured, bool whole)
{
    size_t kept = configured;
    for (size_t k = configured; k < e->n; k++) {
        Drover__V1__Export *live = e->list[k];
        size_t i = index_of(e, from, configured, live->path);
        if (i == configured) {
            e->list[kept++] = live;
            continue;
        }
        e->list[i]->active = live->active;
        if (whole)
            swap_clients(e->list[i], live);
        drover__v1__export__free_unpacked(live, NULL);
    }
    e->n = kept;
}

static void read_configured(const char *etc, struct table *t)
{
    char **names;
    _cleanup_free_ char *file = xasprintf("%s/exports", etc);
    parse_file(file, t);
    size_t n = tree_list(&names, "%s/exports.d", etc);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        _cleanup_free_ char *path = xasprintf("%s/exports.d/%s", etc, names[i]);
        if (length > 8 && streq(names[i] + length - 8, ".exports"))
            parse_file(path, t);
    }
    tree_list_free(names, n);
}

void exports_read_kernel_nfs(const char *etc, const char *proc, const char *nfs, struct exports *e)
{
    _cleanup_free_ char *served = xasprintf("%s/fs/nfsd/exports", proc), *etab = xasprintf("%s/etab", nfs);
    int listened = exports_listened(proc, NFS_PORT);
    struct table files = {e, e->n, listened ? DROVER__V1__ANSWER__ANSWER_UNKNOWN : DROVER__V1__ANSWER__NO};
    read_configured(etc, &files);
    /* exportfs's table is all that is exported, also by hand or by a cluster; without nfsd it is of some earlier time. nfsd itself
     * lists what clients have asked for since its start, and several that match one as one. */
    struct table live = {e, e->n, listened ? DROVER__V1__ANSWER__YES : DROVER__V1__ANSWER__NO};
    bool known = access(served, F_OK) == 0, whole = known && parse_file(etab, &live);
    if (known && !whole)
        known = parse_file(served, &live);
    join(e, files.from, live.from, whole);
    for (size_t i = files.from; known && listened == 1 && i < live.from; i++)
        if (e->list[i]->active == DROVER__V1__ANSWER__ANSWER_UNKNOWN)
            e->list[i]->active = DROVER__V1__ANSWER__YES;
}
