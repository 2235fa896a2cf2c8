#include "agent/io/mounts.h"

#include "agent/io/xml.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmount/libmount.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

enum { MAX_MOUNTS = 1024, MAX_STUCK = 32 };

struct mounts {
    struct libmnt_table *table;
};

int mounts_read(const char *mountinfo, struct mounts **ret, struct error *err)
{
    struct libmnt_table *table = mnt_new_table();
    if (!table)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the table of mounts");
    int e = mnt_table_parse_file(table, mountinfo);
    if (e < 0) {
        mnt_unref_table(table);
        return error_errno(err, -e, "cannot read the mounts from %s", mountinfo);
    }
    struct mounts *m = new0(struct mounts);
    m->table = table;
    *ret = m;
    return 0;
}

void mounts_free(struct mounts *m)
{
    if (!m)
        return;
    mnt_unref_table(m->table);
    free(m);
}

bool mounts_is_network(const char *fs_type)
{
    /* Network file systems and those that a cluster mounts from one device. */
    static const char *const types[] = {
        "nfs",           "nfs4",           "cifs",         "smb3",      "ceph",
        "afs",           "gfs2",           "gfs",          "ocfs2",     "lustre",
        "gpfs",          "beegfs",         "9p",           "virtiofs",  "pvfs2",
        "vxfs",          "lizardfs",       "quobyte",      "glusterfs", "fuse.glusterfs",
        "fuse.ceph",     "fuse.ceph-fuse", "fuse.quobyte", "fuse.mfs",  "fuse.moosefs",
        "fuse.lizardfs", "fuse.sshfs",     "fuse.juicefs", "acfs"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (streq(fs_type, types[i]))
            return true;
    return false;
}

bool mounts_is_local(const char *fs_type)
{
    static const char *const types[] = {"ext2", "ext3", "ext4",  "xfs",   "btrfs",
                                        "zfs",  "f2fs", "tmpfs", "ramfs", "bcachefs"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (streq(fs_type, types[i]))
            return true;
    return false;
}

static Drover__V1__Mount *describe(struct libmnt_fs *fs)
{
    Drover__V1__Mount *m = new0(Drover__V1__Mount);
    drover__v1__mount__init(m);
    const char *root = mnt_fs_get_root(fs), *type = mnt_fs_get_fstype(fs);
    dev_t device = mnt_fs_get_devno(fs);
    xml_set(&m->target, xstrdup(mnt_fs_get_target(fs)));
    xml_set(&m->source, xstrdup(mnt_fs_get_source(fs)));
    xml_set(&m->fs_type, xstrdup(type));
    xml_set(&m->options, xstrdup(mnt_fs_get_options(fs)));
    xml_set(&m->root, xstrdup(root ? root : "/"));
    xml_set(&m->device, xasprintf("%u:%u", major(device), minor(device)));
    m->network = mounts_is_network(type);
    m->read_only = mnt_fs_match_options(fs, "ro") == 1;
    return m;
}

void mounts_stat(Drover__V1__Mount *m)
{
    struct statfs st;
    if (statfs(m->target, &st) < 0) {
        xml_set(&m->error, xasprintf("statfs %s: %s", m->target, strerror(errno)));
        return;
    }
    uint64_t id;
    _Static_assert(sizeof(id) == sizeof(st.f_fsid), "fsid has 64 bits");
    memcpy(&id, &st.f_fsid, sizeof(id));
    if (id) /* NFS and FUSE have none */
        xml_set(&m->fs_id, xasprintf("%016" PRIx64, id));
    m->size = (uint64_t)st.f_blocks * (uint64_t)st.f_bsize;
    m->available = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
    m->read_only = m->read_only || (st.f_flags & ST_RDONLY);
}

/* ---- statfs with a deadline: each on a thread of its own, because on a server that is gone it may never return ----
 *
 * A file system is asked once at a time: who asks while it is silent waits for the same answer, so that one that hangs takes one
 * thread, however often it is looked at. */

struct ask {
    struct ask *next;
    atomic_int refs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answered;
    int64_t begun;
    Drover__V1__Mount *mount; /* a copy */
};

static pthread_mutex_t asks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ask *asks; /* in progress */
static unsigned asking;

static void ask_unref(struct ask *a)
{
    if (atomic_fetch_sub(&a->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    drover__v1__mount__free_unpacked(a->mount, NULL);
    free(a);
}

static void forget(struct ask *a)
{
    pthread_mutex_lock(&asks_lock);
    for (struct ask **at = &asks; *at; at = &(*at)->next)
        if (*at == a) {
            *at = a->next;
            asking--;
            break;
        }
    pthread_mutex_unlock(&asks_lock);
}

static void *ask_thread(void *arg)
{
    struct ask *a = arg;
    Drover__V1__Mount *m = (Drover__V1__Mount *)message_copy(&a->mount->base); /* others read the asked one */
    mounts_stat(m);
    forget(a);
    pthread_mutex_lock(&a->lock);
    drover__v1__mount__free_unpacked(a->mount, NULL);
    a->mount = m;
    a->answered = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    ask_unref(a);
    return NULL;
}

/* With asks_lock held: the mount of one that is in progress is left alone by its thread. Mounted anew it has another device. */
static struct ask *asked_already(const Drover__V1__Mount *m)
{
    for (struct ask *a = asks; a; a = a->next)
        if (streq(a->mount->target, m->target) && streq(a->mount->device, m->device) &&
            streq(a->mount->source, m->source))
            return a;
    return NULL;
}

static struct ask *ask_new(const Drover__V1__Mount *m)
{
    struct ask *a = new0(struct ask);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&a->lock, NULL);
    a->mount = (Drover__V1__Mount *)message_copy(&m->base);
    a->begun = clock_monotonic_ms();
    atomic_init(&a->refs, 2);
    return a;
}

static struct ask *ask_begin(const Drover__V1__Mount *m)
{
    pthread_mutex_lock(&asks_lock);
    struct ask *a = asked_already(m);
    if (a) {
        atomic_fetch_add(&a->refs, 1);
    } else if (asking < MAX_STUCK) {
        pthread_t thread;
        a = ask_new(m);
        if (pthread_create(&thread, NULL, ask_thread, a) == 0) {
            pthread_detach(thread);
            a->next = asks;
            asks = a;
            asking++;
        } else {
            atomic_store(&a->refs, 1);
            ask_unref(a);
            a = NULL;
        }
    }
    pthread_mutex_unlock(&asks_lock);
    return a;
}

static void ask_end(struct ask *a, int wait_ms, Drover__V1__Mount *m)
{
    if (!a) {
        xml_set(&m->error,
                xasprintf("not asked: %d file systems that were asked before don't answer", MAX_STUCK));
        return;
    }
    int64_t deadline_ms = a->begun + wait_ms; /* one that was asked long before is not waited for */
    struct timespec end = {deadline_ms / 1000, (deadline_ms % 1000) * 1000000};
    pthread_mutex_lock(&a->lock);
    while (!a->answered && pthread_cond_timedwait(&a->changed, &a->lock, &end) == 0)
        ;
    if (a->answered) {
        m->size = a->mount->size;
        m->available = a->mount->available;
        m->read_only = a->mount->read_only;
        if (*a->mount->fs_id)
            xml_set(&m->fs_id, xstrdup(a->mount->fs_id));
        if (*a->mount->error)
            xml_set(&m->error, xstrdup(a->mount->error));
    } else {
        int64_t waited = clock_monotonic_ms() - a->begun;
        xml_set(&m->error, xasprintf("%s did not answer within %lld ms", m->source,
                                     (long long)(waited > wait_ms ? waited : wait_ms)));
    }
    pthread_mutex_unlock(&a->lock);
    ask_unref(a);
}

static void stat_all(Drover__V1__Mount **list, size_t n, int wait_ms)
{
    /* In rounds: more than MAX_STUCK at once are asked only when those before have answered. */
    for (size_t from = 0; from < n; from += MAX_STUCK / 2) {
        struct ask *round[MAX_STUCK / 2];
        size_t k = n - from < MAX_STUCK / 2 ? n - from : MAX_STUCK / 2;
        for (size_t i = 0; i < k; i++)
            round[i] = ask_begin(list[from + i]);
        for (size_t i = 0; i < k; i++)
            ask_end(round[i], wait_ms, list[from + i]);
    }
}

/* ---- lists and look-ups ---- */

static bool holds_images(struct libmnt_fs *fs)
{
    const char *type = mnt_fs_get_fstype(fs);
    return streq(type, "tmpfs") || streq(type, "overlay") || mounts_is_network(type) ||
           !mnt_fs_is_pseudofs(fs);
}

size_t mounts_list(const struct mounts *m, int statfs_ms, Drover__V1__Mount ***ret)
{
    Drover__V1__Mount **list = NULL;
    size_t n = 0;
    struct libmnt_iter *it = mnt_new_iter(MNT_ITER_FORWARD);
    struct libmnt_fs *fs;
    while (it && n < MAX_MOUNTS && mnt_table_next_fs(m->table, it, &fs) == 0)
        if (holds_images(fs) && mnt_fs_get_target(fs))
            message_append(&list, &n, describe(fs));
    mnt_free_iter(it);
    if (statfs_ms > 0)
        stat_all(list, n, statfs_ms);
    *ret = list;
    return n;
}

static bool is_below(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    if (n && directory[n - 1] == '/')
        n--;
    return strncmp(path, directory, n) == 0 && (path[n] == '/' || path[n] == 0);
}

/* 0 when the kernel can't tell. */
static int mount_id(const char *path)
{
    struct statx st;
    if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
        return 0;
    return (int)st.stx_mnt_id;
}

char *mounts_place(const struct mounts *m, const char *path)
{
    struct libmnt_fs *fs, *found = NULL;
    size_t longest = 0;
    struct libmnt_iter *it = mnt_new_iter(MNT_ITER_FORWARD);
    while (it && mnt_table_next_fs(m->table, it, &fs) == 0) {
        const char *target = mnt_fs_get_target(fs);
        if (target && is_below(path, target) && strlen(target) >= longest) {
            longest = strlen(target);
            found = fs;
        }
    }
    mnt_free_iter(it);
    const char *slash = strrchr(path, '/'), *target = found ? mnt_fs_get_target(found) : "/";
    int id = found ? mnt_fs_get_id(found) : 0;
    return streq(target, "/") ? xasprintf("%d %.*s", id, slash ? (int)(slash - path) : 0, path)
                              : xasprintf("%d %s", id, target);
}

Drover__V1__Mount *mounts_of_path(const struct mounts *m, const char *path)
{
    int id = mount_id(path);
    size_t longest = 0;
    struct libmnt_fs *fs, *by_id = NULL, *by_path = NULL;
    struct libmnt_iter *it = mnt_new_iter(MNT_ITER_FORWARD);
    while (it && mnt_table_next_fs(m->table, it, &fs) == 0) {
        const char *target = mnt_fs_get_target(fs);
        if (!target)
            continue;
        if (id && mnt_fs_get_id(fs) == id && is_below(path, target))
            by_id = fs;
        /* Of several on one directory the last hides the others. */
        if (is_below(path, target) && strlen(target) >= longest) {
            longest = strlen(target);
            by_path = fs;
        }
    }
    mnt_free_iter(it);
    fs = by_id ? by_id : by_path;
    return fs ? describe(fs) : NULL;
}
