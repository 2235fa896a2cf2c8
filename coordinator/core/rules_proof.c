/* Rules about disks that are files: is it the same file at both hosts? A nonce that the source wrote beside the image was looked
 * for at the destination, at the same path; so it was beside each of its backing files that lies elsewhere. Each way to fail has its
 * rule, for each has its own remedy. */
#include "common/base/cleanup.h"
#include "coordinator/core/backing.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

enum fault { FINE, NOT_SHARED, OTHER_PATH, MISSING, READ_ONLY, STALE, FULL, UNPROVEN };

struct proof {
    const Drover__V1__Disk *disk;
    const char *file, *file_there; /* of the image, or of a backing file of it */
    bool backing;
    enum fault fault;
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

static bool same_text(const char *a, const char *b)
{
    return a[0] && streq(a, b);
}

/* What can be told without writing beside it: a device's identity; or that the file has the server's one number on the same export. */
static bool looks_same(const Drover__V1__PathFacts *a, const Drover__V1__PathFacts *b)
{
    if (!a || !b || !streq(a->kind, b->kind))
        return false;
    if (streq(a->kind, "block"))
        return luns_compare(a->lun, b->lun) == SAME_LUN;
    return streq(a->kind, "file") && a->mount && b->mount && a->mount->network && b->mount->network &&
           same_text(a->mount->source, b->mount->source) && streq(a->mount->root, b->mount->root) &&
           a->inode == b->inode && a->size == b->size && streq(a->relative, b->relative);
}

/* Of a disk that the guest only reads the content counts: where nobody may write, or two hosts have a copy each. */
static bool reads_the_same(const struct preflight *in, const struct proof *p)
{
    const char *key = p->disk->target;
    const struct ask *a =
        evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_IMAGE_HASH, key);
    const struct ask *b =
        evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_IMAGE_HASH, key);
    if (ask_proven(p->read) ||
        (ask_proven(a) && ask_proven(b) && same_text(a->result->identity, b->result->identity)))
        return true;
    return !ask_proven(p->write) &&
           looks_same(evidence_path(in->evidence, in->source, p->write->probe->path),
                      evidence_path(in->evidence, in->destination, p->read->probe->path));
}

/* FINE, too, of what isn't to be asked. */
static enum fault judge(const struct preflight *in, const Drover__V1__Disk *d, struct proof *p)
{
    *p = (struct proof){.disk = d, .file = d->source};
    p->write = evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, d->target);
    p->read =
        evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, d->target);
    if (!p->write || !p->read)
        return FINE;
    p->here = mount_of(p->write);
    p->elsewhere = same_elsewhere(in, p);
    if (streq(ask_reason(p->write), "is-device"))
        return FINE; /* a device by another name: rules_block.c */
    bool wrote = ask_proven(p->write);
    p->where = wrote ? in->destination : in->source;
    p->seen = ask_words(wrote ? p->read : p->write);
    if (d->readonly && reads_the_same(in, p))
        return FINE;
    enum fault fault = wrote ? judge_read(p) : judge_write(p);
    return d->readonly && (fault == READ_ONLY || fault == FULL) ? UNPROVEN : fault;
}

bool storage_is_local(const struct preflight *in, const Drover__V1__Disk *d)
{
    struct proof p;
    return disk_is_written(d) && judge(in, d, &p) == NOT_SHARED;
}

bool storage_proven(const struct preflight *in, const Drover__V1__Disk *d)
{
    struct proof p;
    return judge(in, d, &p) == FINE && (ask_proven(p.read) || (d->readonly && p.read));
}

/* ---- backing files ---- */

static enum fault judge_link(const struct preflight *in, struct proof *p)
{
    _cleanup_free_ char *key = backing_key(p->disk->target, p->file, p->file_there);
    p->write = evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, key);
    p->read = evidence_probe(in->evidence, in->destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, key);
    p->here = mount_of(p->write);
    p->elsewhere = same_elsewhere(in, p);
    bool wrote = ask_proven(p->write);
    p->where = wrote ? in->destination : in->source;
    p->seen = ask_words(wrote ? p->read : p->write);
    if (wrote ? ask_proven(p->read)
              : p->write && looks_same(evidence_path(in->evidence, in->source, p->file),
                                       evidence_path(in->evidence, in->destination, p->file_there)))
        return FINE; /* it is only read from */
    if (!p->write || !p->read)
        return UNPROVEN;
    if (!wrote)
        return hangs(p->write) ? STALE : UNPROVEN;
    enum fault fault = judge_read(p);
    return fault == READ_ONLY ? UNPROVEN : fault;
}

