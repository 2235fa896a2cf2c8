#include "agent/io/mounts.h"

#include "agent/io/message.h"
#include "agent/io/xml.h"
#include "common/base/loop.h"
#include "common/base/memory.h"

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

/* ---- statfs with a deadline: each on a thread of its own, because on a server that is gone it may never return ---- */

struct ask {
    atomic_int refs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answered;
    Drover__V1__Mount *mount; /* a copy */
};

static atomic_int asking;

static void ask_unref(struct ask *a)
{
    if (atomic_fetch_sub(&a->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    drover__v1__mount__free_unpacked(a->mount, NULL);
    free(a);
}

static void *ask_thread(void *arg)
{
    struct ask *a = arg;
    mounts_stat(a->mount);
    pthread_mutex_lock(&a->lock);
    a->answered = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    atomic_fetch_sub(&asking, 1);
    ask_unref(a);
    return NULL;
}

static struct ask *ask_begin(const Drover__V1__Mount *m)
{
    struct ask *a = new0(struct ask);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&a->lock, NULL);
    a->mount = (Drover__V1__Mount *)message_copy(&m->base);
    atomic_init(&a->refs, 2);
    pthread_t thread;
    if (atomic_fetch_add(&asking, 1) < MAX_STUCK && pthread_create(&thread, NULL, ask_thread, a) == 0) {
        pthread_detach(thread);
        return a;
    }
    atomic_fetch_sub(&asking, 1);
    atomic_store(&a->refs, 1);
    ask_unref(a);
    return NULL;
}

static void ask_end(struct ask *a, int64_t deadline_ms, int waited_ms, Drover__V1__Mount *m)
{
    if (!a) {
        xml_set(&m->error,
                xasprintf("not asked: %d file systems that were asked before don't answer", MAX_STUCK));
        return;
    }
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
        xml_set(&m->error, xasprintf("%s did not answer within %d ms", m->source, waited_ms));
    }
    pthread_mutex_unlock(&a->lock);
    ask_unref(a);
}

static void stat_all(Drover__V1__Mount **list, size_t n, int wait_ms)
{
    /* In rounds: more than MAX_STUCK at once are asked only when those before have answered. */
    for (size_t from = 0; from < n; from += MAX_STUCK / 2) {
        struct ask *asks[MAX_STUCK / 2];
        size_t k = n - from < MAX_STUCK / 2 ? n - from : MAX_STUCK / 2;
        int64_t deadline = clock_monotonic_ms() + wait_ms;
        for (size_t i = 0; i < k; i++)
            asks[i] = ask_begin(list[from + i]);
        for (size_t i = 0; i < k; i++)
            ask_end(asks[i], deadline, wait_ms, list[from + i]);
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
