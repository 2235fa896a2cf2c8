/* Cases of the rules that judge what agents proved: each spoils one answer, and names the finding that must come of it. */
#include "preflight_cases.h"

#include "coordinator/core/message.h"

#include "common/base/memory.h"
#include "made_proof.h"

#include <string.h>

#define SPOIL(name) static void name(struct move *m)
#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define KIND(k) DROVER__V1__PROBE_KIND__PROBE_##k
#define IMAGE "/srv/nfs/web1.raw"

/* kvm3 exports; the guest has a file on its NFS. */
void move_with_proof(struct move *m)
{
    Drover__V1__Disk *d = m->guest->disks[0];
    made_string(&d->type, "file");
    made_string(&d->source, IMAGE);
    made_string(&d->format, "raw");
    m->third->report->hypervisor = false;
    m->third->report->storage = true;
    made_proof(&m->evidence, &m->fleet, m->source, m->destination, m->guest);
    m->in.evidence = &m->evidence;
}

struct ask *move_asked(struct move *m, const struct fleet_host *host, Drover__V1__ProbeKind kind)
{
    if (!m->in.evidence)
        move_with_proof(m);
    return made_ask(&m->evidence, host, kind, NULL);
}

Drover__V1__Inspection *move_seen(struct move *m, const struct fleet_host *host)
{
    if (!m->in.evidence)
        move_with_proof(m);
    return made_inspection(&m->evidence, host);
}

SPOIL(look_alike)
{
    made_answer(move_asked(m, m->destination, KIND(NONCE_READ)), REFUTED, "absent",
                "nothing there after 1500 ms");
}
SPOIL(other_path)
{
    made_answer(move_asked(m, m->destination, KIND(NONCE_READ)), UNDECIDED, "no-directory",
                "no such directory");
    made_string(&move_seen(m, m->destination)->mounts[0]->target, "/mnt/elsewhere");
}
SPOIL(not_mounted)
{
    made_answer(move_asked(m, m->destination, KIND(NONCE_READ)), UNDECIDED, "no-directory",
                "no such directory");
}
SPOIL(read_only_there)
{
    struct ask *a = move_asked(m, m->destination, KIND(NONCE_READ));
    a->result->writable = false;
    a->result->path->mount->read_only = true;
}
SPOIL(read_only_here)
{
    made_answer(move_asked(m, m->source, KIND(NONCE_WRITE)), UNDECIDED, "read-only", "read-only file system");
}
SPOIL(stale)
{
    made_answer(move_asked(m, m->destination, KIND(NONCE_READ)), REFUTED, "stale", "stale file handle");
}
SPOIL(hung)
{
    made_silence(move_asked(m, m->destination, KIND(NONCE_READ)), STATUS_DEADLINE_EXCEEDED,
                 "kvm2 gave no answer in 3 s");
}
SPOIL(no_room)
{
    made_answer(move_asked(m, m->source, KIND(NONCE_WRITE)), UNDECIDED, "full", "no space left on device");
}
SPOIL(denied)
{
    made_answer(move_asked(m, m->source, KIND(NONCE_WRITE)), UNDECIDED, "denied", "permission denied");
}
static Drover__V1__GuestNow *now(struct move *m)
{
    return move_seen(m, m->source)->guest;
}
SPOIL(snapshot_of_a_moment_ago)
{
    now(m)->snapshots = 1;
}
SPOIL(disk_of_the_next_start)
{
    Drover__V1__GuestNow *n = now(m);
    n->later = xcalloc(1, sizeof(char *));
    n->later[n->n_later++] = xstrdup("disk vdb (/srv/new.raw)");
}
SPOIL(mute)
{
    move_with_proof(m);
    for (size_t i = 0; i < m->evidence.n; i++)
        if (m->evidence.asks[i].host == m->destination)
            made_silence(&m->evidence.asks[i], STATUS_DEADLINE_EXCEEDED, "kvm2 gave no answer in 3 s");
}
SPOIL(old_agent)
{
    made_silence(move_asked(m, m->destination, KIND(CLOCK)), STATUS_UNIMPLEMENTED, "no such method");
}

