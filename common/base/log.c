#include "common/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static enum log_level max_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level max)
{
    max_level = max;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR: return "error";
    case LOG_LEVEL_WARN: return "warning";
    case LOG_LEVEL_DEBUG: return "debug";
    case LOG_LEVEL_INFO: break;
    }
    return "info";
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if (level > max_level)
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\r' || *c == '\033')
            *c = ' '; /* a peer's text must not forge a line */
    if (getenv("JOURNAL_STREAM")) {
        fprintf(stderr, "<%d>%s\n", level, text);
        return;
    }
    struct timespec now;
    struct tm local;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(stamp, sizeof(stamp), "%H:%M:%S", &local);
    fprintf(stderr, "%s.%03ld %s: %s\n", stamp, now.tv_nsec / 1000000, level_name(level), text);
}
