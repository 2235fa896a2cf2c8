#include "agent/io/touched.h"

#include "agent/io/tree.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SMAPS_MAX = 8 << 20, STATUS_MAX = 64 << 10, QEMU_ITSELF = 40 << 20 };

/* "KEY:  123 kB" at the beginning of the line: bytes; -1: it is another line. */
static int64_t field(const char *line, const char *key)
{
    size_t n = strlen(key);
    return strncmp(line, key, n) == 0 && line[n] == ':' ? (int64_t)strtoll(line + n + 1, NULL, 10) * 1024
                                                        : -1;
}

static const char *next_line(const char *line)
{
    line = strchr(line, '\n');
    return line ? line + 1 : NULL;
}

int64_t touched_mapping(const char *smaps, int64_t size)
{
    static const char *const kinds[] = {"Rss", "Shared_Hugetlb", "Private_Hugetlb", "Swap"};
    int64_t sum = 0, most = 0;
    bool here = false;
    for (const char *line = smaps; line && *line; line = next_line(line)) {
        int64_t bytes = field(line, "Size");
        if (bytes >= 0) {
            here = bytes / 1024 == size / 1024;
            sum = 0;
        }
        for (unsigned i = 0; here && i < sizeof(kinds) / sizeof(kinds[0]); i++)
            if ((bytes = field(line, kinds[i])) > 0)
                sum += bytes;
        most = sum > most ? sum : most;
    }
    return most;
}

int64_t touched_process(const char *status)
{
    static const char *const kinds[] = {"VmRSS", "VmSwap", "HugetlbPages"};
    int64_t sum = 0;
    unsigned found = 0;
    for (const char *line = status; line && *line; line = next_line(line))
        for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            int64_t bytes = field(line, kinds[i]);
            found += bytes >= 0;
            sum += bytes > 0 ? bytes : 0;
        }
    if (found < sizeof(kinds) / sizeof(kinds[0]))
        return 0;
    return sum > QEMU_ITSELF ? sum - QEMU_ITSELF : 1;
}

int64_t touched_memory(const char *run, const char *procfs, const char *guest, int64_t memory)
{
    _cleanup_free_ char *pid = tree_text("%s/%s.pid", run, guest);
    if (!pid)
        return 0;
    _cleanup_free_ char *path = xasprintf("%s/%s/smaps", procfs, pid), *smaps = tree_load(path, SMAPS_MAX);
    int64_t exact = touched_mapping(smaps, memory);
    if (exact)
        return exact;
    _cleanup_free_ char *whole = xasprintf("%s/%s/status", procfs, pid),
                        *status = tree_load(whole, STATUS_MAX);
    return touched_process(status);
}
