#include "agent/io/tree.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

enum { TEXT_MAX = 4096, MAX_ENTRIES = 65536 };

static char *format_path(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

static char *format_path(const char *fmt, va_list ap)
{
    char *path = NULL;
    if (vasprintf(&path, fmt, ap) < 0)
        abort();
    return path;
}

/* Up to `max` bytes with a 0 after them; *ret_n: how many. */
static char *load(const char *path, size_t max, size_t *ret_n)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    _cleanup_free_ char *text = NULL;
    size_t n = 0, room = 0;
    for (;;) {
        if (n == room) {
            if (room == max)
                break;
            room = room ? room * 2 : TEXT_MAX;
            room = room > max ? max : room;
            text = xrealloc(text, room + 1, 1);
        }
        ssize_t got = read(fd, text + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    text[n] = 0;
    *ret_n = n;
    return steal(&text);
}

char *tree_load(const char *path, size_t max)
{
    size_t n;
    char *text = load(path, max + 1, &n);
    if (text && n > max) {
        free(text);
        errno = EFBIG;
        return NULL;
    }
    return text;
}

char *tree_text(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *path = format_path(fmt, ap);
    va_end(ap);
    size_t n;
    char *text = load(path, TEXT_MAX, &n);
    if (!text)
        return NULL;
    n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1]))
        text[--n] = 0;
    size_t skip = strspn(text, " \t\r\n");
    memmove(text, text + skip, n - skip + 1);
    return text;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t tree_list(char ***ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *path = format_path(fmt, ap);
    va_end(ap);
    char **names = NULL;
    size_t n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && n < MAX_ENTRIES && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        names = xrealloc(names, n + 1, sizeof(*names));
        names[n++] = xstrdup(e->d_name);
    }
    if (dir)
        closedir(dir);
    if (n)
        qsort(names, n, sizeof(*names), compare);
    *ret = names;
    return n;
}

void tree_list_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

const char *tree_number(const char *text, const char *prefix, unsigned long long *ret)
{
    size_t n = strlen(prefix);
    char *end;
    if (strncmp(text, prefix, n) != 0 || !isdigit((unsigned char)text[n]))
        return NULL;
    *ret = strtoull(text + n, &end, 10);
    return end;
}

char *tree_link_name(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *path = format_path(fmt, ap);
    va_end(ap);
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0)
        return NULL;
    target[n] = 0;
    const char *slash = strrchr(target, '/');
    return xstrdup(slash ? slash + 1 : target);
}
