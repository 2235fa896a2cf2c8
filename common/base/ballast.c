#include "common/base/ballast.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <fcntl.h>
#include <sys/stat.h>

static bool lies_there(const struct ballast *b)
{
    struct stat st;
    return stat(b->path, &st) == 0 && st.st_size == BALLAST_BYTES &&
           (size_t)st.st_blocks * 512 >= BALLAST_BYTES;
}

void ballast_init(struct ballast *b, const char *path)
{
    *b = (struct ballast){.path = xasprintf("%s-ballast", path)};
    b->laid = lies_there(b);
}

void ballast_deinit(struct ballast *b)
{
    free(b->path);
    *b = (struct ballast){0};
}

/* Written, not only allocated: some filesystems allocate nothing for posix_fallocate, or compress zeros away. */
static bool fill(int fd)
{
    static unsigned char noise[4096];
    unsigned x = 1;
    for (unsigned n = 0; n < BALLAST_BYTES / sizeof(noise); n++) {
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (unsigned char)((x = x * 1103515245u + 12345u) >> 16);
        if (write(fd, noise, sizeof(noise)) != (ssize_t)sizeof(noise))
            return false;
    }
    return fsync(fd) == 0;
}

bool ballast_lay(struct ballast *b)
{
    if (b->laid)
        return true;
    if (lies_there(b))
        return b->laid = true;
    _cleanup_close_ int fd = open(b->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    b->laid = fill(fd);
    if (!b->laid)
        unlink(b->path);
    return b->laid;
}

bool ballast_drop(struct ballast *b)
{
    if (!b->laid)
        return false;
    b->laid = false;
    return unlink(b->path) == 0;
}
