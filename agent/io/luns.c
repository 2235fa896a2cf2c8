#include "agent/io/luns.h"

#include "agent/io/adapters.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/mapping/unit.h"
#include "common/message/message.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { SECTOR = 512 };

static char *take(char *text)
{
    return text && *text ? text : (free(text), NULL);
}

static uint64_t number_of(const char *text)
{
    return text ? strtoull(text, NULL, 10) : 0;
}

/* ---- where a SCSI device sits: .../host4/session1/target4:0:0/4:0:0:1 ---- */

struct place {
    char host[32], rport[32], session[32], target[48];
    unsigned long long h, lun;
    bool scsi;
};

static void put(char *to, size_t size, const char *part, size_t n)
{
    snprintf(to, size, "%.*s", (int)(n < size ? n : size - 1), part);
}

static bool is_numbered(const char *part, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(part, prefix, n) == 0 && isdigit((unsigned char)part[n]);
}

/* "4:0:0:1" is host, channel, target and LUN. */
static bool is_scsi_address(const char *part, const char *end, unsigned long long *ret_host,
                            unsigned long long *ret_lun)
{
    unsigned long long n[4];
    for (size_t i = 0; i < 4; i++)
        if (!(part = tree_number(part, i ? ":" : "", &n[i])))
            return false;
    *ret_host = n[0];
    *ret_lun = n[3];
    return part == end;
}

static struct place find_place(const char *path)
{
    struct place p = {0};
    for (const char *part = path; part && *part;) {
        const char *slash = strchrnul(part, '/');
        size_t n = (size_t)(slash - part);
        unsigned long long h, lun;
        if (is_numbered(part, "host"))
            put(p.host, sizeof(p.host), part, n);
        else if (is_numbered(part, "rport-"))
            put(p.rport, sizeof(p.rport), part, n);
        else if (is_numbered(part, "session"))
            put(p.session, sizeof(p.session), part, n);
        else if (is_numbered(part, "target"))
            put(p.target, sizeof(p.target), part, n);
        else if (is_scsi_address(part, slash, &h, &lun))
            p.h = h, p.lun = lun, p.scsi = true;
        part = *slash ? slash + 1 : slash;
    }
    return p;
}

/* ---- by transport ---- */

static bool exists(const char *sysfs, const char *class, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/class/%s/%s", sysfs, class, name);
    return *name && access(path, F_OK) == 0;
}

static void put_fc(const char *sysfs, const struct place *p, Drover__V1__Lun *l)
{
    xml_set(&l->transport, xstrdup(adapters_is_fcoe(sysfs, p->host) ? "fcoe" : "fc"));
    char *wwpn = take(tree_text("%s/class/fc_transport/%s/port_name", sysfs, p->target));
    if (!wwpn && *p->rport)
        wwpn = take(tree_text("%s/class/fc_remote_ports/%s/port_name", sysfs, p->rport));
    xml_set(&l->target, wwpn);
    xml_set(&l->initiator, take(tree_text("%s/class/fc_host/%s/port_name", sysfs, p->host)));
}

static char *portal_of(const char *sysfs, const char *session)
{
    char **names, *portal = NULL;
    size_t n = tree_list(&names, "%s/class/iscsi_connection", sysfs);
    _cleanup_free_ char *prefix = xasprintf("connection%s:", session + strlen("session"));
    for (size_t i = 0; i < n && !portal; i++) {
        if (strncmp(names[i], prefix, strlen(prefix)) != 0)
            continue;
        static const char *const pairs[][2] = {{"persistent_address", "persistent_port"},
                                               {"address", "port"}};
        for (size_t k = 0; k < 2 && !portal; k++) {
            _cleanup_free_ char *a =
                take(tree_text("%s/class/iscsi_connection/%s/%s", sysfs, names[i], pairs[k][0]));
            _cleanup_free_ char *port =
                take(tree_text("%s/class/iscsi_connection/%s/%s", sysfs, names[i], pairs[k][1]));
            if (a)
                portal = xasprintf(strchr(a, ':') ? "[%s]:%s" : "%s:%s", a, port ? port : "3260");
        }
    }
    tree_list_free(names, n);
    return portal;
}

static void put_iscsi(const char *sysfs, const struct place *p, Drover__V1__Lun *l)
{
    xml_set(&l->transport, xstrdup("iscsi"));
    xml_set(&l->target, take(tree_text("%s/class/iscsi_session/%s/targetname", sysfs, p->session)));
    char *initiator = take(tree_text("%s/class/iscsi_session/%s/initiatorname", sysfs, p->session));
    if (!initiator)
        initiator = take(tree_text("%s/class/iscsi_host/%s/initiatorname", sysfs, p->host));
    xml_set(&l->initiator, initiator);
    xml_set(&l->portal, portal_of(sysfs, p->session));
}

