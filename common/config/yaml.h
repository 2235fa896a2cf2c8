/* YAML files as C structs, through libcyaml's schemas, with errors that name file, line, column and key.
 * Before libcyaml sees the text, libyaml's events are checked: at most 1 MiB, depth 16, no aliases, no key
 * twice. */
#pragma once

#include "common/base/error.h"

#include <cyaml/cyaml.h>

/* Loads `path` by `schema`, a mapping with CYAML_FLAG_POINTER, into *ret (freed with yaml_unload). All that
 * isn't in the file is 0 or NULL; an empty file without required keys gives a structure of zeros. Unknown
 * keys, missing required ones and values of another kind are errors, e.g.
 * "agent.yaml:4:1: libvrt: unknown key; known here: libvirt, listen, name"
 * "coordinator.yaml:9:5: hosts[1].agent: missing; expected text"
 *
 * A list (CYAML_SEQUENCE) of mappings whose first field is `name` may also be written as a mapping from names:
 * "policies: {default: {deadline: 30m}}" loads like "policies: [{name: default, deadline: 30m}]". */
int yaml_load_file(const char *path, const cyaml_schema_value_t *schema, void **ret, struct error *err);
int yaml_load_text(const char *name, const char *text, size_t length, const cyaml_schema_value_t *schema,
                   void **ret, struct error *err);
/* Accepts NULL. (libyaml exports a yaml_free of its own: the same name would take its place.) */
void yaml_unload(const cyaml_schema_value_t *schema, void *data);

/* "2s", "500ms", "30m", "1h" -> milliseconds; "200mbit", "1gbit", "100MiB/s" -> bytes per second; "4GiB" ->
 * bytes. */
int parse_duration_ms(const char *text, int64_t *ret, struct error *err);
int parse_rate(const char *text, int64_t *ret_bytes_per_s, struct error *err);
int parse_size(const char *text, int64_t *ret_bytes, struct error *err);
