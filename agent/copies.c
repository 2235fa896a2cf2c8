#include "agent/copies.h"

#include "agent/io/disk_image.h"
#include "agent/io/disk_users.h"
#include "agent/io/exports.h"
#include "agent/io/mounts.h"
#include "agent/io/xml.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/mapping/mapping.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define BLOCK DROVER__V1__SEVERITY__BLOCK
#define WARN DROVER__V1__SEVERITY__WARN

enum { INSPECT_MS = 20 * 1000, MAKE_MS = 15 * 1000 };

static struct limit within(int64_t ms)
{
    return (struct limit){clock_monotonic_ms() + ms, -1};
}

bool copies_any(const struct transaction *txn)
{
    return txn->record->relocation && txn->record->relocation->n_copies;
}

uint64_t copies_bytes(const struct transaction *txn)
{
    const Drover__V1__Relocation *r = txn->record->relocation;
    uint64_t sum = 0;
    for (size_t i = 0; r && i < r->n_copies; i++)
        sum += r->copies[i]->bytes;
    return sum;
}

Drover__V1__DiskCopy *copies_of(const struct transaction *txn, const char *target)
{
    const Drover__V1__Relocation *r = txn->record->relocation;
    for (size_t i = 0; r && i < r->n_copies; i++)
        if (streq(r->copies[i]->target, target))
            return r->copies[i];
    return NULL;
}

/* ---- PREPARE ----------------------------------------------------------------------------------------------------- */

static const Drover__V1__Disk *disk_of(const Drover__V1__Guest *g, const Drover__V1__DiskCopy *c)
{
    for (size_t i = 0; g && i < g->n_disks; i++)
        if (streq(g->disks[i]->target, c->target))
            return g->disks[i];
    return NULL;
}

static bool is_disk_of(virConnectPtr conn, const Drover__V1__Guest *g, const Drover__V1__DiskCopy *c)
{
    const Drover__V1__Disk *d = disk_of(g, c);
    if (!d || !streq(d->type, "volume"))
        return d && streq(d->source, c->from);
    _cleanup_free_ char *volume = conn ? disk_volume(conn, c->from) : NULL;
    return volume && streq(d->source, volume);
}

/* libvirt keeps a list of a pool's volumes, and it is what has changed. What it can't read it says when the guest starts. */
static void refresh(const struct transaction *txn, virConnectPtr conn, const Drover__V1__DiskCopy *c,
                    const char *path)
{
    const Drover__V1__Disk *d = disk_of(txn->record->guest, c);
    struct error why = {0};
    if (d && conn && streq(d->type, "volume") && disk_volume_refresh(conn, path, &why) < 0)
        log_warn("transaction %s: %s", txn->id, why.text);
}

void copies_check_source(virConnectPtr conn, Drover__V1__Relocation *r, const Drover__V1__Guest *guest,
                         struct findings *f)
{
    struct limit limit =
        within(INSPECT_MS); /* for all: backing files that can't be read in time are not used */
    for (size_t i = 0; r && i < r->n_copies; i++) {
        Drover__V1__DiskCopy *c = r->copies[i];
        struct error why = {0};
        _cleanup_free_ char *subject = xasprintf("disk %.32s", c->target);
        if (disk_image_check(c, &why) < 0 || disk_image_inspect(&limit, c, &why) < 0)
            findings_add(f, BLOCK, "copy-kind", subject, why.text,
                         "a raw or qcow2 file that qemu-img can open",
                         "look at it with qemu-img info on this host");
        else if (guest && !is_disk_of(conn, guest, c))
            findings_add(f, BLOCK, "copy-kind", subject, "the guest's disk is another one by now", c->from,
                         "try again");
        if (guest && guest->snapshots)
            findings_add(f, BLOCK, "copy-kind", subject, "the guest has snapshots",
                         "none: those in a qcow2 image would not be copied",
                         "delete them (virsh snapshot-delete)");
    }
}

