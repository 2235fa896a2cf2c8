/* Rules about disks that are block devices: is it the same unit at both hosts, by what its own system calls it? Nothing is ever
 * written to a device to find out. */
#include "common/base/cleanup.h"
#include "common/mapping/unit.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

struct pair {
    const Drover__V1__Disk *disk;
    const Drover__V1__PathFacts *here, *there;
};

static const Drover__V1__Lun *lun_of(const Drover__V1__PathFacts *path)
{
    return path ? path->lun : NULL;
}

/* Of a volume that is a device the facts have the volume's name. */
static bool block_pair(const struct preflight *in, size_t i, struct pair *p)
{
    const Drover__V1__Disk *d = in->guest->guest->disks[i];
    const Drover__V1__StoragePool *here = disk_pool(in->source, d),
                                  *there = disk_pool(in->destination, in->there->disks[i]);
    if (here && there && pool_has_devices(here) && pool_has_devices(there)) {
        *p = (struct pair){d, evidence_path(in->evidence, in->source, d->source),
                           evidence_path(in->evidence, in->destination, in->there->disks[i]->source)};
        return true;
    }
    if ((!streq(d->type, "block") && !streq(d->type, "file")) || d->source[0] != '/')
        return false;
    *p = (struct pair){d, evidence_path(in->evidence, in->source, d->source),
                       evidence_path(in->evidence, in->destination, in->there->disks[i]->source)};
    return streq(d->type, "block") || (p->here && streq(p->here->kind, "block"));
}

#define each_block_disk(p)                                                                                   \
    for (size_t i_ = 0; i_ < in->guest->guest->n_disks; i_++)                                                \
        if (block_pair(in, i_, (p)))

bool block_facts(const struct preflight *in, size_t i, const Drover__V1__PathFacts **ret_here,
                 const Drover__V1__PathFacts **ret_there)
{
    struct pair p;
    if (!block_pair(in, i, &p))
        return false;
    *ret_here = p.here;
    *ret_there = p.there;
    return true;
}

/* What to do about one that is not the same at both hosts: what is in a host's own drive can only be taken out. */
static char *todo_of(const struct preflight *in, const Drover__V1__Disk *d, const char *of_a_disk)
{
    return disk_is_media(d)
               ? xasprintf("eject it (virsh change-media %s %s --eject)", in->guest->guest->name, d->target)
               : xstrdup(of_a_disk);
}

RULE(block_missing)
{
    struct pair p;
    each_block_disk(&p)
    {
        if (!p.there || streq(p.there->kind, "block"))
            continue;
        _cleanup_free_ char *todo =
            todo_of(in, p.disk,
                    "log in to its target or rescan there (iscsiadm -m session --rescan, "
                    "multipath -r), and check the zoning or the LUN's mapping");
        found(("disk %s", p.disk->target),
              ("%s is %s on %s%s%s", p.disk->source,
               streq(p.there->kind, "absent") ? "not there" : p.there->kind, in->destination->name,
               p.there->error[0] ? ": " : "", p.there->error),
              ("a block device of that name"), ("%s", todo));
    }
}

static bool is_volume(const Drover__V1__Lun *l)
{
    return l && strncmp(l->wwid, "LVM-", 4) == 0;
}

/* Of units without a name of their own: one target's, at portals that may be two servers'. */
static bool same_place(const char *a, const char *b)
{
    const char *at_a = strstr(a, " at "), *at_b = strstr(b, " at ");
    size_t n_a = at_a ? (size_t)(at_a - a) : strlen(a), n_b = at_b ? (size_t)(at_b - b) : strlen(b);
    return (at_a || at_b) && n_a == n_b && strncmp(a, b, n_a) == 0;
}

/* A logical volume's UUID is in its units: a replica of them at another site, or hosts made from one image, have it, too. A multipath map
 * of units without a WWID of their own has them by their places. */
static enum lun_identity compare_units(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    if (!a->n_units || !b->n_units)
        return LUN_NOT_TOLD;
    size_t same = 0, places = 0;
    for (size_t i = 0; i < a->n_units; i++)
        for (size_t k = 0; k < b->n_units; k++) {
            same += streq(a->units[i], b->units[k]);
            places += same_place(a->units[i], b->units[k]);
        }
    if (same == a->n_units && same == b->n_units)
        return SAME_LUN;
    return places && (!is_volume(a) || places == a->n_units) ? LUN_NOT_TOLD : OTHER_LUN;
}

/* All but the units says that it is one. */
static bool lacks_units(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    return is_volume(a) && is_volume(b) && streq(a->wwid, b->wwid) && a->size && a->size == b->size &&
           compare_units(a, b) == LUN_NOT_TOLD;
}

/* One target at two portals may be two servers, of which one is a copy of the other. */
static enum lun_identity compare_places(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    if (!a->target[0] || !b->target[0] || !a->has_lun || !b->has_lun)
        return LUN_NOT_TOLD;
    if (!streq(a->target, b->target) || a->lun != b->lun)
        return OTHER_LUN;
    _cleanup_free_ char *here = unit_place(a), *there = unit_place(b);
    return here && there && streq(here, there) ? SAME_LUN : LUN_NOT_TOLD;
}

static enum lun_identity compare_disks(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    if (unit_wwid(a)[0] && unit_wwid(b)[0])
        return !streq(a->wwid, b->wwid) ? OTHER_LUN : is_volume(a) ? compare_units(a, b) : SAME_LUN;
    if (a->n_units && b->n_units && !is_volume(a) && !is_volume(b))
        return compare_units(a, b);
    return compare_places(a, b);
}

