#include "agent/io/nonce.h"

#include "agent/io/owner.h"
#include "agent/io/path_facts.h"
#include "agent/io/probe_say.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/failpoint.h"
#include "common/base/loop.h"
#include "common/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX ".drover-probe-"
#define CONTENT "drover-probe %s %s\n"
enum {
    CONTENT_MAX = 256,
    POLL_MS = 100, /* between looks: another host's cache of a directory may be old for some seconds */
    RECORD_MAX = 2 * PATH_MAX,
    FIND_DEPTH = 6,
    FIND_ENTRIES = 50000,
};

/* ---- records: STATE_DIR/probes/UUID holds "INODE DIRECTORY", so that another directory that lies there later is left alone ---- */

static int sync_directory(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

static int record_put(const char *state_dir, const char *nonce, const char *directory, uint64_t inode,
                      struct error *err)
{
    _cleanup_free_ char *dir = xasprintf("%s/probes", state_dir), *path = xasprintf("%s/%s", dir, nonce);
    _cleanup_free_ char *text = xasprintf("%" PRIu64 " %s\n", inode, directory);
    if (mkdir(dir, 0700) == 0)
        sync_directory(state_dir);
    else if (errno != EEXIST)
        return error_errno(err, errno, "cannot make %s", dir);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot record the probe in %s", path);
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0 || sync_directory(dir) < 0) {
        int why = errno;
        unlink(path);
        return error_errno(err, why, "cannot record the probe in %s", path);
    }
    return 0;
}

static void record_drop(const char *state_dir, const char *nonce)
{
    _cleanup_free_ char *path = xasprintf("%s/probes/%s", state_dir, nonce);
    unlink(path);
}

static char *record_get(const char *state_dir, const char *nonce, uint64_t *ret_inode)
{
    _cleanup_free_ char *path = xasprintf("%s/probes/%s", state_dir, nonce);
    _cleanup_free_ char *text = tree_load(path, RECORD_MAX);
    if (!text)
        return NULL;
    char *end;
    *ret_inode = strtoull(text, &end, 10);
    text[strcspn(text, "\n")] = 0;
    return *end == ' ' && end[1] == '/' ? xstrdup(end + 1) : NULL;
}

/* ---- the file ---- */

static void file_name(char name[NAME_MAX], const char *nonce)
{
    snprintf(name, NAME_MAX, PREFIX "%s", nonce);
}

/* A finished one or what a crash left of it; nobody else's file. */
static bool is_ours(const char *content, const char *nonce)
{
    char expected[CONTENT_MAX];
    int n = snprintf(expected, sizeof(expected), "drover-probe %s ", nonce);
    return strncmp(content, expected, (size_t)n) == 0 || strncmp(expected, content, strlen(content)) == 0;
}

/* 0, or an errno. ELOOP for what is no regular file. */
static int read_content(int dir, const char *name, char content[CONTENT_MAX])
{
    _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return ELOOP;
    ssize_t n = pread(fd, content, CONTENT_MAX - 1, 0);
    if (n < 0)
        return errno;
    content[n] = 0;
    return 0;
}

static const char *reason_of(int why)
{
    switch (why) {
    case EROFS: return "read-only";
    case EACCES:
    case EPERM: return "denied";
    case ENOSPC:
    case EDQUOT: return "full";
    case ESTALE:
    case ENOTCONN: /* FUSE, when its server or its process is gone */
    case EHOSTDOWN:
    case ETIMEDOUT:
    case EREMOTEIO:
    case EIO: return "stale";
    case ENOENT:
    case ENOTDIR: return "no-directory";
    case ENOTBLK: return "is-device";
    default: return "failed";
    }
}

static void say_no_directory(const char *image, int why, Drover__V1__ProbeResult *r)
{
    if (why == ENOTBLK)
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_NOT_APPLICABLE, "is-device",
                  "%s is a device: nothing is written beside one; compare its WWID, or target and LUN",
                  image);
    else
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, reason_of(why),
                  "cannot reach the directory of %s: %s", image, strerror(why));
}

/* The kernel's own file systems hold devices and settings, no images. */
static bool is_kernels(const char *directory)
{
    static const char *const roots[] = {"/dev", "/proc", "/sys"};
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        size_t n = strlen(roots[i]);
        if (strncmp(directory, roots[i], n) == 0 && (directory[n] == 0 || directory[n] == '/'))
            return !(strncmp(directory, "/dev/shm", 8) == 0 && (directory[8] == 0 || directory[8] == '/'));
    }
    return false;
}

static int open_directory(const char *image, char **ret_path, Drover__V1__ProbeResult *r)
{
    _cleanup_owner_ struct owner owner = {0};
    _cleanup_free_ char *path = NULL;
    do
        path = path_directory(image);
    while (!path && owner_instead(&owner, image));
    if (!path || is_kernels(path)) {
        say_no_directory(image, path ? ENOTBLK : errno, r);
        return -1;
    }
    int fd = -1;
    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && owner_instead(&owner, path));
    if (fd < 0) {
        say_no_directory(image, errno, r);
        return -1;
    }
    *ret_path = steal(&path);
    return fd;
}

