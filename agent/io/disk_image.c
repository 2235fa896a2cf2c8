#include "agent/io/disk_image.h"

#include "agent/io/image.h"
#include "agent/io/probe_say.h"
#include "agent/io/run.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { CHAIN_MAX = 64 };
#define HASHED_MAX (2ULL << 30) /* what both hosts read in the time that a PREPARE has */

static bool is_path(const char *path)
{
    return path[0] == '/' && !strstr(path, "/../") && !strstr(path, "//") && strlen(path) < 3000 &&
           path[strlen(path) - 1] != '/';
}

int disk_image_check(const Drover__V1__DiskCopy *c, struct error *err)
{
    if (!c->target[0] || strlen(c->target) > 32 || strpbrk(c->target, "/,'\" "))
        return error_set(err, STATUS_INVALID_ARGUMENT, "a copied disk is called '%.64s'; expected \"vda\"",
                         c->target);
    if (!is_path(c->from) || !is_path(c->to))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "disk %s is to be copied from '%.200s' to '%.200s'; expected absolute paths",
                         c->target, c->from, c->to);
    if (!streq(c->format, "raw") && !streq(c->format, "qcow2"))
        return error_set(err, STATUS_INVALID_ARGUMENT, "disk %s is of format '%.32s'; expected raw or qcow2",
                         c->target, c->format);
    return 0;
}

/* ---- what it is -------------------------------------------------------------------------------------------------- */

/* A chain of backing files, the top first. */
struct chain {
    const char *names[CHAIN_MAX];
    size_t n;
    uint64_t size;
};

static bool chain_add(struct chain *chain, const char *path)
{
    struct stat st;
    if (chain->n == CHAIN_MAX || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    chain->names[chain->n++] = path;
    chain->size += (uint64_t)st.st_size;
    return true;
}

static bool hash_add(const struct limit *limit, EVP_MD_CTX *context, const char *path)
{
    enum { CHUNK = 1 << 20 };
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ unsigned char *chunk = xcalloc(CHUNK, 1);
    bool fine = fd >= 0;
    for (ssize_t got = 1; fine && got > 0;) {
        got = read(fd, chunk, CHUNK);
        fine = got >= 0 && !limit_over(limit) &&
               (got == 0 || EVP_DigestUpdate(context, chunk, (size_t)got) == 1);
    }
    return fine;
}

static char *hash_of(const struct limit *limit, const struct chain *chain)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    bool fine = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; i < chain->n && fine; i++)
        fine = hash_add(limit, context, chain->names[i]);
    fine = fine && EVP_DigestFinal_ex(context, digest, &n) == 1;
    EVP_MD_CTX_free(context);
    if (!fine)
        return NULL;
    char *text = xcalloc(2 * n + 1, 1);
    for (unsigned i = 0; i < n; i++)
        snprintf(text + (size_t)(2 * i), 3, "%02x", digest[i]);
    return text;
}

void disk_image_hash(const struct limit *limit, const char *path, Drover__V1__ProbeResult *r)
{
    struct chain file = {0};
    if (!chain_add(&file, path)) {
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "absent", "%s is no file here", path);
        return;
    }
    char *hash = file.size <= HASHED_MAX ? hash_of(limit, &file) : NULL;
    if (hash) {
        xml_set(&r->identity, xasprintf("sha256 %s", hash));
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "", "%s has %s", path, r->identity);
    } else {
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, limit_over(limit) ? "timeout" : "failed",
                  "the %llu bytes of %s can't be read in time, or not at all", (unsigned long long)file.size,
                  path);
    }
    free(hash);
}

static void inspect_backing(const struct limit *limit, const Drover__V1__ProbeResult *image,
                            Drover__V1__DiskCopy *c)
{
    struct chain chain = {0};
    const Drover__V1__ImageFacts *base = image->n_images > 1 ? image->images[1] : NULL;
    xml_set(&c->source_backing, xstrdup(base ? base->name : ""));
    if (!base)
        return;
    xml_set(&c->backing_format, xstrdup(base->format));
    for (size_t i = 1; i < image->n_images; i++)
        if (!chain_add(&chain, image->images[i]->name))
            return;
    c->backing_size = chain.size;
    c->backing_files = (uint32_t)chain.n;
    if (chain.size <= HASHED_MAX)
        xml_set(&c->backing_hash, hash_of(limit, &chain));
}

static Drover__V1__ProbeResult *opened(const struct limit *limit, const char *path, const char *format)
{
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    image_open(limit, path, format, r);
    return r;
}

int disk_image_inspect(const struct limit *limit, Drover__V1__DiskCopy *c, struct error *err)
{
    Drover__V1__ProbeResult *image = opened(limit, c->from, c->format);
    int r = 0;
    struct stat st;
    if (image->outcome != DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN) {
        r = error_set(err, STATUS_FAILED_PRECONDITION, "%s", image->seen);
    } else if (stat(c->from, &st) < 0 || !S_ISREG(st.st_mode)) {
        r = error_set(err, STATUS_FAILED_PRECONDITION, "%s is no file", c->from);
    } else {
        c->size = image->images[0]->virtual_size;
        c->bytes = 0;
        for (size_t i = 0; i < image->n_images; i++)
            c->bytes += image->images[i]->actual_size;
        c->bytes = c->bytes > c->size ? c->size : c->bytes;
        c->own_bytes = image->images[0]->actual_size < c->bytes ? image->images[0]->actual_size : c->bytes;
        inspect_backing(limit, image, c);
    }
    drover__v1__probe_result__free_unpacked(image, NULL);
    return r;
}

