#include "coordinator/core/relocation.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/mapping.h"
#include "coordinator/core/rules.h"

#include <stdlib.h>

static const Drover__V1__ProbeResult *image_of(const struct preflight *in, size_t disk)
{
    const struct ask *a = evidence_probe(in->evidence, in->source, DROVER__V1__PROBE_KIND__PROBE_IMAGE,
                                         in->guest->guest->disks[disk]->target);
    return ask_proven(a) ? a->result : NULL;
}

bool relocation_copies(const struct preflight *in, size_t disk)
{
    return in->copy_storage && in->evidence && storage_is_local(in, in->guest->guest->disks[disk]);
}

#define HASHED_MAX (2ULL << 30) /* of backing files that are read beforehand: agent/io/disk_image.c */

/* Are all links below the image at the destination, as far as can be seen from here? */
static bool has_chain(const struct preflight *in, const Drover__V1__Mapping *m,
                      const Drover__V1__ProbeResult *image)
{
    uint64_t size = 0;
    for (size_t i = 1; i < image->n_images; i++) {
        _cleanup_free_ char *path =
            mapping_name(m, DROVER__V1__MAPPING_KIND__MAPPING_PATH, image->images[i]->name);
        const Drover__V1__PathFacts *there = evidence_path(in->evidence, in->destination, path);
        if (!there || !streq(there->kind, "file") || there->virtual_size != image->images[i]->virtual_size)
            return false;
        size += there->size;
    }
    return size <= HASHED_MAX;
}

/* The agents' own rule (choose_backing in agent/copies.c), but for the hash, which they take at PREPARE: the backing files of all copies
 * are used in place, or none. */
static bool keeps_backing(const struct preflight *in)
{
    bool keeps = in->mode != DROVER__V1__MODE__MODE_DEFINITION;
    Drover__V1__Mapping *m = mapping_between(in->fleet->mappings, in->source, in->destination);
    for (size_t i = 0; i < in->guest->guest->n_disks && keeps; i++) {
        const Drover__V1__ProbeResult *image = relocation_copies(in, i) ? image_of(in, i) : NULL;
        if (image && image->n_images > 1)
            keeps = streq(in->guest->guest->disks[i]->format, "qcow2") && has_chain(in, m, image);
    }
    if (m)
        drover__v1__mapping__free_unpacked(m, NULL);
    return keeps;
}

uint64_t relocation_allocated(const struct preflight *in, size_t disk)
{
    const Drover__V1__ProbeResult *image = image_of(in, disk);
    size_t n = !image ? 0 : image->n_images > 1 && keeps_backing(in) ? 1 : image->n_images;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += image->images[i]->actual_size;
    uint64_t size = relocation_size(in, disk);
    return size && sum > size ? size : sum;
}

uint64_t relocation_size(const struct preflight *in, size_t disk)
{
    const Drover__V1__ProbeResult *image = image_of(in, disk);
    return image && image->n_images ? image->images[0]->virtual_size : 0;
}

static Drover__V1__DiskCopy *copy_new(const struct preflight *in, const Drover__V1__Guest *there, size_t disk)
{
    const Drover__V1__Disk *d = in->guest->guest->disks[disk];
    const Drover__V1__ProbeResult *image = image_of(in, disk);
    Drover__V1__DiskCopy *c = new0(Drover__V1__DiskCopy);
    drover__v1__disk_copy__init(c);
    c->target = xstrdup(d->target);
    c->from = disk_path(in->source, d);
    c->to = disk_path(in->destination, there->disks[disk]);
    c->format = xstrdup(d->format[0] ? d->format : "raw");
    c->size = relocation_size(in, disk);
    c->bytes = relocation_allocated(in, disk);
    if (image && image->n_images > 1)
        c->source_backing = xstrdup(image->images[1]->name);
    return c;
}

Drover__V1__Relocation *relocation_make(const struct preflight *in)
{
    Drover__V1__Relocation *r = new0(Drover__V1__Relocation);
    drover__v1__relocation__init(r);
    r->mapping = mapping_between(in->fleet->mappings, in->source, in->destination);
    Drover__V1__Guest *there = mapping_guest(r->mapping, in->guest->guest);
    for (size_t i = 0; i < there->n_disks; i++) {
        if (!relocation_copies(in, i))
            continue;
        r->copies = xrealloc(r->copies, r->n_copies + 1, sizeof(*r->copies));
        r->copies[r->n_copies++] = copy_new(in, there, i);
    }
    drover__v1__guest__free_unpacked(there, NULL);
    if (r->mapping || r->n_copies)
        return r;
    drover__v1__relocation__free_unpacked(r, NULL);
    return NULL;
}

uint64_t relocation_bytes(const Drover__V1__Relocation *r)
{
    uint64_t sum = 0;
    for (size_t i = 0; r && i < r->n_copies; i++)
        sum += r->copies[i]->bytes;
    return sum;
}

struct changes {
    Drover__V1__Change **list;
    size_t n;
};

static void add(struct changes *out, char *subject, const char *from, const char *to, char *note)
{
    Drover__V1__Change *c = new0(Drover__V1__Change);
    drover__v1__change__init(c);
    c->subject = subject;
    c->from = xstrdup(from);
    c->to = xstrdup(to);
    c->note = note ? note : xstrdup("");
    out->list = xrealloc(out->list, out->n + 1, sizeof(*out->list));
    out->list[out->n++] = c;
}

static const Drover__V1__DiskCopy *copy_of(const Drover__V1__Relocation *r, const char *target)
{
    for (size_t i = 0; i < r->n_copies; i++)
        if (streq(r->copies[i]->target, target))
            return r->copies[i];
    return NULL;
}

size_t relocation_changes(const struct preflight *in, const Drover__V1__Relocation *r,
                          Drover__V1__Change ***ret)
{
    struct changes out = {0};
    const Drover__V1__Guest *here = in->guest->guest;
    Drover__V1__Guest *there = r ? mapping_guest(r->mapping, here) : NULL;
    for (size_t i = 0; there && i < here->n_disks; i++) {
        const Drover__V1__Disk *d = here->disks[i];
        const Drover__V1__DiskCopy *copy = copy_of(r, d->target);
        if (copy)
            add(&out, xasprintf("disk %s", d->target), copy->from, copy->to,
                xasprintf("copied, %llu MiB", (unsigned long long)((copy->bytes + 0xfffff) >> 20)));
        else if (!streq(d->source, there->disks[i]->source))
            add(&out, xasprintf("disk %s", d->target), d->source, there->disks[i]->source, NULL);
        for (size_t b = 0; b < d->n_backing && !copy; b++)
            if (!streq(d->backing[b], there->disks[i]->backing[b]))
                add(&out, xasprintf("backing file of disk %s", d->target), d->backing[b],
                    there->disks[i]->backing[b], NULL);
    }
    for (size_t i = 0; there && i < here->n_paths; i++)
        if (!streq(here->paths[i]->path, there->paths[i]->path))
            add(&out, xstrdup(here->paths[i]->device), here->paths[i]->path, there->paths[i]->path, NULL);
    if (there && !streq(here->nvram, there->nvram))
        add(&out, xstrdup("nvram"), here->nvram, there->nvram, NULL);
    for (size_t i = 0; there && i < here->n_interfaces; i++) {
        const Drover__V1__Interface *a = here->interfaces[i], *b = there->interfaces[i];
        if (!streq(a->source, b->source))
            add(&out, xasprintf("interface %s (%s)", a->mac, a->type), a->source, b->source, NULL);
    }
    if (there)
        drover__v1__guest__free_unpacked(there, NULL);
    *ret = out.list;
    return out.n;
}
