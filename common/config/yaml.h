/* YAML files as C structs, through libcyaml's schemas, with errors that name file, line, column and key.
 * Before libcyaml sees the text, libyaml's events are checked: at most 1 MiB, depth 16, no aliases, no key twice. */
#pragma once

#include "common/base/error.h"

#include <cyaml/cyaml.h>

/* Loads `path` by `schema` into *ret (freed with yaml_free). Unknown keys and missing required ones are errors, e.g.
 * "agent.yaml:4:9: libvrt: unknown key; known here: libvirt, listen, name, ..." */
int yaml_load_file(const char *path, const cyaml_schema_value_t *schema, void **ret, struct error *err);
int yaml_load_text(const char *name, const char *text, size_t length, const cyaml_schema_value_t *schema, void **ret,
                   struct error *err);
void yaml_free(const cyaml_schema_value_t *schema, void *data);

/* "2s", "500ms", "30m", "1h" -> milliseconds; "200mbit", "1gbit", "100MiB/s" -> bytes per second; "4GiB" -> bytes. */
int parse_duration_ms(const char *text, int64_t *ret, struct error *err);
int parse_rate(const char *text, int64_t *ret_bytes_per_s, struct error *err);
int parse_size(const char *text, int64_t *ret_bytes, struct error *err);
