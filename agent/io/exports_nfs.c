/* NFS as the kernel serves it: exports(5), and what nfsd says of itself. */
#include "agent/io/exports.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

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

static void parse_line(char *line, const char *file, unsigned number, Drover__V1__Answer active,
                       struct exports *e)
{
    char *rest = line, *path = next_word(&rest), *word;
    const char *defaults = "";
    if (!path || path[0] != '/')
        return;
    Drover__V1__Export *x = exports_add(e, "nfs", "kernel", path);
    xml_set(&x->path, xstrdup(path));
    xml_set(&x->source, xasprintf("%s:%u", file, number));
    x->active = active;
    while ((word = next_word(&rest))) {
        if (word[0] == '-')
            defaults = word + 1;
        else
            add_client(x, word, defaults);
    }
    if (!x->n_clients)
        exports_add_client(x, "*", has_option(defaults, "rw"), defaults);
}

/* False if it is not there. */
static bool parse_file(const char *file, Drover__V1__Answer active, struct exports *e)
{
    _cleanup_free_ char *text = tree_load(file, FILE_MAX_BYTES);
    if (!text) {
        if (errno != ENOENT)
            exports_say(e, "cannot read %s: %s", file, strerror(errno));
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
        parse_line(line, file, first, active, e);
        line = next;
        number++;
    }
    return true;
}

static bool is_configured(const struct exports *e, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (streq(e->list[i]->path, path))
            return true;
    return false;
}

static void mark_active(struct exports *e, size_t from, size_t configured, bool known)
{
    for (size_t i = from; i < configured; i++)
        e->list[i]->active = known ? DROVER__V1__ANSWER__NO : DROVER__V1__ANSWER__ANSWER_UNKNOWN;
    for (size_t i = from; i < configured; i++)
        for (size_t k = configured; k < e->n; k++)
            if (streq(e->list[i]->path, e->list[k]->path))
                e->list[i]->active = DROVER__V1__ANSWER__YES;
    /* What is served as configured is told once; what was exported by exportfs only is told, too. */
    size_t kept = configured;
    for (size_t k = configured; k < e->n; k++) {
        if (is_configured(e, configured, e->list[k]->path))
            drover__v1__export__free_unpacked(e->list[k], NULL);
        else
            e->list[kept++] = e->list[k];
    }
    e->n = kept;
}

void exports_read_kernel_nfs(const char *etc, const char *proc, struct exports *e)
{
    size_t from = e->n;
    char **names;
    _cleanup_free_ char *file = xasprintf("%s/exports", etc);
    /* nfsd lists what clients have asked for since its start; exportfs's table is all that is exported. */
    _cleanup_free_ char *served = xasprintf("%s/fs/nfsd/exports", proc);
    parse_file(file, DROVER__V1__ANSWER__ANSWER_UNKNOWN, e);
    size_t n = tree_list(&names, "%s/exports.d", etc);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        _cleanup_free_ char *path = xasprintf("%s/exports.d/%s", etc, names[i]);
        if (length > 8 && streq(names[i] + length - 8, ".exports"))
            parse_file(path, DROVER__V1__ANSWER__ANSWER_UNKNOWN, e);
    }
    tree_list_free(names, n);
    size_t configured = e->n;
    bool known = parse_file(served, DROVER__V1__ANSWER__YES, e);
    int listened = exports_listened(proc, NFS_PORT);
    mark_active(e, from, configured, listened == 0);
    if (known && listened == 1)
        for (size_t i = from; i < configured; i++)
            if (e->list[i]->active == DROVER__V1__ANSWER__ANSWER_UNKNOWN)
                e->list[i]->active = DROVER__V1__ANSWER__YES;
}
