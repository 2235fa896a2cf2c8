#include "agent/io/known.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BYTES = 4 << 20 };

static uint64_t hash(const uint8_t *data, size_t size)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 1099511628211u;
    return h;
}

int known_read(const char *dir, Drover__V1__Known **ret, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/samples", dir);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? error_set(err, STATUS_NOT_FOUND, "there is no %s", path)
                               : error_errno(err, errno, "can't open %s", path);
    _cleanup_free_ uint8_t *data = xcalloc(1, MAX_BYTES + 1);
    size_t n = fread(data, 1, MAX_BYTES + 1, f);
    uint64_t seen = 0;
    if (n >= sizeof(seen))
        memcpy(&seen, data, sizeof(seen));
    Drover__V1__Known *known = NULL;
    if (n >= sizeof(seen) && n <= MAX_BYTES && seen == hash(data + sizeof(seen), n - sizeof(seen)))
        known = drover__v1__known__unpack(NULL, n - sizeof(seen), data + sizeof(seen));
    if (!known)
        return error_set(
            err, STATUS_DATA_LOSS,
            "%s was not written whole by an agent: what it knew of guests and links is measured anew", path);
    *ret = known;
    return 0;
}

int known_write(const char *dir, const Drover__V1__Known *known, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/samples", dir), *temporary = xasprintf("%s/.samples.new", dir);
    size_t size = drover__v1__known__get_packed_size(known);
    _cleanup_free_ uint8_t *data = xcalloc(1, sizeof(uint64_t) + size);
    drover__v1__known__pack(known, data + sizeof(uint64_t));
    uint64_t h = hash(data + sizeof(uint64_t), size);
    memcpy(data, &h, sizeof(h));
    FILE *f = fopen(temporary, "we");
    if (!f)
        return error_errno(err, errno, "can't write %s", temporary);
    size_t written = fwrite(data, 1, sizeof(h) + size, f);
    int failed = fclose(f) != 0 || written != sizeof(h) + size ? (errno ? errno : EIO) : 0;
    if (!failed && rename(temporary, path) < 0)
        failed = errno;
    if (failed)
        unlink(temporary);
    return failed ? error_errno(err, failed, "can't write %s", path) : 0;
}