static enum lun_identity compare_names(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    enum lun_identity whole = compare_disks(a, b);
    return whole == SAME_LUN && a->partition != b->partition ? OTHER_LUN : whole;
}

/* One that was grown, and whose new size only one host has seen, is not the same yet. */
enum lun_identity luns_compare(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    if (!a || !b)
        return LUN_NOT_TOLD;
    enum lun_identity names = compare_names(a, b);
    return names == SAME_LUN && a->size && b->size && a->size != b->size ? OTHER_LUN : names;
}

static char *name_text(const Drover__V1__Lun *l)
{
    bool by_place = !unit_wwid(l)[0] && l->target[0];
    char *text =
        by_place ? xasprintf("%s, unit %llu", l->target, (unsigned long long)l->lun) : xstrdup(l->wwid);
    if (l->partition)
        text_append(&text, "-part", "%llu", (unsigned long long)l->partition);
    for (size_t i = 0; i < l->n_units; i++)
        text_append(&text, i ? ", " : " (", "%s", l->units[i]);
    if (l->n_units)
        text_append(&text, "", ")");
    return text;
}

RULE(block_differs)
{
    struct pair p;
    each_block_disk(&p)
    {
        const Drover__V1__Lun *a = lun_of(p.here), *b = lun_of(p.there);
        if (luns_compare(a, b) != OTHER_LUN)
            continue;
        if (compare_names(a, b) == SAME_LUN)
            found(("disk %s", p.disk->target),
                  ("%s has %llu bytes on %s and %llu on %s", p.disk->source, (unsigned long long)a->size,
                   in->source->name, (unsigned long long)b->size, in->destination->name),
                  ("one size: that of the unit"),
                  ("if it was resized, let both hosts see it: iscsiadm -m session --rescan, or echo 1 > "
                   "/sys/block/.../device/rescan, then multipathd resize map"));
        else {
            _cleanup_free_ char *here = name_text(a), *there = name_text(b);
            found(("disk %s", p.disk->target),
                  ("%s is %s on %s, and %s on %s", p.disk->source, here, in->source->name, there,
                   in->destination->name),
                  ("the same unit of the same target"),
                  ("use a name that follows the unit, /dev/disk/by-id/... or a multipath alias that both "
                   "hosts share; of a logical volume the units below it must be the same ones"));
        }
    }
}

RULE(block_read_only)
{
    struct pair p;
    each_block_disk(&p)
    {
        const Drover__V1__Lun *l = lun_of(p.there);
        if (l && l->read_only && disk_is_written(p.disk))
            found(("disk %s", p.disk->target),
                  ("%s (%s) is write-protected on %s", p.disk->source, l->name, in->destination->name),
                  ("a device that the guest can write to"),
                  ("see the LUN's mapping or ACL for %s at its storage, then rescan it there; or blockdev "
                   "--setrw there",
                   in->destination->name));
    }
}

/* States as the kernel's SCSI layer names them; other devices have none. */
RULE(block_offline)
{
    struct pair p;
    each_block_disk(&p)
    {
        const Drover__V1__Lun *l = lun_of(p.there);
        if (l && l->state[0] && !streq(l->state, "running"))
            found(("disk %s", p.disk->target),
                  ("%s (%s) is %s on %s", p.disk->source, l->name, l->state, in->destination->name),
                  ("a device that runs"),
                  ("see the kernel's log there for why, then set it running (echo running > "
                   "/sys/block/%s/device/state)",
                   l->name));
    }
}

RULE(block_unproven)
{
    struct pair p;
    each_block_disk(&p)
    {
        const struct ask *here = evidence_inspect(in->evidence, in->source),
                         *there = evidence_inspect(in->evidence, in->destination);
        if ((p.there && !streq(p.there->kind, "block")) ||
            luns_compare(lun_of(p.here), lun_of(p.there)) != LUN_NOT_TOLD ||
            lacks_units(lun_of(p.here), lun_of(p.there)))
            continue;
        const struct ask *silent = !p.here ? here : !p.there ? there : NULL;
        bool told = silent && silent->state == ASK_ANSWERED;
        _cleanup_free_ char *todo =
            todo_of(in, p.disk,
                    "use storage that has one: FC, iSCSI, SRP or multipath; of tgt, whose units have none of "
                    "their own, let "
                    "both hosts log in at one portal; a device of one host alone can't move along");
        found(
            ("disk %s", p.disk->target),
            ("%s: %s", p.disk->source,
             told                    ? "the agent told nothing of it"
             : silent                ? ask_words(silent)
             : disk_is_media(p.disk) ? "what is in a drive of the host itself"
             : is_volume(lun_of(p.here))
                 ? "a logical volume on disks that don't tell who they are; a copy of them has its UUID, too"
                 : "a device without a WWID or a target that is its own"),
            ("an identity (WWID, or target, unit and portal) that both hosts read from the device"),
            ("%s", todo));
    }
}

RULE(volume_units_untold)
{
    struct pair p;
    each_block_disk(&p)
    {
        const Drover__V1__Lun *here = lun_of(p.here), *there = lun_of(p.there);
        if (!lacks_units(here, there) || !streq(p.there->kind, "block"))
            continue;
        found(("disk %s", p.disk->target),
              ("%s is the logical volume %s on both hosts, on disks that don't tell %s who they are",
               p.disk->source, here->wwid, here->n_units ? in->destination->name : in->source->name),
              ("the units below it, the same ones: a copy of them has its UUID, too"),
              ("see what it lies on (lsblk -s -o NAME,WWN,SERIAL on both hosts): it needs disks below it "
               "that have "
               "a WWN or a serial number; what DRBD or NBD carries has none, and can't be told from a copy"));
    }
}
