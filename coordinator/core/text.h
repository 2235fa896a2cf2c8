/* Sentences put together piece by piece. */
#pragma once

/* Adds a formatted piece to *text (NULL: empty; owned by the caller), after `separator` if something is there already. */
void text_append(char **text, const char *separator, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
