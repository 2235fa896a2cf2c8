/* Rules about disks that are files: is it the same file at both hosts? A nonce that the source wrote beside the image was looked
 * for at the destination, at the same path. Each way to fail has its rule, for each has its own remedy. */
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

enum fault { FINE, NOT_SHARED, OTHER_PATH, MISSING, READ_ONLY, STALE, FULL, UNPROVEN };

struct proof {
    const Drover__V1__Disk *disk;
    const struct ask *write, *read;
    const struct fleet_host *where; /* the host at fault */
    const char *seen;
    const Drover__V1__Mount *here; /* what holds the image at the source; NULL: not known */
    const Drover__V1__Mount *elsewhere;
};

static const Drover__V1__Mount *mount_of(const struct ask *a)
{
    return a && a->result && a->result->path ? a->result->path->mount : NULL;
}

/* The same export or file system, mounted somewhere else at the destination. */
static const Drover__V1__Mount *same_elsewhere(const struct preflight *in, const struct proof *p)
{
    const Drover__V1__Inspection *there = evidence_inspection(in->evidence, in->destination);
    for (size_t i = 0; p->here && p->here->network && there && i < there->n_mounts; i++) {
        const Drover__V1__Mount *m = there->mounts[i];
        if (streq(m->source, p->here->source) && streq(m->root, p->here->root) &&
            !streq(m->target, p->here->target))
            return m;
    }
    return NULL;
}

static bool hangs(const struct ask *a)
{
    return (a->state == ASK_FAILED && a->code == STATUS_DEADLINE_EXCEEDED) || streq(ask_reason(a), "stale") ||
           streq(ask_reason(a), "timeout");
}

static enum fault judge_write(const struct proof *p)
{
    if (hangs(p->write))
        return STALE;
    if (streq(ask_reason(p->write), "read-only"))
        return READ_ONLY;
    return streq(ask_reason(p->write), "full") ? FULL : UNPROVEN;
}

static enum fault judge_read(struct proof *p)
{
    const char *why = ask_reason(p->read);
    if (ask_proven(p->read))
        return p->read->result->writable ? FINE : READ_ONLY;
    if (hangs(p->read))
        return STALE;
    if (streq(why, "read-only"))
        return READ_ONLY;
    if (streq(why, "absent") || streq(why, "other-content"))
        return p->elsewhere ? OTHER_PATH : NOT_SHARED;
    if (streq(why, "no-directory"))
        return p->elsewhere ? OTHER_PATH : MISSING;
    return UNPROVEN;
}

/* FINE, too, of what isn't to be asked. */
static enum fault judge(const struct preflight *in, const Drover__V1__Disk *d, struct proof *p)
{
    *p = (struct proof){.disk = d};
    p->write = evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, d->target);
    p->read =
        evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, d->target);
    if (!p->write || !p->read)
        return FINE;
    p->here = mount_of(p->write);
    p->elsewhere = same_elsewhere(in, p);
    if (streq(ask_reason(p->write), "is-device"))
        return FINE; /* a device by another name: compared below */
    bool wrote = ask_proven(p->write);
    p->where = wrote ? in->destination : in->source;
    p->seen = ask_words(wrote ? p->read : p->write);
    return wrote ? judge_read(p) : judge_write(p);
}

bool storage_is_local(const struct preflight *in, const Drover__V1__Disk *d)
{
    struct proof p;
    return judge(in, d, &p) == NOT_SHARED;
}

bool storage_proven(const struct preflight *in, const Drover__V1__Disk *d)
{
    struct proof p;
    return judge(in, d, &p) == FINE && ask_proven(p.read);
}

#define each_fault(fault, p)                                                                                 \
    for (size_t i_ = 0; i_ < in->guest->guest->n_disks; i_++)                                                \
        if (judge(in, in->guest->guest->disks[i_], (p)) == (fault))

RULE(storage_not_shared)
{
    struct proof p;
    each_fault(NOT_SHARED, &p)
    {
        if (in->copy_storage)
            continue; /* rules_copy.c */
        bool local = p.here && !p.here->network;
        found(("disk %s", p.disk->target),
              ("%s has a directory of the same name, but it is another one: %s%s%s%s", p.where->name, p.seen,
               local ? " (at the source it is on " : "", local ? p.here->fs_type : "",
               local ? ", a file system of its own)" : ""),
              ("what %s writes beside %s to be there on %s, too", in->source->name, p.write->probe->path,
               in->destination->name),
              ("copy the disk along (--copy-storage); or put it on storage that both hosts share, mounted at "
               "the same path or mapped (mappings: in coordinator.yaml)"));
    }
}

