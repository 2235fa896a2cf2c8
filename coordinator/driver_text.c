#include "coordinator/driver_internal.h"

#include "common/base/memory.h"

char *finding_sentence(const Drover__V1__Finding *f)
{
    char *text = xasprintf("%s%s%s", f->subject, f->subject[0] && f->seen[0] ? ": " : "", f->seen);
    if (!f->expected[0])
        return text;
    char *longer = xasprintf("%s (expected: %s)", text, f->expected);
    free(text);
    return longer;
}

void say_ms(int64_t ms, char text[32])
{
    if (ms < 1000)
        snprintf(text, 32, "%lld ms", (long long)ms);
    else if (ms < 120000)
        snprintf(text, 32, "%lld.%lld s", (long long)ms / 1000, (long long)ms % 1000 / 100);
    else
        snprintf(text, 32, "%lld min %lld s", (long long)ms / 60000, (long long)ms % 60000 / 1000);
}

void say_bytes(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned u = 0;
    while (value >= 1024 && u < 4) {
        value /= 1024;
        u++;
    }
    snprintf(text, 32, u > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value, units[u]);
}
