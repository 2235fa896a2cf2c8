#include "agent/io/path_facts.h"

#include "agent/io/luns.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    HEAD = 65536, /* of a file: enough for the name of a backing file and the extensions before it */
    QCOW2_NAME_MAX = 1023,
    QCOW2_HEADER_V2 = 72,
    QCOW2_BACKING_FORMAT = 0xe2792aca, /* QEMU's docs/interop/qcow2.txt, "Header extensions" */
};

static uint32_t big32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

static uint64_t big64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return be64toh(v);
}

static void read_extensions(const unsigned char *data, size_t n, Drover__V1__PathFacts *facts)
{
    uint32_t version = big32(data + 4);
    size_t at = version >= 3 && n >= 104 ? big32(data + 100) : QCOW2_HEADER_V2;
    while (at + 8 <= n) {
        uint32_t type = big32(data + at), length = big32(data + at + 4);
        if (type == 0 || length > n - at - 8)
            return;
        if (type == QCOW2_BACKING_FORMAT)
            xml_set(&facts->backing_format, strndup((const char *)data + at + 8, length));
        at += 8 + ((size_t)length + 7) / 8 * 8;
    }
}

bool path_facts_qcow2(const unsigned char *data, size_t n, Drover__V1__PathFacts *facts)
{
    if (n < QCOW2_HEADER_V2 || memcmp(data, "QFI\xfb", 4) != 0)
        return false;
    uint64_t offset = big64(data + 8);
    uint32_t length = big32(data + 16);
    xml_set(&facts->format, xstrdup("qcow2"));
    facts->virtual_size = big64(data + 24);
    if (offset && length && length <= QCOW2_NAME_MAX && offset < n && length <= n - offset) {
        xml_set(&facts->backing, strndup((const char *)data + offset, length));
        read_extensions(data, n, facts);
    }
    return true;
}

static void read_head(const char *path, Drover__V1__PathFacts *facts)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        xml_set(&facts->error, xasprintf("cannot read %s: %s", path, strerror(errno)));
        return;
    }
    _cleanup_free_ unsigned char *head = xcalloc(1, HEAD);
    size_t n = 0;
    for (ssize_t got; n < HEAD && (got = pread(fd, head + n, HEAD - n, (off_t)n)) > 0;)
        n += (size_t)got;
    if (path_facts_qcow2(head, n, facts))
        return;
    xml_set(&facts->format, xstrdup("raw"));
    facts->virtual_size = facts->size;
}

static void read_device(const char *sysfs, dev_t number, Drover__V1__PathFacts *facts)
{
    _cleanup_free_ char *text = xasprintf("%u:%u", major(number), minor(number));
    facts->lun = luns_by_number(sysfs, text);
    if (facts->lun)
        facts->size = facts->virtual_size = facts->lun->size;
}

/* Of a file system that a cluster mounts from one device (GFS2, OCFS2): who serves that serves the file. */
static void put_device(const char *sysfs, Drover__V1__PathFacts *facts)
{
    if (facts->mount && facts->mount->network && strncmp(facts->mount->source, "/dev/", 5) == 0)
        facts->lun = luns_by_number(sysfs, facts->mount->device);
}

static void put_mount(const struct mounts *mounts, const char *path, Drover__V1__PathFacts *facts)
{
    facts->mount = mounts_of_path(mounts, path);
    if (!facts->mount)
        return;
    mounts_stat(facts->mount);
    size_t n = strlen(facts->mount->target);
    const char *rest = strncmp(path, facts->mount->target, n) == 0 ? path + n : path;
    xml_set(&facts->relative, xstrdup(rest + strspn(rest, "/")));
}

/* The mount that a path which is not there would lie on: that of the nearest directory above it. */
static void put_absent(const struct mounts *mounts, const char *path, Drover__V1__PathFacts *facts)
{
    _cleanup_free_ char *above = xstrdup(path), *real = NULL;
    for (char *slash; !real && (slash = strrchr(above, '/'));) {
        slash[slash == above] = 0;
        real = realpath(above, NULL);
        if (slash == above)
            break;
    }
    if (real)
        put_mount(mounts, real, facts);
}

Drover__V1__PathFacts *path_facts_read(const struct mounts *mounts, const char *sysfs, const char *path)
{
    Drover__V1__PathFacts *f = new0(Drover__V1__PathFacts);
    drover__v1__path_facts__init(f);
    xml_set(&f->path, xstrdup(path));
    struct stat st;
    _cleanup_free_ char *real = realpath(path, NULL);
    if (!real || stat(real, &st) < 0) {
        bool absent = errno == ENOENT || errno == ENOTDIR;
        if (absent)
            xml_set(&f->kind, xstrdup("absent"));
        else
            xml_set(&f->error, xasprintf("cannot look at %s: %s", path, strerror(errno)));
        put_absent(mounts, path, f);
        return f;
    }
    xml_set(&f->resolved, xstrdup(real));
    put_mount(mounts, real, f);
    f->inode = st.st_ino;
    f->allocated = (uint64_t)st.st_blocks * 512;
    if (S_ISBLK(st.st_mode)) {
        xml_set(&f->kind, xstrdup("block"));
        read_device(sysfs, st.st_rdev, f);
    } else if (S_ISREG(st.st_mode)) {
        xml_set(&f->kind, xstrdup("file"));
        f->size = (uint64_t)st.st_size;
        put_device(sysfs, f);
        read_head(real, f);
    } else {
        xml_set(&f->kind, xstrdup(S_ISDIR(st.st_mode) ? "directory" : "other"));
    }
    return f;
}

char *path_directory(const char *path)
{
    struct stat st;
    char *real = realpath(path, NULL);
    if (real && stat(real, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return real;
        if (!S_ISREG(st.st_mode)) {
            free(real);
            errno = ENOTBLK;
            return NULL;
        }
        *strrchr(real, '/') = 0;
        if (*real)
            return real;
        free(real);
        return xstrdup("/");
    }
    int why = errno;
    free(real);
    if (why != ENOENT) {
        errno = why;
        return NULL;
    }
    /* An image that is not there (yet): where it would be. */
    _cleanup_free_ char *copy = xstrdup(path);
    return realpath(dirname(copy), NULL);
}
