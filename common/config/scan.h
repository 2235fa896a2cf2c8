/* The check that comes before libcyaml: every libyaml event against the schema.
 *
 * libcyaml 1.3 takes any word as a true boolean ("flase"), "5_000" as 5 and "010" as 8, and its texts lack
 * the column or the key. So all that can be wrong with a file is found here, where the marks are at hand;
 * libcyaml then only loads it. */
#pragma once

#include "common/base/error.h"

#include <cyaml/cyaml.h>
#include <stdbool.h>

#define YAML_MAX_BYTES (1U << 20)
#define YAML_MAX_DEPTH 16 /* 64 KiB of "[" takes libyaml 6 s */

struct yaml_scanned {
    bool empty;    /* the document holds nothing, and the schema is content with that */
    char *text;    /* owned; not NULL: to be loaded instead, because a list was given by name */
    size_t length; /* of `text` */
};

int yaml_scan(const char *name, const char *text, size_t length, const cyaml_schema_value_t *schema,
              struct yaml_scanned *ret, struct error *err);
