/* NFS by nfs-ganesha: its configuration file (ganesha-config(8), ganesha-export-config(8)). Of %include the file is read, of %url
 * is said that it was not. */
#include "agent/io/exports.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { FILE_MAX_BYTES = 1 << 20, DEPTH_MAX = 8, INCLUDES_MAX = 16, NFS_PORT = 2049, VALUE_MAX = 4096 };

/* What a block says of access; a CLIENT block inherits from its EXPORT. */
struct access {
    char type[32], squash[32];
};

struct reader {
    const char *file, *at;
    unsigned line, includes;
    struct exports *exports;
    struct access defaults;
    Drover__V1__Answer active;
    bool unclean; /* something was not understood: said once a file */
};

static void skip(struct reader *r)
{
    for (;; r->at++) {
        if (*r->at == '\n')
            r->line++;
        else if (*r->at == '#' ||
                 (r->at[0] == '/' && r->at[1] == '/')) /* skip() is never inside of a value */
            r->at += strcspn(r->at, "\n") - 1;
        else if (!*r->at || !isspace((unsigned char)*r->at))
            return;
    }
}

/* A word up to one of ={};, or white space, or a quoted text. False at the end. */
static bool word(struct reader *r, char *ret, size_t size)
{
    skip(r);
    size_t n = 0;
    char quote = *r->at == '"' || *r->at == '\'' ? *r->at++ : 0;
    while (*r->at &&
           (quote ? *r->at != quote : !strchr("={};,#", *r->at) && !isspace((unsigned char)*r->at))) {
        if (n + 1 < size)
            ret[n++] = *r->at;
        r->line += *r->at == '\n';
        r->at++;
    }
    if (quote && *r->at)
        r->at++;
    ret[n] = 0;
    return n > 0 || quote;
}

/* The values up to ';', as "a,b". */
static void values(struct reader *r, char *ret, size_t size)
{
    char one[VALUE_MAX];
    size_t n = 0;
    ret[0] = 0;
    while (skip(r), *r->at && *r->at != ';' && *r->at != '}') {
        if (*r->at == ',') {
            r->at++;
            continue;
        }
        if (!word(r, one, sizeof(one))) {
            r->at++; /* a character that has no place here */
            continue;
        }
        size_t length = strlen(one);
        if (n + length + 2 < size)
            n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? "," : "", one);
    }
    if (*r->at == ';')
        r->at++;
}

static void take_access(struct access *a, const char *key, const char *value)
{
    if (strcasecmp(key, "Access_Type") == 0)
        snprintf(a->type, sizeof(a->type), "%s", value);
    else if (strcasecmp(key, "Squash") == 0)
        snprintf(a->squash, sizeof(a->squash), "%s", value);
}

static bool allows_write(const struct access *a)
{
    return strcasecmp(a->type, "RW") == 0;
}

static void add_clients(Drover__V1__Export *x, char *list, const struct access *a)
{
    _cleanup_free_ char *options = xasprintf("Access_Type=%s,Squash=%s", a->type, a->squash);
    char *save = NULL;
    for (char *who = strtok_r(list, ",", &save); who; who = strtok_r(NULL, ",", &save))
        exports_add_client(x, who, allows_write(a), options);
}

static void read_block(struct reader *r, const char *name, Drover__V1__Export *x, struct access *a,
                       unsigned depth);
static void read_items(struct reader *r, const char *block, Drover__V1__Export *x, struct access *a,
                       char *clients, unsigned depth);

static void read_block(struct reader *r, const char *name, Drover__V1__Export *x, struct access *a,
                       unsigned depth)
{
    _cleanup_free_ char *clients = xcalloc(1, VALUE_MAX);
    if (depth == 1 && strcasecmp(name, "EXPORT") == 0) {
        struct access mine = r->defaults;
        x = exports_add(r->exports, "nfs", "ganesha", "");
        x->active = r->active;
        xml_set(&x->source, xasprintf("%s:%u", r->file, r->line));
        read_items(r, name, x, &mine, clients, depth);
        /* CLIENT blocks come first (they were added when read); then the export's own word holds for all others. */
        char all[] = "*";
        add_clients(x, all, &mine);
    } else if (depth == 1 && strcasecmp(name, "EXPORT_DEFAULTS") == 0) {
        read_items(r, name, NULL, &r->defaults, clients, depth);
    } else if (x && depth == 2 && strcasecmp(name, "CLIENT") == 0) {
        struct access mine = *a;
        read_items(r, name, NULL, &mine, clients, depth);
        add_clients(x, clients, &mine);
    } else {
        struct access ignored = {0};
        read_items(r, name, NULL, &ignored, clients, depth);
    }
}

