#include "coordinator/core/text.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void text_append(char **text, const char *separator, const char *fmt, ...)
{
    _cleanup_free_ char *piece = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&piece, fmt, ap);
    va_end(ap);
    if (n < 0)
        abort(); /* out of memory: as in common/base/memory */
    char *longer = xasprintf("%s%s%s", *text ? *text : "", *text ? separator : "", piece);
    free(*text);
    *text = longer;
}
