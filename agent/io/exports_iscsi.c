/* iSCSI targets: the kernel's LIO by its configfs, user space's tgt by what tgtadm says. */
#include "agent/io/exports.h"
#include "agent/io/run.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- LIO: SYSFS/kernel/config/target/iscsi/IQN/tpgt_N/{enable,np,lun/lun_N,acls,attrib} ---- */

static bool is_one(char *text)
{
    _cleanup_free_ char *owned = text;
    return owned && streq(owned, "1");
}

static void put_portals(const char *tpg, Drover__V1__Export *x)
{
    x->n_portals = tree_list(&x->portals, "%s/np", tpg);
}

/* The link in a LUN's directory leads to its backstore: .../core/fileio_0/disk1. */
static void put_backstore(const char *lun, Drover__V1__Export *x)
{
    char **names;
    size_t n = tree_list(&names, "%s", lun);
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *link = xasprintf("%s/%s", lun, names[i]);
        _cleanup_free_ char *name = tree_link_name("%s", link), *store = name ? realpath(link, NULL) : NULL;
        if (!store)
            continue;
        char *path = tree_text("%s/udev_path", store);
        _cleanup_free_ char *serial = tree_text("%s/wwn/vpd_unit_serial", store),
                            *info = tree_text("%s/info", store);
        const char *size = info ? strstr(info, "Size: ") : NULL;
        const char *last = serial ? strrchr(serial, ' ') : NULL; /* "T10 VPD Unit Serial Number: ..." */
        if (path && *path)
            xml_set(&x->path, path);
        else
            free(path);
        if (serial)
            xml_set(&x->wwid, xstrdup(last ? last + 1 : serial));
        x->size = size ? strtoull(size + strlen("Size: "), NULL, 10) : 0;
    }
    tree_list_free(names, n);
}

static void put_acls(const char *tpg, const char *lun, Drover__V1__Export *x)
{
    char **names;
    size_t n = tree_list(&names, "%s/acls", tpg);
    bool anybody = is_one(tree_text("%s/attrib/generate_node_acls", tpg));
    bool protected = is_one(tree_text("%s/attrib/demo_mode_write_protect", tpg));
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *mapped = xasprintf("%s/acls/%s/%s", tpg, names[i], lun);
        /* Mapped under the same number, as targetcli does by itself; another number is no way to the same unit for a guest. */
        if (access(mapped, F_OK) == 0)
            exports_add_client(x, names[i], !is_one(tree_text("%s/write_protect", mapped)), "acl");
    }
    if (anybody)
        exports_add_client(x, "ALL", !protected, "generate_node_acls=1");
    tree_list_free(names, n);
}

static void read_tpg(const char *iqn, const char *tpg, struct exports *e)
{
    char **luns;
    size_t n = tree_list(&luns, "%s/lun", tpg);
    bool enabled = is_one(tree_text("%s/enable", tpg));
    for (size_t i = 0; i < n; i++) {
        unsigned long long number;
        if (!tree_number(luns[i], "lun_", &number))
            continue;
        _cleanup_free_ char *lun = xasprintf("%s/lun/%s", tpg, luns[i]);
        Drover__V1__Export *x = exports_add(e, "iscsi", "lio", iqn);
        x->lun = number;
        x->active = enabled ? DROVER__V1__ANSWER__YES : DROVER__V1__ANSWER__NO;
        xml_set(&x->source, xstrdup(tpg));
        put_portals(tpg, x);
        put_backstore(lun, x);
        put_acls(tpg, luns[i], x);
    }
    tree_list_free(luns, n);
}

void exports_read_lio(const char *sysfs, struct exports *e)
{
    char **targets;
    _cleanup_free_ char *root = xasprintf("%s/kernel/config/target/iscsi", sysfs);
    size_t n = tree_list(&targets, "%s", root);
    for (size_t i = 0; i < n; i++) {
        char **tpgs;
        size_t m = strncmp(targets[i], "iqn.", 4) == 0 || strncmp(targets[i], "eui.", 4) == 0 ||
                           strncmp(targets[i], "naa.", 4) == 0
                       ? tree_list(&tpgs, "%s/%s", root, targets[i])
                       : 0;
        for (size_t k = 0; k < m; k++) {
            _cleanup_free_ char *tpg = xasprintf("%s/%s/%s", root, targets[i], tpgs[k]);
            if (strncmp(tpgs[k], "tpgt_", 5) == 0)
                read_tpg(targets[i], tpg, e);
        }
        if (m)
            tree_list_free(tpgs, m);
    }
    tree_list_free(targets, n);
}

/* ---- tgt: "Target 1: IQN", then sections of "Key: value", as tgtadm prints them ---- */

struct tgt {
    struct exports *exports;
    char iqn[256];
    size_t first; /* of the target's units in the list */
    bool ready, acls;
    Drover__V1__Export *unit;
};