static void put_path(const char *directory, Drover__V1__ProbeResult *r)
{
    _cleanup_(mounts_freep) struct mounts *mounts = NULL;
    if (mounts_read("/proc/self/mountinfo", &mounts, NULL) == 0)
        r->path = path_facts_read(mounts, "/sys", directory);
}

/* ---- the steps ---- */

/* After these of open(2) there is no file; after others (the server's answer was lost) there may be one. */
static bool made_nothing(int why)
{
    static const int known[] = {EACCES, EPERM,   EROFS,  ENOSPC, EDQUOT,       EEXIST, ELOOP,
                                ENOENT, ENOTDIR, EMFILE, ENFILE, ENAMETOOLONG, ENOMEM};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (why == known[i])
            return true;
    return false;
}

/* 0, or an errno; then *ret_left says whether the file may be there nevertheless. */
static int make(const char *directory, int dir, const char *name, const char *text, bool *ret_left)
{
    _cleanup_owner_ struct owner owner = {0};
    _cleanup_close_ int fd = -1;
    do
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    while (fd < 0 && owner_instead(&owner, directory));
    if (fd < 0) {
        *ret_left = !made_nothing(errno);
        return errno;
    }
    ssize_t n = write(fd, text, strlen(text));
    int why = n >= 0 && n < (ssize_t)strlen(text)              ? ENOSPC
              : n < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? errno
                                                               : 0;
    int closed = close(steal_fd(&fd)); /* NFS tells a full disk here, too */
    if (why == 0 && closed < 0)
        why = errno;
    if (why)
        *ret_left = unlinkat(dir, name, 0) < 0 && errno != ENOENT;
    else
        fsync(dir);
    return why;
}

bool nonce_write(const char *state_dir, const char *host, const char *nonce, const char *image,
                 Drover__V1__ProbeResult *r)
{
    char name[NAME_MAX], text[CONTENT_MAX];
    struct stat st;
    struct error err;
    _cleanup_free_ char *directory = NULL;
    _cleanup_close_ int dir = open_directory(image, &directory, r);
    if (dir < 0)
        return false;
    put_path(directory, r);
    if (fstat(dir, &st) < 0) {
        say_no_directory(image, errno, r);
        return false;
    }
    if (record_put(state_dir, nonce, directory, st.st_ino, &err) < 0) {
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed", "%s", err.text);
        return false;
    }
    file_name(name, nonce);
    snprintf(text, sizeof(text), CONTENT, nonce, host);
    failpoint("agent.probe.nonce.recorded");
    bool left = false;
    int why = make(directory, dir, name, text, &left);
    failpoint("agent.probe.nonce.made");
    if (why) {
        if (!left)
            record_drop(state_dir, nonce);
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, reason_of(why),
                  "cannot write a file beside %s: %s", image, strerror(why));
        return left;
    }
    probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "", "wrote %s/%s", directory, name);
    return true;
}

/* It was written before anybody looks: a file system of this host alone has it at once, or never. */
static bool is_local(const Drover__V1__PathFacts *directory)
{
    return directory && directory->mount && mounts_is_local(directory->mount->fs_type);
}

static bool may_write(int dir, const char *directory, struct owner *owner)
{
    int e;
    do
        e = faccessat(dir, ".", W_OK | X_OK, AT_EACCESS);
    while (e < 0 && owner_instead(owner, directory));
    return e == 0;
}

void nonce_read(const struct limit *limit, const char *nonce, const char *image, Drover__V1__ProbeResult *r)
{
    char name[NAME_MAX], content[CONTENT_MAX];
    int64_t start = clock_monotonic_ms();
    file_name(name, nonce);
    for (;;) {
        _cleanup_free_ char *directory = NULL;
        _cleanup_close_ int dir = open_directory(image, &directory, r);
        if (dir < 0)
            return;
        _cleanup_owner_ struct owner owner = {0};
        int why;
        do
            why = errno = read_content(dir, name, content);
        while (why && owner_instead(&owner, directory));
        bool absent = why == ENOENT || why == ESTALE || (why == 0 && !strchr(content, '\n'));
        if (!r->path)
            put_path(directory, r);
        if (absent && !limit_over(limit) && !is_local(r->path)) {
            limit_poll(limit, -1, 0, POLL_MS);
            continue;
        }
        r->writable =
            may_write(dir, directory, &owner) && !(r->path && r->path->mount && r->path->mount->read_only);
        if (why == ENOENT)
            probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent",
                      "%s has no %s, looked for during %lld ms: what is there is another directory",
                      directory, name, (long long)(clock_monotonic_ms() - start));
        else if (why)
            probe_say(r,
                      why == ESTALE ? DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
                                    : DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED,
                      reason_of(why), "cannot read %s/%s: %s", directory, name, strerror(why));
        else if (!is_ours(content, nonce) || !strchr(content, '\n'))
            probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "other-content",
                      "%s/%s is there, but its content is not what was written", directory, name);
        else
            probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "", "read %s/%s", directory, name);
        return;
    }
}

