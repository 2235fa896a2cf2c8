#include "agent/io/tgt.h"

#include "agent/io/run.h"
#include "agent/io/tree.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <ctype.h>
#include <string.h>

/* ---- what tgtadm prints ---- */

void tgt_deinit(struct tgt_targets *t)
{
    for (size_t i = 0; i < t->n; i++) {
        struct tgt_target *x = &t->list[i];
        for (size_t c = 0; c < x->n_connections; c++)
            free(x->connections[c].address);
        free(x->connections);
        free(x->units);
        tree_list_free(x->acl, x->n_acl);
        free(x->iqn);
    }
    free(t->list);
    *t = (struct tgt_targets){0};
}

const struct tgt_target *tgt_find(const struct tgt_targets *t, const char *iqn)
{
    for (size_t i = 0; i < t->n; i++)
        if (streq(t->list[i].iqn, iqn))
            return &t->list[i];
    return NULL;
}

struct reader {
    struct tgt_targets *targets;
    unsigned long long session, connection;
    bool acl;
};

static void take(struct reader *r, const char *line)
{
    struct tgt_targets *t = r->targets;
    struct tgt_target *x = t->n ? &t->list[t->n - 1] : NULL;
    unsigned long long number;
    const char *v;
    if ((v = tree_number(line, "Target ", &number)) && strncmp(v, ": ", 2) == 0) {
        t->list = xrealloc(t->list, t->n + 1, sizeof(*t->list));
        t->list[t->n++] = (struct tgt_target){.id = number, .iqn = xstrdup(v + 2)};
        r->acl = false;
    } else if (!x) {
        return;
    } else if (streq(line, "ACL information:")) {
        r->acl = true;
    } else if (r->acl && *line) {
        message_append_text(&x->acl, &x->n_acl, line);
    } else if (tree_number(line, "I_T nexus: ", &number)) {
        r->session = number;
    } else if (tree_number(line, "Connection: ", &number)) {
        r->connection = number;
    } else if (strncmp(line, "IP Address: ", 12) == 0) {
        x->connections = xrealloc(x->connections, x->n_connections + 1, sizeof(*x->connections));
        x->connections[x->n_connections++] = (struct tgt_connection){
            .session = r->session, .connection = r->connection, .address = xstrdup(line + 12)};
    } else if (tree_number(line, "LUN: ", &number) && number) {
        x->units = xrealloc(x->units, x->n_units + 1, sizeof(*x->units));
        x->units[x->n_units++] = number;
    }
}

void tgt_parse(const char *text, struct tgt_targets *ret)
{
    struct reader r = {.targets = ret};
    for (const char *p = text; *p;) {
        const char *end = strchrnul(p, '\n');
        p += strspn(p, " \t");
        _cleanup_free_ char *line = p < end ? strndup(p, (size_t)(end - p)) : xstrdup("");
        for (size_t n = strlen(line); n && isspace((unsigned char)line[n - 1]);)
            line[--n] = 0;
        take(&r, line);
        p = *end ? end + 1 : end;
    }
}

static int run(const struct limit *limit, const char *const *argv, char **ret, struct error *err)
{
    _cleanup_free_ char *output = NULL;
    int r = run_program(limit, argv, &output, err);
    if (r == 0 && ret)
        *ret = steal(&output);
    return r;
}

int tgt_read(const struct limit *limit, struct tgt_targets *ret, struct error *err)
{
    static const char *const argv[] = {"tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show", NULL};
    _cleanup_free_ char *text = NULL;
    int r = run(limit, argv, &text, err);
    if (r == 0)
        tgt_parse(text, ret);
    return r;
}

/* ---- who may, who does ---- */

static bool has(char *const *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (streq(list[i], text))
            return true;
    return false;
}

static bool has_unit(const unsigned long long *units, size_t n, unsigned long long unit)
{
    for (size_t i = 0; i < n; i++)
        if (units[i] == unit)
            return true;
    return false;
}

int tgt_may_close(const struct tgt_target *t, const unsigned long long *units, size_t n_units,
                  char *const *keep, size_t n_keep, char ***ret_used, size_t *ret_n, struct error *err)
{
    char **used = NULL;
    const char *other = NULL;
    size_t n = 0;
    int r = 0;
    for (size_t i = 0; i < t->n_units && r == 0; i++)
        if (!has_unit(units, n_units, t->units[i]))
            r = error_set(
                err, STATUS_FAILED_PRECONDITION,
                "target %s also has unit %llu, which is no disk of the guest: whoever uses that would be "
                "shut out, too",
                t->iqn, t->units[i]);
    for (size_t i = 0; i < t->n_connections && r == 0; i++) {
        const char *address = t->connections[i].address;
        if (has(keep, n_keep, address)) {
            if (!has(used, n, address))
                message_append_text(&used, &n, address);
        } else if (other && !streq(other, address)) {
            r = error_set(
                err, STATUS_FAILED_PRECONDITION,
                "target %s is used from %s and from %s, beside the destination: one of them is not the "
                "source",
                t->iqn, other, address);
        } else {
            other = address;
        }
    }
    if (r == 0 && n == 0)
        r = error_set(err, STATUS_FAILED_PRECONDITION,
                      "nobody at the destination's addresses uses target %s: it is not known whom to let in",
                      t->iqn);
    if (r < 0) {
        tree_list_free(used, n);
        return r;
    }
    *ret_used = used;
    *ret_n = n;
    return 0;
}

