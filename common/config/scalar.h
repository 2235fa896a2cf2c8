/* Single values against their schema, stricter than libcyaml (see scan.h). */
#pragma once

#include <cyaml/cyaml.h>
#include <stdbool.h>

/* "a whole number", "text", "true or false": what a schema wants, for a sentence. */
const char *scalar_expected(const cyaml_schema_value_t *v);

/* Whether a plain word stands for "nothing", and whether the schema allows that. */
bool scalar_is_null(const char *text);
bool scalar_may_be_null(const cyaml_schema_value_t *v, const char *text);

/* False with a sentence in `why` when `text` isn't a value of `v` (a number, boolean, enum, flag or string).
 */
bool scalar_fits(const cyaml_schema_value_t *v, const char *text, char *why, size_t size);
