/* May the guest leave? Everything that speaks against it, not just the first. */
#include "agent/transaction.h"

#include "agent/io/definition.h"
#include "agent/io/domain.h"
#include "agent/io/guests.h"
#include "common/base/memory.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#define BLOCK DROVER__V1__SEVERITY__BLOCK
#define XFS_MAGIC 0x58465342
#define ZFS_MAGIC 0x2fc12fc1

static void check_state(const Drover__V1__Guest *g, Drover__V1__Mode mode, struct findings *f)
{
    static const char *const words[] = {"not known", "running",   "paused",         "shut off",
                                        "crashed",   "suspended", "being shut down"};
    const char *seen = (unsigned)g->state < sizeof(words) / sizeof(words[0]) ? words[g->state] : "not known";
    bool off = g->state == DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    if (mode == DROVER__V1__MODE__MODE_DEFINITION && !off)
        findings_add(f, BLOCK, "guest-state", g->name, seen, "shut off, when only its definition moves",
                     "migrate it with --mode auto, or shut it down first");
    else if (mode != DROVER__V1__MODE__MODE_DEFINITION && g->state != DROVER__V1__GUEST_STATE__GUEST_RUNNING)
        findings_add(f, BLOCK, "guest-state", g->name, seen, "running",
                     "start or resume it (virsh), then try again");
    if (g->job)
        findings_add(f, BLOCK, "guest-busy", g->name, "libvirt has a job on it", "none",
                     "wait for it: virsh domjobinfo; of a disk: virsh blockjob");
}

/* What libvirt refuses in the middle, or would lose without a word. */
static void check_attached(const Drover__V1__Guest *g, Drover__V1__Mode mode, struct findings *f)
{
    bool running = mode != DROVER__V1__MODE__MODE_DEFINITION;
    char n[32];
    if (running && g->snapshots) {
        snprintf(n, sizeof(n), "%u snapshots", g->snapshots);
        findings_add(
            f, BLOCK, "snapshots", g->name, n, "none: libvirt does not migrate a running guest that has some",
            "shut it down first: its definition moves with them; or delete them (virsh snapshot-delete)");
    }
    if (g->checkpoints) {
        snprintf(n, sizeof(n), "%u checkpoints", g->checkpoints);
        findings_add(f, BLOCK, "checkpoints", g->name, n, "none: they can't move",
                     "delete them (virsh checkpoint-delete)");
    }
    if (g->managed_save)
        findings_add(f, BLOCK, "managed-save", g->name, "a saved memory image in libvirt's directory",
                     "none: it would stay behind",
                     "start the guest from it, or drop it (virsh managedsave-remove)");
    if (!running && g->nvram && g->nvram[0]) /* of one that runs QEMU takes them along */
        findings_add(f, BLOCK, "firmware-variables", g->nvram, "firmware variables in a local file",
                     "none: with the definition alone they would stay behind",
                     "migrate the guest while it runs, or copy the file to the same path");
    for (size_t i = 0; running && i < g->n_hostdevs; i++)
        findings_add(f, BLOCK, "host-device", g->hostdevs[i], "a device of this host", "none: it can't move",
                     "detach it (virsh detach-device), or migrate while the guest is shut off");
}

/* True for what no other host can see. Anything else (NFS, FUSE, a cluster's) is left to libvirt's judgement. */
static bool on_local_filesystem(const char *path)
{
    static const long local[] = {EXT4_SUPER_MAGIC,      XFS_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
                                 OVERLAYFS_SUPER_MAGIC, ZFS_MAGIC, F2FS_SUPER_MAGIC};
    struct statfs st;
    if (statfs(path, &st) < 0)
        return false;
    for (unsigned i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        if ((long)st.f_type == local[i])
            return true;
    return false;
}

static bool is_copied(const Drover__V1__Relocation *r, const char *target)
{
    for (size_t i = 0; r && i < r->n_copies; i++)
        if (streq(r->copies[i]->target, target))
            return true;
    return false;
}

/* libvirt's own rule ("Migration without shared storage is unsafe") has the last word; this is what is plain beforehand. */
static void check_disks(const Drover__V1__Guest *g, const Drover__V1__PrepareRequest *q, struct findings *f)
{
    Drover__V1__Mode mode = q->mode;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        _cleanup_free_ char *subject = xasprintf("disk %s", d->target);
        if (mode != DROVER__V1__MODE__MODE_DEFINITION && d->transient)
            findings_add(f, BLOCK, "disk-transient", subject, "a transient disk",
                         "none: what was written is local", "shut the guest down first");
        bool written = streq(d->device, "disk") && !d->readonly && !d->shareable;
        if (is_copied(q->relocation, d->target))
            continue;
        if (written && streq(d->type, "file") && d->source && d->source[0] && on_local_filesystem(d->source))
            findings_add(
                f, BLOCK, "storage-not-shared", subject, d->source,
                "a disk that both hosts reach: this one is on a local "
                "filesystem, and would stay behind",
                "migrate it with --copy-storage, or move it to shared storage (NFS, iSCSI, GlusterFS)");
        bool unsafe_cache = d->cache && d->cache[0] && !streq(d->cache, "none") &&
                            !streq(d->cache, "directsync") && !streq(d->cache, "default");
        bool local = streq(d->type, "file") || streq(d->type, "block");
        if (mode != DROVER__V1__MODE__MODE_DEFINITION && written && local && unsafe_cache)
            findings_add(
                f, DROVER__V1__SEVERITY__WARN, "cache-mode", subject, d->cache,
                "none or directsync, unless the storage keeps both hosts' caches alike (NFS, GlusterFS)",
                "set cache='none', or expect libvirt to refuse");
    }
}

void check_source(virConnectPtr conn, const Drover__V1__PrepareRequest *q, struct findings *f,
                  Drover__V1__Guest **ret_guest, Drover__V1__Definition **ret_definition)
{
    struct error why = {0};
    const char *name = q->guest_name && q->guest_name[0] ? q->guest_name : q->step->guest;
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, q->step->guest, &why);
    Drover__V1__Guest *guest = NULL;
    if (!domain || guests_read(domain, &guest, NULL, &why) < 0) {
        findings_add(f, BLOCK, "guest-unreadable", name, why.text, "a guest that libvirt knows here",
                     "look at drover vms");
        return;
    }
    *ret_guest = guest;
    check_state(guest, q->mode, f);
    check_attached(guest, q->mode, f);
    check_disks(guest, q, f);
    if (q->mode == DROVER__V1__MODE__MODE_DEFINITION && !guest->persistent)
        findings_add(f, BLOCK, "guest-state", guest->name, "a transient guest", "a definition",
                     "nothing: there is none");
    if (definition_read(domain, ret_definition, &why) < 0)
        findings_add(f, BLOCK, "guest-unreadable", guest->name, why.text, "that libvirt shows its definition",
                     "see libvirtd's log on this host");
}