int tgt_is_closed(const struct tgt_target *t, char *const *only, size_t n, struct error *err)
{
    for (size_t i = 0; i < t->n_acl; i++)
        if (!has(only, n, t->acl[i]))
            return error_set(err, STATUS_FAILED_PRECONDITION, "target %s lets %s in", t->iqn, t->acl[i]);
    for (size_t i = 0; i < t->n_connections; i++)
        if (!has(only, n, t->connections[i].address))
            return error_set(err, STATUS_FAILED_PRECONDITION, "%s is still connected to target %s",
                             t->connections[i].address, t->iqn);
    for (size_t i = 0; i < n; i++)
        if (!has(t->acl, t->n_acl, only[i]))
            return error_set(err, STATUS_FAILED_PRECONDITION, "target %s does not let %s in", t->iqn,
                             only[i]);
    return 0;
}

/* ---- changes ---- */

static int change(const struct limit *limit, const struct tgt_target *t, const char *operation,
                  const char *who, struct error *err)
{
    char id[24];
    bool name = strncmp(who, "iqn.", 4) == 0 || strncmp(who, "eui.", 4) == 0 || strncmp(who, "naa.", 4) == 0;
    snprintf(id, sizeof(id), "%llu", t->id);
    const char *const argv[] = {
        "tgtadm", "--lld",   "iscsi", "--mode", "target",
        "--op",   operation, "--tid", id,       name ? "--initiator-name" : "--initiator-address",
        who,      NULL};
    return run(limit, argv, NULL, err);
}

static int disconnect(const struct limit *limit, const struct tgt_target *t, const struct tgt_connection *c,
                      struct error *err)
{
    char id[24], session[24], connection[24];
    snprintf(id, sizeof(id), "%llu", t->id);
    snprintf(session, sizeof(session), "%llu", c->session);
    snprintf(connection, sizeof(connection), "%llu", c->connection);
    const char *const argv[] = {"tgtadm", "--lld", "iscsi", "--mode", "conn",  "--op",     "delete",
                                "--tid",  id,      "--sid", session,  "--cid", connection, NULL};
    return run(limit, argv, NULL, err);
}

/* First who is to stay: the list is never empty, which would shut everybody out. */
static int set_list(const struct limit *limit, const struct tgt_target *t, char *const *only, size_t n,
                    struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        if (!has(t->acl, t->n_acl, only[i]))
            r = change(limit, t, "bind", only[i], err);
    for (size_t i = 0; i < t->n_acl && r == 0; i++)
        if (!has(only, n, t->acl[i]))
            r = change(limit, t, "unbind", t->acl[i], err);
    return r;
}

static int no_target(const char *iqn, struct error *err)
{
    return error_set(err, STATUS_NOT_FOUND, "tgtd has no target %s any more", iqn);
}

int tgt_close(const struct limit *limit, const char *iqn, char *const *only, size_t n, struct error *err)
{
    enum { TRIES = 5 }; /* who is connecting at this moment shows at the next look */
    int r = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        _cleanup_(tgt_deinit) struct tgt_targets all = {0};
        r = tgt_read(limit, &all, err);
        if (r < 0)
            return r;
        const struct tgt_target *t = tgt_find(&all, iqn);
        if (!t)
            return no_target(iqn, err);
        r = tgt_is_closed(t, only, n, err);
        if (r == 0)
            return 0;
        r = set_list(limit, t, only, n, err);
        for (size_t c = 0; c < t->n_connections && r == 0; c++)
            if (!has(only, n, t->connections[c].address))
                disconnect(limit, t, &t->connections[c], NULL); /* one that is gone meanwhile is no error */
        if (r < 0)
            return r;
    }
    return error_set(err, STATUS_UNAVAILABLE, "target %s can't be closed: somebody stays connected", iqn);
}

int tgt_open(const struct limit *limit, const char *iqn, char *const *was, size_t n, struct error *err)
{
    _cleanup_(tgt_deinit) struct tgt_targets all = {0};
    int r = tgt_read(limit, &all, err);
    if (r < 0)
        return r;
    const struct tgt_target *t = tgt_find(&all, iqn);
    return t ? set_list(limit, t, was, n, err) : no_target(iqn, err);
}
