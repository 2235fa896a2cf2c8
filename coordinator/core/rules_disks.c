/* Rules about how disks are used: caches, formats, media, and what libvirt refuses to take along. */
#include "common/base/cleanup.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

static bool is_empty(const Drover__V1__Disk *d)
{
    return !d->source[0];
}

/* libvirt's own rule (qemuMigrationSrcIsSafe): read-only disks, cache none and directsync are safe, and so is RBD; else only
 * with a QEMU that drops the destination's cached pages when it takes the disk over (4.0 and newer, on Linux). */
static bool needs_dropping(const Drover__V1__Disk *d)
{
    return !is_empty(d) && !d->readonly && !streq(d->device, "cdrom") && !streq(d->cache, "none") &&
           !streq(d->cache, "directsync") && !(streq(d->type, "network") && streq(d->protocol, "rbd"));
}

#define DROPS_CACHES 4000000

RULE(cache_unsafe)
{
    const Drover__V1__Guest *g = in->guest->guest;
    uint32_t here = in->source->report->qemu_version, there = in->destination->report->qemu_version;
    bool old = (here && here < DROPS_CACHES) || (there && there < DROPS_CACHES);
    for (size_t i = 0; i < g->n_disks; i++)
        if (needs_dropping(g->disks[i]) && old)
            found(
                ("disk %s", g->disks[i]->target),
                ("cache=%s", g->disks[i]->cache[0] ? g->disks[i]->cache : "default"),
                ("none or directsync: a QEMU older than 4.0 may read stale pages of the destination's cache"),
                ("set cache='none' in the guest's definition (virsh edit) and restart it"));
}

RULE(cache_mode)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        if (needs_dropping(d) && d->cache[0] && !streq(d->cache, "default"))
            found(("disk %s", d->target), ("cache=%s", d->cache),
                  ("none or directsync; with others QEMU must flush and drop the host's cache at the "
                   "switch-over"),
                  ("set cache='none' in the guest's definition (virsh edit): the pause gets shorter, too"));
    }
}

/* libvirt goes by the file system's magic number, of FUSE by its name (virFileIsSharedFS); older ones know fewer and say so themselves. */
static bool is_shared_to_libvirt(const char *fs_type)
{
    static const char *const types[] = {"nfs",  "nfs4",   "gfs2",           "gfs",         "ocfs2",
                                        "afs",  "cifs",   "smb3",           "ceph",        "gpfs",
                                        "acfs", "beegfs", "fuse.glusterfs", "fuse.quobyte"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (streq(fs_type, types[i]))
            return true;
    return false;
}

/* The guest may write to a floppy: libvirt takes it for a disk, whether the destination has that image or not. */
static bool is_writable_floppy(const Drover__V1__Disk *d)
{
    return streq(d->device, "floppy") && !d->readonly;
}

/* Whatever its cache mode. What was proven to be one file is in no danger; but VIR_MIGRATE_UNSAFE would quiet libvirt about all of the
 * guest's disks, and about caches, too. */
RULE(migration_unsafe)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        _cleanup_free_ char *path = disk_path(in->source, d);
        const Drover__V1__PathFacts *here = path ? evidence_path(in->evidence, in->source, path) : NULL;
        const Drover__V1__Mount *m = here ? here->mount : NULL;
        if (!m || !m->fs_type[0] || is_shared_to_libvirt(m->fs_type))
            continue;
        if (is_writable_floppy(d))
            found(("floppy %s", d->target),
                  ("%s can be written, and is on %s at %s: libvirt would refuse the migration as unsafe",
                   path, m->fs_type, m->target),
                  ("no floppy, one that is only read, or one on shared storage"),
                  ("eject it: virsh change-media %s %s --eject", g->name, d->target));
        else if (disk_is_written(d) && storage_proven(in, d))
            found(
                ("disk %s", d->target),
                ("%s is on both hosts, but on %s at %s, which libvirt does not take for shared: it would "
                 "refuse "
                 "the migration as unsafe",
                 path, m->fs_type, m->target),
                ("a file system that libvirt takes for shared: NFS, SMB, CephFS (not by FUSE), GFS2, OCFS2, "
                 "AFS, "
                 "GPFS, ACFS, BeeGFS, or GlusterFS and Quobyte by FUSE"),
                ("put the image on one of those, or move the guest while it is shut off; where libvirt on %s "
                 "was told of it (shared_filesystems in qemu.conf of newer ones), --accept migration-unsafe",
                 in->source->name));
    }
}

RULE(disk_format)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        if (disk_is_written(d) && d->format[0] && !streq(d->format, "raw") && !streq(d->format, "qcow2"))
            found(("disk %s", d->target), ("format %s", d->format),
                  ("raw or qcow2: QEMU reads others anew at the switch-over only in part"),
                  ("convert it while the guest is shut off: qemu-img convert -O qcow2"));
    }
}

RULE(disk_transient)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++)
        if (g->disks[i]->transient)
            found(("disk %s", g->disks[i]->target),
                  ("it is transient: what the guest wrote is in an overlay on %s", in->source->name),
                  ("no transient disks: libvirt can't take the overlay along"),
                  ("shut the guest off (the overlay is dropped then) and move its definition"));
}

RULE(disk_shareable)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        if (d->shareable && disk_is_written(d) && d->format[0] && !streq(d->format, "raw"))
            found(("disk %s", d->target), ("shareable, in format %s", d->format),
                  ("raw: QEMU takes no lock on a shareable disk, and two writers ruin the metadata of %s",
                   d->format),
                  ("drop <shareable/> from the definition, or convert the disk to raw"));
    }
}

/* What a host told of the media in the drive; NULL: nothing, or it is no drive. */
static const Drover__V1__PathFacts *media_at(const struct preflight *in, const struct fleet_host *host,
                                             const Drover__V1__Disk *d)
{
    _cleanup_free_ char *path = disk_path(host, d);
    return disk_is_media(d) && !is_empty(d) ? evidence_path(in->evidence, host, path ? path : d->source)
                                            : NULL;
}

/* Media that only the source has: libvirt refuses to start the guest at the destination without it. */
RULE(cdrom_local)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        const Drover__V1__PathFacts *there = media_at(in, in->destination, in->there->disks[i]);
        if (there && streq(there->kind, "absent"))
            found(("%s %s", d->device, d->target), ("%s is not on %s", there->path, in->destination->name),
                  ("no media, or media that both hosts see at that path"),
                  ("eject it (virsh change-media %s %s --eject), or put it on shared storage", g->name,
                   d->target));
    }
}

RULE(cdrom_differs)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        const Drover__V1__PathFacts *here = media_at(in, in->source, d),
                                    *there = media_at(in, in->destination, in->there->disks[i]);
        if (here && there && streq(here->kind, "file") && streq(there->kind, "file") &&
            here->size != there->size)
            found(("%s %s", d->device, d->target),
                  ("%s has %llu bytes on %s and %llu on %s", here->path, (unsigned long long)here->size,
                   in->source->name, (unsigned long long)there->size, in->destination->name),
                  ("the same media on both"),
                  ("eject it (virsh change-media %s %s --eject), or put the same file there", g->name,
                   d->target));
    }
}