/* Of disk `i`: the image itself, and link `n` below it. False past the end. */
static bool fault_of(const struct preflight *in, size_t i, size_t n, struct proof *p)
{
    const Drover__V1__Disk *d = in->guest->guest->disks[i], *there = in->there->disks[i];
    if (n == 0) {
        enum fault fault = judge(in, d, p);
        p->fault = fault;
        return true;
    }
    *p = (struct proof){.disk = d, .backing = true};
    if (!backing_link(in->evidence, d->target, d, there, n, &p->file, &p->file_there))
        return false;
    bool local = p->file[0] == '/' || strncmp(p->file, "json:", 5) == 0;
    size_t beside = backing_beside(in->evidence, d->target, d, there, n);
    struct proof top;
    bool covered = beside < n && (beside || judge(in, d, &top) != FINE || ask_proven(top.read));
    bool copied = in->copy_storage && storage_is_local(in, d);
    p->fault = local && !covered && !copied ? judge_link(in, p) : FINE;
    return true;
}

#define each_fault(wanted, p)                                                                                \
    for (size_t i_ = 0; i_ < in->guest->guest->n_disks; i_++)                                                \
        for (size_t n_ = 0; fault_of(in, i_, n_, (p)); n_++)                                                 \
            if ((p)->fault == (wanted))

#define SUBJECT(p)                                                                                           \
    ("disk %s%s%s", (p).disk->target, (p).backing ? ", backed by " : "", (p).backing ? (p).file : "")

RULE(storage_not_shared)
{
    struct proof p;
    each_fault(NOT_SHARED, &p)
    {
        if (in->copy_storage && !p.backing && disk_is_written(p.disk))
            continue; /* rules_copy.c */
        bool local = p.here && !p.here->network;
        found(SUBJECT(p),
              ("%s has a directory of the same name, but it is another one: %s%s%s%s", p.where->name, p.seen,
               local ? " (at the source it is on " : "", local ? p.here->fs_type : "",
               local ? ", a file system of its own)" : ""),
              ("what %s writes beside %s to be there on %s, too", in->source->name, p.write->probe->path,
               in->destination->name),
              ("%s; or put it on storage that both hosts share, mounted at the same path or mapped "
               "(mappings: in "
               "coordinator.yaml)",
               p.backing          ? "merge it into the image (virsh blockpull)"
               : p.disk->readonly ? "put a copy with the same content there"
                                  : "copy the disk along (--copy-storage)"));
    }
}

RULE(storage_other_path)
{
    struct proof p;
    each_fault(OTHER_PATH, &p) found(
        SUBJECT(p),
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
        SUBJECT(p), ("%s", p.seen), ("the directory of %s on %s", p.read->probe->path, in->destination->name),
        ("mount %s at %s there, or map the path (mappings: in coordinator.yaml)%s",
         p.here && p.here->network ? p.here->source : "the storage",
         p.here && p.here->network ? p.here->target : "the same path as at the source",
         (p.here && p.here->network) || p.backing
             ? ""
             : "; for a copy of the disk (--copy-storage) make the directory"));
}

RULE(storage_read_only)
{
    struct proof p;
    each_fault(READ_ONLY, &p)
    {
        const Drover__V1__Mount *m = mount_of(p.where == in->source ? p.write : p.read);
        found(SUBJECT(p),
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
    each_fault(STALE, &p) found(SUBJECT(p), ("%s", p.seen), ("storage that answers on %s", p.where->name),
                                ("see that its server is up, then mount it anew there (umount -l, mount)"));
}

RULE(storage_full)
{
    struct proof p;
    each_fault(FULL, &p)
        found(SUBJECT(p), ("%s", p.seen), ("room for a file of a few bytes beside the image"),
              ("free some space on that storage: a guest whose disk can't grow stops"));
}

RULE(storage_unproven)
{
    struct proof p;
    each_fault(UNPROVEN, &p) found(
        SUBJECT(p), ("nothing proves that both hosts see the same %s: %s", p.file, p.seen),
        ("a nonce that %s writes beside it and %s reads", in->source->name, in->destination->name),
        ("%s on %s",
         streq(ask_reason(ask_proven(p.write) ? p.read : p.write), "denied")
             ? "see that root or the image's owner may write there: ls -ld of the directory, root_squash "
               "and all_squash of its export,"
             : "see the log of drover-agent",
         p.where->name));
}

/* What lies on a network file system at the source may be mounted on another host, though not on this one. */
void storage_mark_elsewhere(const struct preflight *in, struct findings *out)
{
    bool any = false;
    for (size_t i = 0; i < out->n; i++)
        any |= strncmp(out->list[i]->id, "storage-", 8) == 0 && !streq(out->list[i]->id, "storage-pool");
    struct proof p;
    for (size_t d = 0; any && d < in->guest->guest->n_disks; d++)
        for (size_t n = 0; fault_of(in, d, n, &p); n++) {
            if (p.fault == FINE || p.fault == FULL || p.fault == UNPROVEN || p.where != in->destination ||
                !p.here || !p.here->network)
                continue;
            _cleanup_free_ char *subject = xasprintf SUBJECT(p);
            for (size_t i = 0; i < out->n; i++)
                if (strncmp(out->list[i]->id, "storage-", 8) == 0 && streq(out->list[i]->subject, subject))
                    out->list[i]->elsewhere = true;
        }
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
