/* Where in a file a value stands, for errors found only when the whole file is known (a name given twice, say). */
#pragma once

#include <stddef.h>

/* `path` as yaml_load's errors write it: "listen[1]", "hosts[2].agent", "policies.default.allow". Entries of a list that is
 * written as a mapping from names count like a list's. Lines and columns start at 1. Returns 0, or -1 if there is no such
 * value; then *ret_... are untouched. For texts that yaml_load_text accepted: those are neither deep nor long. */
int yaml_where(const char *text, size_t length, const char *path, size_t *ret_line, size_t *ret_column);