static const char *value_of(const char *line, const char *key)
{
    size_t n = strlen(key);
    if (strncmp(line, key, n) != 0 || line[n] != ':')
        return NULL;
    return line + n + 1 + strspn(line + n + 1, " ");
}

static uint64_t megabytes(const char *text)
{
    return strtoull(text, NULL, 10) << 20;
}

static void take_unit_line(struct tgt *t, const char *line)
{
    const char *v;
    Drover__V1__Export *x = t->unit;
    if ((v = value_of(line, "SCSI SN")))
        xml_set(&x->wwid, xstrdup(v));
    else if ((v = value_of(line, "Size")))
        x->size = megabytes(v);
    else if ((v = value_of(line, "Online")))
        x->active = streq(v, "Yes") && t->ready ? DROVER__V1__ANSWER__YES : DROVER__V1__ANSWER__NO;
    else if ((v = value_of(line, "Readonly")))
        x->read_only = streq(v, "Yes");
    else if ((v = value_of(line, "Backing store path")) && !streq(v, "None"))
        xml_set(&x->path, xstrdup(v));
}

static void take_line(struct tgt *t, const char *line)
{
    const char *v;
    unsigned long long number;
    if ((v = tree_number(line, "Target ", &number)) && strncmp(v, ": ", 2) == 0) {
        snprintf(t->iqn, sizeof(t->iqn), "%.*s", (int)strcspn(v + 2, " "), v + 2);
        t->first = t->exports->n;
        t->ready = t->acls = false;
        t->unit = NULL;
    } else if (streq(line, "ACL information:")) {
        t->acls = true;
    } else if ((v = value_of(line, "State")) && !t->unit) {
        t->ready = streq(v, "ready");
    } else if ((v = value_of(line, "LUN"))) {
        t->unit = exports_add(t->exports, "iscsi", "tgt", t->iqn);
        t->unit->lun = strtoull(v, NULL, 10);
        xml_set(&t->unit->source, xstrdup("tgtadm"));
    } else if (streq(line, "Account information:")) {
        t->unit = NULL;
    } else if (t->acls) {
        for (size_t i = t->first; *line && i < t->exports->n; i++)
            exports_add_client(t->exports->list[i], line, true, "acl");
    } else if (t->unit) {
        take_unit_line(t, line);
    }
}

static void each_line(const char *text, void (*take)(struct tgt *t, const char *line), struct tgt *t)
{
    for (const char *p = text; *p;) {
        const char *end = strchrnul(p, '\n');
        p += strspn(p, " \t");
        _cleanup_free_ char *line = p < end ? strndup(p, (size_t)(end - p)) : xstrdup("");
        for (size_t n = strlen(line); n && isspace((unsigned char)line[n - 1]);)
            line[--n] = 0;
        take(t, line);
        p = *end ? end + 1 : end;
    }
}

static void take_portal(struct tgt *t, const char *line)
{
    const char *v = value_of(line, "Portal");
    _cleanup_free_ char *portal = v ? strndup(v, strcspn(v, ",")) : NULL;
    for (size_t i = t->first; portal && i < t->exports->n; i++)
        message_append_text(&t->exports->list[i]->portals, &t->exports->list[i]->n_portals, portal);
}

/* LUN 0 of tgt is the controller: no backing store, nothing that a guest could use. */
static void drop_controllers(struct exports *e, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < e->n; i++) {
        if (*e->list[i]->path)
            e->list[kept++] = e->list[i];
        else
            drover__v1__export__free_unpacked(e->list[i], NULL);
    }
    e->n = kept;
}

void exports_parse_tgt(const char *targets, const char *portals, struct exports *e)
{
    size_t from = e->n;
    struct tgt t = {.exports = e, .first = from};
    each_line(targets, take_line, &t);
    t.first = from;
    each_line(portals, take_portal, &t);
    drop_controllers(e, from);
}

void exports_read_tgt(const struct limit *limit, struct exports *e)
{
    static const char *const targets_argv[] = {"tgtadm", "--lld", "iscsi", "--mode",
                                               "target", "--op",  "show",  NULL};
    static const char *const portals_argv[] = {"tgtadm", "--lld", "iscsi", "--mode",
                                               "portal", "--op",  "show",  NULL};
    if (access("/run/tgtd", F_OK) != 0 && access("/var/run/tgtd", F_OK) != 0)
        return; /* no tgtd has run here: nothing to ask */
    struct error err;
    _cleanup_free_ char *targets = NULL, *portals = NULL;
    int r = run_program(limit, targets_argv, &targets, &err);
    if (r == 0)
        r = run_program(limit, portals_argv, &portals, &err);
    if (r == 0)
        exports_parse_tgt(targets, portals, e);
    else if (r != -STATUS_NOT_FOUND && !strstr(err.text, "connect")) /* no tgtd runs */
        exports_say(e, "iSCSI targets of tgt: %s", err.text);
}
