/* Rules about disks that --copy-storage copies. */
#include "common/base/cleanup.h"
#include "coordinator/core/relocation.h"
#include "coordinator/core/rules.h"

#include <string.h>

#define MIB(bytes) ((unsigned long long)(((bytes) + 0xfffff) >> 20))

#define each_copy(d)                                                                                         \
    for (size_t i = 0; i < in->guest->guest->n_disks; i++)                                                   \
        for (const Drover__V1__Disk *d = relocation_copies(in, i) ? in->guest->guest->disks[i] : NULL; d;    \
             d = NULL)

/* Of the destination's side of disk i. */
static const Drover__V1__PathFacts *target_of(const struct preflight *in, size_t i)
{
    _cleanup_free_ char *path = disk_path(in->destination, in->there->disks[i]);
    return path ? evidence_path(in->evidence, in->destination, path) : NULL;
}

RULE(copy_storage)
{
    each_copy(d)
        found(("disk %s", d->target),
              ("the hosts don't share %s: %llu MiB are copied to %s on %s", d->source,
               MIB(relocation_allocated(in, i)), in->there->disks[i]->source, in->destination->name),
              ("--copy-storage, as was asked"),
              ("remove the old image on %s, which is kept under another name, when it is no longer needed",
               in->source->name));
}

/* NULL: nothing. */
static const char *kind_fault(const struct preflight *in, const Drover__V1__Disk *d)
{
    if (!streq(d->type, "file") && !streq(d->type, "volume"))
        return "it is no file";
    if (d->format[0] && !streq(d->format, "raw") && !streq(d->format, "qcow2"))
        return "its format is not copied";
    if (d->shareable)
        return "it is shareable: another guest may use it";
    if (in->mode == DROVER__V1__MODE__MODE_POST_COPY)
        return "libvirt copies no disks with post-copy: use another mode";
    if (in->guest->guest->snapshots)
        return "the guest has snapshots, which would not be copied";
    const struct ask *image =
        evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_IMAGE, d->target);
    return ask_proven(image) ? NULL : ask_words(image);
}

RULE(copy_kind)
{
    each_copy(d)
    {
        const char *fault = kind_fault(in, d);
        if (fault)
            found(("disk %s", d->target),
                  ("%s (%s%s%s): %s", d->source, d->type, d->format[0] ? ", " : "", d->format, fault),
                  ("a raw or qcow2 file that qemu-img can open, and that only this guest writes"),
                  ("put the disk on shared storage, or move its content by hand"));
    }
}

RULE(copy_target)
{
    each_copy(d)
    {
        const Drover__V1__PathFacts *there = target_of(in, i);
        if (there && !streq(there->kind, "absent"))
            found(("disk %s", d->target),
                  ("%s has a %s there already: %s", in->destination->name, there->kind, there->path),
                  ("nothing at that path: what is there is never overwritten"),
                  ("if it is an old image, rename or remove it; else map the path (mappings: in "
                   "coordinator.yaml)"));
    }
}

/* What disks that go to one file system need together, told once for each. */
struct room {
    const Drover__V1__Mount *mount;
    uint64_t now, later;
    char *disks;
};

static bool room_at(const struct preflight *in, size_t disk, struct room *room)
{
    const Drover__V1__PathFacts *there = target_of(in, disk);
    *room = (struct room){.mount = there ? there->mount : NULL};
    if (!room->mount || !room->mount->size)
        return false;
    for (size_t k = 0; k < in->guest->guest->n_disks; k++) {
        const Drover__V1__PathFacts *other = relocation_copies(in, k) ? target_of(in, k) : NULL;
        if (!other || !other->mount || !streq(other->mount->target, room->mount->target))
            continue;
        if (k < disk) {
            free(room->disks);
            return false;
        }
        room->now += relocation_allocated(in, k);
        room->later += relocation_size(in, k);
        text_append(&room->disks, ", ", "%s", in->guest->guest->disks[k]->target);
    }
    return true;
}

RULE(copy_space)
{
    struct room room;
    each_copy(d)
    {
        if (!room_at(in, i, &room))
            continue;
        if (room.now > room.mount->available)
            found(
                ("disk %s", room.disks),
                ("%llu MiB are free at %s on %s", (unsigned long long)(room.mount->available >> 20),
                 room.mount->target, in->destination->name),
                ("%llu MiB, which they occupy now", MIB(room.now)),
                ("make room there, or map the path to a larger file system (mappings: in coordinator.yaml)"));
        free(room.disks);
    }
}

RULE(copy_space_later)
{
    struct room room;
    each_copy(d)
    {
        if (!room_at(in, i, &room))
            continue;
        if (room.now <= room.mount->available && room.later > room.mount->available)
            found(("disk %s", room.disks),
                  ("%llu MiB are free at %s on %s", (unsigned long long)(room.mount->available >> 20),
                   room.mount->target, in->destination->name),
                  ("%llu MiB, which the guest may come to fill", MIB(room.later)),
                  ("make room there before the guest writes that much"));
        free(room.disks);
    }
}