SPOIL(never_heard_of_nonces)
{
    made_silence(move_asked(m, m->source, KIND(NONCE_WRITE)), STATUS_UNIMPLEMENTED, "no such method");
}

/* ---- copies ---- */

/* The guest's disk is not shared, of 1 MiB, and there is room for its copy. */
static Drover__V1__PathFacts *copied(struct move *m)
{
    look_alike(m);
    m->in.copy_storage = true;
    Drover__V1__ImageFacts *image = move_asked(m, m->source, KIND(IMAGE))->result->images[0];
    image->actual_size = 1 << 19;
    Drover__V1__PathFacts *there = move_seen(m, m->destination)->paths[0];
    made_string(&there->kind, "absent");
    there->mount->size = 8 << 20;
    there->mount->available = 4 << 20;
    return there;
}
SPOIL(copied_along)
{
    copied(m);
}
SPOIL(copied_vmdk)
{
    copied(m);
    made_string(&m->guest->disks[0]->format, "vmdk");
}
SPOIL(copied_shareable)
{
    copied(m);
    m->guest->disks[0]->shareable = true;
}
SPOIL(copied_unread)
{
    copied(m);
    made_answer(move_asked(m, m->source, KIND(IMAGE)), REFUTED, "failed", "image is corrupt");
}
SPOIL(copied_post_copy)
{
    copied(m);
    m->in.mode = DROVER__V1__MODE__MODE_POST_COPY;
}
SPOIL(copied_over)
{
    made_string(&copied(m)->kind, "file");
}
SPOIL(copied_to_the_brim)
{
    copied(m)->mount->available = 1 << 18;
}
SPOIL(copied_tightly)
{
    copied(m)->mount->available = 3 << 18;
}

/* ---- exports and images ---- */

SPOIL(exported_by_destination)
{
    struct ask *a = move_asked(m, m->source, KIND(NONCE_WRITE));
    made_string(&a->result->path->mount->source, "kvm2:/srv/nfs");
    made_answer(move_asked(m, m->third, KIND(NONCE_FIND)), REFUTED, "absent", "not found");
}
SPOIL(closed)
{
    Drover__V1__ExportAccess *a = new0(Drover__V1__ExportAccess);
    drover__v1__export_access__init(a);
    made_string(&a->host, "kvm2");
    made_string(&a->why, "10.0.0.12 matches no client");
    a->allowed = DROVER__V1__ANSWER__NO;
    Drover__V1__Export *e = move_seen(m, m->third)->exports[0];
    e->access = xcalloc(1, sizeof(e->access[0]));
    e->access[e->n_access++] = a;
}
SPOIL(untraced)
{
    made_answer(move_asked(m, m->third, KIND(NONCE_FIND)), REFUTED, "absent", "not found");
}
SPOIL(broken_chain)
{
    made_answer(move_asked(m, m->destination, KIND(IMAGE)), REFUTED, "failed", "base.qcow2: no such file");
}
SPOIL(no_tools)
{
    made_answer(move_asked(m, m->destination, KIND(IMAGE)), UNDECIDED, "no-program", "there is no qemu-img");
}
SPOIL(no_tools_here)
{
    made_answer(move_asked(m, m->source, KIND(IMAGE)), UNDECIDED, "no-program", "there is no qemu-img");
}
SPOIL(other_size)
{
    move_asked(m, m->destination, KIND(IMAGE))->result->images[0]->virtual_size = 5;
}