static void read_items(struct reader *r, const char *block, Drover__V1__Export *x, struct access *a,
                       char *clients, unsigned depth)
{
    char key[128], value[VALUE_MAX];
    for (;;) {
        skip(r);
        if (!*r->at)
            return;
        if (*r->at == '}') {
            r->at++;
            return;
        }
        if (!word(r, key, sizeof(key))) {
            r->at++;
            r->unclean = true;
            continue;
        }
        skip(r);
        if (*r->at == '{') {
            r->at++;
            if (depth >= DEPTH_MAX) {
                r->unclean = true;
                r->at += strlen(r->at);
                return;
            }
            read_block(r, key, x, a, depth + 1);
            continue;
        }
        if (*r->at != '=') {
            r->unclean = true;
            continue;
        }
        r->at++;
        values(r, value, sizeof(value));
        take_access(a, key, value);
        if (strcasecmp(block, "CLIENT") == 0 && strcasecmp(key, "Clients") == 0)
            snprintf(clients, VALUE_MAX, "%s", value);
        if (x && strcasecmp(key, "Path") == 0) {
            xml_set(&x->path, xstrdup(value));
            xml_set(&x->name, xstrdup(value));
        } else if (x && strcasecmp(key, "Pseudo") == 0) {
            xml_set(&x->pseudo, xstrdup(value));
        }
    }
}

static void read_file(const char *file, struct reader *outer, bool must)
{
    _cleanup_free_ char *text = tree_load(file, FILE_MAX_BYTES);
    if (!text) {
        if (must || errno != ENOENT)
            exports_say(outer->exports, "cannot read %s: %s", file, strerror(errno));
        return;
    }
    struct reader r = *outer;
    r.file = file;
    r.line = 1;
    r.at = text;
    char name[PATH_MAX], directive[32];
    while (skip(&r), *r.at) {
        if (*r.at == '%') {
            r.at++;
            if (!word(&r, directive, sizeof(directive)) || !word(&r, name, sizeof(name)) ||
                strcasecmp(directive, "include") != 0 || r.includes >= INCLUDES_MAX) {
                exports_say(r.exports, "%s:%u: what %%%s names is not read", file, r.line, directive);
                continue;
            }
            _cleanup_free_ char *copy = xstrdup(file);
            _cleanup_free_ char *path =
                name[0] == '/' ? xstrdup(name) : xasprintf("%s/%s", dirname(copy), name);
            r.includes++;
            outer->includes = r.includes;
            read_file(path, &r, true);
            continue;
        }
        if (!word(&r, name, sizeof(name)) || (skip(&r), *r.at != '{')) {
            r.unclean = true;
            r.at += *r.at != 0;
            continue;
        }
        r.at++;
        read_block(&r, name, NULL, &(struct access){0}, 1);
    }
    if (r.unclean)
        exports_say(r.exports, "%s has parts that were not understood: its exports may be told incompletely",
                    file);
    outer->defaults = r.defaults;
    outer->includes = r.includes;
}

void exports_read_ganesha(const char *etc, const char *proc, struct exports *e)
{
    _cleanup_free_ char *file = xasprintf("%s/ganesha/ganesha.conf", etc);
    int listened = exports_listened(proc, NFS_PORT);
    struct reader r = {.exports = e, .defaults = {"None", "root_squash"}};
    r.active = listened < 0   ? DROVER__V1__ANSWER__ANSWER_UNKNOWN
               : listened > 0 ? DROVER__V1__ANSWER__YES
                              : DROVER__V1__ANSWER__NO;
    read_file(file, &r, false);
}