static void check_place(virConnectPtr conn, const Drover__V1__DiskCopy *c, const char *subject,
                        struct findings *f)
{
    struct error why = {0};
    _cleanup_free_ char *user = NULL;
    if (access(c->to, F_OK) == 0 || errno != ENOENT) {
        findings_add(f, BLOCK, "copy-target", subject, c->to,
                     "nothing at that path: what is there is never overwritten",
                     "if it is an old image, rename or remove it");
        return;
    }
    if (conn && disk_users_find(conn, c->to, NULL, &user, &why) < 0)
        findings_add(f, BLOCK, "copy-target", subject, why.text, "to know that no domain here uses the path",
                     "see libvirtd's log on this host");
    if (user)
        findings_add(f, BLOCK, "copy-target", subject, user, "no domain here that names the image's path",
                     "give one of them another path");
}

/* What one file system is to take, counted at its first disk. */
static void check_room(const Drover__V1__Relocation *r, size_t disk, const char *subject, struct findings *f)
{
    char where[64], other[64];
    uint64_t available = 0, ignored, need = 0;
    struct error why = {0};
    if (disk_image_room(r->copies[disk]->to, &available, where, &why) < 0) {
        findings_add(f, BLOCK, "copy-space", subject, why.text,
                     "a directory here that the image can be made in",
                     "make it, or map the path (mappings: in coordinator.yaml)");
        return;
    }
    for (size_t i = 0; i < r->n_copies; i++) {
        if (disk_image_room(r->copies[i]->to, &ignored, other, NULL) < 0 || !streq(where, other))
            continue;
        if (i < disk)
            return;
        need += r->copies[i]->bytes;
    }
    if (need <= available)
        return;
    _cleanup_free_ char *seen =
        xasprintf("%" PRIu64 " MiB free for %s", available >> 20, r->copies[disk]->to);
    _cleanup_free_ char *expected = xasprintf("%" PRIu64 " MiB for the copied disks", (need >> 20) + 1);
    findings_add(f, BLOCK, "copy-space", subject, seen, expected, "make room there, or choose another host");
}

/* libvirt copies either only what is above the backing files, or everything, of all disks alike: so either every backing file is proven to
 * be here, or all copies are flat. */
static void choose_backing(Drover__V1__Relocation *r, bool offline)
{
    bool proven = !offline;
    struct limit limit = within(INSPECT_MS);
    for (size_t i = 0; i < r->n_copies && proven; i++) {
        Drover__V1__DiskCopy *c = r->copies[i];
        if (!c->source_backing[0])
            continue;
        _cleanup_free_ char *here =
            mapping_name(r->mapping, DROVER__V1__MAPPING_KIND__MAPPING_PATH, c->source_backing);
        proven = streq(c->format, "qcow2") && disk_image_same_backing(&limit, here, c);
        if (proven)
            xml_set(&c->backing, steal(&here));
    }
    for (size_t i = 0; i < r->n_copies && !proven; i++)
        xml_set(&r->copies[i]->backing, xstrdup(""));
}

/* What is here already does not travel, and takes no room. */
static void count_backing(Drover__V1__Relocation *r)
{
    for (size_t i = 0; i < r->n_copies; i++)
        if (r->copies[i]->backing[0] && r->copies[i]->own_bytes)
            r->copies[i]->bytes = r->copies[i]->own_bytes;
}