static struct ask *mounted_from(struct move *m, const char *source, const char *fs_type)
{
    Drover__V1__Mount *mount = move_asked(m, m->source, KIND(NONCE_WRITE))->result->path->mount;
    made_string(&mount->source, source);
    made_string(&mount->fs_type, fs_type);
    return move_asked(m, m->third, KIND(NONCE_FIND));
}
SPOIL(not_seen_where_it_is_mounted_from)
{
    made_answer(mounted_from(m, "kvm3:/srv/nfs/guests", "nfs4"), REFUTED, "absent", "not found");
}
SPOIL(not_seen_in_an_export_of_another_name)
{
    made_answer(mounted_from(m, "kvm3:/srv/other", "nfs4"), REFUTED, "absent", "not found");
}
static Drover__V1__Export *with_bricks(struct move *m, const char *first, const char *second)
{
    Drover__V1__Export *e = move_seen(m, m->third)->exports[0];
    made_string(&e->kind, "gluster");
    made_string(&e->name, "gv0");
    made_string(&move_asked(m, m->third, KIND(NONCE_FIND))->result->export_name, "gv0");
    e->bricks = xcalloc(2, sizeof(e->bricks[0]));
    e->bricks[e->n_bricks++] = xstrdup(first);
    e->bricks[e->n_bricks++] = xstrdup(second);
    return e;
}
SPOIL(brick_of_the_destination)
{
    with_bricks(m, "kvm3:/srv/brick", "kvm2:/srv/brick");
}
SPOIL(brick_of_the_source_by_its_address)
{
    made_string(&m->from->migration_address, "fd00::11");
    with_bricks(m, "[fd00::11]:/srv/brick", "kvm3:/srv/brick");
}
SPOIL(not_seen_in_any_brick)
{
    made_answer(mounted_from(m, "kvm3:/gv0", "fuse.glusterfs"), REFUTED, "absent", "not found");
    with_bricks(m, "kvm3:/srv/brick", "kvm3:/srv/brick2");
}
SPOIL(not_seen_but_a_brick_is_a_strangers)
{
    made_answer(mounted_from(m, "kvm3:/gv0", "fuse.glusterfs"), REFUTED, "absent", "not found");
    with_bricks(m, "kvm3:/srv/brick", "stranger:/srv/brick");
}
SPOIL(open_to_a_netgroup)
{
    closed(m);
    Drover__V1__ExportAccess *a = move_seen(m, m->third)->exports[0]->access[0];
    a->allowed = DROVER__V1__ANSWER__ANSWER_UNKNOWN;
    made_string(&a->why, "whether kvm2 is @hosts can't be told from here");
}
SPOIL(shared_by_sshfs)
{
    made_string(&move_seen(m, m->source)->paths[0]->mount->fs_type, "fuse.sshfs");
}

static Drover__V1__Disk *with_cdrom(struct move *m)
{
    Drover__V1__Disk *d = made_disk(m->guest, "file", "/var/lib/iso/install.iso");
    made_string(&d->target, "hdc");
    made_string(&d->device, "cdrom");
    return d;
}
SPOIL(local_floppies)
{
    Drover__V1__Disk *written = with_cdrom(m), *read = with_cdrom(m);
    made_string(&written->device, "floppy");
    made_string(&written->target, "fda");
    made_string(&written->source, "/var/lib/iso/floppy.img");
    made_string(&read->device, "floppy");
    read->readonly = true;
    for (size_t i = 1; i < move_seen(m, m->source)->n_paths; i++)
        made_string(&move_seen(m, m->source)->paths[i]->mount->fs_type, "ext4");
}
SPOIL(local_media)
{
    with_cdrom(m);
    made_string(&move_seen(m, m->destination)->paths[1]->kind, "absent");
}
SPOIL(other_media)
{
    with_cdrom(m);
    move_seen(m, m->destination)->paths[1]->size = 3;
}

/* ---- disks as they are used; no proof needed ---- */

SPOIL(old_cache)
{
    m->to->qemu_version = m->from->qemu_version = 3001000;
}
SPOIL(writeback)
{
    made_string(&m->guest->disks[0]->cache, "writeback");
}
SPOIL(vmdk)
{
    made_string(&m->guest->disks[0]->format, "vmdk");
}
SPOIL(transient)
{
    m->guest->disks[0]->transient = true;
}
SPOIL(shared_qcow2)
{
    m->guest->disks[0]->shareable = true;
    made_string(&m->guest->disks[0]->format, "qcow2");
}