static void put_srp(const char *sysfs, const struct place *p, Drover__V1__Lun *l)
{
    char **names;
    size_t n = tree_list(&names, "%s/class/srp_remote_ports", sysfs);
    xml_set(&l->transport, xstrdup("srp"));
    for (size_t i = 0; i < n; i++) {
        unsigned long long host;
        if (tree_number(names[i], "port-", &host) && host == p->h)
            xml_set(&l->target, take(tree_text("%s/class/srp_remote_ports/%s/port_id", sysfs, names[i])));
    }
    tree_list_free(names, n);
    xml_set(&l->initiator, take(tree_text("%s/class/scsi_host/%s/sgid", sysfs, p->host)));
}

static void put_scsi(const char *sysfs, const char *name, const char *path, Drover__V1__Lun *l)
{
    struct place p = find_place(path);
    if (!p.scsi)
        return;
    xml_set(&l->host, xstrdup(p.host));
    l->lun = p.lun;
    l->has_lun = true;
    xml_set(&l->state, take(tree_text("%s/class/block/%s/device/state", sysfs, name)));
    xml_set(&l->vendor, take(tree_text("%s/class/block/%s/device/vendor", sysfs, name)));
    xml_set(&l->model, take(tree_text("%s/class/block/%s/device/model", sysfs, name)));
    if (exists(sysfs, "fc_host", p.host))
        put_fc(sysfs, &p, l);
    else if (*p.session && exists(sysfs, "iscsi_session", p.session))
        put_iscsi(sysfs, &p, l);
    else if (exists(sysfs, "srp_host", p.host))
        put_srp(sysfs, &p, l);
}

/* ---- device mapper ---- */

/* scsi_id's form, as multipath uses it ("3600..." is NAA, "2..." EUI-64), in the kernel's. */
static char *kernel_form(const char *id)
{
    size_t digits = strspn(id, "0123456789abcdefABCDEF");
    if (id[0] == '3' && !id[digits] && (digits == 17 || digits == 33))
        return xasprintf("naa.%s", id + 1);
    if (id[0] == '2' && !id[digits] && (digits == 17 || digits == 25 || digits == 33))
        return xasprintf("eui.%s", id + 1);
    return xstrdup(id);
}

/* kpartx calls a map's partitions "part1-mpath-...". */
static const char *without_partition(const char *uuid, uint64_t *ret_partition)
{
    unsigned long long number;
    const char *rest = tree_number(uuid, "part", &number);
    if (!rest || *rest != '-')
        return uuid;
    *ret_partition = number;
    return rest + 1;
}

static void put_dm(const char *sysfs, const char *name, Drover__V1__Lun *l)
{
    static const char mpath[] = "mpath-", lvm[] = "LVM-";
    uint64_t partition = 0;
    _cleanup_free_ char *uuid = tree_text("%s/class/block/%s/dm/uuid", sysfs, name);
    _cleanup_free_ char *map = take(tree_text("%s/class/block/%s/dm/name", sysfs, name));
    if (!uuid)
        return;
    l->n_paths = tree_list(&l->paths, "%s/class/block/%s/slaves", sysfs, name);
    const char *whole = without_partition(uuid, &partition);
    if (strncmp(whole, mpath, strlen(mpath)) == 0) {
        xml_set(&l->transport, xstrdup("multipath"));
        xml_set(&l->wwid, kernel_form(whole + strlen(mpath)));
        l->partition = partition;
    } else if (strncmp(uuid, lvm, strlen(lvm)) == 0) {
        xml_set(&l->wwid, xstrdup(uuid));
    }
    if (!map)
        return;
    _cleanup_free_ char *link = xasprintf("/dev/mapper/%s", map);
    message_append_text(&l->links, &l->n_links, link);
    xml_set(&l->map, steal(&map));
}

/* ---- one and all ---- */

static Drover__V1__Lun *describe_alone(const char *sysfs, const char *name)
{
    _cleanup_free_ char *at = xasprintf("%s/class/block/%s", sysfs, name);
    _cleanup_free_ char *path = realpath(at, NULL);
    if (!path)
        return NULL;
    Drover__V1__Lun *l = new0(Drover__V1__Lun);
    drover__v1__lun__init(l);
    _cleanup_free_ char *size = tree_text("%s/size", at), *ro = tree_text("%s/ro", at);
    xml_set(&l->name, xstrdup(name));
    xml_set(&l->transport, xstrdup("other"));
    xml_set(&l->number, take(tree_text("%s/dev", at)));
    l->size = number_of(size) * SECTOR;
    l->read_only = number_of(ro) != 0;
    char *wwid = take(tree_text("%s/device/wwid", at));
    xml_set(&l->wwid, wwid ? wwid : take(tree_text("%s/wwid", at))); /* NVMe's is at the disk itself */
    put_scsi(sysfs, name, path, l);
    put_dm(sysfs, name, l);
    return l;
}

