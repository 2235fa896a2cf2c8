/* Rules about disks that are block devices: is it the same unit at both hosts, by what its own system calls it? Nothing is ever
 * written to a device to find out. */
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

static bool block_pair(const struct preflight *in, size_t i, struct pair *p)
{
    const Drover__V1__Disk *d = in->guest->guest->disks[i];
    if ((!streq(d->type, "block") && !streq(d->type, "file")) || d->source[0] != '/')
        return false;
    *p = (struct pair){d, evidence_path(in->evidence, in->source, d->source),
                       evidence_path(in->evidence, in->destination, in->there->disks[i]->source)};
    return streq(d->type, "block") || (p->here && streq(p->here->kind, "block"));
}

#define each_block_disk(p)                                                                                   \
    for (size_t i_ = 0; i_ < in->guest->guest->n_disks; i_++)                                                \
        if (block_pair(in, i_, (p)))

RULE(block_missing)
{
    struct pair p;
    each_block_disk(&p) if (p.there && !streq(p.there->kind, "block")) found(
        ("disk %s", p.disk->target),
        ("%s is %s on %s%s%s", p.disk->source, streq(p.there->kind, "absent") ? "not there" : p.there->kind,
         in->destination->name, p.there->error[0] ? ": " : "", p.there->error),
        ("a block device of that name"),
        ("log in to its target or rescan there (iscsiadm -m session --rescan, multipath -r), and check the "
         "zoning or the LUN's mapping"));
}

enum lun_identity luns_compare(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    if (!a || !b)
        return LUN_NOT_TOLD;
    if (a->wwid[0] && b->wwid[0])
        return streq(a->wwid, b->wwid) ? SAME_LUN : OTHER_LUN;
    if (!a->target[0] || !b->target[0] || !a->has_lun || !b->has_lun)
        return LUN_NOT_TOLD;
    return streq(a->target, b->target) && a->lun == b->lun ? SAME_LUN : OTHER_LUN;
}

RULE(block_differs)
{
    struct pair p;
    each_block_disk(&p)
    {
        const Drover__V1__Lun *a = lun_of(p.here), *b = lun_of(p.there);
        if (a && b && luns_compare(a, b) == OTHER_LUN)
            found(("disk %s", p.disk->target),
                  ("%s is %s%s on %s, and %s%s on %s", p.disk->source, a->wwid, a->target, in->source->name,
                   b->wwid, b->target, in->destination->name),
                  ("the same unit of the same target"),
                  ("use a name that follows the unit, /dev/disk/by-id/... or a multipath alias that both "
                   "hosts share"));
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
            luns_compare(lun_of(p.here), lun_of(p.there)) != LUN_NOT_TOLD)
            continue;
        const struct ask *silent = !p.here ? here : !p.there ? there : NULL;
        found(("disk %s", p.disk->target),
              ("%s: %s", p.disk->source, silent ? ask_words(silent) : "a device without a WWID or a target"),
              ("an identity (WWID, or target and unit) that both hosts read from the device"),
              ("use storage that has one: FC, iSCSI, SRP or multipath; a device of %s alone can't move along",
               in->source->name));
    }
}