#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK
#define I DROVER__V1__SEVERITY__INFO

const struct spoiled preflight_proofs[] = {
    {look_alike, "storage-not-shared", "1500 ms", MORE, B},
    {other_path, "storage-other-path", "/mnt/elsewhere", MORE, B},
    {not_mounted, "storage-missing", "no such directory", ONLY, B},
    {read_only_there, "storage-read-only", "kvm2", MORE, B},
    {read_only_here, "storage-read-only", "kvm1", ONLY, B},
    {stale, "storage-stale", "stale", ONLY, B},
    {hung, "storage-stale", "3 s", ONLY, B},
    {no_room, "storage-full", "no space", ONLY, B},
    {denied, "storage-unproven", "denied", ONLY, B},
    {mute, "agent-silent", "answered no question", ONLY, B},
    {old_agent, "probe-unknown", "kvm2", ONLY, W},
    {never_heard_of_nonces, "storage-unproven", "no such method", MORE, B},
    {snapshot_of_a_moment_ago, "snapshots", "1 snapshot", ONLY, B},
    {disk_of_the_next_start, "definition-differs", "disk vdb (/srv/new.raw)", ONLY, W},
    {copied_along, "copy-storage", "kvm2", ONLY, I},
    {copied_vmdk, "copy-kind", "vmdk", MORE, B},
    {copied_shareable, "copy-kind", "shareable", MORE, B},
    {copied_unread, "copy-kind", "corrupt", MORE, B},
    {copied_post_copy, "copy-kind", "post-copy", MORE, B},
    {copied_over, "copy-target", IMAGE, MORE, B},
    {copied_to_the_brim, "copy-space", "0 MiB are free", MORE, B},
    {copied_tightly, "copy-space-later", "0 MiB are free", MORE, W},
    {exported_by_destination, "export-is-host", "kvm2 itself", ONLY, B},
    {closed, "export-closed", "10.0.0.12", ONLY, B},
    {untraced, "export-untraced", "web1.raw", ONLY, W},
    {not_seen_where_it_is_mounted_from, "export-not-seen", "kvm3 exports /srv/nfs", ONLY, B},
    {not_seen_in_an_export_of_another_name, "export-untraced", "kvm3 knows no export", ONLY, W},
    {not_seen_in_any_brick, "export-not-seen", "kvm3 exports gv0", ONLY, B},
    {not_seen_but_a_brick_is_a_strangers, "export-untraced", "kvm3 knows no export", ONLY, W},
    {brick_of_the_destination, "export-is-host", "kvm2 itself serves a brick of", ONLY, B},
    {brick_of_the_source_by_its_address, "export-is-host", "kvm1 itself serves a brick of", ONLY, B},
    {open_to_a_netgroup, "export-access-unknown", "@hosts", ONLY, I},
    {shared_by_sshfs, "migration-unsafe", "fuse.sshfs", ONLY, B},
    {local_floppies, "migration-unsafe", "floppy.img can be written, and is on ext4", ONLY, B},
    {broken_chain, "image-unreachable", "base.qcow2", ONLY, B},
    {no_tools, "image-unproven", "qemu-img", ONLY, W},
    {no_tools_here, "image-unproven", "kvm1 can open it", ONLY, W},
    {other_size, "image-differs", "5 bytes", ONLY, B},
    {local_media, "cdrom-local", "install.iso", ONLY, B},
    {other_media, "cdrom-differs", "3 on kvm2", ONLY, W},
    {old_cache, "cache-unsafe", "default", ONLY, B},
    {writeback, "cache-mode", "writeback", ONLY, W},
    {vmdk, "disk-format", "vmdk", ONLY, W},
    {transient, "disk-transient", "overlay", ONLY, B},
    {shared_qcow2, "disk-shareable", "qcow2", ONLY, W},
};
const size_t n_preflight_proofs = sizeof(preflight_proofs) / sizeof(preflight_proofs[0]);