RULE(storage_other_path)
{
    struct proof p;
    each_fault(OTHER_PATH, &p) found(
        ("disk %s", p.disk->target),
        ("%s is mounted at %s on %s, and at %s on %s", p.here->source, p.here->target, in->source->name,
         p.elsewhere->target, in->destination->name),
        ("the same mount point on both, or a mapping: the destination would look at %s", p.read->probe->path),
        ("mount it at %s on %s, too; or give a mapping of paths from %s to %s (mappings: in "
         "coordinator.yaml)",
         p.here->target, in->destination->name, p.here->target, p.elsewhere->target));
}

RULE(storage_missing)
{
    struct proof p;
    each_fault(MISSING, &p) found(
        ("disk %s", p.disk->target), ("%s", p.seen),
        ("the directory of %s on %s", p.read->probe->path, in->destination->name),
        ("mount %s at %s there, or map the path (mappings: in coordinator.yaml)%s",
         p.here && p.here->network ? p.here->source : "the storage",
         p.here && p.here->network ? p.here->target : "the same path as at the source",
         p.here && p.here->network ? "" : "; for a copy of the disk (--copy-storage) make the directory"));
}

RULE(storage_read_only)
{
    struct proof p;
    each_fault(READ_ONLY, &p)
    {
        const Drover__V1__Mount *m = mount_of(p.where == in->source ? p.write : p.read);
        found(("disk %s", p.disk->target),
              ("%s can't write to the directory of %s%s%s", p.where->name, p.write->probe->path,
               m && m->read_only ? ": it is mounted read-only at " : "", m && m->read_only ? m->target : ""),
              ("storage that both hosts may write to"),
              ("%s%s on %s, and export it read-write", m ? "mount -o remount,rw " : "make it writable",
               m ? m->target : "", p.where->name));
    }
}

RULE(storage_stale)
{
    struct proof p;
    each_fault(STALE, &p)
        found(("disk %s", p.disk->target), ("%s", p.seen), ("storage that answers on %s", p.where->name),
              ("see that its server is up, then mount it anew there (umount -l, mount)"));
}

RULE(storage_full)
{
    struct proof p;
    each_fault(FULL, &p) found(("disk %s", p.disk->target), ("%s", p.seen),
                               ("room for a file of a few bytes beside the image"),
                               ("free some space on that storage: a guest whose disk can't grow stops"));
}

RULE(storage_unproven)
{
    struct proof p;
    each_fault(UNPROVEN, &p) found(
        ("disk %s", p.disk->target),
        ("nothing proves that both hosts see the same %s: %s", p.disk->source, p.seen),
        ("a nonce that %s writes beside it and %s reads", in->source->name, in->destination->name),
        ("%s on %s",
         streq(ask_reason(ask_proven(p.write) ? p.read : p.write), "denied")
             ? "see that root or the image's owner may write there: ls -ld of the directory, root_squash "
               "and all_squash of its export,"
             : "see the log of drover-agent",
         p.where->name));
}

RULE(probe_unknown)
{
    const struct fleet_host *hosts[2] = {in->source, in->destination};
    for (unsigned h = 0; h < 2; h++)
        for (size_t i = 0; i < in->evidence->n; i++) {
            const struct ask *a = &in->evidence->asks[i];
            if (a->host != hosts[h] || !ask_unknown(a))
                continue;
            found(("host %s", hosts[h]->name),
                  ("its agent (%s) can't prove storage and networks: %s",
                   hosts[h]->report ? hosts[h]->report->agent_version : "?", a->why),
                  ("an agent of this coordinator's version, %s", DROVER_VERSION),
                  ("update drover-agent there"));
            break;
        }
}

/* ---- block devices ----------------------------------------------------------------------------------------------- */

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

enum identity { SAME, DIFFERENT, NOT_TOLD };

static enum identity compare(const Drover__V1__Lun *a, const Drover__V1__Lun *b)
{
    if (!a || !b)
        return NOT_TOLD;
    if (a->wwid[0] && b->wwid[0])
        return streq(a->wwid, b->wwid) ? SAME : DIFFERENT;
    if (!a->target[0] || !b->target[0] || !a->has_lun || !b->has_lun)
        return NOT_TOLD;
    return streq(a->target, b->target) && a->lun == b->lun ? SAME : DIFFERENT;
}

RULE(block_differs)
{
    struct pair p;
    each_block_disk(&p)
    {
        const Drover__V1__Lun *a = lun_of(p.here), *b = lun_of(p.there);
        if (a && b && compare(a, b) == DIFFERENT)
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
            compare(lun_of(p.here), lun_of(p.there)) != NOT_TOLD)
            continue;
        const struct ask *silent = !p.here ? here : !p.there ? there : NULL;
        found(("disk %s", p.disk->target),
              ("%s: %s", p.disk->source, silent ? ask_words(silent) : "a device without a WWID or a target"),
              ("an identity (WWID, or target and unit) that both hosts read from the device"),
              ("use storage that has one: FC, iSCSI, SRP or multipath; a device of %s alone can't move along",
               in->source->name));
    }
}