struct walk {
    const struct limit *limit;
    const char *name;
    unsigned entries;
    bool skipped; /* a directory that clients may see was not looked into */
};

/* Not for images: where GlusterFS keeps its books in a brick, and what e2fsck finds. */
static bool is_kept(const char *name)
{
    return streq(name, ".") || streq(name, "..") || strncmp(name, ".glusterfs", 10) == 0 ||
           streq(name, ".trashcan") || streq(name, "lost+found");
}

/* The directory that holds the name, the caller's; depth first, without leaving the file system. */
static char *walk(struct walk *w, const char *path, dev_t device, unsigned depth)
{
    struct stat st;
    _cleanup_free_ char *here = xasprintf("%s/%s", path, w->name), *found = NULL;
    if (lstat(here, &st) == 0)
        return S_ISREG(st.st_mode) ? xstrdup(path) : NULL;
    DIR *dir = opendir(path);
    w->skipped = w->skipped || !dir;
    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        if (++w->entries > FIND_ENTRIES || (w->entries % 64 == 0 && limit_over(w->limit)))
            break;
        if (is_kept(e->d_name) || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
            continue;
        _cleanup_free_ char *below = xasprintf("%s/%s", path, e->d_name);
        bool told = lstat(below, &st) == 0;
        if (told && !S_ISDIR(st.st_mode))
            continue;
        if (!told || e->d_name[0] == '.' || st.st_dev != device || depth == 0)
            w->skipped = w->skipped || told || errno != ENOENT;
        else
            found = walk(w, below, device, depth - 1);
    }
    if (dir)
        closedir(dir);
    return steal(&found);
}

bool nonce_find(const struct limit *limit, const char *nonce, const char *directory, const char *relative,
                Drover__V1__ProbeResult *r)
{
    char name[NAME_MAX];
    struct stat st;
    file_name(name, nonce);
    _cleanup_free_ char *likely = xasprintf("%s/%s", directory, relative),
                        *file = xasprintf("%s/%s", likely, name);
    _cleanup_free_ char *found = NULL;
    struct walk w = {.limit = limit, .name = name};
    if (lstat(file, &st) == 0 && S_ISREG(st.st_mode))
        found = steal(&likely);
    else if (stat(directory, &st) == 0 && S_ISDIR(st.st_mode))
        found = walk(&w, directory, st.st_dev, FIND_DEPTH);
    if (!found && w.skipped)
        probe_say(
            r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "skipped",
            "%s has directories that are not looked into: other file systems, hidden, too deep, or closed "
            "to the agent",
            directory);
    if (!found && w.entries > FIND_ENTRIES)
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "timeout",
                  "%s has more than the %d entries that are looked at", directory, FIND_ENTRIES);
    if (!found)
        return false;
    xml_set(&r->found, xasprintf("%s/%s", found, name));
    probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "", "found %s", r->found);
    return true;
}

int nonce_remove(const char *state_dir, const char *nonce, struct error *err)
{
    uint64_t inode;
    struct stat st;
    char name[NAME_MAX], content[CONTENT_MAX];
    _cleanup_free_ char *directory = record_get(state_dir, nonce, &inode);
    if (!directory) {
        if (errno == ENOENT)
            return 0;
        record_drop(state_dir, nonce); /* torn: it was never durable, so nothing was made */
        return 0;
    }
    file_name(name, nonce);
    _cleanup_owner_ struct owner owner = {0};
    _cleanup_close_ int dir = -1;
    do
        dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (dir < 0 && owner_instead(&owner, directory));
    if (dir < 0)
        return error_errno(err, errno, "cannot open %s to remove %s", directory, name);
    if (fstat(dir, &st) < 0 || st.st_ino != inode)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s is not the directory that %s was written to: its file system is not mounted",
                         directory, name);
    int why = read_content(dir, name, content);
    if (why == 0 && is_ours(content, nonce))
        do
            why = unlinkat(dir, name, 0) < 0 ? errno : 0;
        while (why && owner_instead(&owner, directory));
    if (why && why != ENOENT && why != ELOOP)
        return error_errno(err, why, "cannot remove %s/%s", directory, name);
    fsync(dir);
    owner_leave(&owner); /* the record is the agent's own */
    failpoint("agent.probe.nonce.removed");
    record_drop(state_dir, nonce);
    return 1;
}

char *nonce_directory(const char *state_dir, const char *nonce)
{
    uint64_t inode;
    return record_get(state_dir, nonce, &inode);
}

size_t nonces_recorded(const char *state_dir, char ***ret)
{
    return tree_list(ret, "%s/probes", state_dir);
}
