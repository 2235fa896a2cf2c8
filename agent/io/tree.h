/* Small files and directories of sysfs, procfs and /etc. What is not there is read as nothing. Strings are the caller's. */
#pragma once

#include <stddef.h>

/* The text without the white space around it, 4 KiB at most; NULL if it can't be read. */
char *tree_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The whole file, or NULL with errno set; EFBIG when it is longer than `max`. */
char *tree_load(const char *path, size_t max);

/* Names of a directory's entries but for the hidden ones, sorted. */
size_t tree_list(char ***ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tree_list_free(char **names, size_t n);

/* "PREFIX123...": the number, and what comes after it; NULL if the text is another. */
const char *tree_number(const char *text, const char *prefix, unsigned long long *ret);

/* Last part of where a symbolic link leads; NULL if it is none. */
char *tree_link_name(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
