#include "common/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 0))) static void fill(struct error *e, const char *fmt, va_list ap)
{
    int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    if (n >= (int)sizeof(e->text))
        memcpy(e->text + sizeof(e->text) - 4, "...", 4);
}

void error_fill(struct error *e, enum status_code code, const char *fmt, ...)
{
    if (e) {
        /* An argument may be the old text of `e` itself. */
        struct error fresh = {.code = code};
        va_list ap;
        va_start(ap, fmt);
        fill(&fresh, fmt, ap);
        va_end(ap);
        *e = fresh;
    }
}

static enum status_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT: return STATUS_NOT_FOUND;
    case EEXIST: return STATUS_ALREADY_EXISTS;
    case EACCES:
    case EPERM: return STATUS_PERMISSION_DENIED;
    case EINVAL: return STATUS_INVALID_ARGUMENT;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case EDQUOT: return STATUS_RESOURCE_EXHAUSTED;
    case ETIMEDOUT: return STATUS_DEADLINE_EXCEEDED;
    case ECANCELED: return STATUS_CANCELLED;
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPIPE:
    case EAGAIN: return STATUS_UNAVAILABLE;
    case EADDRINUSE: return STATUS_FAILED_PRECONDITION;
    default: return STATUS_INTERNAL;
    }
}

int error_errno(struct error *e, int errnum, const char *fmt, ...)
{
    enum status_code code = code_of_errno(errnum);
    if (e) {
        struct error fresh = {.code = code};
        va_list ap;
        va_start(ap, fmt);
        fill(&fresh, fmt, ap);
        va_end(ap);
        error_set(e, code, "%s: %s", fresh.text, strerror(errnum));
    }
    return -(int)code;
}

int error_prefix(struct error *e, const char *fmt, ...)
{
    if (!e)
        return -(int)STATUS_UNKNOWN;
    struct error context = {0};
    va_list ap;
    va_start(ap, fmt);
    fill(&context, fmt, ap);
    va_end(ap);
    return error_set(e, e->code, "%s: %s", context.text, e->text);
}

void error_clear(struct error *e)
{
    if (e)
        *e = (struct error){.code = STATUS_OK};
}

const char *status_name(enum status_code code)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };
    unsigned i = (unsigned)code;
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : "UNKNOWN";
}