void copies_check_destination(struct transaction *txn, virConnectPtr conn, struct findings *f)
{
    Drover__V1__Relocation *r = txn->record->relocation;
    for (size_t i = 0; r && i < r->n_copies; i++) {
        const Drover__V1__DiskCopy *c = r->copies[i];
        struct error why = {0};
        _cleanup_free_ char *subject = xasprintf("disk %.32s", c->target);
        if (disk_image_check(c, &why) < 0 || !c->size) {
            findings_add(f, BLOCK, "copy-kind", subject, why.code ? why.text : "its size is not known",
                         "a raw or qcow2 image", "see the log of the source's agent");
            continue;
        }
        check_place(conn, c, subject, f);
    }
    if (!copies_any(txn))
        return;
    bool fine = !findings_block(f);
    if (fine) {
        choose_backing(r, txn->record->mode == DROVER__V1__MODE__MODE_DEFINITION);
        count_backing(r);
    }
    for (size_t i = 0; i < r->n_copies; i++) {
        const Drover__V1__DiskCopy *c = r->copies[i];
        _cleanup_free_ char *subject = xasprintf("disk %.32s", c->target);
        if (disk_image_check(c, NULL) == 0 && c->size)
            check_room(r, i, subject, f);
        if (fine && c->source_backing[0])
            findings_add(f, DROVER__V1__SEVERITY__INFO, "copy-backing", subject,
                         c->backing[0] ? "its backing file is here already, the same by its hash"
                                       : "its backing file is not proven to be here",
                         c->source_backing,
                         c->backing[0] ? "nothing: only what is above it is copied"
                                       : "nothing: the copy is flat, with all that it was backed by in it");
    }
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static Drover__V1__Made *made_of(struct transaction *txn, const char *path)
{
    Drover__V1__Record *r = txn->record;
    for (size_t i = 0; i < r->n_made; i++)
        if (r->made[i]->kind == DROVER__V1__MADE__KIND__IMAGE && streq(r->made[i]->what, path))
            return r->made[i];
    r->made = xrealloc(r->made, r->n_made + 1, sizeof(*r->made));
    Drover__V1__Made *m = r->made[r->n_made++] = new0(Drover__V1__Made);
    drover__v1__made__init(m);
    m->kind = DROVER__V1__MADE__KIND__IMAGE;
    m->what = xstrdup(path);
    return m;
}

void copies_promise(struct transaction *txn)
{
    const Drover__V1__Relocation *r = txn->record->relocation;
    for (size_t i = 0; r && i < r->n_copies; i++)
        made_of(txn, r->copies[i]->to);
}

int copies_make(struct transaction *txn, virConnectPtr conn, struct error *err)
{
    const Drover__V1__Relocation *r = txn->record->relocation;
    for (size_t i = 0; r && i < r->n_copies; i++) {
        const Drover__V1__DiskCopy *c = r->copies[i];
        Drover__V1__Made *made = made_of(txn, c->to);
        struct limit limit = within(MAKE_MS);
        _cleanup_free_ char *draft = disk_image_draft(c->to, txn->id);
        failpoint("agent.destination.image.before");
        int e = disk_image_make(&limit, c, draft, &made->inode, err);
        failpoint("agent.destination.image.drafted");
        if (e == 0)
            e = transaction_write(txn, transaction_state(txn), err);
        if (e == 0)
            e = disk_image_place(draft, c->to, err);
        failpoint("agent.destination.image.after");
        if (e == 0)
            e = disk_image_sync_name(c->to, err);
        if (e < 0)
            return e;
        refresh(txn, conn, c, c->to);
    }
    return 0;
}

/* ---- filling those of a guest that is shut off ------------------------------------------------------------------- */

static int note(struct transaction *txn, Drover__V1__Made *made, bool whole, struct error *err)
{
    const Drover__V1__Made old = *made;
    made->begun = true;
    made->whole = whole;
    int e = transaction_write(txn, transaction_state(txn), err);
    if (e < 0)
        *made = old;
    return e;
}

int copies_begin(struct transaction *txn, const Drover__V1__DiskCopy *c, bool *ret_empty, struct error *err)
{
    Drover__V1__Made *made = made_of(txn, c->to);
    bool empty = !made->begun;
    int e = note(txn, made, false, err);
    if (e == 0)
        *ret_empty = empty;
    return e;
}

int copies_end(struct transaction *txn, const Drover__V1__DiskCopy *c, struct error *err)
{
    return note(txn, made_of(txn, c->to), true, err);
}

bool copies_is_whole(struct transaction *txn, const Drover__V1__DiskCopy *c)
{
    return made_of(txn, c->to)->whole;
}

bool copies_incomplete(const struct transaction *txn)
{
    const Drover__V1__Record *r = txn->record;
    for (size_t i = 0; i < r->n_made; i++)
        if (r->made[i]->kind == DROVER__V1__MADE__KIND__IMAGE && !r->made[i]->undone && !r->made[i]->whole)
            return true;
    return false;
}

/* By a guest of another host, as the coordinator knows, by the path alone. */
static bool is_kept(const struct transaction *txn, const char *path)
{
    for (size_t i = 0; i < txn->n_keep; i++)
        if (streq(txn->keep[i], path))
            return true;
    return false;
}

/* ---- undoing ----------------------------------------------------------------------------------------------------- */

/* What this transaction has made on a file system of this host alone, and that it exports to nobody, is no other host's guest's, whatever
 * that one names. Of what was there before, the path alone counts (put_aside). */
static bool is_of_this_host(const char *path)
{
    struct mounts *mounts;
    if (mounts_read("/proc/self/mountinfo", &mounts, NULL) < 0)
        return false;
    Drover__V1__Mount *mount = mounts_of_path(mounts, path);
    bool local = mount && mounts_is_local(mount->fs_type);
    if (mount)
        drover__v1__mount__free_unpacked(mount, NULL);
    mounts_free(mounts);
    return local && !exports_have(path);
}

/* 0: it is not there (any more). What is another's stays, and is said. */
static int undo_one(struct transaction *txn, virConnectPtr conn, const Drover__V1__Made *made, char *text,
                    size_t size, struct error *err)
{
    _cleanup_free_ char *draft = disk_image_draft(made->what, txn->id), *user = NULL;
    struct error why = {0};
    int e = disk_image_remove(draft, 0, err);
    if (e < 0 || !made->inode)
        return e;
    if (is_kept(txn, made->what) && access(made->what, F_OK) == 0 && !is_of_this_host(made->what)) {
        snprintf(text, size, "%.200s stays: a guest of another host names it, or may", made->what);
        return 0;
    }
    e = disk_users_find(conn, made->what, NULL, &user, err);
    if (e < 0)
        return e;
    if (user) {
        snprintf(text, size, "%.200s stays: domain %.100s uses it", made->what, user);
        return 0;
    }
    e = disk_image_remove(made->what, made->inode, &why);
    if (e < 0 && why.code == STATUS_FAILED_PRECONDITION) {
        snprintf(text, size, "%.300s", why.text);
        return 0;
    }
    return e < 0 ? error_set(err, why.code, "%s", why.text) : 0;
}

int copies_undo(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err)
{
    Drover__V1__Record *r = txn->record;
    for (size_t i = 0; i < r->n_made; i++) {
        if (r->made[i]->kind != DROVER__V1__MADE__KIND__IMAGE || r->made[i]->undone)
            continue;
        int e = undo_one(txn, conn, r->made[i], text, size, err);
        if (e < 0)
            return e;
        r->made[i]->undone = true;
    }
    for (size_t i = 0; r->relocation && i < r->relocation->n_copies; i++)
        refresh(txn, conn, r->relocation->copies[i], r->relocation->copies[i]->to);
    return 0;
}

/* ---- RELEASE at the source --------------------------------------------------------------------------------------- */

static char *put_aside(struct transaction *txn, virConnectPtr conn, const Drover__V1__DiskCopy *c)
{
    _cleanup_free_ char *aside = disk_image_aside(c->from, txn->id), *user = NULL;
    struct error why = {0};
    if (access(aside, F_OK) == 0)
        return steal(&aside); /* by a RELEASE that was interrupted */
    if (access(c->from, F_OK) < 0)
        return NULL;
    if (is_kept(txn, c->from)) {
        log_info("transaction %s: %s keeps its name: a guest of another host names it, or may", txn->id,
                 c->from);
        return xstrdup(c->from);
    }
    if (disk_users_find(conn, c->from, txn->guest, &user, &why) < 0 || user) {
        log_info("transaction %s: %s keeps its name: %s", txn->id, c->from,
                 user ? "another domain uses it" : why.text);
        return xstrdup(c->from);
    }
    if (disk_image_place(c->from, aside, &why) < 0) {
        log_warn("transaction %s: %s keeps its name: %s", txn->id, c->from, why.text);
        return xstrdup(c->from);
    }
    refresh(txn, conn, c, c->from);
    return steal(&aside);
}

void copies_put_aside(struct transaction *txn, virConnectPtr conn)
{
    Drover__V1__Record *r = txn->record;
    for (size_t i = r->n_left; r->relocation && i < r->relocation->n_copies; i++) {
        char *name = put_aside(txn, conn, r->relocation->copies[i]);
        if (!name)
            continue;
        r->left = xrealloc(r->left, r->n_left + 1, sizeof(*r->left));
        r->left[r->n_left++] = name;
    }
}