bool disk_image_same_backing(const struct limit *limit, const char *path, const Drover__V1__DiskCopy *c)
{
    struct chain chain = {0};
    if (!c->backing_hash[0] || !chain_add(&chain, path))
        return false;
    Drover__V1__ProbeResult *image = c->backing_files > 1 ? opened(limit, path, c->backing_format) : NULL;
    bool whole = !image || image->n_images == c->backing_files;
    for (size_t i = 1; image && i < image->n_images && whole; i++)
        whole = chain_add(&chain, image->images[i]->name);
    _cleanup_free_ char *hash = whole && chain.size == c->backing_size ? hash_of(limit, &chain) : NULL;
    if (image)
        drover__v1__probe_result__free_unpacked(image, NULL);
    return hash && streq(hash, c->backing_hash);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == path ? xstrdup("/") : xasprintf("%.*s", (int)(slash - path), path);
}

int disk_image_room(const char *path, uint64_t *ret_available, char ret_where[64], struct error *err)
{
    _cleanup_free_ char *directory = directory_of(path);
    struct statvfs fs;
    struct stat st;
    if (stat(directory, &st) < 0 || statvfs(directory, &fs) < 0)
        return error_set(err, STATUS_NOT_FOUND, "the directory %s is not there: %s", directory,
                         strerror(errno));
    if (fs.f_flag & ST_RDONLY)
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s is mounted read-only", directory);
    *ret_available = (uint64_t)fs.f_bavail * fs.f_frsize;
    snprintf(ret_where, 64, "%llx", (unsigned long long)st.st_dev);
    return 0;
}

char *disk_image_draft(const char *path, const char *transaction)
{
    _cleanup_free_ char *directory = directory_of(path);
    return xasprintf("%s/.drover-%s-%s", streq(directory, "/") ? "" : directory, transaction,
                     strrchr(path, '/') + 1);
}

char *disk_image_aside(const char *path, const char *transaction)
{
    return xasprintf("%s.moved-%.8s", path, transaction);
}

int disk_image_make(const struct limit *limit, const Drover__V1__DiskCopy *c, const char *draft,
                    uint64_t *ret_inode, struct error *err)
{
    char size[32];
    const char *argv[16] = {"qemu-img", "create", "-q", "-f", c->format};
    size_t n = 5;
    _cleanup_free_ char *output = NULL;
    struct stat st;
    if (c->backing[0]) {
        argv[n++] = "-b";
        argv[n++] = c->backing;
        argv[n++] = "-F";
        argv[n++] = c->backing_format;
    }
    argv[n++] = "--";
    argv[n++] = draft;
    snprintf(size, sizeof(size), "%llu", (unsigned long long)c->size);
    argv[n] = size;
    int r = run_program(limit, argv, &output, err);
    if (r < 0)
        return r;
    if (chmod(draft, 0600) < 0 || stat(draft, &st) < 0) /* libvirt gives it to its QEMU's user */
        return error_errno(err, errno, "%s was made and can't be used", draft);
    *ret_inode = st.st_ino;
    return 0;
}

int disk_image_place(const char *draft, const char *path, struct error *err)
{
    if (renameat2(AT_FDCWD, draft, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL && link(draft, path) == 0) { /* a file system without it, such as NFS */
        unlink(draft);
        return 0;
    }
    return error_errno(err, errno, "cannot make %s", path);
}

static int sync_fd(int fd, const char *path, struct error *err)
{
    return fsync(fd) < 0 ? error_errno(err, errno, "cannot sync %s", path) : 0;
}

int disk_image_sync_name(const char *path, struct error *err)
{
    _cleanup_free_ char *directory = directory_of(path);
    _cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "cannot open %s", directory) : sync_fd(fd, directory, err);
}

/* The other end's qemu-img flushes before it disconnects, and swallows the error of that; qemu-nbd says on standard error what it can't write
 * of a qcow2's tables, and ends with 0 all the same (both seen with QEMU 7.2). An error of writing back is told to each file descriptor
 * once (fsync(2)), so ours is open from before. */
int disk_image_receive(const struct limit *limit, const char *path, const char *format, const char *address,
                       uint32_t port, const char *name, struct error *err)
{
    char number[16];
    snprintf(number, sizeof(number), "%u", port);
    const char *const argv[] = {"setpriv", "--pdeathsig", "KILL", "qemu-nbd", "-f", format,
                                "-b",      address,       "-p",   number,     "-e", "1",
                                "-x",      name,          "--",   path,       NULL};
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s", path);
    int r = run_silent(limit, argv, err);
    return r < 0 ? r : sync_fd(fd, path, err);
}

int disk_image_remove(const char *path, uint64_t inode, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_errno(err, errno, "cannot look at %s", path);
    if (inode && st.st_ino != inode)
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s is another file than the one that was made",
                         path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_errno(err, errno, "cannot remove %s", path);
    return 0;
}
