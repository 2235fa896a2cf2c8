#include "cli/text.h"

#include "common/base/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Decodes one character; returns its length, or 0 if the bytes are no valid UTF-8 (overlong and surrogates included). */
static size_t decode(const unsigned char *p, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0)
        return 0;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret = c;
    return n;
}

/* Format characters that reorder or hide text (Unicode's bidirectional controls, zero width, line separators). */
static int invisible(uint32_t c)
{
    return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           c == 0xfeff || c == 0xad;
}

char *text_clean(const char *in, char *buffer, size_t size)
{
    const unsigned char *p = (const unsigned char *)(in ? in : "");
    char *out = buffer, *end = buffer + size - 1;
    while (*p) {
        uint32_t c = 0;
        size_t n = decode(p, &c);
        char escaped[16];
        const char *piece = (const char *)p;
        size_t length = n;
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || invisible(c)) {
            length = (size_t)snprintf(escaped, sizeof(escaped), n > 1 ? "\\u%04x" : "\\x%02x", n ? c : *p);
            piece = escaped;
        }
        if (out + length > end)
            break;
        memcpy(out, piece, length);
        out += length;
        p += n ? n : 1;
    }
    *out = 0;
    return buffer;
}

/* glibc's wcwidth needs a locale; these are the blocks that terminals show two columns wide. */
static int columns_of(uint32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) || (c >= 0x20d0 && c <= 0x20ff) ||
        (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xfe20 && c <= 0xfe2f))
        return 0;
    if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf && c != 0x303f) ||
        (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) ||
        (c >= 0xff00 && c <= 0xff60) || (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1f64f) ||
        (c >= 0x1f680 && c <= 0x1f6ff) || (c >= 0x1f900 && c <= 0x1f9ff) || (c >= 0x20000 && c <= 0x3fffd))
        return 2;
    return 1;
}

int text_width(const char *utf8)
{
    int width = 0;
    for (const unsigned char *p = (const unsigned char *)utf8; *p;) {
        uint32_t c = 0;
        size_t n = decode(p, &c);
        width += n ? columns_of(c) : 1;
        p += n ? n : 1;
    }
    return width;
}

char *text_fit(const char *utf8, int columns, char *buffer, size_t size)
{
    if (columns <= 0 || text_width(utf8) <= columns) {
        snprintf(buffer, size, "%s", columns <= 0 ? "" : utf8);
        return buffer;
    }
    int width = 0;
    size_t used = 0;
    for (const unsigned char *p = (const unsigned char *)utf8; *p;) {
        uint32_t c = 0;
        size_t n = decode(p, &c);
        int w = n ? columns_of(c) : 1;
        n = n ? n : 1;
        if (width + w > columns - 1 || used + n + 4 > size)
            break;
        memcpy(buffer + used, p, n);
        used += n;
        width += w;
        p += n;
    }
    snprintf(buffer + used, size - used, "…");
    return buffer;
}

char *text_size(uint64_t bytes, char buffer[TEXT_MAX])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)bytes;
    size_t unit = 0;
    while (n >= 1023.5 && unit < 6) {
        n /= 1024;
        unit++;
    }
    /* One digit after the point below 10, so that 1.2 and 1.9 GiB differ; none where it would be 0 anyway. */
    uint64_t tenths = (uint64_t)(n * 10 + 0.5);
    if (tenths >= 100 || tenths % 10 == 0)
        snprintf(buffer, TEXT_MAX, "%.0f %s", n, units[unit]);
    else
        snprintf(buffer, TEXT_MAX, "%.1f %s", n, units[unit]);
    return buffer;
}

char *text_rate(uint64_t bytes, char buffer[TEXT_MAX])
{
    char size[TEXT_MAX];
    snprintf(buffer, TEXT_MAX, "%.20s/s", text_size(bytes, size));
    return buffer;
}

char *text_ms(int64_t ms, char buffer[TEXT_MAX])
{
    int64_t s = ms / 1000 + (ms % 1000 >= 500);
    if (ms < 0)
        snprintf(buffer, TEXT_MAX, "-");
    else if (ms < 1000)
        snprintf(buffer, TEXT_MAX, "%" PRId64 " ms", ms);
    else if (ms < 59950)
        snprintf(buffer, TEXT_MAX, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        snprintf(buffer, TEXT_MAX, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buffer, TEXT_MAX, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(buffer, TEXT_MAX, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
    return buffer;
}

static int local_time(int64_t ms, struct tm *tm, char buffer[TEXT_MAX])
{
    time_t t = (time_t)(ms / 1000);
    snprintf(buffer, TEXT_MAX, "-");
    return ms > 0 && localtime_r(&t, tm);
}

char *text_moment(int64_t ms, char buffer[TEXT_MAX])
{
    struct tm tm;
    if (local_time(ms, &tm, buffer))
        strftime(buffer, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
    return buffer;
}

char *text_clock(int64_t ms, char buffer[TEXT_MAX])
{
    struct tm tm;
    if (local_time(ms, &tm, buffer))
        strftime(buffer, TEXT_MAX, "%H:%M:%S", &tm);
    return buffer;
}

char *text_version(uint32_t n, char buffer[TEXT_MAX])
{
    if (n)
        snprintf(buffer, TEXT_MAX, "%u.%u.%u", n / 1000000, n / 1000 % 1000, n % 1000);
    else
        snprintf(buffer, TEXT_MAX, "-");
    return buffer;
}

char *text_url_host(const char *url, char *buffer, size_t size)
{
    const char *at = strstr(url, "://");
    *buffer = 0;
    if (!at || strncmp(url, "ipc:", 4) == 0)
        return buffer;
    at += 3;
    bool bracket = *at == '[';
    at += bracket;
    size_t n = bracket ? strcspn(at, "]") : strcspn(at, ":/");
    snprintf(buffer, size, "%.*s", (int)n, at);
    return buffer;
}

char *text_shell_word(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
    if (*text && !text[strspn(text, plain)])
        return xstrdup(text);
    char *word = xcalloc(strlen(text) * 4 + 3, 1), *out = word;
    *out++ = '\'';
    for (; *text; text++) {
        const char *piece = *text == '\'' ? "'\\''" : (char[]){*text, 0};
        out = stpcpy(out, piece);
    }
    *out = '\'';
    return word;
}