/* ---- what a logical volume lies on: a copy of its units, by an array or an image, has its UUIDs, too. And what a multipath map without
 * a WWID of its own is made of. ---- */

enum { LAYERS = 8 };

static bool is_volume(const Drover__V1__Lun *l)
{
    return strncmp(l->wwid, "LVM-", 4) == 0;
}

/* The caller's. NULL: it has no name of its own. */
static char *unit_name(const Drover__V1__Lun *l)
{
    return *unit_wwid(l) && !is_volume(l) ? xstrdup(l->wwid) : unit_place(l);
}

static void add_unit(Drover__V1__Lun *volume, const char *unit)
{
    for (size_t i = 0; i < volume->n_units; i++)
        if (streq(volume->units[i], unit))
            return;
    message_append_text(&volume->units, &volume->n_units, unit);
}

/* The disk's name, of a partition's; the caller's. */
static char *disk_of(const char *sysfs, const char *name)
{
    _cleanup_free_ char *link = xasprintf("%s/class/block/%s", sysfs, name);
    _cleanup_free_ char *path = realpath(link, NULL);
    _cleanup_free_ char *partition = xasprintf("%s/partition", link);
    if (!path || access(partition, F_OK) != 0)
        return xstrdup(name);
    *strrchr(path, '/') = 0;
    return xstrdup(strrchr(path, '/') + 1);
}

/* Through maps of other kinds (dm-crypt, thin pools). False: one of what is below does not tell who it is. */
static bool add_units(const char *sysfs, const char *name, unsigned depth, Drover__V1__Lun *volume)
{
    char **below;
    size_t n = tree_list(&below, "%s/class/block/%s/slaves", sysfs, name);
    bool all = n > 0;
    for (size_t i = 0; i < n && all; i++) {
        _cleanup_free_ char *disk = disk_of(sysfs, below[i]);
        Drover__V1__Lun *l = describe_alone(sysfs, disk);
        _cleanup_free_ char *unit = l ? unit_name(l) : NULL;
        if (unit)
            add_unit(volume, unit);
        else
            all = l && depth && add_units(sysfs, disk, depth - 1, volume);
        if (l)
            drover__v1__lun__free_unpacked(l, NULL);
    }
    tree_list_free(below, n);
    return all;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static Drover__V1__Lun *describe(const char *sysfs, const char *name)
{
    Drover__V1__Lun *l = describe_alone(sysfs, name);
    bool unnamed_map = l && streq(l->transport, "multipath") && !*unit_wwid(l);
    if (!l || !(is_volume(l) || unnamed_map))
        return l;
    if (!add_units(sysfs, name, LAYERS, l)) {
        tree_list_free(l->units, l->n_units);
        l->units = NULL;
        l->n_units = 0;
    } else {
        qsort(l->units, l->n_units, sizeof(*l->units), by_text);
    }
    return l;
}

static bool is_disk(const char *sysfs, const char *name)
{
    static const char *const others[] = {"loop", "ram", "zram", "sr", "fd"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (is_numbered(name, others[i]))
            return false;
    _cleanup_free_ char *partition = xasprintf("%s/class/block/%s/partition", sysfs, name);
    return access(partition, F_OK) != 0;
}

size_t luns_read(const char *sysfs, Drover__V1__Lun ***ret)
{
    Drover__V1__Lun **list = NULL;
    char **names;
    size_t n = 0, count = tree_list(&names, "%s/class/block", sysfs);
    for (size_t i = 0; i < count; i++) {
        Drover__V1__Lun *l = is_disk(sysfs, names[i]) ? describe(sysfs, names[i]) : NULL;
        if (l)
            message_append(&list, &n, l);
    }
    tree_list_free(names, count);
    *ret = list;
    return n;
}

Drover__V1__Lun *luns_by_number(const char *sysfs, const char *number)
{
    _cleanup_free_ char *link = xasprintf("%s/dev/block/%s", sysfs, number);
    _cleanup_free_ char *path = realpath(link, NULL);
    if (!path)
        return NULL;
    _cleanup_free_ char *partition = take(tree_text("%s/partition", path));
    _cleanup_free_ char *size = tree_text("%s/size", path), *ro = tree_text("%s/ro", path);
    if (partition)
        *strrchr(path, '/') = 0;
    Drover__V1__Lun *l = describe(sysfs, strrchr(path, '/') + 1);
    if (l && partition) {
        l->partition = number_of(partition);
        l->size = number_of(size) * SECTOR;
        l->read_only = l->read_only || number_of(ro);
    }
    return l;
}
