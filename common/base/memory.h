/* Allocation that can't fail: a program that is out of memory can't journal either, so it stops at once and is restarted
 * by systemd; what is durable decides what happens next. Sizes that a peer chooses are checked against a bound first. */
#pragma once

#include <stddef.h>

void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s); /* NULL gives NULL */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define new0(type) ((type *)xcalloc(1, sizeof(type)))

/* True when both are NULL or both hold the same bytes. */
int streq(const char *a, const char *b);
